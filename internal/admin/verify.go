package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// Verified is what was found of one day.
type Verified struct {
	Site  string          `json:"site"`
	Date  string          `json:"date"`
	State reconcile.State `json:"state"`
	// Events is how many raw events the day has.
	Events uint64 `json:"events"`
	// Differences are those of a day that is not right.
	Differences []rollup.Difference `json:"differences,omitempty"`
	// Problem says what is wrong with a damaged rollup, or why the day could
	// not be checked.
	Problem string `json:"problem,omitempty"`
}

// Verify is part of Actions.
func (a *Admin) Verify(ctx context.Context, days reconcile.Range, fn func(Verified) error) error {
	if err := days.Validate(); err != nil {
		return invalid(err)
	}
	if err := a.checkSite(ctx, days.Site); err != nil {
		return err
	}
	ctx, cancel := a.untilStop(ctx)
	defer cancel()
	err := reconcile.EachDay(ctx, a.store, days, func(key store.DayKey) error {
		day, err := a.verifyDay(ctx, key)
		if err != nil {
			return err
		}
		return fn(day)
	})
	if err != nil && a.ctx.Err() != nil {
		return errStopping
	}
	return err
}

// verifyDay checks one day. That one cannot be read is no reason not to look at
// the others, unless it is for something that concerns them too.
func (a *Admin) verifyDay(ctx context.Context, key store.DayKey) (Verified, error) {
	day := Verified{Site: key.Site, Date: key.Date}
	check, err := reconcile.CheckDay(ctx, a.store, key)
	switch {
	case ctx.Err() != nil || errors.Is(err, store.ErrUnavailable):
		return day, err
	case err != nil:
		day.State, day.Problem = reconcile.Unreadable, fmt.Sprint(err)
		return day, nil
	}
	day.State, day.Events = check.State, check.True.Folded()
	if check.State != reconcile.Partial {
		day.Differences = check.AllDifferences()
	}
	if check.Damage != nil {
		day.Problem = check.Damage.Error()
	}
	return day, nil
}
