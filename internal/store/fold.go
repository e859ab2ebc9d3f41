package store

import (
	"context"
	"time"

	"github.com/daybook-analytics/daybook/rollup"
)

// FoldDay folds the day's raw events that lie beyond its marks and at or
// below upTo (nil: all there are) into the day, and moves its marks. It is
// what rebuilds a lost rollup, catches up with a live one, and answers when
// there is none. zone is the time zone of the site.
func FoldDay(ctx context.Context, events Events, day *rollup.Day, upTo rollup.Marks, zone *time.Location) error {
	key := DayKey{Site: day.Site, Date: day.Date}
	var one [1]rollup.Event
	return events.ScanDay(ctx, key, day.Marks.Join(nil), upTo, func(e *Event) error {
		one[0] = e.ForFold(e.Position, zone)
		day.Fold(e.Stream, one[:])
		return nil
	})
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
