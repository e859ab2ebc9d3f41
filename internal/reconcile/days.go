package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
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
	store.Records
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
	days, err := site.EventDays(ctx, st, name, zone, zones, r.From, r.To)
	if err != nil {
		return nil, fmt.Errorf("list the days of %s: %w", name, err)
	}
	// Where raw events are dated in other zones too, those of a date need not
	// lie in each day that it touches.
	sure := len(zones) == 1 && zones[0] == zone
	rollups := len(dates)
	for _, date := range days {
		if _, has := slices.BinarySearch(dates[:rollups], date); has {
			continue
		}
		has := sure
		if !sure {
			key := store.DayKey{Site: name, Zone: zone, Date: date}
			if has, err = site.HasEvents(ctx, st, key, zones); err != nil {
				return nil, fmt.Errorf("look for events of %s: %w", key, err)
			}
		}
		if has {
			dates = append(dates, date)
		}
	}
	slices.Sort(dates)
	return dates, nil
}

// zonesOf gives the zones that raw events of a site may be dated in.
func zonesOf(ctx context.Context, st store.Records, name string) ([]string, error) {
	settings, err := site.NewDirectory(st, 0).Get(ctx, name)
	return settings.All(), err
}
