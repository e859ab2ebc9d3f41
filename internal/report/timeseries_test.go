package report_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/rollup"
)

// setZone makes a time zone that of a site.
func setZone(t *testing.T, st *brokenStore, name, zone string) {
	t.Helper()
	_, err := site.NewDirectory(st, 0).Change(t.Context(), name, func(s *site.Settings) error {
		*s = site.Settings{Zone: zone, Zones: []string{zone}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// putZoned stores rollups of page views at the times, each of another user.
func putZoned(t *testing.T, st *brokenStore, name, zone string, times ...string) {
	t.Helper()
	location, err := event.Location(zone)
	if err != nil {
		t.Fatal(err)
	}
	days := map[string]*rollup.Day{}
	for i, text := range times {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		e := event.Event{Site: name, User: text, Time: at}
		e.Values[rollup.EventType], e.Values[rollup.Path] = rollup.PageView, "/"
		date := e.Date(location)
		clock, err := event.NewClock(zone, date)
		if err != nil {
			t.Fatal(err)
		}
		if days[date] == nil {
			days[date] = rollup.NewDay(name, date)
			days[date].Zone = zone
		}
		days[date].Fold("1:0", []rollup.Event{e.ForFold(rollup.Position{Entry: rollup.EntryID{Ms: uint64(i + 1)}}, clock)})
	}
	for _, day := range days {
		if err := st.SwapDay(t.Context(), day); err != nil {
			t.Fatal(err)
		}
	}
}

// events gives the number of events of each bucket by its start.
func eventsByStart(buckets []report.Bucket) map[string]uint64 {
	events := map[string]uint64{}
	for _, b := range buckets {
		events[b.Start] = b.Events
	}
	return events
}

// Hours are those that clocks show: one that is left out has no bucket, one
// that comes twice has one.
func TestHoursWhereClocksChange(t *testing.T) {
	st := newStore(t)
	h := serve(st, report.Options{}, quiet)
	for _, c := range []struct {
		zone, date string
		times      []string
		hours      int
		missing    string
		want       map[string]uint64
	}{
		{
			zone: "Europe/Berlin", date: "2026-03-29", hours: 23, missing: "2026-03-29T02:00",
			times: []string{"2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"},
			want:  map[string]uint64{"2026-03-29T01:00": 1, "2026-03-29T03:00": 1},
		},
		{
			zone: "Europe/Berlin", date: "2026-10-25", hours: 24,
			times: []string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
			want:  map[string]uint64{"2026-10-25T02:00": 2},
		},
		{
			// From 02:00 to 02:30, so that half of the hour is shown.
			zone: "Australia/Lord_Howe", date: "2026-10-04", hours: 24,
			times: []string{"2026-10-03T15:45:00Z"},
			want:  map[string]uint64{"2026-10-04T02:00": 1},
		},
		{
			zone: "Asia/Kolkata", date: "2026-10-04", hours: 24,
			times: []string{"2026-10-03T18:30:00Z", "2026-10-04T18:29:59Z"},
			want:  map[string]uint64{"2026-10-04T00:00": 1, "2026-10-04T23:00": 1},
		},
		{
			// The day begins at 01:00.
			zone: "America/Sao_Paulo", date: "2018-11-04", hours: 23, missing: "2018-11-04T00:00",
			times: []string{"2018-11-04T03:00:00Z"},
			want:  map[string]uint64{"2018-11-04T01:00": 1},
		},
		{
			zone: "Pacific/Apia", date: "2011-12-30", hours: 0, // there was no such day
		},
	} {
		name := strings.NewReplacer("/", ".").Replace(c.zone) + c.date
		setZone(t, st, name, c.zone)
		putZoned(t, st, name, c.zone, c.times...)
		var got report.Timeseries
		fetch(t, h, "/stats/timeseries", url.Values{"site_id": {name}, "date": {c.date}, "interval": {"hour"}}, &got)
		if got.Timezone != c.zone || len(got.Buckets) != c.hours {
			t.Errorf("%s on %s: %d hours in %s, want %d", c.zone, c.date, len(got.Buckets), got.Timezone, c.hours)
		}
		events := eventsByStart(got.Buckets)
		if _, shown := events[c.missing]; shown {
			t.Errorf("%s: there is a bucket for %s", c.zone, c.missing)
		}
		for start, n := range events {
			if n != c.want[start] {
				t.Errorf("%s: %d events at %s, want %d", c.zone, n, start, c.want[start])
			}
		}
		if got.Total.Events != uint64(len(c.times)) {
			t.Errorf("%s: %d events of %d", c.zone, got.Total.Events, len(c.times))
		}
	}
}

// Without an interval the buckets are few enough for a chart and enough to see
// something; an interval that makes too many is refused.
func TestIntervals(t *testing.T) {
	st := newStore(t)
	st.put(t, history{newEvent("a", "2025-11-02", "/", "u", 0), newEvent("a", "2026-11-01", "/", "u", 1)})
	h := serve(st, report.Options{}, quiet)
	for query, want := range map[string]string{
		"date=2026-11-01":                                "hour 24",
		"from=2026-11-01&to=2026-11-02":                  "hour 48",
		"from=2026-11-01&to=2026-11-03":                  "day 3",
		"from=2026-11-01&to=2026-11-03&compare=previous": "day 3",
		"from=2026-01-01&to=2026-04-02":                  "day 92",
		"from=2026-01-01&to=2026-04-03":                  "week 14",
		"from=2024-01-01&to=2024-12-31":                  "week 53",
		"from=2024-01-01&to=2025-01-01":                  "month 13",
		"period=all":                                     "week 53",
		"from=2027-01-01":                                "day 0",
		"from=2026-10-31&to=2026-11-01&interval=month":   "month 2",
		"from=2026-11-01&to=2026-11-02&interval=week":    "week 2",
		"from=2020-01-01&to=2026-07-27&interval=day":     "day 2400",
		"from=2026-01-01&to=2026-04-10&interval=hour":    "hour 2400",
		"date=9999-12-31":                                "hour 24",
		"from=9999-12-01&to=9999-12-31&interval=day":     "day 31",
		"from=9999-12-01&to=9999-12-31&interval=month":   "month 1",
	} {
		values, err := url.ParseQuery("site_id=a&" + query)
		if err != nil {
			t.Fatal(err)
		}
		var got report.Timeseries
		fetch(t, h, "/stats/timeseries", values, &got)
		if text := fmt.Sprint(got.Interval, " ", len(got.Buckets)); text != want {
			t.Errorf("%s: %s, want %s", query, text, want)
		}
	}
	for _, query := range []string{
		"from=2020-01-01&to=2026-07-28&interval=day", "from=2026-01-01&to=2026-04-11&interval=hour",
		"from=0001-01-01&to=9999-12-31&interval=month", "from=0001-01-01&to=9999-12-31",
	} {
		w := getAs(t, h, "/stats/timeseries?site_id=a&"+query, "")
		if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), `"field":"interval"`) {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}
