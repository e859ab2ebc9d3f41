package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

const (
	// maxRepairs is the most days that wait for their repair.
	maxRepairs = 1000
	// repairAgain is how long a day that was looked after is left alone. One
	// that cannot be repaired would otherwise be read again for each query.
	repairAgain = 10 * time.Minute
	// maxRepaired is the most days of which that is remembered.
	maxRepaired = 10 * maxRepairs
)

// Repairs rebuilds single days in the background, one after the other: those
// that a query has found without a rollup that can be read. Start it once;
// Stop may be called at any time, and again.
type Repairs struct {
	store  Store
	opts   Options
	log    *slog.Logger
	now    func() time.Time
	days   chan store.DayKey
	ctx    context.Context
	cancel context.CancelFunc
	worker sync.WaitGroup
	stats  counters

	mu sync.Mutex
	// taken has each day that waits, and when each one was last taken in that
	// is to be left alone. Protected by mu.
	taken map[store.DayKey]time.Time
}

// NewRepairs makes Repairs that bound the rollups that they write.
func NewRepairs(st Store, limits rollup.Limits, log *slog.Logger) *Repairs {
	r := &Repairs{
		store: st, opts: Options{Limits: limits}, log: log, now: time.Now,
		days:  make(chan store.DayKey, maxRepairs),
		taken: make(map[store.DayKey]time.Time),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Add has a day repaired some time. It returns at once, and does nothing for a
// day that waits already or was looked after a short time ago, nor when too
// many wait: the next query that finds the day adds it again.
func (r *Repairs) Add(key store.DayKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if at, ok := r.taken[key]; ok && now.Sub(at) < repairAgain {
		return
	}
	if len(r.taken) >= maxRepaired {
		for key, at := range r.taken {
			if now.Sub(at) >= repairAgain {
				delete(r.taken, key)
			}
		}
		if len(r.taken) >= maxRepaired {
			return
		}
	}
	select {
	case r.days <- key:
		r.taken[key] = now
	default:
	}
}

// Start begins to repair in the background.
func (r *Repairs) Start() error {
	r.worker.Go(func() {
		for {
			select {
			case <-r.ctx.Done():
				return
			case key := <-r.days:
				r.repair(key)
			}
		}
	})
	return nil
}

// Stop ends the repair under way, which loses nothing but its work, forgets
// the days that wait, and returns when all has ended.
func (r *Repairs) Stop(ctx context.Context) error {
	r.cancel()
	ended := make(chan struct{})
	go func() {
		r.worker.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("a repair did not end: %w", ctx.Err())
	}
}

func (r *Repairs) repair(key store.DayKey) {
	log := r.log.With("site", key.Site, "date", key.Date)
	check, rebuilt, err := RebuildDay(r.ctx, r.store, key, r.opts)
	if check != nil {
		r.stats.found(KindRepair, check.State, rebuilt, err != nil)
	}
	switch {
	case r.ctx.Err() != nil:
	case refused(err):
		log.Warn("day not repaired; `daybook rebuild --force` does it all the same", "reason", err)
	case errors.Is(err, store.ErrUnavailable):
		r.forget(key)
		log.Warn("day not repaired", "error", err)
	case err != nil:
		log.Error("day not repaired", "error", err)
	case rebuilt:
		log.Info("day repaired", "state", check.State, "events", check.True.Folded())
	}
}

// forget lets the day be added again at once.
func (r *Repairs) forget(key store.DayKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.taken, key)
}
