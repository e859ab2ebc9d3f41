package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"
)

// TestTwoWorkersOnOneStream has two workers at work on the same stream all the
// time, as when a zombie never notices that it has lost its lease: what one
// has done is wasted work to the other, and everything is counted once.
func TestTwoWorkersOnOneStream(t *testing.T) {
	q, st := embedded(t, 1)
	const events = 400
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	workers := make([]*Worker, 2)
	for i := range workers {
		// Nobody shares anything here: each just works on the stream.
		w := New(q, st, Options{BatchEntries: 3 + 4*i}, slog.New(slog.DiscardHandler))
		workers[i] = w
		working.Go(func() {
			s := w.stream("1:0")
			for ctx.Err() == nil {
				s.trimmedAt = time.Time{} // trim after every step
				if _, err := w.once(ctx, s); err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
					return
				}
			}
		})
	}
	send(t, q, 0, events)
	send(t, q, 0, events/2) // retries
	eventually(t, "all events in the rollup", counted(t, st, events))
	eventually(t, "an empty queue", func() bool {
		backlog, err := q.Backlog(t.Context())
		return err == nil && backlog[0].Entries == 0
	})
	stop()
	working.Wait()
	if !counted(t, st, events)() {
		t.Error("something was counted twice")
	}
	a, b := workers[0].Stats(), workers[1].Stats()
	t.Logf("%d and %d events in %d and %d steps, %d and %d conflicts", a.Events, b.Events, a.Steps, b.Steps, a.Conflicts, b.Conflicts)
	if a.Events == 0 || b.Events == 0 {
		t.Error("only one of them has worked")
	}
}
