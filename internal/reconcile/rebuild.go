package reconcile

import (
	"context"
	"errors"
	"fmt"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// Errors of a rebuild that was refused because it could lose counts. Both can
// be overridden by force.
var (
	// ErrSmaller says that the raw events give less than the rollup has.
	ErrSmaller = errors.New("the raw events give less than the rollup has")
	// ErrPartial says that the raw events are not all there any more.
	ErrPartial = errors.New("the day's raw events are not all kept any more")
)

// Options say how to rebuild.
type Options struct {
	// Limits bounds the stored rollup.
	Limits rollup.Limits
	// Force rebuilds even what may lose counts.
	Force bool
	// Smaller rebuilds where the raw events give less, for they were erased;
	// not where they are not all kept.
	Smaller bool
	// Exact also rebuilds days without drift whose tables have overflowed, so
	// that the counts that are kept become exact.
	Exact bool
}

// RebuildDay folds a day again from its raw events and, where that differs
// from the stored rollup, replaces it; the second result tells if it did. The
// check is the last one before it was replaced.
//
// It is exact while workers go on: it writes by compare-and-swap, and when a
// worker got in between it folds only what came in addition and tries again.
// Each round is short, so it ends under load.
//
// It gives an error that wraps ErrSmaller or ErrPartial, and the check, where
// counts could get lost. After another error the outcome may be unknown;
// running it again is always right.
func RebuildDay(ctx context.Context, st Store, key store.DayKey, opts Options) (*Check, bool, error) {
	fresh := store.NewDay(key)
	for {
		check, err := examine(ctx, st, key, fresh)
		if err != nil {
			return nil, false, err
		}
		if replace, err := opts.verdict(check); !replace {
			return check, false, err
		}

		// The tables in fresh stay whole for another round.
		day := fresh.Clone()
		day.Compact(opts.Limits)
		day.Rev = check.rev
		if stored := check.Stored; stored != nil {
			// What was folded once must not be folded again, even if its raw
			// event is gone.
			day.Marks = day.Marks.Join(stored.Marks)
		}
		err = st.SwapDay(ctx, day)
		if err == nil {
			return check, true, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return nil, false, fmt.Errorf("write %s: %w", key, err)
		}
	}
}

// verdict tells whether a rebuild should replace what is stored, and if not
// by an error why, unless it is right as it is.
func (o *Options) verdict(c *Check) (replace bool, err error) {
	switch {
	case c.State == OK:
		return o.Exact && overflowed(c.Stored), nil
	case o.Force:
		return true, nil
	case c.State == Partial:
		return false, fmt.Errorf("%s: %w", c.Key, ErrPartial)
	case o.Smaller:
		return true, nil
	case c.State == Damaged && c.True.Folded() == 0:
		return false, fmt.Errorf("%s is damaged and there are no raw events of it: %w", c.Key, ErrSmaller)
	case c.Stored != nil && c.True.Events < c.Stored.Events:
		return false, fmt.Errorf("%s has %d events and its raw events give %d: %w", c.Key, c.Stored.Events, c.True.Events, ErrSmaller)
	case c.Stored != nil && c.True.Bots() < c.Stored.Bots():
		return false, fmt.Errorf("%s has %d events of bots and its raw events give %d: %w", c.Key, c.Stored.Bots(), c.True.Bots(), ErrSmaller)
	}
	return true, nil
}

// overflowed tells whether some counts of a rollup's tables, or the users of
// their first rows, are less exact than a rebuild makes them.
func overflowed(day *rollup.Day) bool {
	if day == nil {
		return false
	}
	for i := range day.Tables {
		if t := &day.Tables[i]; !t.RowsExact() || !t.UsersExact() {
			return true
		}
	}
	return false
}
