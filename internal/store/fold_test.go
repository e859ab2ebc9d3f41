package store

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/rollup"
)

func TestRawDates(t *testing.T) {
	for _, c := range []struct {
		name, zone, date string
		zones            []string
		want             string
	}{
		{"OwnZone", "Europe/Berlin", "2026-11-24", nil, "2026-11-24"},
		{"OneZone", "", "2026-11-24", []string{""}, "2026-11-24"},
		{"ToTheEast", "Europe/Berlin", "2026-11-24", []string{"", "Europe/Berlin"}, "2026-11-23 2026-11-24"},
		{"ToTheWest", "America/New_York", "2026-11-24", []string{"", "America/New_York"}, "2026-11-24 2026-11-25"},
		// Midnight of one is midnight of the other, so that no date too much is
		// read.
		{"SameOffset", "Europe/Berlin", "2026-11-24", []string{"Europe/Paris"}, "2026-11-24"},
		{"BothWays", "", "2026-11-24", []string{"Asia/Tokyo", "America/New_York"}, "2026-11-23 2026-11-24 2026-11-25"},
		{"FarApart", "Pacific/Kiritimati", "2026-11-24", []string{"Pacific/Pago_Pago"}, "2026-11-22 2026-11-23"},
		// A day of 25 hours that begins half an hour before midnight.
		{"Three", "America/New_York", "2015-11-01", []string{"America/Caracas"}, "2015-10-31 2015-11-01 2015-11-02"},
		{"EndOfYear", "", "2026-12-31", []string{"Asia/Tokyo"}, "2026-12-31 2027-01-01"},
		// Samoa went from the 29th to the 31st.
		{"Skipped", "Pacific/Apia", "2011-12-30", []string{"", "Pacific/Apia"}, "2011-12-30"},
		{"UnknownZone", "", "2026-11-24", []string{"Mars/Olympus"}, "2026-11-24"},
		{"UnknownOwnZone", "Mars/Olympus", "2026-11-24", nil, "2026-11-24"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(RawDates(c.zone, c.date, c.zones), " "); got != c.want {
				t.Errorf("dates are %s, want %s", got, c.want)
			}
		})
	}
}

// TestRawDatesHoldTheirEvents goes through instants of a year of changes of
// clocks: the date of each in any zone is among those that its day is read of.
func TestRawDatesHoldTheirEvents(t *testing.T) {
	zones := []string{"", "Europe/Berlin", "America/New_York", "America/Santiago", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca"}
	locations := make([]*time.Location, len(zones))
	for i, zone := range zones {
		var err error
		if locations[i], err = time.LoadLocation(zone); err != nil {
			t.Fatal(err)
		}
	}
	dates := map[string][]string{}
	for at := time.Date(2026, 1, 1, 0, 10, 0, 0, time.UTC); at.Year() < 2027; at = at.Add(2 * time.Hour) {
		for i, zone := range zones {
			date := at.In(locations[i]).Format(time.DateOnly)
			key := zone + date
			if dates[key] == nil {
				dates[key] = RawDates(zone, date, zones)
			}
			for _, location := range locations {
				if raw := at.In(location).Format(time.DateOnly); !slices.Contains(dates[key], raw) {
					t.Fatalf("%v has date %s in %v; it lies in %s of %q, of which %v are read", at, raw, location, date, zone, dates[key])
				}
			}
		}
	}
}

func TestFoldDayTellsOfUnknownZones(t *testing.T) {
	for _, c := range []struct {
		key   DayKey
		zones []string
		want  string
	}{
		{DayKey{Site: "a", Zone: "Mars/Olympus", Date: "2026-11-24"}, nil, "rollup a|2026-11-24|Mars/Olympus: there is no time zone \"Mars/Olympus\""},
		{DayKey{Site: "a", Date: "2026-11-24"}, []string{"", "Mars/Olympus"}, "rollup a|2026-11-24: there is no time zone \"Mars/Olympus\""},
		{DayKey{Site: "a", Date: "2026-11"}, nil, "rollup a|2026-11: date \"2026-11\""},
	} {
		day := rollup.NewDay(c.key.Site, c.key.Date)
		day.Zone = c.key.Zone
		// It must not come to read anything.
		if err := FoldDay(t.Context(), nil, day, c.zones, nil); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("error is %v, want %s", err, c.want)
		}
	}
}

func TestMonthsBefore(t *testing.T) {
	for date, want := range map[string]string{
		"":           "",
		"2026-03-01": "2026-02",
		"2026-03-02": "2026-03",
		"2026-01-01": "2025-12",
		"2026-10-31": "2026-10",
	} {
		last := ""
		for _, month := range []string{"2025-12", "2026-01", "2026-02", "2026-03", "2026-10", "2026-11"} {
			if bound := MonthsBefore(date); month < bound {
				last = month
			}
		}
		if last != want {
			t.Errorf("the last month with a day before %q is %q, want %q", date, last, want)
		}
	}
}

func TestNextRev(t *testing.T) {
	before := uint64(time.Now().UnixMilli())
	rev := NextRev(0)
	if after := uint64(time.Now().UnixMilli()); rev < before || rev > after {
		t.Errorf("the first rev is %d, want the time", rev)
	}
	if got := NextRev(rev); got != rev+1 {
		t.Errorf("the rev behind %d is %d", rev, got)
	}
}
