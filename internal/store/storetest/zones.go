package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// Zones that are the beginning of each other, or sort around the names of
// dates.
var zones = []string{"", "Etc/GMT", "Etc/GMT+1", "Etc/GMT-1", "Zulu"}

// testZones proves that rollups of different zones never mix.
func (b Backend) testZones(t *testing.T) {
	s, reopen := b.openTwice(t)
	dates := []string{"2026-11-23", date, "2026-11-25"}
	// Each rollup counts another number of events.
	want := map[store.DayKey]*rollup.Day{}
	for i, zone := range zones {
		for j, d := range dates {
			for k, name := range []string{site, site + "-"} {
				key := store.DayKey{Site: name, Zone: zone, Date: d}
				want[key] = newDay(key, stream, 8*i+2*j+k)
				swap(t, s, want[key])
			}
		}
	}
	wantAll := func(t *testing.T) {
		t.Helper()
		for _, zone := range zones {
			var heads []store.Head
			for _, d := range dates {
				key := store.DayKey{Site: site, Zone: zone, Date: d}
				wantDay(t, load(t, s, key), want[key])
				heads = append(heads, headOf(want[key]))
			}
			wantEqual(t, "dates of "+zone, siteDates(t, s, site, zone, "", ""), dates)
			wantEqual(t, "dates of "+zone, siteDates(t, s, site, zone, date, date), dates[1:2])
			wantEqual(t, "heads of "+zone, dayHeads(t, s, site, zone, "", ""), heads)
			got, err := s.DayDates(t.Context(), site, zone, "", date)
			check(t, err)
			wantEqual(t, "dates of "+zone, got, dates[:2])
		}
		sites, err := s.Sites(t.Context(), "", 10)
		check(t, err)
		wantEqual(t, "sites", sites, []string{site, site + "-"})
	}
	wantAll(t)
	s = reopen()
	wantAll(t)
	wantEqual(t, "dates of another zone", len(siteDates(t, s, site, "Etc", "", "")), 0)

	// A write in one zone is no conflict in another.
	for _, zone := range zones {
		d := want[store.DayKey{Site: site, Zone: zone, Date: date}]
		foldUpTo(d, stream, 50)
		swap(t, s, d)
	}
	wantAll(t)
	_, err := s.Day(t.Context(), store.DayKey{Site: site, Zone: "Europe/Berlin", Date: date})
	wantErr(t, err, store.ErrNotFound)
}

// testDayHeads proves DayHeads and DayDates.
func (b Backend) testDayHeads(t *testing.T) {
	for _, zone := range []string{"", "Asia/Kolkata"} {
		t.Run("Zone"+zone, func(t *testing.T) {
			s := b.open(t)
			dates := []string{"2025-12-31", "2026-01-01", "2026-02-28", date}
			var heads []store.Head
			for i, d := range dates {
				key := store.DayKey{Site: site, Zone: zone, Date: d}
				rolled := newDay(key, stream, 10*i)
				swap(t, s, rolled)
				foldUpTo(rolled, stream, 10*i+i)
				signup := rollup.Event{Position: at(100), User: "u"}
				signup.Values[rollup.EventType] = "signup"
				rolled.Fold(stream, []rollup.Event{signup})
				swap(t, s, rolled)
				heads = append(heads, headOf(rolled))
			}
			swap(t, s, newDay(store.DayKey{Site: site + ".b", Zone: zone, Date: "2026-03-03"}, stream, 1))
			insertOn(t, s, store.DayKey{Site: site, Date: "2026-04-04"}, 1) // has no rollup
			wantEqual(t, "heads", dayHeads(t, s, site, zone, "", ""), heads)

			damaged := store.DayKey{Site: site, Zone: zone, Date: date}
			for name, damage := range b.Damage {
				damage(t, s, damaged)
				got := dayHeads(t, s, site, zone, "", "")
				if len(got) != len(dates) || got[3].Date != date {
					t.Fatalf("after damage %s the heads are %v", name, got)
				}
				break
			}
			for _, c := range []struct {
				site, from, to string
				want           []string
			}{
				{site, "", "", dates},
				{site, "2026-01-01", "", dates[1:]},
				{site, "", "2026-01-01", dates[:2]},
				{site, "2026-01-01", "2026-02-28", dates[1:3]},
				{site, "2026-01-02", "2026-02-27", nil},
				{site, "2027-01-01", "2026-01-01", nil},
				{site + ".b", "", "", []string{"2026-03-03"}},
				{"nowhere", "", "", nil},
			} {
				what := fmt.Sprintf("dates of %s from %q to %q", c.site, c.from, c.to)
				got, err := s.DayDates(t.Context(), c.site, zone, c.from, c.to)
				check(t, err)
				wantEqual(t, what, got, c.want)
				got = nil
				for _, head := range dayHeads(t, s, c.site, zone, c.from, c.to) {
					got = append(got, head.Date)
				}
				wantEqual(t, what, got, c.want)
			}
		})
	}
}

func headOf(d *rollup.Day) store.Head {
	return store.Head{Date: d.Date, Rev: d.Rev, Events: d.Events, Views: d.Views}
}

func dayHeads(t tb, s store.Store, site, zone, from, to string) []store.Head {
	t.Helper()
	heads, err := s.DayHeads(t.Context(), site, zone, from, to)
	check(t, err)
	return heads
}

// testDropRollups proves DropRollups.
func (b Backend) testDropRollups(t *testing.T) {
	for _, zone := range stockZones {
		t.Run("Zone"+zone, func(t *testing.T) {
			s, reopen := b.openTwice(t)
			stocks := fill(t, s)
			key := store.DayKey{Site: site, Zone: zone, Date: date}
			cached := load(t, s, key)

			check(t, s.DropRollups(t.Context(), site, "Asia/Kolkata"))
			wantStocks(t, s, stocks)
			check(t, s.DropRollups(t.Context(), site, zone))
			for _, d := range stockDates {
				delete(stocks[site].days, inZone(zone, d))
				delete(stocks[site].months, inZone(zone, d[:len("2026-01")]))
			}
			wantStocks(t, s, stocks)
			wantEqual(t, "heads", len(dayHeads(t, s, site, zone, "", "")), 0)
			s = reopen()
			wantStocks(t, s, stocks)

			// Whoever still has one finds a conflict, also when there is a new one.
			wantErr(t, s.SwapDay(t.Context(), cached), store.ErrConflict)
			passRev(cached.Rev)
			fresh := newDay(key, stream, 1)
			swap(t, s, fresh)
			if fresh.Rev <= cached.Rev {
				t.Errorf("the new rollup has rev %d, the dropped one had %d", fresh.Rev, cached.Rev)
			}
			wantErr(t, s.SwapDay(t.Context(), cached), store.ErrConflict)
			wantDay(t, load(t, s, key), fresh)
		})
	}
}

// newMonth makes a month of days with the heads given.
func newMonth(key store.DayKey, days ...store.Head) *rollup.Day {
	month := store.NewDay(key)
	month.Marks = nil
	for _, head := range days {
		d := newDay(store.DayKey{Site: key.Site, Zone: key.Zone, Date: head.Date}, stream, int(head.Rev%9))
		month.Merge(d)
		month.Parts = append(month.Parts, rollup.Part{Date: head.Date, Rev: head.Rev})
	}
	return month
}

// testMonths proves Month and PutMonth.
func (b Backend) testMonths(t *testing.T) {
	s, reopen := b.openTwice(t)
	_, err := s.Month(t.Context(), month, rollup.AllFields)
	wantErr(t, err, store.ErrNotFound)

	months := map[store.DayKey]*rollup.Day{}
	for _, zone := range []string{"", "Asia/Kolkata", "Europe/Berlin"} {
		for _, date := range []string{"2026-10", "2026-11"} {
			for _, name := range []string{site, site + ".b"} {
				key := store.DayKey{Site: name, Zone: zone, Date: date}
				months[key] = newMonth(key, store.Head{Date: date + "-01", Rev: uint64(10 + len(months))}, store.Head{Date: date + "-30", Rev: 1 << 41})
				check(t, s.PutMonth(t.Context(), months[key]))
			}
		}
	}
	wantAll := func(t *testing.T) {
		t.Helper()
		for key, want := range months {
			wantMonth(t, s, key, want)
		}
	}
	wantAll(t)
	s = reopen()
	wantAll(t)

	t.Run("Replaced", func(t *testing.T) {
		months[month] = newMonth(month, store.Head{Date: date, Rev: 77})
		check(t, s.PutMonth(t.Context(), months[month]))
		wantAll(t)
	})
	t.Run("Removed", func(t *testing.T) {
		for range 2 { // one that is not there, too
			check(t, s.PutMonth(t.Context(), newMonth(month)))
			_, err := s.Month(t.Context(), month, rollup.AllFields)
			wantErr(t, err, store.ErrNotFound)
		}
		delete(months, month)
		wantAll(t)
	})
	t.Run("IsNoDay", func(t *testing.T) {
		wantEqual(t, "dates of rollups", len(siteDates(t, s, site, "", "", "")), 0)
		wantEqual(t, "heads", len(dayHeads(t, s, site, "", "", "")), 0)
		_, err := s.Day(t.Context(), month)
		wantErr(t, err, store.ErrNotFound)
		swap(t, s, newDay(day, stream, 3))
		_, err = s.Month(t.Context(), day, rollup.AllFields)
		wantErr(t, err, store.ErrNotFound)
		wantAll(t)
	})
}

func wantMonth(t tb, s store.Store, key store.DayKey, want *rollup.Day) {
	t.Helper()
	got, err := s.Month(t.Context(), key, rollup.AllFields)
	check(t, err)
	got.Rev = want.Rev // which says nothing
	wantDay(t, got, want)
	if !slices.Equal(got.Parts, want.Parts) {
		t.Fatalf("parts of month %s are %v, want %v", key, got.Parts, want.Parts)
	}
}

// testScanDates proves that ScanDay gives the events of several dates in the
// order of their positions.
func (b Backend) testScanDates(t *testing.T) {
	s := b.open(t)
	dates := []string{"2026-11-22", "2026-11-23", date, "2026-11-25", "2026-11-26"}
	// The dates take turns in both streams, in runs of different lengths.
	var all []store.Event
	for _, name := range []string{"1:0", "1:1"} {
		for n := 1; n <= 40; n++ {
			e := newEvent(fmt.Sprint(name, " ", n), n)
			e.Stream, e.Date = name, dates[n*n/3%len(dates)]
			all = append(all, e)
		}
	}
	only := newEvent("in a stream of its own", 7)
	only.Stream, only.Date = "1:00", dates[3]
	all = append(all, only)
	shuffled := slices.Clone(all)
	slices.Reverse(shuffled)
	insert(t, s, shuffled...)
	other := newEvent("of another site", 1)
	other.Site = site + date
	insert(t, s, other)

	marks := rollup.Marks{"1:0": at(9), "1:1": at(4)}
	upTo := rollup.Marks{"1:0": at(30), "1:1": at(39), "1:00": at(7), "9:9": at(1)}
	for n := 0; n <= len(dates); n++ {
		for first := 0; first+n <= len(dates); first++ {
			some := dates[first : first+n]
			for _, c := range []struct{ after, upTo rollup.Marks }{{nil, nil}, {marks, nil}, {nil, upTo}, {marks, upTo}, {upTo, marks}} {
				var want []store.Event
				for _, name := range []string{"1:0", "1:00", "1:1"} {
					for _, e := range all {
						if e.Stream == name && slices.Contains(some, e.Date) && !c.after.Covers(e.Stream, e.Position) &&
							(c.upTo == nil || c.upTo.Covers(e.Stream, e.Position)) {
							want = append(want, e)
						}
					}
				}
				wantEqual(t, fmt.Sprintf("events of %v after %v up to %v", some, c.after, c.upTo),
					scanDates(t, s, site, some, c.after, c.upTo), want)
			}
		}
	}
}

// testFoldZones proves that FoldDay finds all events of a day, and no others,
// in whatever zones their dates are.
func (b Backend) testFoldZones(t *testing.T) {
	s := b.open(t)
	zones := []string{"", "Europe/Berlin", "Pacific/Apia", "Asia/Kathmandu"}
	var locations []*time.Location
	for _, zone := range zones {
		location, err := time.LoadLocation(zone)
		check(t, err)
		locations = append(locations, location)
	}
	// An event every quarter of an hour around the change of the clocks, the
	// site in another zone for each.
	begin := time.Date(2026, 10, 24, 0, 0, 0, 0, time.UTC)
	var events []store.Event
	for n := range 4 * 24 * 3 {
		e := newEvent(fmt.Sprint(n), n+1)
		e.Time = begin.Add(time.Duration(n) * 15 * time.Minute)
		e.Date = e.Time.In(locations[n%len(zones)]).Format(time.DateOnly)
		events = append(events, e)
	}
	insert(t, s, events...)
	for i, zone := range zones {
		counted := uint64(0)
		for _, d := range []string{"2026-10-23", "2026-10-24", "2026-10-25", "2026-10-26", "2026-10-27"} {
			var want [24]uint64
			for _, e := range events {
				if local := e.Time.In(locations[i]); local.Format(time.DateOnly) == d {
					want[local.Hour()]++
					counted++
				}
			}
			folded := store.NewDay(store.DayKey{Site: site, Zone: zone, Date: d})
			check(t, store.FoldDay(t.Context(), s, folded, zones, nil))
			wantEqual(t, fmt.Sprintf("events of the hours of %s in %q", d, zone), folded.HourEvents, want)
		}
		wantEqual(t, "events of all days in "+zone, counted, uint64(len(events)))
	}
}
