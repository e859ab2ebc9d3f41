package retention

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// TestExpire removes what is too old of two sites, one of which has an old day
// that lacks a view and one a day that counts too much.
func TestExpire(t *testing.T) {
	onAll(t, func(t *testing.T, w *world) {
		a, b, c := dates("a", "2026-03-01", 6), dates("b", "2026-03-01", 4), dates("c", "2026-03-01", 2)
		for _, key := range slices.Concat(a, b, c) {
			w.send(key, 50, "u1", "u2", "u3")
		}
		w.settle()
		w.alter(a[1], func(d *rollup.Day) { d.Views--; d.HourViews[1]-- })
		w.alter(b[2], func(d *rollup.Day) { d.Events++; d.HourEvents[0]++ })

		k := w.keeper("2026-03-07")
		policy := Policy{Days: 3, Of: map[string]int{"b": 1, "c": 0}}
		plan, err := k.Plan(t.Context(), policy)
		wantExpired(t, plan, err,
			Expired{Site: "a", KeepDays: 3, Before: "2026-03-04", Dates: []string{"2026-03-01", "2026-03-02", "2026-03-03"}, Events: 150},
			Expired{Site: "b", KeepDays: 1, Before: "2026-03-06", Dates: []string{"2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"}, Events: 201})
		if n, _ := w.raw(a[0], ""); n != 50 {
			t.Fatalf("the plan left %d of 50 raw events", n)
		}

		done, err := k.Expire(t.Context(), policy, "test")
		wantExpired(t, done, err,
			Expired{Site: "a", KeepDays: 3, Before: "2026-03-04", Dates: []string{"2026-03-01", "2026-03-02", "2026-03-03"}, Events: 150, Rebuilt: []string{"2026-03-02"}},
			Expired{Site: "b", KeepDays: 1, Before: "2026-03-06", Dates: []string{"2026-03-01", "2026-03-02"}, Events: 100, Left: "2026-03-03",
				Reason: "b|2026-03-03 has 51 events and its raw events give 50: the raw events give less than the rollup has"})
		for _, key := range slices.Concat(a[:3], b[:2]) {
			if n, _ := w.raw(key, ""); n != 0 {
				t.Errorf("%s has %d raw events", key, n)
			}
			w.wantDay(key, all)
		}
		for _, key := range slices.Concat(a[3:], b[2:], c) {
			if n, _ := w.raw(key, ""); n != 50 {
				t.Errorf("%s has %d raw events", key, n)
			}
		}

		// An operator accepts what the raw events give; the rest goes.
		opts := reconcile.Options{Limits: rollup.DefaultLimits, Force: true}
		if _, _, err := reconcile.RebuildDay(t.Context(), w.store, b[2], opts); err != nil {
			t.Fatal(err)
		}
		done, err = k.Expire(t.Context(), policy, "test")
		wantExpired(t, done, err, Expired{Site: "b", KeepDays: 1, Before: "2026-03-06", Dates: []string{"2026-03-03", "2026-03-04"}, Events: 100})
		done, err = k.Expire(t.Context(), policy, "test")
		wantExpired(t, done, err)
		for _, key := range slices.Concat(a, b, c) {
			w.wantDay(key, all)
		}
	})
}

// TestSitesOwnDays has sites that say themselves for how long their raw events
// are kept, which holds whatever the policy says of them.
func TestSitesOwnDays(t *testing.T) {
	onAll(t, func(t *testing.T, w *world) {
		for _, name := range []string{"ever", "policy", "short"} {
			for _, key := range dates(name, "2026-03-01", 5) {
				w.send(key, 10, "u")
			}
		}
		w.settle()
		directory := site.NewDirectory(w.store, 0)
		keep := func(name string, days int) {
			t.Helper()
			if _, err := directory.Change(t.Context(), name, func(s *site.Settings) error { s.KeepRawDays = &days; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		keep("ever", 0)
		keep("short", 2)
		k := w.keeper("2026-03-06")

		// No policy: only the site that says so.
		done, err := k.Expire(t.Context(), Policy{}, "test")
		wantExpired(t, done, err,
			Expired{Site: "short", KeepDays: 2, Before: "2026-03-04", Dates: []string{"2026-03-01", "2026-03-02", "2026-03-03"}, Events: 30})

		policy := Policy{Days: 3, Of: map[string]int{"ever": 1, "short": 1}}
		done, err = k.Expire(t.Context(), policy, "test")
		wantExpired(t, done, err,
			Expired{Site: "policy", KeepDays: 3, Before: "2026-03-03", Dates: []string{"2026-03-01", "2026-03-02"}, Events: 20})

		// A change holds from the next run on; what is no number of days takes
		// nothing away.
		keep("short", 1)
		plan, err := k.Plan(t.Context(), policy)
		wantExpired(t, plan, err, Expired{Site: "short", KeepDays: 1, Before: "2026-03-05", Dates: []string{"2026-03-04"}, Events: 10})
		keep("short", -1)
		if done, err := k.Expire(t.Context(), policy, "test"); err == nil || len(done) > 0 || !strings.Contains(err.Error(), `"short" kept for -1 days`) {
			t.Errorf("days below 0 gave %v, %+v", err, done)
		}
	})
}

func wantExpired(t *testing.T, got []Expired, err error, want ...Expired) {
	t.Helper()
	same := func(a, b Expired) bool {
		return a.Site == b.Site && a.KeepDays == b.KeepDays && a.Before == b.Before && slices.Equal(a.Dates, b.Dates) &&
			a.Events == b.Events && slices.Equal(a.Rebuilt, b.Rebuilt) && a.Left == b.Left && a.Reason == b.Reason
	}
	if err != nil || !slices.EqualFunc(got, want, same) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
}

// TestExpiredDaysAreNotCheckable damages days with and without all of their
// raw events: only the latter are drift, and are rebuilt.
func TestExpiredDaysAreNotCheckable(t *testing.T) {
	w := newWorld(t, stores["embedded"])
	keys := dates("a", "2026-03-01", 4)
	for _, key := range keys {
		w.send(key, 30, "u")
	}
	w.settle()
	if _, err := w.keeper("2026-03-05").Expire(t.Context(), Policy{Days: 2}, "test"); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		w.alter(key, func(d *rollup.Day) { d.Events--; d.HourEvents[0]-- })
	}
	// Late events: dead letters, whatever there is of the day.
	w.send(keys[0], 5, "late")
	w.send(keys[3], 5, "in time")
	w.settle()
	if n := len(w.letters()); n != 5 {
		t.Errorf("%d dead letters, want 5", n)
	}

	for i, want := range []reconcile.State{reconcile.Partial, reconcile.Partial, reconcile.Drifted, reconcile.Drifted} {
		if got := w.state(keys[i]); got != want {
			t.Errorf("%s is %s, want %s", keys[i], got, want)
		}
	}
	runner := reconcile.NewRunner(w.store, rollup.DefaultLimits, w.log)
	job, err := runner.Create(t.Context(), reconcile.Spec{Range: reconcile.Range{Site: "a"}}, "test")
	if err == nil {
		err = runner.Run(t.Context(), job, 1, nil)
	}
	if err != nil || job.Faulty != 2 || job.Rebuilt != 2 || job.Partial != 2 || job.Refused != 0 {
		t.Errorf("rebuild: %v, %+v", err, job)
	}
	for _, key := range keys[:2] {
		if day := w.day(key); day.Events != 29 {
			t.Errorf("%s was rebuilt from raw events that are not all there: %d events", key, day.Events)
		}
	}
	for _, key := range keys[2:] {
		w.wantDay(key, all)
	}
}

// TestExpireStopped stops it after its first day; the next one goes on.
func TestExpireStopped(t *testing.T) {
	w := newWorld(t, stores["embedded"])
	keys := dates("a", "2026-03-01", 5)
	for _, key := range keys {
		w.send(key, 20, "u")
	}
	w.settle()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	k := w.keeper("2026-04-01")
	k.store = stopping{w.store, cancel}
	done, err := k.Expire(ctx, Policy{Days: 5}, "test")
	if !errors.Is(err, context.Canceled) || len(done) != 1 || len(done[0].Dates) != 1 || done[0].Events != 20 {
		t.Errorf("%v, %+v", err, done)
	}
	done, err = w.keeper("2026-04-01").Expire(t.Context(), Policy{Days: 5}, "test")
	if err != nil || len(done) != 1 || len(done[0].Dates) != 4 || done[0].Events != 80 {
		t.Errorf("%v, %+v", err, done)
	}
	for _, key := range keys {
		w.wantDay(key, all)
	}
}

// stopping is a store that ends the context after the first expiry.
type stopping struct {
	store.Store
	stop func()
}

func (s stopping) Expire(ctx context.Context, site, before string) (int64, error) {
	defer s.stop()
	return s.Store.Expire(ctx, site, before)
}

// TestExpireWhileEventsCome expires a day while late events and retries come
// for it: each event is counted once, or is a dead letter.
func TestExpireWhileEventsCome(t *testing.T) {
	onAll(t, func(t *testing.T, w *world) {
		key := dates("a", "2026-03-01", 1)[0]
		w.send(key, 500, "u1", "u2")
		w.settle()
		stop := w.load([]store.DayKey{key}, "late")
		done, err := w.keeper("2026-04-01").Expire(t.Context(), Policy{Days: 5}, "test")
		stop()
		if err != nil || len(done) != 1 || done[0].Left != "" {
			t.Fatalf("%v, %+v", err, done)
		}
		refused := map[string]bool{}
		for _, letter := range w.letters() {
			e, err := event.ParseLine(string(letter.Line))
			if err != nil {
				t.Fatal(err)
			}
			refused[e.ID] = true
		}
		w.wantDay(key, func(e *event.Event) bool { return !refused[e.ID] })
	})
}

// TestNightly lets the reconciler do it, and what it leaves is in the record
// and in the log.
func TestNightly(t *testing.T) {
	w := newWorld(t, stores["embedded"])
	var log strings.Builder
	w.log = slog.New(slog.NewTextHandler(&log, nil))
	keys := dates("a", "2026-03-01", 2)
	for _, key := range keys {
		w.send(key, 20, "u")
	}
	w.settle()
	w.alter(keys[1], func(d *rollup.Day) { d.Events++; d.HourEvents[0]++ })
	k := w.keeper("2026-04-01")
	reconciler, err := reconcile.NewReconciler(k.runner, reconcile.Schedule{}, discard)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(reconciler.Also(reconcile.KindRetention, "@every 1s", k.Nightly(Policy{Days: 5})), reconciler.Start())
	if err != nil {
		t.Fatal(err)
	}
	var job *reconcile.Job
	eventually(t, "it has run", func() bool {
		list, err := k.runner.List(t.Context(), 1, reconcile.KindRetention)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 1 {
			job = list[0]
		}
		return job != nil && job.State == reconcile.Done
	})
	if err := reconciler.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if job.Finished != 2 || job.Refused != 1 || len(job.Findings) != 1 || job.Findings[0].Date != keys[1].Date {
		t.Errorf("%+v", job)
	}
	if kept, err := w.store.KeptSince(t.Context(), "a"); err != nil || kept != keys[1].Date {
		t.Errorf("%v, kept since %q", err, kept)
	}
	if !strings.Contains(log.String(), "left=2026-03-02") {
		t.Errorf("the log does not tell what stays:\n%s", &log)
	}
}

func TestPolicy(t *testing.T) {
	for _, tt := range []struct {
		policy Policy
		ok     bool
	}{
		{Policy{}, true},
		{Policy{Days: 400, Of: map[string]int{"a": 0, "b": 30}}, true},
		{Policy{Days: -1}, false},
		{Policy{Days: MaxDays + 1}, false},
		{Policy{Of: map[string]int{"a": -1}}, false},
		{Policy{Of: map[string]int{"": 1}}, false},
	} {
		if err := tt.policy.Validate(); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt.policy, err)
		}
	}
}
