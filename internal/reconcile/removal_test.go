package reconcile

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// TestOneRemovesAtATime begins a removal beside another, and after one whose
// process was lost.
func TestOneRemovesAtATime(t *testing.T) {
	w := newWorld(t)
	a, b := w.runner(), w.runner()
	nothing := func(context.Context, *Work) error { return nil }
	began := time.Now()
	job, err := a.Alone(t.Context(), KindErasure, Range{Site: "a"}, "A", func(ctx context.Context, _ *Work) error {
		_, err := b.Alone(ctx, KindRetention, Range{}, "B", nothing)
		if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "by A") {
			t.Errorf("a second removal beside the first: %v", err)
		}
		// As if its process had been killed.
		b.now = func() time.Time { return began.Add(2 * StaleAfter) }
		_, err = b.Alone(ctx, KindRetention, Range{}, "B", nothing)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if job.State != Done {
		t.Errorf("the first removal is %s", job.State)
	}
	if list, err := a.List(t.Context(), 10, KindRetention, KindErasure); err != nil || len(list) != 2 {
		t.Errorf("%v, %d records, want one of each that worked", err, len(list))
	}
}

// TestAlsoBySchedule gives the reconciler something else to do.
func TestAlsoBySchedule(t *testing.T) {
	w := newWorld(t)
	r := w.reconciler(time.Date(2026, 1, 3, 12, 0, 0, 0, time.UTC))
	did := make(chan struct{}, 1)
	err := r.Also(KindRetention, "@every 1s", func(context.Context, *Work) error {
		select {
		case did <- struct{}{}:
		default:
		}
		return nil
	})
	if err := errors.Join(err, r.Start()); err != nil {
		t.Fatal(err)
	}
	<-did
	if err := r.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if job := w.latest(KindRetention); job.State != Done || job.By != "schedule" {
		t.Errorf("%+v", job)
	}
}

// TestSmaller rebuilds a day to less than it had, but not one of which raw
// events are gone.
func TestSmaller(t *testing.T) {
	w := newWorld(t)
	whole, partial := store.DayKey{Site: "a", Date: "2026-01-02"}, store.DayKey{Site: "a", Date: "2026-01-01"}
	for _, key := range []store.DayKey{whole, partial} {
		w.send(key, 100)
		w.settle()
		w.alter(key, func(d *rollup.Day) { d.Events += 7 })
	}
	if _, err := w.store.Expire(t.Context(), "a", "2026-01-02"); err != nil {
		t.Fatal(err)
	}
	opts := Options{Limits: rollup.DefaultLimits, Smaller: true}
	if _, rebuilt, err := RebuildDay(t.Context(), w.store, whole, opts); err != nil || !rebuilt || w.day(whole).Events != 100 {
		t.Errorf("%v, rebuilt %v to %d events", err, rebuilt, w.day(whole).Events)
	}
	if _, _, err := RebuildDay(t.Context(), w.store, partial, opts); !errors.Is(err, ErrPartial) || w.day(partial).Events != 107 {
		t.Errorf("%v, %d events", err, w.day(partial).Events)
	}
}

// TestForget takes a site out of the records of jobs.
func TestForget(t *testing.T) {
	w := newWorld(t)
	r := w.runner()
	keys := []store.DayKey{{Site: "a", Date: "2026-01-01"}, {Site: "b", Date: "2026-01-01"}}
	for _, key := range keys {
		w.send(key, 10)
	}
	w.settle()
	for _, site := range []string{"", "a", "b"} {
		for _, key := range keys {
			if site == "" || site == key.Site {
				w.lose(key)
			}
		}
		job, err := r.Create(t.Context(), Spec{Range: Range{Site: site}}, "test")
		if err == nil {
			err = r.Run(t.Context(), job, 1, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	running, err := r.Create(t.Context(), Spec{Range: Range{Site: "b"}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := r.Forget(t.Context(), "b"); err != nil || changed != 2 {
		t.Errorf("%v, %d records changed, want 2", err, changed)
	}
	list, err := r.List(t.Context(), 10, KindRebuild)
	if err != nil || len(list) != 3 {
		t.Fatalf("%v, %d records, want those of all, of a, and that which runs", err, len(list))
	}
	for _, job := range list {
		if job.ID == running.ID {
			continue
		}
		if job.Cursor.Site == "b" || job.Spec.Site == "b" || len(job.Findings) != 1 || job.Findings[0].Site != "a" {
			t.Errorf("it still tells of site b: %+v", job)
		}
	}
	if changed, err := r.Forget(t.Context(), "b"); err != nil || changed != 0 {
		t.Errorf("again: %v, %d records changed", err, changed)
	}
}

// TestQuiet waits for the rebuild that runs and not for one that was lost.
func TestQuiet(t *testing.T) {
	w := newWorld(t)
	r := w.runner()
	job, err := r.Create(t.Context(), Spec{}, "test")
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 2*quietPoll)
	defer cancel()
	if err := r.Quiet(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it did not wait: %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- r.Quiet(t.Context()) }()
	if err := r.Run(t.Context(), job, 1, nil); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if _, err := r.Create(t.Context(), Spec{}, "test"); err != nil {
		t.Fatal(err)
	}
	r.now = func() time.Time { return time.Now().Add(2 * StaleAfter) }
	if err := r.Quiet(t.Context()); err != nil {
		t.Error(err)
	}
}
