package reconcile

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

func (w *world) reconciler(now time.Time) *Reconciler {
	w.t.Helper()
	runner := w.runner()
	runner.now = func() time.Time { return now }
	r, err := NewReconciler(runner, Schedule{Check: "*/5 * * * *", Nightly: "0 3 * * *"}, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			w.t.Error(err)
		}
	})
	return r
}

// latest gives the newest record of a kind.
func (w *world) latest(kind string) *Job {
	w.t.Helper()
	list, err := w.runner().List(w.t.Context(), 1, kind)
	if err != nil || len(list) != 1 {
		w.t.Fatalf("%v, %d records of %s", err, len(list), kind)
	}
	return list[0]
}

// TestCheckRepairs lets the frequent check repair what lost counts and was
// damaged, and only report what would be smaller.
func TestCheckRepairs(t *testing.T) {
	w := newWorld(t)
	now := time.Date(2026, 1, 3, 12, 0, 0, 0, time.UTC)
	keys := []store.DayKey{{Site: "a", Date: "2026-01-01"}, {Site: "b", Date: "2026-01-03"}, {Site: "c", Date: "2026-01-02"}, {Site: "d", Date: "2026-01-02"}}
	for _, key := range keys {
		w.send(key, 200)
	}
	w.settle()
	r := w.reconciler(now)
	r.run(KindCheck, r.check)
	if job := w.latest(KindCheck); job.State != Done || job.Finished != 4 || job.Faulty != 0 {
		t.Errorf("with nothing wrong: %+v", job)
	}

	w.send(keys[3], 50)
	w.settle()
	w.lose(keys[0])
	w.corrupt(keys[1])
	w.alter(keys[2], func(d *rollup.Day) { d.Events += 7; d.HourEvents[0] += 7 })
	w.alter(keys[3], func(d *rollup.Day) { d.Views -= 10 })
	r.runner.now = func() time.Time { return now.Add(5 * time.Minute) }
	r.run(KindCheck, r.check)
	job := w.latest(KindCheck)
	if job.State != Done || job.Finished != 4 || job.Faulty != 4 || job.Rebuilt != 3 || job.Refused != 1 {
		t.Errorf("with four wrong days, one of them too large: %+v", job)
	}
	w.exact(keys[0], keys[1], keys[3])
	if day := w.day(keys[2]); day.Events != 207 {
		t.Errorf("what would be smaller was changed: %d events", day.Events)
	}
}

// TestOneProcessReconciles runs the same minute in two processes.
func TestOneProcessReconciles(t *testing.T) {
	w := newWorld(t)
	now := time.Date(2026, 1, 3, 12, 0, 0, 0, time.UTC)
	a, b := w.reconciler(now), w.reconciler(now.Add(time.Second))
	a.run(KindCheck, a.check)
	b.run(KindCheck, b.check)
	if list, err := w.runner().List(t.Context(), 10, KindCheck); err != nil || len(list) != 1 {
		t.Errorf("%v, %d runs of one minute, want 1", err, len(list))
	}

	// While a run is under way elsewhere the next one is left out, until that
	// process has lost its life.
	held, err := a.claim(t.Context(), KindCheck, now.Add(5*time.Minute))
	if err != nil || held == nil {
		t.Fatalf("%v %v", err, held)
	}
	if job, err := b.claim(t.Context(), KindCheck, now.Add(5*time.Minute+StaleAfter/2)); err != nil || job != nil {
		t.Errorf("a run began beside another: %v %v", err, job)
	}
	if job, err := b.claim(t.Context(), KindCheck, now.Add(5*time.Minute+2*StaleAfter)); err != nil || job == nil {
		t.Errorf("a lost run holds the next one up: %v %v", err, job)
	}
}

// TestNightly checks yesterday in full, and a sample of what is older.
func TestNightly(t *testing.T) {
	w := newWorld(t)
	now := time.Date(2026, 2, 1, 3, 0, 0, 0, time.UTC)
	yesterday := store.DayKey{Site: "a", Date: "2026-01-31"}
	w.send(yesterday, 300)
	var older []store.DayKey
	for i := range 25 {
		key := store.DayKey{Site: "b", Date: time.Date(2026, 1, 1+i, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)}
		w.send(key, 20)
		older = append(older, key)
	}
	w.settle()
	w.alter(yesterday, func(d *rollup.Day) { d.HourEvents[1]++; d.HourEvents[2]-- }) // no total tells
	for _, key := range older {
		w.alter(key, func(d *rollup.Day) { d.Users = rollup.Sketch{} })
	}
	r := w.reconciler(now)
	r.run(KindNightly, r.nightly)
	w.exact(yesterday)
	list, err := w.runner().List(t.Context(), 10, KindNightly)
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %d records of a night, want 2", err, len(list))
	}
	sample := list[0]
	if sample.Spec.Sample == 0 {
		sample = list[1]
	}
	if sample.State != Done || sample.Finished < 5 || sample.Finished == len(older) || sample.Rebuilt != sample.Finished {
		t.Errorf("a sample of about %d of %d days: %+v", sampleDays, len(older), sample)
	}
}

func TestScheduleIsValidated(t *testing.T) {
	for _, tt := range []struct {
		schedule Schedule
		ok       bool
	}{
		{Schedule{}, true},
		{Schedule{Check: "*/5 * * * *", Nightly: "17 3 * * *"}, true},
		{Schedule{Check: "every five minutes"}, false},
		{Schedule{Nightly: "0 25 * * *"}, false},
	} {
		if err := tt.schedule.Validate(); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt.schedule, err)
		}
	}
}
