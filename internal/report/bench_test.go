package report_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/rollup"
)

// busyDay is the rollup of a busy site: its table of paths has overflowed,
// and its sketch is dense.
func busyDay(site, date string) *rollup.Day {
	day := rollup.NewDay(site, date)
	events := make([]rollup.Event, 20_000)
	for i := range events {
		e := &events[i]
		e.Position.Entry.Ms = uint64(i + 1)
		e.User = fmt.Sprintf("%s/%d", date[len(date)-1:], i)
		e.Values = rollup.Values{
			rollup.EventType: rollup.PageView,
			rollup.Path:      fmt.Sprintf("/section/article-%d", i%3000),
			rollup.Referrer:  fmt.Sprintf("https://%d.example.com/", i%500),
			rollup.Country:   fmt.Sprint(i % 100),
			rollup.Browser:   fmt.Sprint(i % 20),
			rollup.OS:        fmt.Sprint(i % 10),
		}
	}
	day.Fold("1:0", events)
	day.Compact(rollup.DefaultLimits)
	return day
}

// BenchmarkStats is the whole of a request but for the network.
func BenchmarkStats(b *testing.B) {
	st := newStore(b)
	begin := time.Date(2025, 11, 25, 0, 0, 0, 0, time.UTC)
	date := func(day int) string { return begin.AddDate(0, 0, day).Format(time.DateOnly) }
	const days = 365
	for day := range days {
		d := busyDay("a", date(day))
		if err := st.SwapDay(b.Context(), d); err != nil {
			b.Fatal(err)
		}
	}
	h := serve(st, report.Options{}, quiet)
	for _, n := range []int{1, 30, days} {
		b.Run(fmt.Sprintf("days=%d", n), func(b *testing.B) {
			query := fmt.Sprintf("site_id=a&from=%s&to=%s", date(days-n), date(days-1))
			b.ReportAllocs()
			for b.Loop() {
				if w := get(b.Context(), h, query); w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
