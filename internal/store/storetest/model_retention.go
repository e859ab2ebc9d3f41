package storetest

import (
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

func drawUser(r *rapid.T) string {
	return rapid.SampledFrom([]string{"", "u", "uu"}).Draw(r, "user")
}

func drawBefore(r *rapid.T) string {
	return rapid.SampledFrom([]string{"2026-11-23", "2026-11-24", "2026-11-30", "2026-12-01", "2027-01-01"}).Draw(r, "before")
}

// remove takes events with dates before the given one, or all, away from the
// model, and counts them by their dates.
func (m *model) remove(site, before string, pick func(*store.Event) bool) (removed map[string]int64) {
	removed = map[string]int64{}
	maps.DeleteFunc(m.events, func(_ string, e store.Event) bool {
		if e.Site != site || before != "" && e.Date >= before || !pick(&e) {
			return false
		}
		removed[e.Date]++
		return true
	})
	return removed
}

func sum(counts map[string]int64) (total int64) {
	for _, n := range counts {
		total += n
	}
	return total
}

func all(*store.Event) bool { return true }

// retain takes events away in one of the ways there are.
func (m *model) retain(r *rapid.T) {
	ways := []func(*rapid.T){m.expire, m.eraseUser, m.eraseDays}
	ways[rapid.IntRange(0, len(ways)-1).Draw(r, "way")](r)
}

func (m *model) expire(r *rapid.T) {
	site, before := m.site(r), drawBefore(r)
	removed, err := m.s.Expire(r.Context(), site, before)
	check(r, err)
	wantEqual(r, "expired events", removed, sum(m.remove(site, before, all)))
	m.kept[site] = max(m.kept[site], before)
}

func (m *model) eraseUser(r *rapid.T) {
	site, before := m.site(r), ""
	if rapid.Bool().Draw(r, "bounded") {
		before = drawBefore(r)
	}
	removed, err := m.s.EraseUser(r.Context(), site, "u", before)
	check(r, err)
	want := m.remove(site, before, func(e *store.Event) bool { return e.User == "u" })
	if !maps.Equal(removed, want) {
		r.Fatalf("erased events of a user are %v, want %v", removed, want)
	}
}

func (m *model) eraseDays(r *rapid.T) {
	site, before := m.site(r), ""
	if rapid.Bool().Draw(r, "bounded") {
		before = drawBefore(r)
	}
	events, rollups, err := m.s.EraseDays(r.Context(), site, before)
	check(r, err)
	wantEqual(r, "erased events", events, sum(m.remove(site, before, all)))
	stored := len(m.days)
	maps.DeleteFunc(m.days, func(key store.DayKey, _ *rollup.Day) bool {
		return key.Site == site && (before == "" || key.Date < before)
	})
	wantEqual(r, "erased rollups", rollups, int64(stored-len(m.days)))
	maps.DeleteFunc(m.months, func(key store.DayKey, _ *rollup.Day) bool {
		// The first day of the month is before the date.
		return key.Site == site && (before == "" || key.Date+"-01" < before)
	})
	m.kept[site] = max(m.kept[site], before)
	if before == "" {
		delete(m.kept, site)
	}
}

// compareInventory reads what there is, and what was kept.
func (m *model) compareInventory(r *rapid.T) {
	there := map[string]bool{}
	for key := range m.days {
		there[key.Site] = true
	}
	for _, e := range m.events {
		there[e.Site] = true
	}
	// All sites of a run are m.run and something behind it.
	sites, err := m.s.Sites(r.Context(), m.run, len(there)+1)
	check(r, err)
	first, err := m.s.KeptSince(r.Context(), m.run)
	check(r, err)
	wantEqual(r, "kept since", first, m.kept[m.run])
	want := slices.Sorted(maps.Keys(there))
	want = slices.DeleteFunc(want, func(site string) bool { return site == m.run })
	if len(sites) < len(want) || !slices.Equal(sites[:len(want)], want) {
		r.Fatalf("sites behind %s are %v, want %v first", m.run, sites, want)
	}

	site := m.site(r)
	kept, err := m.s.KeptSince(r.Context(), site)
	check(r, err)
	wantEqual(r, "kept since", kept, m.kept[site])
	zone := drawZone(r)
	dates, err := m.s.DayDates(r.Context(), site, zone, "", "")
	check(r, err)
	var days []string
	for key := range m.days {
		if key.Site == site && key.Zone == zone {
			days = append(days, key.Date)
		}
	}
	slices.Sort(days)
	if !slices.Equal(dates, days) {
		r.Fatalf("dates of rollups of %s are %v, want %v", site, dates, days)
	}
}
