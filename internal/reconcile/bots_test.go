package reconcile

import (
	"errors"
	"testing"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// What bots did is in the raw events and in no total: every check compares it
// with what the rollup says of bots, and a rebuild brings it back.
func TestBotsAreCheckedAndRebuilt(t *testing.T) {
	w := newWorld(t)
	mixed := store.DayKey{Site: "a", Date: "2026-11-20"}
	only := store.DayKey{Site: "a", Date: "2026-11-21"} // nobody but bots
	w.send(mixed, 50)
	w.bot = "crawler"
	w.send(mixed, 30)
	w.send(only, 20)
	w.settle()

	opts := Options{Limits: rollup.DefaultLimits}
	wantTotals := func(key store.DayKey, people, bots uint64) {
		t.Helper()
		if day := w.day(key); day.Events != people || day.Bots() != bots {
			t.Errorf("%s has %d events of people and %d of bots, want %d and %d", key, day.Events, day.Bots(), people, bots)
		}
	}
	wantRight := func(key store.DayKey, want bool) {
		t.Helper()
		if right, err := newTallies(w.store).right(t.Context(), key); err != nil || right != want {
			t.Errorf("the totals of %s are right: %t, %v, want %t", key, right, err, want)
		}
	}
	restored := func(state State) {
		t.Helper()
		for key, want := range map[store.DayKey]struct{ people, bots uint64 }{mixed: {50, 30}, only: {0, 20}} {
			wantRight(key, false)
			check, rebuilt, err := RebuildDay(t.Context(), w.store, key, opts)
			if err != nil || !rebuilt || check.State != state {
				t.Errorf("%s is rebuilt: %t, %v, want one that is %s", key, rebuilt, err, state)
			}
			wantTotals(key, want.people, want.bots)
			wantRight(key, true)
		}
		w.exact(mixed, only)
	}

	w.exact(mixed, only)
	wantTotals(mixed, 50, 30)
	wantTotals(only, 0, 20)
	wantRight(mixed, true)
	wantRight(only, true)

	for _, key := range []store.DayKey{mixed, only} {
		w.alter(key, func(day *rollup.Day) { day.Tables[rollup.Bot] = rollup.Table{} })
	}
	restored(Drifted)
	for _, key := range []store.DayKey{mixed, only} {
		w.lose(key)
	}
	restored(Missing)
	for _, key := range []store.DayKey{mixed, only} {
		w.corrupt(key)
	}
	restored(Damaged)

	// More than the raw events give is not taken away silently.
	w.alter(mixed, func(day *rollup.Day) { day.Tables[rollup.Bot].Add("crawler", 1) })
	wantRight(mixed, false)
	if _, rebuilt, err := RebuildDay(t.Context(), w.store, mixed, opts); rebuilt || !errors.Is(err, ErrSmaller) {
		t.Errorf("a rebuild with fewer bots: %t, %v, want %v", rebuilt, err, ErrSmaller)
	}
	opts.Force = true
	if _, rebuilt, err := RebuildDay(t.Context(), w.store, mixed, opts); !rebuilt || err != nil {
		t.Errorf("a forced rebuild with fewer bots: %t, %v", rebuilt, err)
	}
	wantTotals(mixed, 50, 30)
}

// A worker that finds the rollup of a day with bots missing folds it again.
func TestWorkerRestoresBots(t *testing.T) {
	w := newWorld(t)
	key := store.DayKey{Site: "a", Date: "2026-11-20"}
	w.bot = "monitor"
	w.send(key, 20)
	w.settle()
	w.lose(key)
	w.bot = ""
	w.send(key, 1)
	w.settle()
	if day := w.day(key); day.Events != 1 || day.Bots() != 20 {
		t.Errorf("the day has %d events of people and %d of bots, want 1 and 20", day.Events, day.Bots())
	}
	w.exact(key)
}
