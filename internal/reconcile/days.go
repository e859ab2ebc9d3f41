package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

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

// dayLister is what it takes to find days.
type dayLister interface {
	store.Inventory
	EventDates(ctx context.Context, site, from, to string) ([]string, error)
}

// sitesAtOnce is how many sites are asked for at once.
const sitesAtOnce = 1000

// EachDay calls fn for each day of the range that has a rollup or raw events,
// in the order of sites and dates. An error of fn ends it and is returned.
func EachDay(ctx context.Context, st dayLister, r Range, fn func(store.DayKey) error) error {
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

func eachDate(ctx context.Context, st dayLister, site string, r Range, fn func(store.DayKey) error) error {
	rollups, err := st.DayDates(ctx, site, r.From, r.To)
	if err != nil {
		return fmt.Errorf("list the rollups of %s: %w", site, err)
	}
	events, err := st.EventDates(ctx, site, r.From, r.To)
	if err != nil {
		return fmt.Errorf("list the days of %s: %w", site, err)
	}
	dates := slices.Concat(rollups, events)
	slices.Sort(dates)
	for _, date := range slices.Compact(dates) {
		if err := fn(store.DayKey{Site: site, Date: date}); err != nil {
			return err
		}
	}
	return nil
}
