package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// Store is what checking and rebuilding days needs of the store.
type Store interface {
	store.Days
	store.Events
	store.Records
	KeptSince(ctx context.Context, site string) (string, error)
	Checkpoints(ctx context.Context) (map[string]store.Checkpoint, error)
}

// State says what a check of a day found.
type State string

// The states.
const (
	// OK: the rollup is what the raw events give; or there is neither.
	OK State = "ok"
	// Missing: there are raw events and no rollup.
	Missing State = "missing"
	// Damaged: the rollup cannot be read.
	Damaged State = "damaged"
	// Drifted: the rollup differs from what the raw events give.
	Drifted State = "drift"
	// Partial: the raw events are not all there any more, so that nobody can
	// tell.
	Partial State = "partial"
	// Unreadable: the day could not be checked for an error.
	Unreadable State = "unreadable"
)

// Check is what a check of a day found.
type Check struct {
	Key   store.DayKey
	State State
	// Differences are those of a day that drifted.
	Differences []rollup.Difference
	// Stored is the rollup that is there, nil if it is missing or damaged;
	// Damage says why it cannot be read.
	Stored *rollup.Day
	Damage error
	// True is what the raw events give, with tables that are not bounded.
	True *rollup.Day

	// rev is that of what is stored, whole or not.
	rev uint64
}

// CheckDay compares a rollup with its raw events. It only reads, and is exact
// while workers go on.
func CheckDay(ctx context.Context, st Store, key store.DayKey) (*Check, error) {
	fresh := store.NewDay(key)
	for {
		check, err := examine(ctx, st, key, fresh)
		if err != nil {
			return nil, err
		}
		// What was folded may be more than what was loaded before. If nobody
		// has written the rollup since, then it lacks what it should have.
		_, rev, _, err := load(ctx, st, key)
		if err != nil {
			return nil, err
		}
		if rev == check.rev {
			return check, nil
		}
	}
}

// examine loads the rollup of a day and brings fresh, which it may have been
// given before, to what the rollup should hold: every event at or below its
// marks or the checkpoints, whichever is farther. Beyond the checkpoints are
// events that a worker is about to fold; below them there are none that the
// rollup may lack.
func examine(ctx context.Context, st Store, key store.DayKey, fresh *rollup.Day) (*Check, error) {
	stored, rev, damage, err := load(ctx, st, key)
	if err != nil {
		return nil, err
	}
	// The checkpoints are read after the rollup. Read before it, they would
	// be behind for one that is missing now, but was written and lost in
	// between.
	checkpoints, err := st.Checkpoints(ctx)
	if err != nil {
		return nil, fmt.Errorf("check %s: read checkpoints: %w", key, err)
	}
	target := store.CheckpointMarks(checkpoints)
	if stored != nil {
		target = target.Join(stored.Marks)
	}
	// The zones are read after the checkpoints: what is at or below those was
	// dated in one of them.
	settings, err := site.NewDirectory(st, 0).Get(ctx, key.Site)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", key, err)
	}
	zones := settings.All()
	if err := store.FoldDay(ctx, st, fresh, zones, target); err != nil {
		return nil, fmt.Errorf("check %s: fold raw events: %w", key, err)
	}
	// Which raw events are kept is read after them: what takes some away
	// says so before it does.
	kept, err := st.KeptSince(ctx, key.Site)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", key, err)
	}

	c := &Check{Key: key, Stored: stored, Damage: damage, True: fresh, rev: rev}
	switch {
	case !slices.Contains(settings.Folding(), key.Zone):
		// The site has had this time zone. What is left there nobody reads,
		// and what is not there must not come back.
		c.State = OK
	case !site.Whole(key, zones, kept):
		c.State = Partial
	case damage != nil:
		c.State = Damaged
	case stored == nil && fresh.Folded() > 0:
		c.State = Missing
	case stored == nil:
		c.State = OK
	default:
		c.State = OK
		if c.Differences = stored.Diff(fresh); len(c.Differences) > 0 {
			c.State = Drifted
		}
	}
	return c, nil
}

// load gives the stored rollup, or nil if it is missing or damaged, what is
// the matter with it, and the rev to replace it with.
func load(ctx context.Context, st Store, key store.DayKey) (day *rollup.Day, rev uint64, damage, err error) {
	day, err = st.Day(ctx, key)
	var damaged *store.DamagedError
	switch {
	case err == nil:
		return day, day.Rev, nil, nil
	case errors.Is(err, store.ErrNotFound):
		return nil, 0, nil, nil
	case errors.As(err, &damaged):
		return nil, damaged.Rev, damaged.Err, nil
	}
	return nil, 0, nil, fmt.Errorf("load %s: %w", key, err)
}
