package event

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/rollup"
)

func clock(t rapid.TB, zone, date string) Clock {
	t.Helper()
	c, err := NewClock(zone, date)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// oddDays are days on which something is unusual, with their hours.
var oddDays = []struct {
	zone, date string
	begin, end string // in UTC
	hours      float64
}{
	{"", "2026-11-24", "2026-11-24 00:00", "2026-11-25 00:00", 24},
	{"Europe/Berlin", "2026-11-24", "2026-11-23 23:00", "2026-11-24 23:00", 24},
	{"Europe/Berlin", "2026-03-29", "2026-03-28 23:00", "2026-03-29 22:00", 23},
	{"Europe/Berlin", "2026-10-25", "2026-10-24 22:00", "2026-10-25 23:00", 25},
	{"Asia/Kolkata", "2026-11-24", "2026-11-23 18:30", "2026-11-24 18:30", 24},
	{"Asia/Kathmandu", "2026-11-24", "2026-11-23 18:15", "2026-11-24 18:15", 24},
	{"Australia/Lord_Howe", "2026-04-05", "2026-04-04 13:00", "2026-04-05 13:30", 24.5},
	{"Australia/Lord_Howe", "2026-10-04", "2026-10-03 13:30", "2026-10-04 13:00", 23.5},
	{"Pacific/Kiritimati", "2026-11-24", "2026-11-23 10:00", "2026-11-24 10:00", 24},
	{"Pacific/Pago_Pago", "2026-11-24", "2026-11-24 11:00", "2026-11-25 11:00", 24},
	// Midnight does not exist: the clocks go from 23:59 to 01:00.
	{"America/Sao_Paulo", "2018-11-04", "2018-11-04 03:00", "2018-11-05 02:00", 23},
	// Midnight comes twice, as the clocks go from 01:00 back to 00:00.
	{"America/Havana", "2026-11-01", "2026-11-01 04:00", "2026-11-02 05:00", 25},
	// One minute after midnight the clocks went back to the day before.
	{"America/St_Johns", "2010-11-06", "2010-11-06 02:30", "2010-11-07 03:30", 25},
	{"America/St_Johns", "2010-11-07", "2010-11-07 02:30", "2010-11-08 03:30", 25},
	// Samoa went from one side of the date line to the other.
	{"Pacific/Apia", "2011-12-29", "2011-12-29 10:00", "2011-12-30 10:00", 24},
	{"Pacific/Apia", "2011-12-30", "1970-01-01 00:00", "1970-01-01 00:00", 0},
	{"Pacific/Apia", "2011-12-31", "2011-12-30 10:00", "2011-12-31 10:00", 24},
}

func TestClockOfOddDays(t *testing.T) {
	for _, day := range oddDays {
		c := clock(t, day.zone, day.date)
		const form = "2006-01-02 15:04"
		begin, end := time.UnixMilli(c.Begin).UTC().Format(form), time.UnixMilli(c.End).UTC().Format(form)
		if begin != day.begin || end != day.end || float64(c.End-c.Begin)/hourMs != day.hours {
			t.Errorf("%s in %q is from %s to %s, want from %s to %s, %v hours", day.date, day.zone, begin, end, day.begin, day.end, day.hours)
		}
	}
}

// checkClock compares a clock with what package time says at an instant.
func checkClock(t rapid.TB, c Clock, zone *time.Location, date string, at time.Time) {
	t.Helper()
	e := Event{Time: at.UTC(), User: "u"}
	if got, want := c.Contains(e.Time), e.Date(zone) == date; got != want {
		t.Fatalf("%s in %v contains %v: %t, want %t", date, zone, at, got, want)
	}
	if !c.Contains(e.Time) {
		return
	}
	got := e.ForFold(rollup.Position{Line: 7}, c)
	if want := at.In(zone).Hour(); got.Hour != want {
		t.Fatalf("%s in %v: the hour of %v is %d, want %d", date, zone, at, got.Hour, want)
	}
	if want := at.UnixMilli() - c.Begin; int64(got.At) != want || got.At >= 26*hourMs {
		t.Fatalf("%s in %v: %v is at %d, want %d", date, zone, at, got.At, want)
	}
	if got.Position.Line != 7 || got.User != "u" {
		t.Fatalf("ForFold gives %+v", got)
	}
}

// Around every odd day, each quarter of an hour and the milliseconds next to
// it.
func TestClockAgreesWithTime(t *testing.T) {
	for _, day := range oddDays {
		zone, err := Location(day.zone)
		if err != nil {
			t.Fatal(err)
		}
		c := clock(t, day.zone, day.date)
		middle, _ := time.Parse(time.DateOnly, day.date)
		for at := middle.Add(-40 * time.Hour); at.Before(middle.Add(64 * time.Hour)); at = at.Add(15 * time.Minute) {
			for _, off := range []time.Duration{-time.Millisecond, 0, time.Millisecond, time.Minute} {
				checkClock(t, c, zone, day.date, at.Add(off))
			}
		}
	}
}

// At any time in any zone, the clock of the date that the zone has then
// contains it, and those of its neighbours do not.
func TestClockOfAnyDay(t *testing.T) {
	zones := []string{"", "Europe/London", "America/New_York", "Africa/Casablanca", "Africa/Monrovia",
		"Asia/Tehran", "Asia/Gaza", "Australia/Lord_Howe", "Pacific/Chatham", "America/St_Johns", "Antarctica/Troll", "Pacific/Kwajalein"}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(zones).Draw(t, "zone")
		zone, err := Location(name)
		if err != nil {
			t.Fatal(err)
		}
		// From 1970 to 2100.
		at := time.UnixMilli(rapid.Int64Range(0, 4_100_000_000_000).Draw(t, "ms"))
		if _, change := at.In(zone).ZoneBounds(); !change.IsZero() && rapid.Bool().Draw(t, "near a change") {
			at = change.Add(time.Duration(rapid.Int64Range(-7_200_000, 7_200_000).Draw(t, "off")) * time.Millisecond)
		}
		y, m, d := at.In(zone).Date()
		for off := -1; off <= 1; off++ {
			date := time.Date(y, m, d+off, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
			checkClock(t, clock(t, name, date), zone, date, at)
		}
	})
}

func TestLocation(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "UTC", "America/Argentina/Ushuaia"} {
		for range 2 { // the second time from the cache
			if zone, err := Location(name); err != nil || zone.String() != name {
				t.Errorf("Location(%q) is %v, error %v", name, zone, err)
			}
		}
	}
	for _, name := range []string{"Local", "Europe/Nowhere", "../etc/passwd", "/etc/localtime", "Europe/Berlin ", strings.Repeat("x", 1000)} {
		zone, err := Location(name)
		if err == nil || !strings.Contains(err.Error(), "no time zone") || len(err.Error()) > 300 {
			t.Errorf("Location(%.30q) is %v, error %v", name, zone, err)
		}
	}
	if _, err := NewClock("Europe/Nowhere", "2026-11-24"); err == nil {
		t.Error("a clock in a zone that does not exist")
	}
	for _, date := range []string{"", "2026-11", "2026-02-30", "24.11.2026", "2026-11-24 "} {
		if _, err := NewClock("", date); err == nil || !strings.Contains(err.Error(), "YYYY-MM-DD") {
			t.Errorf("NewClock of %q: error %v", date, err)
		}
	}
}

func BenchmarkForFold(b *testing.B) {
	for _, date := range []string{"2026-11-24", "2026-10-25"} {
		b.Run(date, func(b *testing.B) {
			c := clock(b, "Europe/Berlin", date)
			e := Event{Time: time.UnixMilli(c.Begin + 5*hourMs).UTC(), User: "u"}
			b.ReportAllocs()
			for b.Loop() {
				if !c.Contains(e.Time) || e.ForFold(rollup.Position{}, c).At == 0 {
					b.Fatal("the event is not of the day")
				}
			}
		})
	}
}
