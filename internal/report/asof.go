package report

import (
	"context"
	"sync"
	"time"
)

// asOfAge is how long the checkpoints that were read are good for.
const asOfAge = time.Second

// asOf tells up to which time every event that was accepted is counted. It is
// a moment old at most, which errs on the safe side.
type asOf struct {
	store Store

	// mu is held while the checkpoints are read, so that requests that come
	// together read them once.
	mu   sync.Mutex
	read time.Time // zero: never
	time time.Time
}

// get gives the smallest time of all streams' checkpoints; zero if there is
// none.
func (a *asOf) get(ctx context.Context) (time.Time, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.read.IsZero() && time.Since(a.read) < asOfAge {
		return a.time, nil
	}
	checkpoints, err := a.store.Checkpoints(ctx)
	if err != nil {
		return time.Time{}, err
	}
	a.read, a.time = time.Now(), time.Time{}
	for _, c := range checkpoints {
		if a.time.IsZero() || c.AsOf.Before(a.time) {
			a.time = c.AsOf
		}
	}
	return a.time, nil
}
