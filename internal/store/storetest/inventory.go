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
	// with more than one date, and with rollups in one zone or another.
	all := []string{"a", "a.", "a.b", "a-", "a:", "a_", "a0", "aa", "ab", "A", ".", "-", "_", "z", "z9"}
	for i, name := range all {
		for _, d := range []string{"2026-11-23", date} {
			key := store.DayKey{Site: name, Date: d}
			if i%3 != 1 {
				insertOn(t, s, key, 3)
			}
			if i%3 != 0 {
				key.Zone = []string{"", "Europe/Berlin"}[i%2]
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
