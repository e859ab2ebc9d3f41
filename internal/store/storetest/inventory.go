package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/daybook-analytics/daybook/internal/store"
)

// insertOn inserts n raw events of a day, with IDs and positions that no other
// call for the same site has.
func insertOn(t tb, s store.Store, key store.DayKey, n int) {
	t.Helper()
	events := make([]store.Event, n)
	for i := range events {
		events[i] = newEvent(fmt.Sprint(key.Date, " ", i), i+1)
		events[i].Site, events[i].Date = key.Site, key.Date
	}
	wantEqual(t, "results", insert(t, s, events...), repeat(store.Inserted, n))
}

// testSites proves Sites.
func (b Backend) testSites(t *testing.T) {
	s, reopen := b.openTwice(t)
	sites := func(t *testing.T, after string, limit int) []string {
		t.Helper()
		sites, err := s.Sites(t.Context(), after, limit)
		check(t, err)
		return sites
	}
	wantEqual(t, "sites of an empty store", len(sites(t, "", 10)), 0)

	// One after the other with raw events only, rollups only, and both; each
	// with more than one date.
	all := []string{"a", "a.", "a.b", "a-", "a:", "a_", "a0", "aa", "ab", "A", ".", "-", "_", "z", "z9"}
	for i, name := range all {
		for _, d := range []string{"2026-11-23", date} {
			key := store.DayKey{Site: name, Date: d}
			if i%3 != 1 {
				insertOn(t, s, key, 3)
			}
			if i%3 != 0 {
				swap(t, s, newDay(key, stream, 1))
			}
		}
	}
	slices.Sort(all)

	t.Run("All", func(t *testing.T) {
		wantEqual(t, "sites", sites(t, "", 100), all)
		wantEqual(t, "sites at the limit", sites(t, "", len(all)), all)
	})
	t.Run("Pages", func(t *testing.T) {
		for size := 1; size < 5; size++ {
			var got []string
			for after := ""; ; after = got[len(got)-1] {
				page := sites(t, after, size)
				if len(page) == 0 {
					break
				}
				if rest := len(all) - len(got); len(page) != min(size, rest) {
					t.Fatalf("page has %d sites, %d are left", len(page), rest)
				}
				got = append(got, page...)
			}
			wantEqual(t, "sites", got, all)
		}
	})
	t.Run("AfterOneThatIsNotThere", func(t *testing.T) {
		wantEqual(t, "sites", sites(t, "a.a", 1), []string{"a.b"})
		wantEqual(t, "sites behind the last one", len(sites(t, "z99", 10)), 0)
	})
	t.Run("OpenedAgain", func(t *testing.T) {
		s = reopen()
		wantEqual(t, "sites", sites(t, "", 100), all)
	})
}

// testDayDates proves DayDates.
func (b Backend) testDayDates(t *testing.T) {
	s := b.open(t)
	dates := []string{"2025-12-31", "2026-01-01", "2026-02-28", date}
	for i, d := range dates {
		swap(t, s, newDay(store.DayKey{Site: site, Date: d}, stream, i))
	}
	swap(t, s, newDay(store.DayKey{Site: site + ".b", Date: "2026-03-03"}, stream, 1))
	insertOn(t, s, store.DayKey{Site: site, Date: "2026-04-04"}, 1) // has no rollup
	for _, damage := range b.Damage {
		damage(t, s, day)
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
		got, err := s.DayDates(t.Context(), c.site, "", c.from, c.to)
		check(t, err)
		if !slices.Equal(got, c.want) {
			t.Errorf("dates of %s from %q to %q: got %v, want %v", c.site, c.from, c.to, got, c.want)
		}
	}
}
