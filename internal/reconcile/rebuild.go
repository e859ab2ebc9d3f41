// Package reconcile finds and mends differences between raw events and
// rollups.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// zone is the time zone of every site.
var zone = time.UTC

// Store is what reconciliation needs of the store.
type Store interface {
	store.Days
	store.Events
	Checkpoints(ctx context.Context) (map[string]store.Checkpoint, error)
}

// ErrSmaller says that a rebuild was refused because it would count fewer
// events than the stored rollup has: raw events are missing.
var ErrSmaller = errors.New("rebuilding would lose counts")

// Result tells what a rebuild found.
type Result struct {
	// Stored is the rollup that was there; nil if it was missing or damaged.
	Stored *rollup.Day
	// True is the rollup that the raw events give.
	True *rollup.Day
	// Written tells whether True has replaced Stored.
	Written bool
}

// RebuildDay folds a day again from its raw events and, where that differs
// from the stored rollup, replaces it. It is exact while workers go on: it
// folds what the rollup should hold, which is every event at or below its
// marks or the checkpoints, whichever is farther, and writes by
// compare-and-swap. When a worker got in between it only folds what came in
// addition, and tries again; each round is short, so it ends under load.
//
// It gives ErrSmaller where the stored rollup counts more than the raw events
// do, unless forced. After another error the outcome may be unknown; running
// it again is always right.
func RebuildDay(ctx context.Context, st Store, key store.DayKey, limits rollup.Limits, force bool) (Result, error) {
	fresh := rollup.NewDay(key.Site, key.Date)
	for {
		// The checkpoints are read after the rollup: whatever they cover that
		// the rollup lacks is a fault of the rollup. Read before it, they
		// would be behind for a rollup that is missing now, but was written
		// and lost in between.
		stored, rev, err := load(ctx, st, key)
		if err != nil {
			return Result{}, err
		}
		checkpoints, err := st.Checkpoints(ctx)
		if err != nil {
			return Result{}, fmt.Errorf("rebuild %s: read checkpoints: %w", key, err)
		}
		target := store.CheckpointMarks(checkpoints)
		if stored != nil {
			target = target.Join(stored.Marks)
		}
		if err := store.FoldDay(ctx, st, fresh, target, zone); err != nil {
			return Result{}, fmt.Errorf("rebuild %s: fold raw events: %w", key, err)
		}
		fresh.Compact(limits)
		result := Result{Stored: stored, True: fresh}
		switch {
		case stored == nil && fresh.Events == 0 && rev == 0:
			return result, nil // there is no such day
		case stored != nil && len(stored.Diff(fresh)) == 0:
			return result, nil
		case stored != nil && fresh.Events < stored.Events && !force:
			return result, fmt.Errorf("%s: stored are %d events, raw events give %d: %w", key, stored.Events, fresh.Events, ErrSmaller)
		}
		fresh.Rev = rev
		if stored != nil {
			// What was folded once must not be folded again, even if its raw
			// events are gone.
			fresh.Marks = fresh.Marks.Join(stored.Marks)
		}
		err = st.SwapDay(ctx, fresh)
		if err == nil {
			result.Written = true
			return result, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return Result{}, fmt.Errorf("rebuild %s: %w", key, err)
		}
	}
}

// load gives the stored rollup, or nil if it is missing or damaged, and the
// rev to replace it with.
func load(ctx context.Context, st Store, key store.DayKey) (*rollup.Day, uint64, error) {
	day, err := st.Day(ctx, key)
	var damaged *store.DamagedError
	switch {
	case err == nil:
		return day, day.Rev, nil
	case errors.Is(err, store.ErrNotFound):
		return nil, 0, nil
	case errors.As(err, &damaged):
		return nil, damaged.Rev, nil
	}
	return nil, 0, fmt.Errorf("rebuild %s: load: %w", key, err)
}
