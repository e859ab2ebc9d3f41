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
	"github.com/daybook-analytics/daybook/rollup"
)

// MaxEventBytes is the longest line of an event that the store takes. A
// longer one is refused.
const MaxEventBytes = 1 << 20

// step is a store.Step. Nothing of it is in the store before Commit.
type step struct {
	s *Store
	// sites are those that the step has to itself, sorted.
	sites []string
	// events holds the raw events and their IDs, rest all else. Only rest has
	// an index: what a step wrote there it reads again, and an index of the
	// events would cost more than all the rest of the step.
	events, rest *pebble.Batch
	inserted     bool
}

// Begin is part of store.Store.
func (s *Store) Begin() store.Step {
	return &step{s: s, rest: s.db.NewIndexedBatch()}
}

// Insert is part of store.Step.
func (t *step) Insert(ctx context.Context, events []store.Event) ([]store.Outcome, error) {
	if t.inserted {
		return nil, errors.New("a step inserts once")
	}
	t.inserted = true
	t.events = t.s.db.NewBatch(pebble.WithInitialSizeBytes(stagedSize(events)))
	if err := t.take(ctx, distinctSites(events)); err != nil {
		return nil, err
	}
	// The lookup must begin after the sites are taken, to see all that their
	// last holders wrote.
	lookup, err := t.s.newIDLookup(ctx)
	if err != nil {
		return nil, err
	}
	outcomes, err := t.insert(lookup, events)
	closeInto(&err, lookup.it)
	return outcomes, err
}

// stagedSize is about how many bytes the events take in a batch, rather more
// than less: a batch that grows copies all it has.
func stagedSize(events []store.Event) int {
	const fixed = 160 // tags, lengths, dates, positions and terminators
	size := fixed * len(events)
	for i := range events {
		e := &events[i]
		size += 2*len(e.Site) + 2*len(e.Stream) + 2*len(e.ID) + len(e.User)
		for _, value := range e.Values {
			size += 1 + len(value)
		}
	}
	return size
}

// insert stages the events that are new. It goes through them in the order of
// their IDs: lookups and writes of neighbours are cheaper, and events of one
// ID meet.
func (t *step) insert(lookup *idLookup, events []store.Event) ([]store.Outcome, error) {
	order := make([]int, len(events))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := &events[i], &events[j]
		return cmp.Or(strings.Compare(a.Site, b.Site), strings.Compare(a.ID, b.ID), i-j)
	})

	outcomes := make([]store.Outcome, len(events))
	var id, origin, key, line []byte
	// known is the ID looked at last that the store or this step has, and
	// holder the origin of the event that holds it.
	var known, holder []byte
	for _, i := range order {
		e := &events[i]
		id = appendEventID(id[:0], e)
		origin = appendOrigin(origin[:0], e)
		if !bytes.Equal(id, known) {
			value, err := lookup.get(id)
			if err != nil {
				return nil, fmt.Errorf("reading from the store: %w", err)
			}
			if value != nil {
				known, holder = append(known[:0], id...), append(holder[:0], value...)
			}
		}
		if bytes.Equal(id, known) {
			outcomes[i].Result = store.Duplicate
			if bytes.HasPrefix(holder, origin) {
				outcomes[i].Result = store.Replayed
			}
			continue
		}
		line = e.AppendLine(line[:0])
		if len(line) > MaxEventBytes {
			outcomes[i] = store.Outcome{
				Result: store.Refused,
				Reason: fmt.Sprintf("event of %d bytes is longer than the %d that the store takes", len(line), MaxEventBytes),
			}
			continue
		}
		known, holder = append(known[:0], id...), appendString(append(holder[:0], origin...), e.Date)
		key = appendEventKey(key[:0], e)
		if err := cmp.Or(t.events.Set(key, line, nil), t.events.Set(id, holder, nil)); err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

// distinctSites lists the sites of events, sorted.
func distinctSites(events []store.Event) []string {
	sites := make(map[string]struct{})
	for i := range events {
		sites[events[i].Site] = struct{}{}
	}
	return slices.Sorted(maps.Keys(sites))
}

// take takes those of the sites, which are sorted and distinct, that the step
// does not have. A step takes sites only once: taking more while it has some could wait for a step that waits for
// those.
func (t *step) take(ctx context.Context, sites []string) error {
	missing := slices.DeleteFunc(sites, func(site string) bool {
		_, has := slices.BinarySearch(t.sites, site)
		return has
	})
	if len(missing) == 0 {
		return ctx.Err()
	}
	if len(t.sites) > 0 {
		return fmt.Errorf("step has no event of site %q and cannot write its rollup", missing[0])
	}
	if err := t.s.sites.take(ctx, missing...); err != nil {
		return err
	}
	t.sites = missing
	return nil
}

// Load is part of store.Step.
func (t *step) Load(ctx context.Context, keys []store.DayKey) (map[store.DayKey]*rollup.Day, map[store.DayKey]*store.DamagedError, error) {
	days := make(map[store.DayKey]*rollup.Day, len(keys))
	damaged := make(map[store.DayKey]*store.DamagedError)
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		day, err := loadDay(t.rest, key)
		var damage *store.DamagedError
		switch {
		case err == nil:
			days[key] = day
		case errors.As(err, &damage):
			damaged[key] = damage
		case !errors.Is(err, store.ErrNotFound):
			return nil, nil, err
		}
	}
	return days, damaged, nil
}

// Swap is part of store.Step. In this store a conflict means that the day was
// loaded before the step had its site.
func (t *step) Swap(ctx context.Context, days []*rollup.Day) (conflicts []store.DayKey, err error) {
	sites := make([]string, len(days))
	for i, day := range days {
		sites[i] = day.Site
	}
	slices.Sort(sites)
	if err := t.take(ctx, slices.Compact(sites)); err != nil {
		return nil, err
	}
	buf, _ := t.s.encoded.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	defer t.s.encoded.Put(buf)
	for _, day := range days {
		*buf, err = swapDay(t.rest, t.rest, day, *buf)
		if errors.Is(err, store.ErrConflict) {
			conflicts = append(conflicts, store.KeyOf(day))
		} else if err != nil {
			return conflicts, err
		}
	}
	return conflicts, nil
}

// DeadLetter is part of store.Step.
func (t *step) DeadLetter(ctx context.Context, letters []store.DeadLetter) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range letters {
		letter := &letters[i]
		key := deadLetterKey(letter.Key())
		err := get(t.rest, key, func([]byte) error { return nil })
		if errors.Is(err, store.ErrNotFound) {
			err = t.rest.Set(key, appendDeadLetter(nil, letter), nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Commit is part of store.Step.
func (t *step) Commit(ctx context.Context, checkpoint store.Checkpoint) error {
	defer t.Discard()
	if err := t.s.streams.take(ctx, checkpoint.Stream); err != nil {
		return err
	}
	defer t.s.streams.give(checkpoint.Stream)

	batch, empty := t.rest, t.rest.Empty()
	if t.events != nil && !t.events.Empty() {
		batch, empty = t.events, false
	}
	stored, err := t.s.checkpoint(checkpoint.Stream)
	if err != nil {
		return err
	}
	ahead := checkpoint.Position.Compare(stored.Position)
	if ahead >= 0 {
		if checkpoint.AsOf.Before(stored.AsOf) {
			checkpoint.AsOf = stored.AsOf
		}
		if err := t.rest.Set(checkpointKey(checkpoint.Stream), appendCheckpoint(nil, checkpoint), nil); err != nil {
			return err
		}
	}
	if batch.Empty() {
		return nil
	}
	sync := pebble.Sync
	if empty && ahead == 0 {
		// Only the as-of time of an idle stream moves on. Losing that in a
		// power cut loses nothing that was promised, and a sync a second for
		// each stream would keep an idle disk busy.
		sync = pebble.NoSync
	}
	if batch == t.events {
		if err := batch.Apply(t.rest, nil); err != nil {
			return err
		}
		t.events = nil
	} else {
		t.rest = nil
	}
	return t.s.write(batch, sync)
}

// Discard is part of store.Step.
func (t *step) Discard() {
	// An error of closing a batch that is not written means nothing.
	if t.events != nil {
		_ = t.events.Close()
		t.events = nil
	}
	if t.rest != nil {
		_ = t.rest.Close()
		t.rest = nil
	}
	t.s.sites.give(t.sites...)
	t.sites = nil
}
