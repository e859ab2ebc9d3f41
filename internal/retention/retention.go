// Package retention takes raw events away: those that are older than they are
// to be kept (Expire), and those of a user, of a site or of some of its days
// that somebody wants erased (Erase).
//
// # Expiring
//
// The day after its raw events are gone nobody can tell any more whether a
// rollup is right. So each day is folded once more before they go, and a
// rollup that is not right is rebuilt; where a rebuild could lose counts the
// day stays, and holds up the later days of its site until an operator has
// decided. Days go one by one in the order of their dates, so that whatever
// ends it, what is done is done, and the next run goes on there.
//
// Events that come for a day after its raw events went become dead letters in
// the worker: they could not be told from retries of events that were counted.
//
// # Erasing
//
// What is accepted and not yet counted would come back, so erasing waits until
// what was in the queue when it began is counted. Raw events go first, then
// the rollups are rebuilt without them, or go too; then a rebuild that was at
// work meanwhile is waited for, since it may have read what is gone; and in
// the end everything is looked at again, which the receipt tells of.
package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// Store is what it takes to remove raw events.
type Store interface {
	reconcile.JobStore
	store.Retention
	DeadLetters(ctx context.Context, after string, limit int) ([]store.DeadLetter, error)
	DeleteDeadLetters(ctx context.Context, keys []string) (deleted int, err error)
}

// Keeper removes raw events. It is safe for concurrent use, also by several
// processes: one of them works at a time, and to the others it gives an error
// that wraps reconcile.ErrBusy.
type Keeper struct {
	queue  reconcile.Queue
	store  Store
	runner *reconcile.Runner
	limits rollup.Limits
	log    *slog.Logger
	now    func() time.Time
	// patience is how long the queue may stand still while it is waited for.
	patience time.Duration
}

// New makes a Keeper that bounds the rollups that it writes as runner does.
// Only erasing needs the queue.
func New(q reconcile.Queue, st Store, runner *reconcile.Runner, limits rollup.Limits, log *slog.Logger) *Keeper {
	return &Keeper{queue: q, store: st, runner: runner, limits: limits, log: log, now: time.Now, patience: 30 * time.Second}
}

// Expired tells of a site of which raw events were removed, or would be.
type Expired struct {
	Site string `json:"site"`
	// KeepDays is for how many days they are kept, Before the first date that
	// is.
	KeepDays int    `json:"keep_days"`
	Before   string `json:"before"`
	// Dates are those of which they were removed, or would be.
	Dates []string `json:"dates"`
	// Events counts the removed raw events; of a plan it is the events that
	// the rollups of these dates have counted, which is about as many.
	Events int64 `json:"events"`
	// Rebuilt are those of the dates that had a rollup that was not right.
	Rebuilt []string `json:"rebuilt,omitempty"`
	// Left is the date that stays, and with it all later ones, because its
	// rollup is not right; Reason says why it could not be rebuilt.
	Left   string `json:"left,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// zones are the settings of a site, and what its time zones mean.
type zones struct {
	site.Settings
	location *time.Location // of its days
}

func (k *Keeper) zones(ctx context.Context, name string) (*zones, error) {
	settings, err := site.NewDirectory(k.store, 0).Get(ctx, name)
	if err != nil {
		return nil, err
	}
	location, err := event.Location(settings.Zone)
	if err != nil {
		return nil, fmt.Errorf("site %s: %w", name, err)
	}
	return &zones{settings, location}, nil
}

// days lists the days in a zone that may have raw events of the dates.
func (z *zones) days(zone string, dates []string) []string { return site.Days(zone, z.All(), dates) }

// Plan tells what Expire would remove; what it finds of the rollups only
// Expire tells. It only reads, and no raw events.
func (k *Keeper) Plan(ctx context.Context, policy Policy) ([]Expired, error) {
	var plan []Expired
	err := k.eachExpired(ctx, policy, func(e Expired, zones *zones) error {
		totals, err := k.totals(ctx, e.Site, zones.Zone, e.Dates[0], e.Dates[len(e.Dates)-1])
		if err != nil {
			return err
		}
		for _, date := range e.Dates {
			e.Events += totals[date]
		}
		plan = append(plan, e)
		return nil
	})
	return plan, err
}

// eachExpired calls fn for each site that has raw events which are too old.
func (k *Keeper) eachExpired(ctx context.Context, policy Policy, fn func(Expired, *zones) error) error {
	if err := policy.Validate(); err != nil {
		return err
	}
	now := k.now()
	return reconcile.EachSite(ctx, k.store, func(name string) error {
		zones, err := k.zones(ctx, name)
		if err != nil {
			return err
		}
		days, err := policy.keeps(name, &zones.Settings)
		if err != nil {
			return err
		}
		before := firstKept(days, now.In(zones.location))
		if before == "" {
			return nil
		}
		dates, err := k.store.EventDates(ctx, name, "", site.Shift(before, -1))
		if err != nil {
			return fmt.Errorf("list the days of %s: %w", name, err)
		}
		if len(dates) == 0 {
			return nil
		}
		return fn(Expired{Site: name, KeepDays: days, Before: before, Dates: dates}, zones)
	})
}

// totals gives the events that the rollups of a site have counted, by date,
// those of bots included. A damaged one has counted nothing.
func (k *Keeper) totals(ctx context.Context, site, zone, from, to string) (map[string]int64, error) {
	totals := map[string]int64{}
	err := k.store.SiteDays(ctx, site, zone, from, to, rollup.AllFields, func(day *rollup.Day, damaged *store.DamagedError) error {
		if damaged != nil {
			totals[damaged.Key.Date] = 0
		} else {
			totals[day.Date] = int64(day.Folded())
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the rollups of %s: %w", site, err)
	}
	return totals, nil
}

// Expire removes the raw events that are too old, after it has made sure that
// their rollups are right. by tells who wants it. When it ends early, with an
// error, it still tells what it did.
func (k *Keeper) Expire(ctx context.Context, policy Policy, by string) ([]Expired, error) {
	var done []Expired
	_, err := k.runner.Alone(ctx, reconcile.KindRetention, reconcile.Range{}, by, func(ctx context.Context, w *reconcile.Work) (err error) {
		done, err = k.expire(ctx, policy, w)
		return err
	})
	return done, err
}

// Nightly gives what the reconciler is to do each night.
func (k *Keeper) Nightly(policy Policy) func(context.Context, *reconcile.Work) error {
	return func(ctx context.Context, w *reconcile.Work) error {
		_, err := k.expire(ctx, policy, w)
		return err
	}
}

func (k *Keeper) expire(ctx context.Context, policy Policy, w *reconcile.Work) (done []Expired, err error) {
	err = k.eachExpired(ctx, policy, func(e Expired, zones *zones) error {
		err := k.expireSite(ctx, &e, zones, w)
		done = append(done, e)
		log := k.log.With("site", e.Site, "days", len(e.Dates), "events", e.Events, "keep_days", e.KeepDays)
		switch {
		case err != nil:
		case e.Left != "":
			log.Warn("raw events stay because a rollup is not right: decide with `daybook rebuild`, --force accepts what the raw events give",
				"left", e.Left, "reason", e.Reason)
		default:
			log.Info("raw events expired", "kept_since", e.Before)
		}
		return err
	})
	return done, err
}

// expireSite removes the raw events of the dates of e, and leaves in it those
// of which it did.
func (k *Keeper) expireSite(ctx context.Context, e *Expired, zones *zones, w *reconcile.Work) error {
	dates := e.Dates
	e.Dates = nil
	for _, date := range dates {
		for _, day := range zones.days(zones.Zone, []string{date}) {
			rebuilt, left, err := w.Rebuild(ctx, store.DayKey{Site: e.Site, Zone: zones.Zone, Date: day})
			if err != nil {
				return fmt.Errorf("check %s|%s before its raw events expire: %w", e.Site, day, err)
			}
			// What is partial has been checked before the first of it went.
			if left != nil && !errors.Is(left, reconcile.ErrPartial) {
				e.Left, e.Reason = day, left.Error()
				return nil
			}
			if rebuilt {
				e.Rebuilt = append(e.Rebuilt, day)
			}
		}
		removed, err := k.store.Expire(ctx, e.Site, site.Shift(date, 1))
		e.Events += removed
		if err != nil {
			return fmt.Errorf("expire raw events of %s|%s: %w", e.Site, date, err)
		}
		e.Dates = append(e.Dates, date)
	}
	return nil
}
