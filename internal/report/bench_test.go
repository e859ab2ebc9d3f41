package report_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/internal/web"
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

// BenchmarkAnswers is the whole of a request but for the network, on a year of
// a busy site: what takes the most (cold: nothing is in memory), with rollups
// in memory (warm), and with the answer in memory (kept).
func BenchmarkAnswers(b *testing.B) {
	st := newStore(b)
	begin := time.Date(2025, 11, 25, 0, 0, 0, 0, time.UTC)
	date := func(day int) string { return begin.AddDate(0, 0, day).Format(time.DateOnly) }
	const days = 365
	month := new(rollup.Day)
	for day := range days {
		d := busyDay("a", date(day))
		if err := st.SwapDay(b.Context(), d); err != nil {
			b.Fatal(err)
		}
		if d.Date[:7] != month.Date {
			month = rollup.NewDay("a", d.Date[:7])
		}
		d.Visits.Close()
		month.Merge(d)
		month.Parts = append(month.Parts, rollup.Part{Date: d.Date, Rev: d.Rev})
		if date(day + 1)[:7] != month.Date {
			month.Compact(rollup.MonthLimits)
			if err := st.PutMonth(b.Context(), month); err != nil {
				b.Fatal(err)
			}
		}
	}
	now := func() time.Time { return begin.AddDate(0, 0, days-1) }
	for _, path := range []string{"", "/timeseries", "/breakdown"} {
		for _, n := range []int{1, 30, days} {
			query := fmt.Sprintf("site_id=a&from=%s&to=%s", date(days-n), date(days-1))
			if path == "/breakdown" {
				query += "&dimension=referrer"
			}
			ask := func(h http.Handler) {
				w, req := httptest.NewRecorder(), httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/stats"+path+"?"+query, nil)
				h.ServeHTTP(w, req)
				if w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
			for _, kind := range []string{"cold", "warm", "kept"} {
				b.Run(fmt.Sprintf("stats%s/days=%d/%s", path, n, kind), func(b *testing.B) {
					b.ReportAllocs()
					r := report.New(st, report.Options{Now: now}, quiet)
					h := web.NewRouter(quiet)
					r.Register(h)
					ask(h)
					for b.Loop() {
						switch kind {
						case "cold":
							r.ForgetAll()
						case "warm":
							r.ForgetAnswers()
						}
						ask(h)
					}
				})
			}
		}
	}
}
