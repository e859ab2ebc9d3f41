package worker

import (
	"sync"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/queue"
)

// Every committed step is told of, with all of its entries, and no other.
func TestStepsAreTold(t *testing.T) {
	q, st := embedded(t, 2)
	var (
		mu             sync.Mutex
		steps, entries int
	)
	w := start(t, q, st, Options{BatchEntries: 3, Stepped: func(of []queue.Entry, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		steps++
		entries += len(of)
		if len(of) == 0 || len(of) > 3 || took <= 0 {
			t.Errorf("told of a step of %d entries that took %v", len(of), took)
		}
	}})
	send(t, q, 0, 20)
	eventually(t, "all entries were told of", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return entries == 20
	})
	stop(t, w)
	if got := w.Stats(); got.Events != 20 || got.Steps != uint64(steps) {
		t.Errorf("told of %d steps, stats are %+v", steps, got)
	}
}
