package pebblestore

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// ScanDay is part of store.Store. It reads the store as it was at one moment.
// Only the Event itself is reused for the next call; its strings may be kept.
func (s *Store) ScanDay(ctx context.Context, site string, dates []string, after, upTo rollup.Marks, fn func(*store.Event) error) (err error) {
	scan := dayScan{ctx: ctx, fn: fn}
	defer func() {
		for _, d := range scan.dates {
			closeInto(&err, d.it)
		}
	}()
	for _, date := range dates {
		if err := scan.open(s, site, date); err != nil {
			return err
		}
	}
	if upTo != nil {
		for _, stream := range upTo.Streams() {
			mark := upTo[stream]
			if err := scan.stream(stream, after[stream], &mark); err != nil {
				return err
			}
		}
		return nil
	}
	streams, err := scan.streams()
	if err != nil {
		return err
	}
	for _, stream := range streams {
		if err := scan.stream(stream, after[stream], nil); err != nil {
			return err
		}
	}
	return nil
}

// dayScan reads the raw events of one site and a few dates.
type dayScan struct {
	ctx   context.Context
	dates []*dateScan
	event store.Event
	fn    func(*store.Event) error
	// text has the lines of the last events, one behind the other.
	text strings.Builder
}

// maxText is about how many bytes of lines lie in one piece, so that not every
// event costs an allocation.
const maxText = 16 << 10

// dateScan is the place of a dayScan in one of its dates.
type dateScan struct {
	date string
	// prefix is the beginning of the date's keys.
	prefix []byte
	it     *pebble.Iterator
	// upper is the first key behind those that are wanted of a stream, events
	// where its positions begin in its keys.
	upper  []byte
	events int
	// position is that of the event that the iterator is at.
	position rollup.Position
}

// open adds a date. All dates are read in the state that the first one sees.
func (d *dayScan) open(s *Store, site, date string) error {
	prefix := appendString(appendSite(nil, keyEvent, site), date)
	var it *pebble.Iterator
	var err error
	if len(d.dates) == 0 {
		it, err = s.iterate(d.ctx, prefix, end(prefix))
	} else {
		it, err = d.dates[0].it.CloneWithContext(d.ctx, pebble.CloneOptions{
			IterOptions: &pebble.IterOptions{LowerBound: prefix, UpperBound: end(prefix)},
		})
	}
	if err != nil {
		return err
	}
	d.dates = append(d.dates, &dateScan{date: date, prefix: prefix, it: it})
	return nil
}

// streams lists the streams that have events on any of the dates, in order.
func (d *dayScan) streams() ([]string, error) {
	var streams []string
	for _, date := range d.dates {
		for ok := date.it.First(); ok; {
			if err := d.ctx.Err(); err != nil {
				return nil, err
			}
			stream, _, ok2 := readString(date.it.Key()[len(date.prefix):])
			if !ok2 {
				return nil, fmt.Errorf("the store has a raw event with the key %x, which has no stream", date.it.Key())
			}
			streams = append(streams, stream)
			ok = date.it.SeekGE(end(appendString(bytes.Clone(date.prefix), stream)))
		}
	}
	slices.Sort(streams)
	return slices.Compact(streams), nil
}

// stream gives the events of one stream with after < position <= upTo, merged
// from all dates; a nil upTo is no bound.
func (d *dayScan) stream(stream string, after rollup.Position, upTo *rollup.Position) error {
	d.event.Stream = stream
	left := make([]*dateScan, 0, len(d.dates))
	for _, date := range d.dates {
		found, err := date.seek(stream, after, upTo)
		if err != nil {
			return err
		}
		if found {
			left = append(left, date)
		}
	}
	for len(left) > 0 {
		if err := d.ctx.Err(); err != nil {
			return err
		}
		first := 0
		for i, date := range left {
			if date.position.Compare(left[first].position) < 0 {
				first = i
			}
		}
		if err := d.one(left[first]); err != nil {
			return err
		}
		found, err := left[first].at(left[first].it.Next())
		if err != nil {
			return err
		}
		if !found {
			left = slices.Delete(left, first, first+1)
		}
	}
	return nil
}

// seek goes to the first event of a stream with after < position <= upTo, and
// tells if there is one.
func (d *dateScan) seek(stream string, after rollup.Position, upTo *rollup.Position) (found bool, err error) {
	prefix := appendString(bytes.Clone(d.prefix), stream)
	d.events, d.upper = len(prefix), end(prefix)
	// A zero byte behind a position makes the first key beyond it.
	if upTo != nil {
		d.upper = append(appendPosition(bytes.Clone(prefix), *upTo), 0)
	}
	return d.at(d.it.SeekGE(append(appendPosition(prefix, after), 0)))
}

// at reads the position that the iterator has moved to, if it is at a key of
// those that are wanted.
func (d *dateScan) at(key bool) (found bool, err error) {
	if !key {
		return false, d.it.Error()
	}
	if bytes.Compare(d.it.Key(), d.upper) >= 0 {
		return false, nil
	}
	var ok bool
	if d.position, _, ok = readPosition(d.it.Key()[d.events:]); !ok {
		return false, fmt.Errorf("the store has a raw event with the key %x, which has no position", d.it.Key())
	}
	return true, nil
}

// one gives the event that a date's iterator is at.
func (d *dayScan) one(at *dateScan) error {
	line, err := at.it.ValueAndErr()
	if err != nil {
		return err
	}
	if d.text.Cap()-d.text.Len() < len(line) {
		d.text.Reset()
		d.text.Grow(max(maxText, len(line)))
	}
	begin := d.text.Len()
	d.text.Write(line)
	d.event.Date, d.event.Position = at.date, at.position
	if d.event.Event, err = event.ParseLine(d.text.String()[begin:]); err != nil {
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
