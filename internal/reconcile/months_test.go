package reconcile

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// month gives the stored rollup of a month, nil if there is none, and whether
// it is made of the days as they are.
func (w *world) month(key store.DayKey) (month *rollup.Day, valid bool) {
	w.t.Helper()
	month, err := w.store.Month(w.t.Context(), key, rollup.AllFields)
	if errors.Is(err, store.ErrNotFound) {
		return nil, false
	}
	if err != nil {
		w.t.Fatal(err)
	}
	heads, err := w.store.DayHeads(w.t.Context(), key.Site, key.Zone, key.Date+"-01", key.Date+"-31")
	if err != nil {
		w.t.Fatal(err)
	}
	valid, err = validMonth(w.t.Context(), w.store, key, heads)
	if err != nil {
		w.t.Fatal(err)
	}
	return month, valid
}

// sum merges the days of a month.
func (w *world) sum(key store.DayKey) *rollup.Day {
	w.t.Helper()
	sum := store.NewDay(key)
	err := w.store.SiteDays(w.t.Context(), key.Site, key.Zone, key.Date+"-01", key.Date+"-31", rollup.AllFields, func(day *rollup.Day, _ *store.DamagedError) error {
		sum.Merge(day)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return sum
}

// TestMonth makes a month, finds it not to be valid once a day changes, and
// makes it anew.
func TestMonth(t *testing.T) {
	w := newWorld(t)
	w.setZone("a", "Asia/Kolkata")
	first := time.Date(2026, 1, 30, 0, 0, 0, 0, time.UTC)
	w.sendAt("a", every(time.Hour, first, first.AddDate(0, 0, 35)))
	w.drain()
	key := store.DayKey{Site: "a", Zone: "Asia/Kolkata", Date: "2026-02"}
	if err := BuildMonth(t.Context(), w.store, key); err != nil {
		t.Fatal(err)
	}
	month, valid := w.month(key)
	if !valid || len(month.Parts) != 28 || month.Events != 28*24 || month.Users.Estimate() != 7 {
		t.Fatalf("valid %v, %d days, %d events, %d users", valid, len(month.Parts), month.Events, month.Users.Estimate())
	}
	if diff := month.Diff(w.sum(key)); len(diff) > 0 {
		t.Error(diff)
	}
	// Of its visits it has the totals.
	if got, want := month.Visits.Stats().Visits, w.sum(key).Visits.Stats().Visits; got != want || got == 0 {
		t.Errorf("%v visits, want %v", got, want)
	}

	w.sendAt("a", every(time.Hour, first, first.AddDate(0, 0, 3)))
	w.drain()
	if _, valid := w.month(key); valid {
		t.Error("it is called valid after one of its days has changed")
	}
	if err := BuildMonth(t.Context(), w.store, key); err != nil {
		t.Fatal(err)
	}
	if month, valid := w.month(key); !valid || month.Events <= 28*24 {
		t.Errorf("made anew: valid %v, %d events", valid, month.Events)
	}
}

// TestNoMonth makes no month of days that are not all there.
func TestNoMonth(t *testing.T) {
	w := newWorld(t)
	day := store.DayKey{Site: "a", Date: "2026-02-10"}
	month := monthOf(day)
	none := func(why string) {
		t.Helper()
		if err := BuildMonth(t.Context(), w.store, month); !errors.Is(err, ErrNoMonth) {
			t.Errorf("%s: %v", why, err)
		}
	}
	none("without any day")
	w.send(store.DayKey{Site: "a", Date: "2026-02-01"}, 20)
	w.send(day, 20)
	w.drain()
	w.lose(day)
	none("with a day that has lost its rollup")
	if _, _, err := RebuildDay(t.Context(), w.store, day, Options{Limits: rollup.DefaultLimits}); err != nil {
		t.Fatal(err)
	}
	w.corrupt(day)
	none("with a damaged day")
	if m, _ := w.month(month); m != nil {
		t.Error("it was stored all the same")
	}
	if _, _, err := RebuildDay(t.Context(), w.store, day, Options{Limits: rollup.DefaultLimits}); err != nil {
		t.Fatal(err)
	}
	if err := BuildMonth(t.Context(), w.store, month); err != nil {
		t.Error(err)
	}
	month.Date = "2026-2"
	if err := BuildMonth(t.Context(), w.store, month); err == nil || errors.Is(err, ErrNoMonth) {
		t.Errorf("month %s: %v", month.Date, err)
	}
}

// TestRebuildFreshensMonths rebuilds a day of a month that is over: the month
// is right with the end of the job.
func TestRebuildFreshensMonths(t *testing.T) {
	w := newWorld(t)
	day, other := store.DayKey{Site: "a", Date: "2026-02-10"}, store.DayKey{Site: "a", Date: "2026-01-10"}
	w.send(day, 20)
	w.send(other, 20)
	w.drain()
	for _, key := range []store.DayKey{day, other} {
		if err := BuildMonth(t.Context(), w.store, monthOf(key)); err != nil {
			t.Fatal(err)
		}
	}
	w.alter(day, func(d *rollup.Day) { d.Events-- })
	r := w.runner()
	job, err := r.Create(t.Context(), Spec{}, "test")
	if err == nil {
		err = r.Run(t.Context(), job, 2, nil)
	}
	if err != nil || job.Months != 1 || job.Rebuilt != 1 {
		t.Fatalf("%v, %+v", err, job)
	}
	if month, valid := w.month(monthOf(day)); !valid || month.Events != 20 {
		t.Errorf("valid %v, %d events", valid, month.Events)
	}

	// One that is not over is not made.
	today := store.DayKey{Site: "a", Date: time.Now().UTC().Format(time.DateOnly)}
	if made, err := RebuildMonths(t.Context(), w.store, []store.DayKey{today}, time.Now()); err != nil || made != 0 {
		t.Errorf("%d months made of today, %v", made, err)
	}
}

// TestNightlyMakesMonths makes the months of all sites that are over in their
// zones, those that are not valid, and no other.
func TestNightlyMakesMonths(t *testing.T) {
	w := newWorld(t)
	w.setZone("east", "Pacific/Kiritimati")
	first := time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)
	for _, name := range []string{"east", "utc"} {
		w.sendAt(name, every(6*time.Hour, first, first.AddDate(0, 0, 90)))
	}
	w.drain()
	// In the east the 1st of April is over, and in the west it is the 1st.
	r := w.runner()
	r.now = func() time.Time { return time.Date(2026, 4, 1, 11, 0, 0, 0, time.UTC) }
	reconciler, err := NewReconciler(r, Schedule{}, r.log)
	if err != nil {
		t.Fatal(err)
	}
	nightly := func(want int) {
		t.Helper()
		reconciler.run(KindNightly, reconciler.nightly)
		jobs, err := r.List(t.Context(), 2, KindNightly)
		if err != nil || len(jobs) != 2 || jobs[0].State != Done || jobs[1].State != Done || jobs[0].Months+jobs[1].Months != want {
			t.Fatalf("%v, %+v, want %d months", err, jobs, want)
		}
	}
	nightly(3 + 2)
	for key, want := range map[store.DayKey]bool{
		{Site: "east", Zone: "Pacific/Kiritimati", Date: "2026-01"}: true,
		{Site: "east", Zone: "Pacific/Kiritimati", Date: "2026-03"}: true,
		{Site: "east", Zone: "Pacific/Kiritimati", Date: "2026-04"}: false,
		{Site: "utc", Date: "2026-02"}:                              true,
		{Site: "utc", Date: "2026-03"}:                              false,
	} {
		if month, valid := w.month(key); valid != want || month != nil != want {
			t.Errorf("%s: valid %v, want %v", key, valid, want)
		}
	}
	r.now = func() time.Time { return time.Date(2026, 4, 1, 11, 1, 0, 0, time.UTC) }
	nightly(0)
	w.sendAt("utc", []time.Time{first})
	w.drain()
	r.now = func() time.Time { return time.Date(2026, 4, 1, 11, 2, 0, 0, time.UTC) }
	nightly(1)
	if err := reconciler.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// erasingStore erases a site just before a month of it is written.
type erasingStore struct{ store.Store }

func (s erasingStore) PutMonth(ctx context.Context, month *rollup.Day) error {
	if _, _, err := s.EraseDays(ctx, month.Site, ""); err != nil {
		return err
	}
	return s.Store.PutMonth(ctx, month)
}

// A month of days that are erased while it is made does not stay.
func TestMonthOfErasedDays(t *testing.T) {
	w := newWorld(t)
	key := store.DayKey{Site: "a", Date: "2026-01"}
	day := rollup.NewDay("a", "2026-01-05")
	day.Events = 1
	if err := w.store.SwapDay(t.Context(), day); err != nil {
		t.Fatal(err)
	}
	if err := BuildMonth(t.Context(), erasingStore{w.store}, key); !errors.Is(err, ErrNoMonth) {
		t.Errorf("making the month gives %v", err)
	}
	if _, err := w.store.Month(t.Context(), key, rollup.AllFields); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("looking for the month gives %v", err)
	}
}
