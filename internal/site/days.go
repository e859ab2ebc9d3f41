package site

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// Raw events keep the date that they were stored with, and rollups are kept in
// the zones that the site has now. These functions tell which days of a rollup
// and which dates of raw events belong together. zones are always all that raw
// events of the site may be dated in, as Settings.All gives them.

// farthest is how many days the date in one time zone can be from the date at
// the same time in another one: zones are up to 26 hours apart.
const farthest = 2

// Days lists the days in a zone whose raw events may have one of the dates, in
// order.
func Days(zone string, zones, dates []string) []string {
	if len(zones) == 1 && zones[0] == zone {
		return dates
	}
	seen := map[string]bool{}
	var days []string
	for _, date := range dates {
		for n := -farthest; n <= farthest; n++ {
			day := Shift(date, n)
			if !seen[day] && slices.Contains(store.RawDates(zone, day, zones), date) {
				seen[day] = true
				days = append(days, day)
			}
		}
	}
	slices.Sort(days)
	return days
}

// EventDays lists the days in a zone with from <= day <= to of which a site may
// have raw events, in order. An empty from or to is no bound.
func EventDays(ctx context.Context, events store.Events, site, zone string, zones []string, from, to string) ([]string, error) {
	if len(zones) == 1 && zones[0] == zone {
		return events.EventDates(ctx, site, from, to)
	}
	until := Shift(to, farthest)
	if len(until) > len(time.DateOnly) {
		until = "" // behind the last date that there is
	}
	dates, err := events.EventDates(ctx, site, Shift(from, -farthest), until)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(Days(zone, zones, dates), func(day string) bool {
		return from != "" && day < from || to != "" && day > to
	}), nil
}

// Shift gives the date so many days later; what is no date stays as it is.
func Shift(date string, days int) string {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return date
	}
	return t.AddDate(0, 0, days).Format(time.DateOnly)
}

// Whole tells whether the raw events of a day are all there, when those with
// dates from kept on are; "" says that all are.
func Whole(key store.DayKey, zones []string, kept string) bool {
	return kept == "" || store.RawDates(key.Zone, key.Date, zones)[0] >= kept
}

// EachEvent calls fn for the raw events of a day beyond the marks of after and
// at or below those of upTo, as store.Events.ScanDay does.
func EachEvent(ctx context.Context, events store.Events, key store.DayKey, zones []string, after, upTo rollup.Marks, fn func(*store.Event) error) error {
	clock, err := event.NewClock(key.Zone, key.Date)
	if err != nil {
		return fmt.Errorf("day %s: %w", key, err)
	}
	return events.ScanDay(ctx, key.Site, store.RawDates(key.Zone, key.Date, zones), after, upTo, func(e *store.Event) error {
		if !clock.Contains(e.Time) {
			return nil
		}
		return fn(e)
	})
}

var errFound = errors.New("found")

// HasEvents tells whether a day has raw events.
func HasEvents(ctx context.Context, events store.Events, key store.DayKey, zones []string) (bool, error) {
	err := EachEvent(ctx, events, key, zones, nil, nil, func(*store.Event) error { return errFound })
	if errors.Is(err, errFound) {
		return true, nil
	}
	return false, err
}
