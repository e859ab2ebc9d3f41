package report_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/internal/store"
)

// TestRepair tells of each day whose rollup should be there and is not, also
// when the day has too many events to be counted for an answer.
func TestRepair(t *testing.T) {
	st := newStore(t)
	var events []store.Event
	for i := range 1500 {
		date := "2026-11-03"
		if i < 3 {
			date = []string{"2026-11-01", "2026-11-02", "2026-11-04"}[i]
		}
		events = append(events, newEvent("a", date, "/", "u", i))
	}
	st.put(t, events)
	key := func(date string) store.DayKey { return store.DayKey{Site: "a", Date: date} }
	st.lost[key("2026-11-01")] = true
	st.damaged[key("2026-11-02")] = true
	st.lost[key("2026-11-03")] = true // it has more than 1,000 events

	var mu sync.Mutex
	var told []string
	h := serve(st, report.Options{RawScanEvents: 1000, Repair: func(key store.DayKey) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, key.Date)
	}}, quiet)
	for _, date := range []string{"2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04", "2026-11-05"} {
		get(t.Context(), h, "site_id=a&date="+date)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"2026-11-01", "2026-11-02", "2026-11-03"}; !slices.Equal(told, want) {
		t.Errorf("told of %v, want %v", told, want)
	}
}
