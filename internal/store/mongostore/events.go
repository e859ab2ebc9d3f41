package mongostore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// EventDates lists the dates on which a site has raw events. On MongoDB, a
// distinct over a prefix of the index "day" steps from one date to the next.
func (s *Store) EventDates(ctx context.Context, site, from, to string) ([]string, error) {
	dates, err := s.distinct(ctx, "date", within(siteFilter(site), from, to))
	return dates, explain(ctx, "list the dates of raw events of "+site, err)
}

// distinct lists the values of a field of raw events, in order.
//
// The deadline of ctx ends it on this side only: the driver would send it to
// the server as well, as maxTimeMS, which FerretDB does not know here, and the
// end of the connection ends the operation on the server all the same.
func (s *Store) distinct(ctx context.Context, field string, filter bson.D) ([]string, error) {
	undated, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	result := s.events.Distinct(undated, field, filter)
	// Decode does not tell of the operation's error.
	if err := result.Err(); err != nil {
		return nil, err
	}
	var values []string
	if err := result.Decode(&values); err != nil {
		return nil, err
	}
	slices.Sort(values)
	return values, nil
}

// ScanDay calls fn for the raw events of a few dates. It asks which streams
// they have, mostly one, and then for the range of each: every query is one
// range of the index "day" for each date, merged in the order of positions,
// whatever the marks.
func (s *Store) ScanDay(ctx context.Context, site string, dates []string, after, upTo rollup.Marks, fn func(*store.Event) error) error {
	doing := fmt.Sprintf("read raw events of %s|%s", site, strings.Join(dates, ","))
	var streams []string
	for _, date := range dates {
		ofDate, err := s.distinct(ctx, "stream", dayFilter(site, date))
		if err != nil {
			return explain(ctx, doing, err)
		}
		streams = append(streams, ofDate...)
	}
	slices.Sort(streams)
	inOrder := options.Find().SetSort(bson.D{{Key: "pos", Value: 1}})
	for _, stream := range slices.Compact(streams) {
		positions := bson.D{{Key: "$gt", Value: after[stream].String()}}
		if upTo != nil {
			to, ok := upTo[stream]
			if !ok {
				continue
			}
			positions = append(positions, bson.E{Key: "$lte", Value: to.String()})
		}
		filter := append(siteFilter(site),
			bson.E{Key: "date", Value: bson.D{{Key: "$in", Value: dates}}},
			bson.E{Key: "stream", Value: stream},
			bson.E{Key: "pos", Value: positions})
		err := each(ctx, doing, s.events, filter, inOrder, func(raw bson.Raw) error {
			var e store.Event
			if err := decodeEvent(raw, &e); err != nil {
				return fmt.Errorf("raw event %s: %w", raw.Lookup("_id"), err)
			}
			return fn(&e)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// step is a store.Step. Each call takes effect at once, so that it keeps
// nothing.
type step struct{ s *Store }

// Begin starts a step.
func (s *Store) Begin() store.Step { return &step{s} }

// Discard does nothing: what is written stays, and the next try finds it.
func (st *step) Discard() {}

// place is where an event came from.
type place struct{ stream, pos string }

func placeOf(e *store.Event) place { return place{e.Stream, e.Position.String()} }

// Insert inserts raw events.
//
// Of events with the same key, only one goes to the server at a time, since
// an unordered insert does not say which of them would win. The others are
// judged by what is stored in the end; when the store refused the first, the
// next one is tried.
func (st *step) Insert(ctx context.Context, events []store.Event) ([]store.Outcome, error) {
	outcomes := make([]store.Outcome, len(events))
	left := make([]int, len(events))
	for i := range left {
		left[i] = i
	}
	for len(left) > 0 {
		var firsts, others []int
		seen := make(map[string]bool, len(left))
		for _, i := range left {
			if id := eventID(&events[i]); seen[id] {
				others = append(others, i)
			} else {
				seen[id] = true
				firsts = append(firsts, i)
			}
		}
		stored, err := st.s.insert(ctx, events, firsts, outcomes)
		if err != nil {
			return nil, explain(ctx, "insert raw events", err)
		}
		left = left[:0]
		for _, i := range others {
			if p, ok := stored[eventID(&events[i])]; ok {
				outcomes[i] = judge(&events[i], p)
			} else {
				left = append(left, i)
			}
		}
	}
	return outcomes, ctx.Err()
}

// judge tells what became of an event whose key is in the store.
func judge(e *store.Event, stored place) store.Outcome {
	if placeOf(e) == stored {
		return store.Outcome{Result: store.Replayed}
	}
	return store.Outcome{Result: store.Duplicate}
}

// Bounds of one insert command. maxDocument is MongoDB's own.
const (
	insertAtOnce = 1000
	insertBytes  = 16 << 20
	maxDocument  = 16 << 20
)

// insert inserts the events of the given indices, whose keys are distinct,
// and fills in their outcomes. It tells the places that are stored under the
// keys; a refused one has none.
func (s *Store) insert(ctx context.Context, events []store.Event, indices []int, outcomes []store.Outcome) (map[string]place, error) {
	stored := make(map[string]place, len(indices))
	var docs []any
	var sent []int // the events of docs
	size := 0
	flush := func() error {
		taken, err := s.insertDocs(ctx, docs, sent, outcomes)
		if err != nil {
			return err
		}
		if err := s.judgeTaken(ctx, events, taken, outcomes, stored); err != nil {
			return err
		}
		for _, i := range sent {
			if outcomes[i].Result == store.Inserted {
				stored[eventID(&events[i])] = placeOf(&events[i])
			}
		}
		docs, sent, size = docs[:0], sent[:0], 0
		return nil
	}
	for _, i := range indices {
		doc, err := encodeEvent(&events[i])
		if err == nil && len(doc) > maxDocument {
			err = fmt.Errorf("event of %d bytes is larger than a MongoDB document can be (%d)", len(doc), maxDocument)
		}
		if err != nil {
			outcomes[i] = store.Outcome{Result: store.Refused, Reason: err.Error()}
			continue
		}
		if len(docs) == insertAtOnce || size+len(doc) > insertBytes && len(docs) > 0 {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		docs, sent, size = append(docs, doc), append(sent, i), size+len(doc)
	}
	if len(docs) > 0 {
		if err := flush(); err != nil {
			return nil, err
		}
	}
	return stored, nil
}

// insertDocs inserts documents, fills in the outcomes of those that are
// inserted or refused, and gives the events whose keys are taken.
func (s *Store) insertDocs(ctx context.Context, docs []any, sent []int, outcomes []store.Outcome) (taken []int, err error) {
	_, err = s.events.InsertMany(ctx, docs, options.InsertMany().SetOrdered(false))
	single, err := writeErrors(err)
	if err != nil {
		return nil, err
	}
	for n, i := range sent {
		e, failed := single[n]
		switch {
		case !failed:
			outcomes[i] = store.Outcome{Result: store.Inserted}
		case isDuplicateKey(e):
			outcomes[i] = store.Outcome{Result: store.Duplicate}
			taken = append(taken, i)
		case isRefusal(e):
			outcomes[i] = store.Outcome{Result: store.Refused, Reason: "MongoDB: " + e.Message}
		default:
			return nil, mongo.BulkWriteException{WriteErrors: []mongo.BulkWriteError{{WriteError: e}}}
		}
	}
	return taken, nil
}

// judgeTaken tells replays from duplicates by what is stored.
func (s *Store) judgeTaken(ctx context.Context, events []store.Event, taken []int, outcomes []store.Outcome, stored map[string]place) error {
	ids := make([]string, len(taken))
	for n, i := range taken {
		ids[n] = eventID(&events[i])
	}
	projection := bson.D{{Key: "stream", Value: 1}, {Key: "pos", Value: 1}}
	err := eachID(ctx, "read raw events", s.events, ids, projection, func(id string, raw bson.Raw) {
		stream, _ := raw.Lookup("stream").StringValueOK()
		pos, _ := raw.Lookup("pos").StringValueOK()
		stored[id] = place{stream, pos}
	})
	if err != nil {
		return err
	}
	for n, i := range taken {
		p, ok := stored[ids[n]]
		if !ok {
			return errors.Join(store.ErrUnavailable, fmt.Errorf("raw event %s was there and is gone, or a majority does not have it yet", ids[n]))
		}
		outcomes[i] = judge(&events[i], p)
	}
	return nil
}
