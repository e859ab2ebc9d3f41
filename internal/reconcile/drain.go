package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// Queue is what it takes to know what is in the queue.
type Queue interface {
	Backlog(ctx context.Context) ([]queue.Backlog, error)
}

// Checkpoints is what it takes to know what is counted.
type Checkpoints interface {
	Checkpoints(ctx context.Context) (map[string]store.Checkpoint, error)
}

// Drain knows what was in the queue at some time, and waits until all of it is
// counted. A step that was under way at that time may still be; but when the
// drain is done, all that it does has been done before.
type Drain struct {
	// newest has the last entry of each stream that is not counted yet.
	newest map[string]rollup.EntryID
}

// NewDrain looks at what is in the queue now.
func NewDrain(ctx context.Context, q Queue) (*Drain, error) {
	backlog, err := q.Backlog(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the backlog: %w", err)
	}
	d := &Drain{newest: map[string]rollup.EntryID{}}
	for _, b := range backlog {
		if b.Entries > 0 {
			d.newest[b.Stream] = b.Newest
		}
	}
	return d, nil
}

// Done tells whether it is counted, by the checkpoints as they are now.
func (d *Drain) Done(checkpoints map[string]store.Checkpoint) bool {
	maps.DeleteFunc(d.newest, func(stream string, id rollup.EntryID) bool {
		return checkpoints[stream].Position.Entry.Compare(id) >= 0
	})
	return len(d.newest) == 0
}

// drainPoll is the time between two looks at the checkpoints.
const drainPoll = 100 * time.Millisecond

// Wait waits until it is counted. The error tells when no worker has counted
// anything for the time of patience.
func (d *Drain) Wait(ctx context.Context, st Checkpoints, patience time.Duration) error {
	var last rollup.Marks
	moved := time.Now()
	for {
		checkpoints, err := st.Checkpoints(ctx)
		if err != nil {
			return fmt.Errorf("read checkpoints: %w", err)
		}
		if d.Done(checkpoints) {
			return nil
		}
		if marks := store.CheckpointMarks(checkpoints); !maps.Equal(marks, last) {
			last, moved = marks, time.Now()
		}
		if time.Since(moved) > patience {
			return fmt.Errorf("the queue holds events that are not counted yet, and no worker has counted any for %s: see that a worker runs (stream %s waits)",
				patience, slices.Sorted(maps.Keys(d.newest))[0])
		}
		select {
		case <-time.After(drainPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
