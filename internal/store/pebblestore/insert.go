package pebblestore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/daybook-analytics/daybook/internal/store"
)

// MaxEventBytes is the longest line of an event that the store takes. A
// longer one is refused.
const MaxEventBytes = 1 << 20

// Insert is part of store.Step.
func (t *step) Insert(ctx context.Context, events []store.Event) ([]store.Outcome, error) {
	if t.inserted {
		return nil, errors.New("a step inserts once")
	}
	t.inserted = true
	sites, siteOf := ranks(events, func(e *store.Event) string { return e.Site })
	if err := t.take(ctx, sites); err != nil {
		return nil, err
	}
	// The lookup must begin after the sites are taken, to see all that their
	// last holders wrote.
	lookup, err := t.s.newIDLookup(ctx)
	if err != nil {
		return nil, err
	}
	outcomes, fresh, err := findNew(lookup, events, sites, siteOf)
	closeInto(&err, lookup.it)
	if err != nil {
		return nil, err
	}
	t.events, t.fresh, t.siteNames = events, fresh, sites
	return outcomes, nil
}

// staged is an event of a step, by its number there.
type staged struct {
	// site is the rank of the event's site among all of the step, so that
	// sites need not be compared as strings.
	site, event int32
	id          string
}

// findNew tells of each event whether it is new, and gives the new ones in the
// order of their IDs. It goes through all in this order: lookups of neighbours
// are cheaper, and events of one ID meet. An event itself is looked at only when
// its ID is known: at full load most of a step's time is waiting for memory.
func findNew(lookup *idLookup, events []store.Event, sites []string, siteOf []int32) ([]store.Outcome, []staged, error) {
	outcomes := make([]store.Outcome, len(events))
	order := make([]staged, 0, len(events))
	for i := range events {
		e := &events[i]
		if size := lineSize(e); size > MaxEventBytes {
			outcomes[i] = store.Outcome{
				Result: store.Refused,
				Reason: fmt.Sprintf("event of %d bytes is longer than the %d that the store takes", size, MaxEventBytes),
			}
			continue
		}
		order = append(order, staged{site: siteOf[i], event: int32(i), id: e.ID})
	}
	slices.SortFunc(order, func(a, b staged) int {
		return cmp.Or(cmp.Compare(a.site, b.site), strings.Compare(a.id, b.id), cmp.Compare(a.event, b.event))
	})

	fresh := order[:0]
	var key, holder, origin []byte
	for i, o := range order {
		if i == 0 || o.site != order[i-1].site || o.id != order[i-1].id {
			key = appendEventID(key[:0], sites[o.site], o.id)
			value, err := lookup.get(key)
			if err != nil {
				return nil, nil, fmt.Errorf("reading from the store: %w", err)
			}
			holder = append(holder[:0], value...)
			if value == nil {
				fresh = append(fresh, o)
				continue
			}
		}
		// The store has the ID, or this step has it of the last new event.
		if len(holder) == 0 {
			holder = appendOrigin(holder, &events[fresh[len(fresh)-1].event])
		}
		origin = appendOrigin(origin[:0], &events[o.event])
		outcomes[o.event].Result = store.Duplicate
		if bytes.HasPrefix(holder, origin) {
			outcomes[o.event].Result = store.Replayed
		}
	}
	return outcomes, fresh, nil
}

// batch makes the batch of all that the step writes, in one piece and in the
// order of the keys: Pebble sorts a large batch before it flushes it, and finds
// it sorted.
func (t *step) batch(ctx context.Context) (_ *pebble.Batch, err error) {
	size := t.rest.Len()
	for i := range t.events {
		size += stagedSize(&t.events[i])
	}
	batch := t.s.db.NewBatchWithSize(size)
	rest, err := t.rest.NewBatchOnlyIter(ctx, nil)
	if err != nil {
		return nil, errors.Join(err, batch.Close())
	}
	defer closeInto(&err, rest)
	rest.First()
	err = cmp.Or(
		copyBelow(batch, rest, []byte{keyEvent}), t.stageEvents(batch),
		copyBelow(batch, rest, []byte{keyEventID}), t.stageIDs(batch),
		copyBelow(batch, rest, nil))
	if err != nil {
		return nil, errors.Join(err, batch.Close())
	}
	return batch, nil
}

// copyBelow copies what the iterator gives until it comes to the key bound; nil
// is no bound.
func copyBelow(batch *pebble.Batch, it *pebble.Iterator, bound []byte) error {
	for ; it.Valid() && (bound == nil || bytes.Compare(it.Key(), bound) < 0); it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := batch.Set(it.Key(), value, nil); err != nil {
			return err
		}
	}
	return it.Error()
}

// stageEvents puts the new events into the batch.
func (t *step) stageEvents(batch *pebble.Batch) error {
	_, dateOf := ranks(t.events, func(e *store.Event) string { return e.Date })
	byDate := slices.Clone(t.fresh)
	slices.SortFunc(byDate, func(a, b staged) int {
		return cmp.Or(cmp.Compare(a.site, b.site), cmp.Compare(dateOf[a.event], dateOf[b.event]), cmp.Compare(a.event, b.event))
	})
	var key, line []byte
	for _, o := range byDate {
		e := &t.events[o.event]
		key, line = appendEventKey(key[:0], e), e.AppendLine(line[:0])
		if err := batch.Set(key, line, nil); err != nil {
			return err
		}
	}
	return nil
}

// stageIDs puts the IDs of the new events into the batch.
func (t *step) stageIDs(batch *pebble.Batch) error {
	var key, value []byte
	for _, o := range t.fresh {
		e := &t.events[o.event]
		key, value = appendEventID(key[:0], t.siteNames[o.site], o.id), appendString(appendOrigin(value[:0], e), e.Date)
		if err := batch.Set(key, value, nil); err != nil {
			return err
		}
	}
	return nil
}

// lineSize is at most how many bytes AppendLine makes of an event.
func lineSize(e *store.Event) int {
	const fixed = 20 // version, time and their tabs
	size := fixed + len(e.ID) + len(e.Site) + len(e.User)
	for _, value := range e.Values {
		size += 1 + len(value)
	}
	return size
}

// stagedSize is about how many bytes an event takes in a batch, rather more
// than less: a batch that grows copies all that it has.
func stagedSize(e *store.Event) int {
	const fixed = 130 // tags, lengths, dates, positions and terminators
	return fixed + lineSize(e) + 2*len(e.Site) + 2*len(e.Stream) + len(e.ID)
}

// ranks gives the distinct strings that events have, sorted, and for each event
// the place of its own among them.
func ranks(events []store.Event, of func(e *store.Event) string) (sorted []string, rank []int32) {
	rank = make([]int32, len(events))
	numbers := map[string]int32{}
	for i := range events {
		name := of(&events[i])
		number, known := numbers[name]
		if !known {
			number = int32(len(numbers))
			numbers[name] = number
		}
		rank[i] = number
	}
	sorted = slices.Sorted(maps.Keys(numbers))
	places := make([]int32, len(sorted))
	for place, name := range sorted {
		places[numbers[name]] = int32(place)
	}
	for i, number := range rank {
		rank[i] = places[number]
	}
	return sorted, rank
}
