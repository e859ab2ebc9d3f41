package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// Range is a set of days.
type Range struct {
	// Site is the days' site; "" is all sites.
	Site string `json:"site,omitempty"`
	// From and To bound the dates, both included; "" is no bound.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// Validate tells which date is wrong.
func (r Range) Validate() error {
	for _, bound := range []struct{ name, date string }{{"from", r.From}, {"to", r.To}} {
		if _, err := time.Parse(time.DateOnly, bound.date); bound.date != "" && err != nil {
			return fmt.Errorf("%s %q is not a date: it is one that exists, as YYYY-MM-DD", bound.name, bound.date)
		}
	}
	if r.From != "" && r.To != "" && r.From > r.To {
		return fmt.Errorf("from %s is later than to %s", r.From, r.To)
	}
	return nil
}

// Lister is what it takes to find days.
type Lister interface {
	store.Inventory
	store.Events
	store.SiteRecords
}

// sitesAtOnce is how many sites are asked for at once.
const sitesAtOnce = 1000

// EachDay calls fn for each day of the range that has a rollup or raw events,
// in the order of sites and dates. Days are those of the zone in which answers
// about their site are read. An error of fn ends it and is returned.
func EachDay(ctx context.Context, st Lister, r Range, fn func(store.DayKey) error) error {
	if r.Site != "" {
		return eachDate(ctx, st, r.Site, r, fn)
	}
	return EachSite(ctx, st, func(site string) error { return eachDate(ctx, st, site, r, fn) })
}

// EachSite calls fn for each site that has rollups or raw events, in order. An
// error of fn ends it and is returned.
func EachSite(ctx context.Context, st store.Inventory, fn func(site string) error) error {
	for after := ""; ; {
		sites, err := st.Sites(ctx, after, sitesAtOnce)
		if err != nil {
			return fmt.Errorf("list sites: %w", err)
		}
		for _, site := range sites {
			if err := fn(site); err != nil {
				return err
			}
		}
		if len(sites) < sitesAtOnce {
			return nil
		}
		after = sites[len(sites)-1]
	}
}

func eachDate(ctx context.Context, st Lister, name string, r Range, fn func(store.DayKey) error) error {
	settings, err := site.NewDirectory(st, 0).Get(ctx, name)
	if err != nil {
		return err
	}
	dates, err := datesOf(ctx, st, name, settings.Zone, settings.All(), r)
	if err != nil {
		return err
	}
	for _, date := range dates {
		if err := fn(store.DayKey{Site: name, Zone: settings.Zone, Date: date}); err != nil {
			return err
		}
	}
	return nil
}

// datesOf lists the days of a site in a zone that have a rollup or raw events,
// in order. zones are those that its raw events may be dated in.
func datesOf(ctx context.Context, st Lister, name, zone string, zones []string, r Range) ([]string, error) {
	dates, err := st.DayDates(ctx, name, zone, r.From, r.To)
	if err != nil {
		return nil, fmt.Errorf("list the rollups of %s: %w", name, err)
	}
	known := make(map[string]bool, len(dates))
	for _, date := range dates {
		known[date] = true
	}
	add := func(date string) {
		known[date] = true
		dates = append(dates, date)
	}
	if len(zones) == 1 && zones[0] == zone {
		raw, err := st.EventDates(ctx, name, r.From, r.To)
		if err != nil {
			return nil, fmt.Errorf("list the days of %s: %w", name, err)
		}
		for _, date := range raw {
			if !known[date] {
				add(date)
			}
		}
	} else {
		touched, err := touchedDates(ctx, st, name, zone, zones, r)
		if err != nil {
			return nil, err
		}
		for _, date := range touched {
			if known[date] {
				continue
			}
			has, err := hasEvents(ctx, st, store.DayKey{Site: name, Zone: zone, Date: date}, zones)
			if err != nil {
				return nil, err
			}
			if has {
				add(date)
			}
		}
	}
	slices.Sort(dates)
	return dates, nil
}

// farthest is how many days a date in one time zone can be from the date that
// it is in another one at the same time, at most: zones are up to 26 hours
// apart.
const farthest = 2

// touchedDates lists the days of a site in a zone that may have raw events, in
// no order.
func touchedDates(ctx context.Context, st Lister, name, zone string, zones []string, r Range) ([]string, error) {
	raw, err := st.EventDates(ctx, name, shift(r.From, -farthest), shift(r.To, farthest))
	if err != nil {
		return nil, fmt.Errorf("list the days of %s: %w", name, err)
	}
	var dates []string
	for _, date := range daysOf(raw, zone, zones) {
		if (r.From == "" || date >= r.From) && (r.To == "" || date <= r.To) {
			dates = append(dates, date)
		}
	}
	return dates, nil
}

// daysOf lists the days in a zone whose events may have one of the raw dates,
// in no order.
func daysOf(raw []string, zone string, zones []string) []string {
	var dates []string
	seen := map[string]bool{}
	for _, date := range raw {
		for days := -farthest; days <= farthest; days++ {
			day := shift(date, days)
			if !seen[day] && slices.Contains(store.RawDates(zone, day, zones), date) {
				seen[day] = true
				dates = append(dates, day)
			}
		}
	}
	return dates
}

// shift gives the date so many days later; what is no date stays as it is.
func shift(date string, days int) string {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return date
	}
	return t.AddDate(0, 0, days).Format(time.DateOnly)
}

var errFound = errors.New("found")

// hasEvents tells whether a day has raw events.
func hasEvents(ctx context.Context, st store.Events, key store.DayKey, zones []string) (bool, error) {
	err := eachEvent(ctx, st, key, zones, nil, nil, func(*store.Event) error { return errFound })
	if errors.Is(err, errFound) {
		return true, nil
	}
	return false, err
}

// eachEvent calls fn for the raw events of a day, as ScanDay does. zones are
// those that raw events of the site may be dated in.
func eachEvent(ctx context.Context, st store.Events, key store.DayKey, zones []string, after, upTo rollup.Marks, fn func(*store.Event) error) error {
	clock, err := event.NewClock(key.Zone, key.Date)
	if err != nil {
		return fmt.Errorf("day %s: %w", key, err)
	}
	return st.ScanDay(ctx, key.Site, store.RawDates(key.Zone, key.Date, zones), after, upTo, func(e *store.Event) error {
		if !clock.Contains(e.Time) {
			return nil
		}
		return fn(e)
	})
}

// zonesOf gives the zones that raw events of a site may be dated in.
func zonesOf(ctx context.Context, st store.SiteRecords, name string) ([]string, error) {
	settings, err := site.NewDirectory(st, 0).Get(ctx, name)
	return settings.All(), err
}

// whole tells whether the raw events of a day are all there, if those of dates
// from kept on are.
func whole(key store.DayKey, zones []string, kept string) bool {
	return kept == "" || store.RawDates(key.Zone, key.Date, zones)[0] >= kept
}
