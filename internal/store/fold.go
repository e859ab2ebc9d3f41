package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/rollup"
)

// FoldDay folds the day's raw events that lie beyond its marks and at or
// below upTo (nil: all there are) into the day, and moves its marks. It is
// what rebuilds a lost rollup, catches up with a live one, and answers when
// there is none.
//
// day.Zone says whose day it is. zones are all time zones that the dates of
// the site's raw events may be in, which are those that the site ever had;
// none stands for day.Zone alone. A zone or date that does not exist is an
// error.
func FoldDay(ctx context.Context, events Events, day *rollup.Day, zones []string, upTo rollup.Marks) error {
	clock, err := event.NewClock(day.Zone, day.Date)
	if err != nil {
		return fmt.Errorf("rollup %s: %w", KeyOf(day), err)
	}
	dates, err := rawDates(clock, day.Zone, day.Date, zones)
	if err != nil {
		return fmt.Errorf("rollup %s: %w", KeyOf(day), err)
	}
	// Some at a time, because a fold looks up the mark of its stream.
	const atOnce = 64
	folding := make([]rollup.Event, 0, atOnce)
	stream := ""
	err = events.ScanDay(ctx, day.Site, dates, day.Marks.Join(nil), upTo, func(e *Event) error {
		if !clock.Contains(e.Time) {
			return nil
		}
		if len(folding) == atOnce || e.Stream != stream {
			day.Fold(stream, folding)
			folding, stream = folding[:0], e.Stream
		}
		folding = append(folding, e.ForFold(e.Position, clock))
		return nil
	})
	if err != nil {
		return err
	}
	day.Fold(stream, folding)
	return nil
}

// RawDates lists the dates, in order, that raw events of a day can have: those
// which the day of that date and zone touches in any of the zones (none: in
// its own). Of a zone or date that does not exist only the date itself is
// given; FoldDay tells what is wrong.
func RawDates(zone, date string, zones []string) []string {
	clock, err := event.NewClock(zone, date)
	if err != nil {
		return []string{date}
	}
	dates, err := rawDates(clock, zone, date, zones)
	if err != nil {
		return []string{date}
	}
	return dates
}

func rawDates(clock event.Clock, zone, date string, zones []string) ([]string, error) {
	// A zone may have skipped the day; then no event can lie in it.
	if len(zones) == 0 || clock.Begin == clock.End {
		return []string{date}, nil
	}
	var dates []string
	for _, other := range zones {
		if other == zone {
			dates = append(dates, date)
			continue
		}
		location, err := event.Location(other)
		if err != nil {
			return nil, err
		}
		// Mostly two; three when a day of 25 hours begins just before midnight.
		y, m, d := time.UnixMilli(clock.Begin).In(location).Date()
		last := time.UnixMilli(clock.End - 1).In(location).Format(time.DateOnly)
		for touched := ""; touched < last; d++ {
			touched = time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
			dates = append(dates, touched)
		}
	}
	slices.Sort(dates)
	return slices.Compact(dates), nil
}

// CheckpointMarks gives the positions of checkpoints as marks. Every raw
// event at or below them is written, and folded into its rollup.
func CheckpointMarks(checkpoints map[string]Checkpoint) rollup.Marks {
	marks := make(rollup.Marks, len(checkpoints))
	for stream, c := range checkpoints {
		marks[stream] = c.Position
	}
	return marks
}
