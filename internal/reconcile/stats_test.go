package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

func TestWorkIsCounted(t *testing.T) {
	w := newWorld(t)
	now := time.Date(2026, 1, 3, 12, 0, 0, 0, time.UTC)
	whole, lost, larger := store.DayKey{Site: "a", Date: "2026-01-01"}, store.DayKey{Site: "b", Date: "2026-01-02"}, store.DayKey{Site: "c", Date: "2026-01-02"}
	for _, key := range []store.DayKey{whole, lost, larger} {
		w.send(key, 50)
	}
	w.settle()
	w.lose(lost)
	w.alter(larger, func(d *rollup.Day) { d.Events += 7 })

	r := w.reconciler(now)
	dry, err := r.runner.Create(t.Context(), Spec{DryRun: true}, "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.runner.Run(t.Context(), dry, 1, nil); err != nil {
		t.Fatal(err)
	}
	r.run(KindCheck, r.check)
	want := Stats{
		Days: map[Found]uint64{
			{KindRebuild, OK}: 1, {KindRebuild, Missing}: 1, {KindRebuild, Drifted}: 1,
			{KindCheck, OK}: 1, {KindCheck, Missing}: 1, {KindCheck, Drifted}: 1,
		},
		Rebuilt: 1, Refused: 2, Succeeded: map[string]time.Time{KindCheck: now},
	}
	if got := r.runner.Stats(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// failingStore cannot tell which jobs there are.
type failingStore struct{ JobStore }

func (failingStore) Jobs(context.Context, string, int) ([]store.Job, error) {
	return nil, errors.New("a fault")
}

func TestFailuresAreCounted(t *testing.T) {
	runner := NewRunner(failingStore{}, rollup.DefaultLimits, slog.New(slog.DiscardHandler))
	r, err := NewReconciler(runner, Schedule{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r.run(KindNightly, r.nightly)
	want := Stats{Failed: map[string]uint64{KindNightly: 1}}
	if got := runner.Stats(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := r.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRepairsAreCounted(t *testing.T) {
	w := newWorld(t)
	keys := w.days(2)
	w.corrupt(keys[0])
	r := NewRepairs(w.store, rollup.DefaultLimits, slog.New(slog.DiscardHandler))
	for _, key := range keys {
		r.repair(key)
	}
	want := Stats{Days: map[Found]uint64{{KindRepair, Damaged}: 1, {KindRepair, OK}: 1}, Rebuilt: 1}
	if got := r.Stats(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
