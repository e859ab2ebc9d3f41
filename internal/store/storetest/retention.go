package storetest

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// Names that are the beginning of each other, and the dates that each of them
// has in a stock.
var (
	stockSites = []string{"site-ab", site, site + ".b", site + "-2026"}
	stockDates = []string{"2026-01-31", "2026-02-01", date, "2026-11-25"}
)

// stock is what the store holds of one site.
type stock struct {
	// events are the IDs of the raw events of each date, days the rev of each
	// rollup, months those that are there, each with their zone and date.
	events map[string][]string
	days   map[string]uint64
	months map[string]bool
	kept   string
}

func newStock() *stock {
	return &stock{events: map[string][]string{}, days: map[string]uint64{}, months: map[string]bool{}}
}

// stockZones are the zones that a stock has rollups of.
var stockZones = []string{"", "Europe/Berlin"}

func inZone(zone, date string) string { return zone + " " + date }

// without takes the rollups with dates before the given one, or all, from a
// stock, and the months of these dates, and tells how many rollups it took.
func (s *stock) without(before string) (rollups int64) {
	for _, zone := range stockZones {
		for _, d := range stockDates {
			if before == "" || d < before {
				rollups++
				delete(s.days, inZone(zone, d))
			}
			if month := d[:len("2026-01")]; before == "" || month+"-01" < before {
				delete(s.months, inZone(zone, month))
			}
		}
	}
	return rollups
}

// perDate is how many raw events a stock has of each date: in turn of user u,
// of user uu, and of nobody.
const perDate = 7

func stockEvents(key store.DayKey) []store.Event {
	events := make([]store.Event, perDate)
	for i := range events {
		e := newEvent(fmt.Sprint(key.Date, " ", i), i+1)
		e.Site, e.Date = key.Site, key.Date
		e.User = []string{"u", "uu", ""}[i%3]
		if i%2 == 1 {
			e.Stream = "1:1"
		}
		events[i] = e
	}
	return events
}

// fill puts a stock of every site into the store.
func fill(t tb, s store.Store) map[string]*stock {
	t.Helper()
	stocks := map[string]*stock{}
	for _, name := range stockSites {
		stocks[name] = newStock()
		var all []store.Event
		for _, d := range stockDates {
			key := store.DayKey{Site: name, Date: d}
			events := stockEvents(key)
			stocks[name].events[d] = ids(events)
			all = append(all, events...)
			for _, zone := range stockZones {
				rolled := newDay(store.DayKey{Site: name, Zone: zone, Date: d}, stream, perDate)
				swap(t, s, rolled)
				stocks[name].days[inZone(zone, d)] = rolled.Rev
				key := store.DayKey{Site: name, Zone: zone, Date: d[:len("2026-01")]}
				check(t, s.PutMonth(t.Context(), newMonth(key, store.Head{Date: d, Rev: rolled.Rev})))
				stocks[name].months[inZone(zone, key.Date)] = true
			}
		}
		insert(t, s, all...)
	}
	return stocks
}

// wantStocks compares what the store holds with the stocks.
func wantStocks(t tb, s store.Store, stocks map[string]*stock) {
	t.Helper()
	var sites []string
	for name, want := range stocks {
		if len(want.events)+len(want.days) > 0 {
			sites = append(sites, name)
		}
		got := newStock()
		dates, err := s.EventDates(t.Context(), name, "", "")
		check(t, err)
		for _, d := range dates {
			got.events[d] = ids(scan(t, s, store.DayKey{Site: name, Date: d}, nil, nil))
			slices.Sort(got.events[d])
		}
		for _, zone := range stockZones {
			check(t, s.SiteDays(t.Context(), name, zone, "", "", rollup.AllFields, func(d *rollup.Day, damaged *store.DamagedError) error {
				if damaged != nil {
					return damaged
				}
				got.days[inZone(zone, d.Date)] = d.Rev
				return nil
			}))
			for _, d := range stockDates {
				key := store.DayKey{Site: name, Zone: zone, Date: d[:len("2026-01")]}
				if _, err := s.Month(t.Context(), key, rollup.AllFields); err == nil {
					got.months[inZone(zone, key.Date)] = true
				} else {
					wantErr(t, err, store.ErrNotFound)
				}
			}
		}
		got.kept, err = s.KeptSince(t.Context(), name)
		check(t, err)
		wantEqual(t, "stock of "+name, got, want)
	}
	slices.Sort(sites)
	got, err := s.Sites(t.Context(), "", 100)
	check(t, err)
	wantEqual(t, "sites", got, sites)
}

// insertAgain inserts all events of the stock again, as its client would: what
// is there is a duplicate, what is gone is new.
func insertAgain(t tb, s store.Store, stocks map[string]*stock) {
	t.Helper()
	for _, name := range stockSites {
		var events []store.Event
		var want []store.Result
		for _, d := range stockDates {
			for _, e := range stockEvents(store.DayKey{Site: name, Date: d}) {
				e.Stream = "again"
				events = append(events, e)
				result := store.Inserted
				if slices.Contains(stocks[name].events[d], e.ID) {
					result = store.Duplicate
				}
				want = append(want, result)
			}
		}
		wantEqual(t, "results of "+name, insert(t, s, events...), want)
	}
}

// testExpire proves Expire and KeptSince.
func (b Backend) testExpire(t *testing.T) {
	expire := func(t *testing.T, s store.Store, site, before string, want int64) {
		t.Helper()
		removed, err := s.Expire(t.Context(), site, before)
		check(t, err)
		wantEqual(t, "removed events", removed, want)
	}
	t.Run("Before", func(t *testing.T) {
		s, reopen := b.openTwice(t)
		stocks := fill(t, s)
		wantStocks(t, s, stocks)

		expire(t, s, site, date, 2*perDate)
		for _, d := range stockDates[:2] {
			delete(stocks[site].events, d)
		}
		stocks[site].kept = date
		wantStocks(t, s, stocks)
		s = reopen()
		wantStocks(t, s, stocks)

		// It never moves back, and moves on though nothing is there.
		expire(t, s, site, "2026-02-01", 0)
		expire(t, s, site, date, 0)
		wantStocks(t, s, stocks)
		expire(t, s, "site-ab", "2026-01-31", 0)
		stocks["site-ab"].kept = "2026-01-31"
		wantStocks(t, s, stocks)
		expire(t, s, site, "2027-01-01", 2*perDate)
		stocks[site].events, stocks[site].kept = map[string][]string{}, "2027-01-01"
		wantStocks(t, s, stocks)
		insertAgain(t, s, stocks)
	})
	t.Run("UnknownSite", func(t *testing.T) {
		s := b.open(t)
		expire(t, s, "nowhere", date, 0)
		kept, err := s.KeptSince(t.Context(), "nowhere")
		check(t, err)
		wantEqual(t, "kept since", kept, date)
	})
	t.Run("NoDate", func(t *testing.T) {
		s := b.open(t)
		stocks := fill(t, s)
		if _, err := s.Expire(t.Context(), site, ""); err == nil {
			t.Error("an empty date is no error")
		}
		wantStocks(t, s, stocks)
	})
	t.Run("Many", func(t *testing.T) {
		s := b.open(t)
		const n = 1200
		insertOn(t, s, store.DayKey{Site: site, Date: "2026-11-22"}, n)
		insertOn(t, s, store.DayKey{Site: site, Date: "2026-11-23"}, n)
		insertOn(t, s, day, perDate)
		expire(t, s, site, date, 2*n)
		wantEqual(t, "events that are left", len(scan(t, s, day, nil, nil)), perDate)
		dates, err := s.EventDates(t.Context(), site, "", "")
		check(t, err)
		wantEqual(t, "dates that are left", dates, []string{date})
	})
}

// testEraseUser proves EraseUser.
func (b Backend) testEraseUser(t *testing.T) {
	erase := func(t *testing.T, s store.Store, user, before string, want map[string]int64) {
		t.Helper()
		removed, err := s.EraseUser(t.Context(), site, user, before)
		check(t, err)
		if !maps.Equal(removed, want) {
			t.Fatalf("removed %v, want %v", removed, want)
		}
	}
	// without takes a user's events of some dates from a stock.
	without := func(stock *stock, user string, dates []string) map[string]int64 {
		removed := map[string]int64{}
		for _, d := range dates {
			var left []string
			for _, e := range stockEvents(store.DayKey{Site: site, Date: d}) {
				if e.User == user {
					removed[d]++
				} else if slices.Contains(stock.events[d], e.ID) {
					left = append(left, e.ID)
				}
			}
			stock.events[d] = left
		}
		return removed
	}

	s, reopen := b.openTwice(t)
	stocks := fill(t, s)
	erase(t, s, "nobody", "", nil)
	if _, err := s.EraseUser(t.Context(), site, "", ""); err == nil {
		t.Error("an empty user is no error")
	}
	wantStocks(t, s, stocks)

	// Neither KeptSince nor a rollup changes.
	erase(t, s, "u", date, without(stocks[site], "u", stockDates[:2]))
	wantStocks(t, s, stocks)
	s = reopen()
	wantStocks(t, s, stocks)
	erase(t, s, "u", date, nil)
	erase(t, s, "u", "", without(stocks[site], "u", stockDates[2:]))
	wantStocks(t, s, stocks)

	// What is left of the day is what a rebuild counts.
	rebuilt := rollup.NewDay(site, date)
	check(t, store.FoldDay(t.Context(), s, rebuilt, nil, nil))
	wantEqual(t, "events of the rebuilt day", rebuilt.Events, uint64(len(stocks[site].events[date])))
	wantEqual(t, "users of the rebuilt day", rebuilt.Users.Estimate(), 1)

	// A date of which nothing is left is no date of events any more.
	only := newEvent("only", 1)
	only.Date, only.User = "2026-03-03", "u"
	insert(t, s, only)
	erase(t, s, "u", "", map[string]int64{"2026-03-03": 1})
	wantStocks(t, s, stocks)

	insertAgain(t, s, stocks)
}

// testEraseDays proves EraseDays.
func (b Backend) testEraseDays(t *testing.T) {
	erase := func(t *testing.T, s store.Store, before string, wantEvents, wantRollups int64) {
		t.Helper()
		events, rollups, err := s.EraseDays(t.Context(), site, before)
		check(t, err)
		wantEqual(t, "removed events", events, wantEvents)
		wantEqual(t, "removed rollups", rollups, wantRollups)
	}
	t.Run("Before", func(t *testing.T) {
		s, reopen := b.openTwice(t)
		stocks := fill(t, s)
		erase(t, s, date, 2*perDate, stocks[site].without(date))
		for _, d := range stockDates[:2] {
			delete(stocks[site].events, d)
		}
		stocks[site].kept = date
		wantStocks(t, s, stocks)
		s = reopen()
		wantStocks(t, s, stocks)

		erase(t, s, "2026-02-01", 0, 0)
		wantStocks(t, s, stocks)
		insertAgain(t, s, stocks)
	})
	t.Run("FirstOfMonth", func(t *testing.T) {
		s := b.open(t)
		stocks := fill(t, s)
		erase(t, s, "2026-02-01", perDate, stocks[site].without("2026-02-01"))
		delete(stocks[site].events, stockDates[0])
		stocks[site].kept = "2026-02-01"
		wantStocks(t, s, stocks)
	})
	t.Run("WholeSite", func(t *testing.T) {
		s, reopen := b.openTwice(t)
		stocks := fill(t, s)
		_, err := s.Expire(t.Context(), site, "2026-02-01")
		check(t, err)
		erase(t, s, "", 3*perDate, stocks[site].without(""))
		stocks[site] = newStock()
		wantStocks(t, s, stocks)
		s = reopen()
		wantStocks(t, s, stocks)

		erase(t, s, "", 0, 0)
		wantStocks(t, s, stocks)
		insertAgain(t, s, stocks)
	})
	for name, damage := range b.Damage {
		t.Run("Damaged"+name, func(t *testing.T) {
			s := b.open(t)
			swap(t, s, newDay(day, stream, 1))
			damage(t, s, day)
			erase(t, s, "", 0, 1)
			_, err := s.Day(t.Context(), day)
			wantErr(t, err, store.ErrNotFound)
		})
	}

	// Whoever still has a rollup that was erased finds a conflict, and begins
	// anew.
	t.Run("NotResurrected", func(t *testing.T) {
		s := b.open(t)
		cached := newDay(day, stream, 3)
		swap(t, s, cached)
		insertOn(t, s, day, 3)
		erase(t, s, "", 3, 1)
		passRev(cached.Rev)

		foldUpTo(cached, stream, 4)
		step := s.Begin()
		defer step.Discard()
		_, err := step.Insert(t.Context(), []store.Event{newEvent("late", 4)})
		check(t, err)
		conflicts, err := step.Swap(t.Context(), []*rollup.Day{cached})
		check(t, err)
		wantEqual(t, "conflicts", conflicts, []store.DayKey{day})
		loaded, damaged, err := step.Load(t.Context(), conflicts)
		check(t, err)
		wantEqual(t, "rollups that are there", len(loaded)+len(damaged), 0)
		fresh := newDay(day, stream, 1)
		conflicts, err = step.Swap(t.Context(), []*rollup.Day{fresh})
		check(t, err)
		wantEqual(t, "conflicts", len(conflicts), 0)
		commit(t, step, stream, at(4))

		if fresh.Rev <= cached.Rev {
			t.Errorf("the new rollup has rev %d, the erased one had %d", fresh.Rev, cached.Rev)
		}
		wantErr(t, s.SwapDay(t.Context(), cached), store.ErrConflict)
		wantDay(t, load(t, s, day), fresh)
		wantEqual(t, "events", ids(scan(t, s, day, nil, nil)), []string{"late"})
	})
}
