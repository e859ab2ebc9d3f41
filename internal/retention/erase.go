package retention

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
)

// Erasure says what is to be erased of a site.
type Erasure struct {
	Site string `json:"site"`
	// User is whose events go; "" is everybody's, and the rollups go with
	// them.
	User string `json:"user,omitempty"`
	// Before is the date before which they go; "" is all.
	Before string `json:"before,omitempty"`
	// By tells who wants it.
	By string `json:"by,omitempty"`
}

// Farthest is the time zone in which days begin first.
var Farthest = time.FixedZone("UTC+14", 14*60*60)

// Validate tells what is wrong with it. now is the time in the time zone of the
// site; who does not know that gives the time in Farthest.
func (e *Erasure) Validate(now time.Time) error {
	if e.Site == "" {
		return errors.New("a site is needed of which to erase")
	}
	if e.Before == "" {
		return nil
	}
	if _, err := time.Parse(time.DateOnly, e.Before); err != nil {
		return fmt.Errorf("before %q is not a date: it is one that exists, as YYYY-MM-DD", e.Before)
	}
	// Later ones would be days to which events still come.
	if today := now.Format(time.DateOnly); e.Before > today {
		return fmt.Errorf("before %s is in the future: allowed is up to today, %s", e.Before, today)
	}
	return nil
}

// last gives the last date that is erased, "" if there is no bound.
func (e *Erasure) last() string { return site.Shift(e.Before, -1) }

// covers tells whether a date is erased.
func (e *Erasure) covers(date string) bool { return e.Before == "" || date < e.Before }

// Receipt tells what was erased and what was looked at afterwards. Of whose
// events they were it only has what was asked for.
type Receipt struct {
	Erasure
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
	// Days are those of which something went, in order.
	Days []ErasedDay `json:"days"`
	// Events and Rollups are how many raw events and rollups went in all.
	Events  int64 `json:"events"`
	Rollups int64 `json:"rollups"`
	// DeadLetters is how many dead letters went; Unknown how many are left of
	// which nobody can tell whose they are, because their lines are no events.
	DeadLetters int `json:"dead_letters"`
	Unknown     int `json:"unknown_dead_letters"`
	// Records is how many records of jobs told of the site and no more do.
	Records int `json:"records"`
	// NotRecomputed are dates whose rollups may have counted the user and
	// cannot be recomputed, because their raw events are not all kept.
	NotRecomputed []string `json:"not_recomputed,omitempty"`
	// Since are dates of the site of which events have come since it began;
	// their rollups are right.
	Since []string `json:"since,omitempty"`
	// Problem says why it is not complete; "" is complete. Erase again what
	// is not.
	Problem string `json:"problem,omitempty"`
}

// ErasedDay tells of one date.
type ErasedDay struct {
	Date string `json:"date"`
	// Events is how many raw events of the user went; without a user how many
	// events the rollup that went had counted.
	Events int64 `json:"events"`
	// State is how the rollup compares with the raw events that are left,
	// after it was rebuilt. It is only there with a user.
	State reconcile.State `json:"state,omitempty"`
}

// Erase erases. An error means that nothing was; what goes wrong later is the
// receipt's Problem.
func (k *Keeper) Erase(ctx context.Context, e Erasure) (*Receipt, error) {
	zones, err := k.zones(ctx, e.Site)
	if err != nil {
		return nil, err
	}
	if err := e.Validate(k.now().In(zones.location)); err != nil {
		return nil, err
	}
	last := e.last()
	receipt := &Receipt{Erasure: e, Began: k.now().UTC(), Days: []ErasedDay{}}
	begun := false // whether something may be gone
	job, err := k.runner.Alone(ctx, reconcile.KindErasure, reconcile.Range{Site: e.Site, To: last}, e.By, func(ctx context.Context, _ *reconcile.Work) error {
		// What is not counted yet would come back.
		drain, err := reconcile.NewDrain(ctx, k.queue)
		if err == nil {
			err = drain.Wait(ctx, k.store, k.patience)
		}
		if err != nil {
			return fmt.Errorf("nothing was erased: %w", err)
		}
		begun = true
		// First the dead letters: taking the rest away takes them off the disk.
		if err := k.eraseLetters(ctx, receipt, zones); err != nil {
			return err
		}
		if e.User != "" {
			return k.eraseUser(ctx, receipt, zones)
		}
		return k.eraseDays(ctx, receipt, zones, last)
	})
	receipt.Ended = k.now().UTC()
	if err != nil && !begun {
		if job != nil {
			err = errors.Join(err, k.store.DropJob(context.WithoutCancel(ctx), job.ID))
		}
		return nil, err
	}
	if err == nil && receipt.Problem == "" {
		// This erasure's own record, and those of earlier ones that were not
		// complete.
		_, err = k.runner.DropErasures(ctx, e.Site)
	}
	if err != nil {
		receipt.Problem = err.Error()
	}
	k.log.Info("erased", "site", e.Site, "before", e.Before, "a_user", e.User != "", "by", e.By, "days", len(receipt.Days),
		"events", receipt.Events, "rollups", receipt.Rollups, "dead_letters", receipt.DeadLetters, "problem", receipt.Problem)
	return receipt, nil
}

// eraseDays erases all of a site up to the last date.
func (k *Keeper) eraseDays(ctx context.Context, r *Receipt, zones *zones, last string) error {
	totals, err := k.totals(ctx, r.Site, zones.Zone, "", last)
	if err != nil {
		return err
	}
	raw, err := k.store.EventDates(ctx, r.Site, "", last)
	if err != nil {
		return fmt.Errorf("list the days of %s: %w", r.Site, err)
	}
	for _, date := range raw {
		totals[date] += 0
	}
	for _, date := range slices.Sorted(maps.Keys(totals)) {
		r.Days = append(r.Days, ErasedDay{Date: date, Events: totals[date]})
	}
	// What a rebuild has written again that had read it before, or a step that
	// was under way, goes in another round.
	const rounds = 3
	for round := 1; ; round++ {
		events, rollups, err := k.store.EraseDays(ctx, r.Site, r.Before)
		r.Events += events
		r.Rollups += rollups
		if err != nil {
			return fmt.Errorf("erase days of %s: %w", r.Site, err)
		}
		if err := k.runner.Quiet(ctx); err != nil {
			return err
		}
		wrong, err := k.lookAgain(ctx, r, last)
		if err != nil {
			return err
		}
		if wrong == "" {
			break
		}
		if round == rounds {
			return fmt.Errorf("%s|%s has come back: erase again when less is coming in for it", r.Site, wrong)
		}
	}
	return k.eraseTraces(ctx, r, zones)
}

// lookAgain looks at what there is of the erased days. It gives a date with
// something that should be gone, and puts into the receipt the dates of which
// new events have come.
func (k *Keeper) lookAgain(ctx context.Context, r *Receipt, last string) (wrong string, err error) {
	r.Since = nil
	err = reconcile.EachDay(ctx, k.store, reconcile.Range{Site: r.Site, To: last}, func(key store.DayKey) error {
		check, err := reconcile.CheckDay(ctx, k.store, key)
		if err != nil {
			return err
		}
		switch {
		case check.State == reconcile.OK:
			r.Since = append(r.Since, key.Date)
		case check.State == reconcile.Partial && check.Stored == nil && check.Damage == nil:
			// It may only have raw events that are dated later, in a time zone
			// that the site had before.
			dates, err := k.store.EventDates(ctx, r.Site, "", last)
			if err != nil {
				return err
			}
			if len(dates) > 0 {
				wrong = dates[0]
			}
		default:
			wrong = key.Date
		}
		return nil
	})
	return wrong, err
}

// eraseUser erases a user's events, and rebuilds the days of which some went.
func (k *Keeper) eraseUser(ctx context.Context, r *Receipt, zones *zones) error {
	removed, err := k.store.EraseUser(ctx, r.Site, r.User, r.Before)
	for _, n := range removed {
		r.Events += n
	}
	if err == nil {
		err = k.addUnfinished(ctx, r, zones, removed)
	}
	rollups, listErr := k.store.DayDates(ctx, r.Site, zones.Zone, "", "")
	err = errors.Join(err, listErr)
	for _, day := range zones.days(zones.Zone, slices.Sorted(maps.Keys(removed))) {
		if slices.Contains(rollups, day) {
			removed[day] += 0
		}
	}
	for _, date := range slices.Sorted(maps.Keys(removed)) {
		r.Days = append(r.Days, ErasedDay{Date: date, Events: removed[date]})
	}
	if ctx.Err() != nil {
		return err
	}
	// After another error these days are not right all the same.
	return errors.Join(err, k.recompute(ctx, r, zones), k.eraseTraces(ctx, r, zones))
}

// addUnfinished adds the dates that an earlier erasure of the site may have
// touched that did not come to its end.
func (k *Keeper) addUnfinished(ctx context.Context, r *Receipt, zones *zones, removed map[string]int64) error {
	ranges, err := k.runner.UnfinishedErasures(ctx, r.Site)
	for _, unfinished := range ranges {
		dates, err := k.store.DayDates(ctx, r.Site, zones.Zone, "", unfinished.To)
		if err != nil {
			return err
		}
		for _, date := range dates {
			removed[date] += 0
		}
	}
	return err
}

// recompute rebuilds the days of the receipt without what was erased, and
// checks them.
func (k *Keeper) recompute(ctx context.Context, r *Receipt, zones *zones) error {
	if err := k.rebuild(ctx, r, zones); err != nil {
		return err
	}
	if err := k.runner.Quiet(ctx); err != nil {
		return err
	}
	if err := k.rebuild(ctx, r, zones); err != nil {
		return err
	}
	// Rollups that are left of a time zone which the site had: nobody reads
	// them, and nobody rebuilds them.
	for _, zone := range zones.All() {
		if slices.Contains(zones.Folding(), zone) {
			continue
		}
		if err := k.store.DropRollups(ctx, r.Site, zone); err != nil {
			return fmt.Errorf("remove the rollups of %s in %s: %w", r.Site, site.ZoneName(zone), err)
		}
	}
	for i := range r.Days {
		day := &r.Days[i]
		check, err := reconcile.CheckDay(ctx, k.store, store.DayKey{Site: r.Site, Zone: zones.Zone, Date: day.Date})
		if err != nil {
			return err
		}
		day.State = check.State
		if day.State != reconcile.OK && day.State != reconcile.Partial {
			return fmt.Errorf("%s|%s was rebuilt and is not right: %s", r.Site, day.Date, day.State)
		}
	}
	return k.notRecomputed(ctx, r, zones)
}

// rebuild rebuilds the days of the receipt and their months, in each zone that
// the site has rollups in.
func (k *Keeper) rebuild(ctx context.Context, r *Receipt, zones *zones) error {
	opts := reconcile.Options{Limits: k.limits, Smaller: true}
	var rebuilt []store.DayKey
	for _, zone := range zones.Folding() {
		dates := make([]string, len(r.Days))
		for i := range r.Days {
			dates[i] = r.Days[i].Date
		}
		if zone != zones.Zone {
			dates = zones.days(zone, dates)
		}
		for _, date := range dates {
			key := store.DayKey{Site: r.Site, Zone: zone, Date: date}
			_, _, err := reconcile.RebuildDay(ctx, k.store, key, opts)
			if err != nil && !errors.Is(err, reconcile.ErrPartial) {
				return err
			}
			// Even if the day was right already: its month may be of before.
			rebuilt = append(rebuilt, key)
		}
	}
	_, err := reconcile.RebuildMonths(ctx, k.store, rebuilt, k.now())
	return err
}

// notRecomputed puts into the receipt which dates' rollups may still count the
// user.
func (k *Keeper) notRecomputed(ctx context.Context, r *Receipt, zones *zones) error {
	kept, err := k.store.KeptSince(ctx, r.Site)
	if err != nil || kept == "" {
		return err
	}
	dates, err := k.store.DayDates(ctx, r.Site, zones.Zone, "", "")
	for _, date := range dates {
		key := store.DayKey{Site: r.Site, Zone: zones.Zone, Date: date}
		if !site.Whole(key, zones.All(), kept) && r.covers(date) {
			r.NotRecomputed = append(r.NotRecomputed, date)
		}
	}
	return err
}

// eraseTraces erases what else there is: dead letters that have come meanwhile
// and, with a whole site, what the records of jobs tell of it.
func (k *Keeper) eraseTraces(ctx context.Context, r *Receipt, zones *zones) error {
	if err := k.eraseLetters(ctx, r, zones); err != nil {
		return err
	}
	if r.User != "" || r.Before != "" {
		return nil
	}
	changed, err := k.runner.Forget(ctx, r.Site)
	r.Records += changed
	return err
}
