package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/worker"
	"github.com/daybook-analytics/daybook/rollup"
)

// TimeSteps gives the store to a worker, and times what its steps wait for.
func (m *Metrics) TimeSteps(st worker.Store) worker.Store {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "daybook_worker_store_duration_seconds", Help: "Time of one call of the store in a step.",
		Buckets: durations,
	}, []string{"call"})
	m.registry.MustRegister(seconds)
	return &timedStore{
		Store:  st,
		insert: seconds.WithLabelValues("insert"),
		load:   seconds.WithLabelValues("load"),
		swap:   seconds.WithLabelValues("swap"),
		commit: seconds.WithLabelValues("commit"),
	}
}

type timedStore struct {
	worker.Store
	insert, load, swap, commit prometheus.Observer
}

func (s *timedStore) Begin() store.Step { return &timedStep{Step: s.Store.Begin(), to: s} }

type timedStep struct {
	store.Step
	to *timedStore
}

func (s *timedStep) Insert(ctx context.Context, events []store.Event) ([]store.Outcome, error) {
	defer since(time.Now(), s.to.insert)
	return s.Step.Insert(ctx, events)
}

func (s *timedStep) Load(ctx context.Context, keys []store.DayKey) (map[store.DayKey]*rollup.Day, map[store.DayKey]*store.DamagedError, error) {
	defer since(time.Now(), s.to.load)
	return s.Step.Load(ctx, keys)
}

func (s *timedStep) Swap(ctx context.Context, days []*rollup.Day) ([]store.DayKey, error) {
	defer since(time.Now(), s.to.swap)
	return s.Step.Swap(ctx, days)
}

func (s *timedStep) Commit(ctx context.Context, checkpoint store.Checkpoint) error {
	defer since(time.Now(), s.to.commit)
	return s.Step.Commit(ctx, checkpoint)
}

func since(begun time.Time, to prometheus.Observer) { to.Observe(time.Since(begun).Seconds()) }
