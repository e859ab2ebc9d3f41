package pebblestore

import (
	"bytes"
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// ScanDay is part of store.Store. Only the Event itself is reused for the
// next call; its strings may be kept.
func (s *Store) ScanDay(ctx context.Context, key store.DayKey, after, upTo rollup.Marks, fn func(*store.Event) error) (err error) {
	prefix := appendDay(nil, keyEvent, key)
	it, err := s.iterate(ctx, prefix, end(prefix))
	if err != nil {
		return err
	}
	defer closeInto(&err, it)
	scan := dayScan{ctx: ctx, it: it, prefix: prefix, fn: fn}
	scan.event.Date = key.Date

	if upTo != nil {
		for _, stream := range upTo.Streams() {
			mark := upTo[stream]
			if err := scan.stream(stream, after[stream], &mark); err != nil {
				return err
			}
		}
		return nil
	}
	for ok := it.First(); ok; {
		stream, _, ok2 := readString(it.Key()[len(prefix):])
		if !ok2 {
			return fmt.Errorf("the store has a raw event with the key %x, which has no stream", it.Key())
		}
		if err := scan.stream(stream, after[stream], nil); err != nil {
			return err
		}
		ok = it.SeekGE(end(appendString(bytes.Clone(prefix), stream)))
	}
	return nil
}

// dayScan reads the raw events of one site and day.
type dayScan struct {
	ctx    context.Context
	it     *pebble.Iterator
	prefix []byte
	event  store.Event
	fn     func(*store.Event) error
}

// stream reads the events of one stream with after < position <= upTo; a nil
// upTo is no bound.
func (d *dayScan) stream(stream string, after rollup.Position, upTo *rollup.Position) error {
	prefix := appendString(bytes.Clone(d.prefix), stream)
	// A zero byte behind a position makes the first key beyond it.
	lower := append(appendPosition(bytes.Clone(prefix), after), 0)
	upper := end(prefix)
	if upTo != nil {
		upper = append(appendPosition(bytes.Clone(prefix), *upTo), 0)
	}
	d.event.Stream = stream
	for ok := d.it.SeekGE(lower); ok && bytes.Compare(d.it.Key(), upper) < 0; ok = d.it.Next() {
		if err := d.ctx.Err(); err != nil {
			return err
		}
		if err := d.one(d.it.Key()[len(prefix):]); err != nil {
			return err
		}
	}
	return nil
}

// one gives the event that the iterator is at; position is the end of its
// key.
func (d *dayScan) one(position []byte) (err error) {
	var ok bool
	if d.event.Position, _, ok = readPosition(position); !ok {
		return fmt.Errorf("the store has a raw event with the key %x, which has no position", d.it.Key())
	}
	line, err := d.it.ValueAndErr()
	if err != nil {
		return err
	}
	if d.event.Event, err = event.ParseLine(string(line)); err != nil {
		return fmt.Errorf("raw event %s of stream %s is damaged: %w", d.event.Position, d.event.Stream, err)
	}
	return d.fn(&d.event)
}

// EventDates is part of store.Store.
func (s *Store) EventDates(ctx context.Context, site, from, to string) (dates []string, err error) {
	prefix := appendSite(nil, keyEvent, site)
	lower, upper := dateBounds(prefix, from, to)
	it, err := s.iterate(ctx, lower, upper)
	if err != nil {
		return nil, err
	}
	defer closeInto(&err, it)
	// From the first event of a date go to the first one beyond the date.
	for ok := it.First(); ok; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		date, _, ok2 := readString(it.Key()[len(prefix):])
		if !ok2 {
			return nil, fmt.Errorf("the store has a raw event with the key %x, which has no date", it.Key())
		}
		dates = append(dates, date)
		ok = it.SeekGE(end(appendString(bytes.Clone(prefix), date)))
	}
	return dates, nil
}
