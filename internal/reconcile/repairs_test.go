package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// TestRepairs mends days in the background, and leaves alone what would lose
// counts.
func TestRepairs(t *testing.T) {
	w := newWorld(t)
	keys := w.days(6)
	w.lose(keys[0])
	w.corrupt(keys[1])
	w.alter(keys[2], func(d *rollup.Day) { d.Events += 5 })
	r := NewRepairs(w.store, rollup.DefaultLimits, slog.New(slog.DiscardHandler))
	for _, key := range keys {
		r.Add(key)
		r.Add(key)
	}
	if n := len(r.days); n != len(keys) {
		t.Errorf("%d days wait, each of %d once", n, len(keys))
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		mended := 0
		for _, key := range keys[:2] {
			if day, err := w.store.Day(t.Context(), key); err == nil && day.Events > 0 {
				mended++
			}
		}
		if mended == 2 && len(r.days) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("days were not repaired")
		}
	}
	if err := errors.Join(r.Stop(t.Context()), r.Stop(t.Context())); err != nil {
		t.Error(err)
	}
	w.exact(keys[0], keys[1], keys[3])
	if c, err := CheckDay(t.Context(), w.store, keys[2]); err != nil || c.State != Drifted {
		t.Errorf("a day with more than its raw events: %v %+v", err, c)
	}
}

// TestRepairsAreBounded fills the queue, and adds a day again before and after
// its time.
func TestRepairsAreBounded(t *testing.T) {
	r := NewRepairs(nil, rollup.DefaultLimits, slog.New(slog.DiscardHandler))
	now := time.Now()
	r.now = func() time.Time { return now }
	key := func(i int) store.DayKey { return store.DayKey{Site: fmt.Sprint(i), Date: "2026-01-01"} }
	for i := range 2 * maxRepairs {
		r.Add(key(i))
	}
	if len(r.days) != maxRepairs || len(r.taken) != maxRepairs {
		t.Fatalf("%d days wait and %d are known, want %d", len(r.days), len(r.taken), maxRepairs)
	}
	<-r.days
	r.Add(key(0))
	if len(r.days) != maxRepairs-1 {
		t.Error("a day was added again at once")
	}
	now = now.Add(repairAgain)
	r.Add(key(0))
	if len(r.days) != maxRepairs {
		t.Error("a day cannot be added again")
	}
	for i := range maxRepaired {
		select {
		case <-r.days:
		default:
		}
		r.Add(key(10*maxRepairs + i))
	}
	if len(r.taken) > maxRepaired {
		t.Errorf("%d days are known, more than %d", len(r.taken), maxRepaired)
	}
	if err := r.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// recordStore keeps records of jobs in memory.
type recordStore struct {
	JobStore
	mu     sync.Mutex
	record store.Job
	writes atomic.Int64
}

func (s *recordStore) Job(context.Context, string) (store.Job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record, nil
}

func (s *recordStore) SwapJob(_ context.Context, job *store.Job) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if job.Rev != s.record.Rev {
		return store.ErrConflict
	}
	job.Rev++
	s.record = *job
	s.writes.Add(1)
	return nil
}

// TestNews lets a day take longer than a job may be without news, and cancels
// the job in the midst of it.
func TestNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &recordStore{}
		r := NewRunner(st, rollup.DefaultLimits, slog.New(slog.DiscardHandler))
		job, err := r.Create(t.Context(), Spec{}, "test")
		if err != nil {
			t.Fatal(err)
		}
		run := r.start(job, nil)
		err = run.end(t.Context(), run.alive(t.Context(), func(ctx context.Context) error {
			time.Sleep(10 * StaleAfter)
			if _, err := r.Resume(ctx, job.ID); !errors.Is(err, ErrNotResumable) {
				t.Errorf("a job at work on a long day was resumed: %v", err)
			}
			if _, err := r.Cancel(ctx, job.ID); err != nil {
				t.Error(err)
			}
			<-ctx.Done()
			return ctx.Err()
		}))
		if !errors.Is(err, ErrCancelled) {
			t.Errorf("a job that was cancelled in the midst of a day ended with %v", err)
		}
		if n := st.writes.Load(); n < int64(10*StaleAfter/newsEvery) {
			t.Errorf("%d writes of the record", n)
		}
	})
}
