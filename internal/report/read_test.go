package report_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// atNoon is a clock that stands still.
func atNoon(date string) func() time.Time {
	now := civil(date).Add(12 * time.Hour)
	return func() time.Time { return now }
}

// request asks for a path with a header, as "If-None-Match: x"; empty is none.
func request(ctx context.Context, h http.Handler, method, path, header string) *httptest.ResponseRecorder {
	w, req := httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, method, path, nil)
	if name, value, found := strings.Cut(header, ": "); found {
		req.Header.Set(name, value)
	}
	h.ServeHTTP(w, req)
	return w
}

// newDay makes a rollup of n views of one user on a date of site a.
func newDay(zone, date string, n int) *rollup.Day {
	day := rollup.NewDay("a", date)
	day.Zone = zone
	for i := range n {
		e := rollup.Event{Hour: 12, At: 12 * 3600_000, User: "u" + date}
		e.Position.Entry.Ms = uint64(i + 1)
		e.Values[rollup.EventType], e.Values[rollup.Path] = rollup.PageView, "/"
		day.Fold("1:0", []rollup.Event{e})
	}
	return day
}

// newMonth makes the rollup of a month of these days, as reconciliation does.
func newMonth(days ...*rollup.Day) *rollup.Day {
	month := rollup.NewDay(days[0].Site, days[0].Date[:len("2006-01")])
	month.Zone = days[0].Zone
	for _, day := range days {
		month.Merge(day)
		month.Parts = append(month.Parts, rollup.Part{Date: day.Date, Rev: day.Rev})
	}
	return month
}

// swap writes rollups of days.
func (s *brokenStore) swap(t rapid.TB, days ...*rollup.Day) {
	t.Helper()
	for _, day := range days {
		if err := s.SwapDay(context.Background(), day); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *brokenStore) putMonth(t rapid.TB, days ...*rollup.Day) {
	t.Helper()
	if err := s.PutMonth(context.Background(), newMonth(days...)); err != nil {
		t.Fatal(err)
	}
}

func totals(t rapid.TB, w *httptest.ResponseRecorder) report.Stats {
	t.Helper()
	var s report.Stats
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || w.Code != http.StatusOK {
		t.Fatalf("answer is %d %s", w.Code, w.Body)
	}
	return s
}

// An answer that is still the same is not sent again, and no rollup is read to
// know it.
func TestNotModified(t *testing.T) {
	st := newStore(t)
	st.put(t, []store.Event{newEvent("a", "2026-10-31", "/x", "u1", 0), newEvent("a", "2026-11-01", "/x", "u1", 1)})
	h := serve(st, report.Options{Now: atNoon("2026-11-02")}, quiet)

	for _, path := range []string{
		"/stats?site_id=a", "/stats?site_id=a&date=2026-11-01", "/stats?site_id=a&period=7d&compare=previous",
		"/stats?site_id=a&date=2026-11-01&format=csv", "/stats/timeseries?site_id=a&period=month", "/stats?site_id=nobody",
		"/stats/breakdown?site_id=a&dimension=path&page=2",
	} {
		first := request(t.Context(), h, http.MethodGet, path, "")
		etag := first.Header().Get("ETag")
		if first.Code != http.StatusOK || !strings.HasPrefix(etag, `W/"`) || first.Header().Get("Cache-Control") != "private, no-cache" {
			t.Fatalf("%s is answered with %d %v %s", path, first.Code, first.Header(), first.Body)
		}
		// Neither rollups nor a report that has read them before are needed.
		again := serve(st, report.Options{Now: atNoon("2026-11-02")}, quiet)
		reads, scans := st.reads.Load(), st.scans.Load()
		for _, header := range []string{etag, strings.TrimPrefix(etag, "W/"), `"x", ` + etag + `,"y"`} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				w := request(t.Context(), again, method, path, "If-None-Match: "+header)
				if w.Code != http.StatusNotModified || w.Body.Len() != 0 || w.Header().Get("ETag") != etag {
					t.Errorf("%s with %s is answered with %d %v %s", path, header, w.Code, w.Header(), w.Body)
				}
				for _, name := range []string{"Daybook-As-Of", "Cache-Control", "Vary"} {
					if got := w.Header().Get(name); got == "" || got != first.Header().Get(name) {
						t.Errorf("%s of a 304 is %q, and was %q", name, got, first.Header().Get(name))
					}
				}
			}
		}
		if st.reads.Load() != reads || st.scans.Load() != scans {
			t.Errorf("%s: rollups or raw events were read for a 304", path)
		}
		for _, header := range []string{`W/"x"`, "*", "", etag[:len(etag)-1]} {
			if w := request(t.Context(), h, http.MethodGet, path, "If-None-Match: "+header); w.Code != http.StatusOK || w.Body.String() != first.Body.String() {
				t.Errorf("%s with %q is answered with %d %s", path, header, w.Code, w.Body)
			}
		}
	}
}

// What makes another answer makes another ETag.
func TestETagsDiffer(t *testing.T) {
	st := newStore(t)
	st.put(t, []store.Event{newEvent("a", "2026-11-01", "/x", "u1", 0)})
	seen := map[string]string{}
	for _, path := range []string{
		"/stats?site_id=a", "/stats?site_id=b", "/stats?site_id=a&limit=3", "/stats?site_id=a&date=2026-11-01",
		"/stats?site_id=a&from=2026-11-01&to=2026-11-01", "/stats?site_id=a&from=2026-11-01", "/stats?site_id=a&to=2026-11-01",
		"/stats?site_id=a&date=2026-11-01&compare=previous", "/stats?site_id=a&date=2026-11-01&compare=year",
		"/stats?site_id=a&date=2026-11-01&format=csv", "/stats/users?site_id=a", "/stats/timeseries?site_id=a",
		"/stats/timeseries?site_id=a&interval=day", "/stats/breakdown?site_id=a&dimension=path",
		"/stats/breakdown?site_id=a&dimension=os", "/stats/breakdown?site_id=a&dimension=os&page=2",
	} {
		h := serve(st, report.Options{Now: atNoon("2026-11-02")}, quiet)
		etag := request(t.Context(), h, http.MethodGet, path, "").Header().Get("ETag")
		if other, found := seen[etag]; found {
			t.Errorf("%s and %s have the same ETag", path, other)
		}
		seen[etag] = path
	}
}

// Nobody keeps what was counted from raw events: there is no rev to tell
// whether it is still true.
func TestRawAnswersAreNotKept(t *testing.T) {
	st := newStore(t)
	st.put(t, []store.Event{newEvent("a", "2026-11-01", "/x", "u1", 0), newEvent("a", "2026-11-02", "/x", "u1", 1)})
	st.lost[store.DayKey{Site: "a", Date: "2026-11-01"}] = true
	h := serve(st, report.Options{}, quiet)
	for _, path := range []string{
		"/stats?site_id=a", "/stats?site_id=a&date=2026-11-01", "/stats?site_id=a&date=2026-11-02&compare=previous",
		"/stats?site_id=a&date=2026-11-02&filter=path==/x", "/stats/users?site_id=a&date=2026-11-02&exact=true",
	} {
		w := request(t.Context(), h, http.MethodGet, path, "")
		if w.Code != http.StatusOK || w.Header().Get("ETag") != "" || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Daybook-As-Of") == "" {
			t.Errorf("%s is answered with %d %v %s", path, w.Code, w.Header(), w.Body)
		}
	}
	if w := request(t.Context(), h, http.MethodGet, "/stats?site_id=a&date=2026-11-02", ""); w.Header().Get("ETag") == "" {
		t.Errorf("a whole day is answered with %v", w.Header())
	}
}

// lateStore is a store in which something happens just after the first list of
// rollups was read.
type lateStore struct {
	*brokenStore
	then func()
}

func (s *lateStore) DayHeads(ctx context.Context, site, zone, from, to string) ([]store.Head, error) {
	heads, err := s.brokenStore.DayHeads(ctx, site, zone, from, to)
	if then := s.then; then != nil {
		s.then = nil
		then()
	}
	return heads, err
}

// An answer from rollups that were written after their list was read does not
// pass for that of the list: when the site is erased the list is the same again.
func TestAnswersOfNewerRollupsAreNotKept(t *testing.T) {
	for name, before := range map[string]int{"a new rollup": 0, "a rollup that was there": 1} {
		t.Run(name, func(t *testing.T) {
			st := newStore(t)
			day := newDay("", "2026-11-01", before)
			if before > 0 {
				st.swap(t, day)
			}
			h := serve(&lateStore{st, func() {
				if before > 0 {
					day.Views++
					st.swap(t, day)
				} else {
					st.put(t, []store.Event{newEvent("a", "2026-11-01", "/x", "u1", 0)})
				}
			}}, report.Options{}, quiet)
			for _, kept := range []bool{false, true} {
				w := request(t.Context(), h, http.MethodGet, "/stats?site_id=a&date=2026-11-01", "")
				if w.Code != http.StatusOK || (w.Header().Get("ETag") != "") != kept {
					t.Errorf("the answer is %d %v %s; it may be kept: %t", w.Code, w.Header(), w.Body, kept)
				}
			}
		})
	}
}

// A day that is written again changes the month that stands for it, the ETag,
// and the answers that were kept, at once.
func TestChangedDayIsSeenAtOnce(t *testing.T) {
	st := newStore(t)
	var october []*rollup.Day
	for d := 1; d <= 31; d++ {
		october = append(october, newDay("", fmt.Sprintf("2026-10-%02d", d), 1))
	}
	november := newDay("", "2026-11-01", 1)
	st.swap(t, append(october, november)...)
	// The month says two views more than its days, so that it shows which
	// of them was read.
	marked := newMonth(october...)
	marked.Views += 2
	if err := st.PutMonth(t.Context(), marked); err != nil {
		t.Fatal(err)
	}
	h := serve(st, report.Options{Now: atNoon("2026-11-01")}, quiet)
	etags := map[string]bool{}
	expect := func(views uint64) {
		t.Helper()
		for range 2 {
			w := request(t.Context(), h, http.MethodGet, "/stats?site_id=a&from=2026-10-01&to=2026-11-30", "")
			etags[w.Header().Get("ETag")] = true
			if got := totals(t, w).TotalViews; got != views {
				t.Errorf("%d views, want %d", got, views)
			}
		}
	}
	expect(31 + 2 + 1)
	rebuilt := newDay("", "2026-10-07", 5)
	rebuilt.Rev = october[6].Rev
	st.swap(t, rebuilt)
	expect(30 + 5 + 1) // the month is out of date
	october[6] = rebuilt
	marked = newMonth(october...)
	marked.Views += 2
	if err := st.PutMonth(t.Context(), marked); err != nil {
		t.Fatal(err)
	}
	rebuilt = newDay("", "2026-11-01", 3)
	rebuilt.Rev = november.Rev
	st.swap(t, rebuilt)
	h = serve(st, report.Options{Now: atNoon("2026-11-01")}, quiet)
	expect(30 + 5 + 2 + 3)
	if len(etags) != 3 {
		t.Errorf("three states have the ETags %v", etags)
	}
}

// A month stands for its days only where all of them are asked for together,
// and have ended.
func TestMonthsStandForWholeMonths(t *testing.T) {
	st := newStore(t)
	october := newDay("", "2026-10-15", 1)
	november := newDay("", "2026-11-02", 1)
	st.swap(t, october, november)
	for _, day := range []*rollup.Day{october, november} {
		month := newMonth(day)
		month.Views += 10
		if err := st.PutMonth(t.Context(), month); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		today, period string
		views         uint64
	}{
		{"2026-11-02", "from=2026-10-01&to=2026-10-31", 11},
		{"2026-11-02", "from=2026-10-01&to=2026-11-30", 12},
		{"2026-11-02", "", 12},
		{"2026-11-02", "to=2026-10-31", 11},
		{"2026-11-02", "from=2026-10-01", 12},
		{"2026-11-02", "from=2026-10-02", 2},
		{"2026-11-02", "to=2026-10-30", 1},
		{"2026-11-02", "from=2026-10-02&to=2026-10-31", 1},
		{"2026-11-02", "date=2026-10-15", 1},
		{"2026-11-30", "period=month", 1},
		{"2026-11-30", "from=2026-11-01&to=2026-11-30", 1}, // it has not ended yet
		{"2026-12-01", "from=2026-11-01&to=2026-11-30", 11},
		{"2026-12-01", "", 22},
		{"2026-10-31", "to=2026-10-31", 1},
	} {
		h := serve(st, report.Options{Now: atNoon(c.today)}, quiet)
		if s := totals(t, get(t.Context(), h, "site_id=a&"+c.period)); s.TotalViews != c.views {
			t.Errorf("on %s, %q has %d views, want %d", c.today, c.period, s.TotalViews, c.views)
		}
		var series report.Timeseries
		w := request(t.Context(), h, http.MethodGet, "/stats/timeseries?interval=day&site_id=a&"+c.period, "")
		if err := json.Unmarshal(w.Body.Bytes(), &series); err != nil || series.Total.Views > 2 {
			t.Errorf("on %s, days of %q: %v in %s", c.today, c.period, err, w.Body)
		}
	}
}

// Whatever is written between questions, and however little fits into memory:
// each answer is of the rollups as they are.
func TestAnswersAreOfNow(t *testing.T) {
	st := newStore(t)
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		name := fmt.Sprintf("site-%d", run)
		date := rapid.Map(rapid.IntRange(0, 91), func(d int) string {
			return civil("2026-08-20").AddDate(0, 0, d).Format(time.DateOnly)
		})
		days := map[string]*rollup.Day{}
		h := serve(st, report.Options{
			Now:        atNoon(rapid.SampledFrom([]string{"2026-09-30", "2026-11-01", "2026-12-01"}).Draw(t, "today")),
			CacheBytes: rapid.SampledFrom([]int{0, 100 << 10, 1}).Draw(t, "cache"),
		}, quiet)
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				d := date.Draw(t, "date")
				day := days[d]
				if day == nil {
					day = rollup.NewDay(name, d)
				}
				day = day.Clone()
				e := rollup.Event{User: rapid.SampledFrom([]string{"u1", "u2", "u3"}).Draw(t, "user")}
				e.Position.Entry.Ms = day.Events + 1
				e.Values[rollup.EventType], e.Values[rollup.Path] = rollup.PageView, "/"+d
				day.Fold("1:0", []rollup.Event{e})
				st.swap(t, day)
				days[d] = day
			},
			"seal": func(t *rapid.T) {
				month := rapid.SampledFrom([]string{"2026-08", "2026-09", "2026-10", "2026-11"}).Draw(t, "month")
				var parts []*rollup.Day
				for d := civil(month + "-01"); d.Format("2006-01") == month; d = d.AddDate(0, 0, 1) {
					if day := days[d.Format(time.DateOnly)]; day != nil {
						parts = append(parts, day)
					}
				}
				if len(parts) > 0 {
					st.putMonth(t, parts...)
				}
			},
			"ask": func(t *rapid.T) {
				from, to := date.Draw(t, "from"), date.Draw(t, "to")
				from, to = min(from, to), max(from, to)
				all := rollup.NewDay(name, "")
				for d, day := range days {
					if from <= d && d <= to {
						all.Merge(day)
					}
				}
				query := fmt.Sprintf("?site_id=%s&from=%s&to=%s", name, from, to)
				s := totals(t, request(context.Background(), h, http.MethodGet, "/stats"+query+"&limit=100", ""))
				if s.TotalEvents != all.Events || s.UniqueUsers != all.Users.Estimate() || len(s.TopPaths) != all.Tables[rollup.Path].Len() || s.Source != "rollup" {
					t.Fatalf("%s to %s: %+v, want %d events of %d users", from, to, s, all.Events, all.Users.Estimate())
				}
				interval := rapid.SampledFrom([]string{"day", "week", "month"}).Draw(t, "interval")
				w := request(context.Background(), h, http.MethodGet, "/stats/timeseries"+query+"&interval="+interval, "")
				var series report.Timeseries
				if err := json.Unmarshal(w.Body.Bytes(), &series); err != nil {
					t.Fatalf("%v in %s", err, w.Body)
				}
				sum := uint64(0)
				for _, bucket := range series.Buckets {
					sum += bucket.Events
				}
				if sum != all.Events || series.Total.Users != all.Users.Estimate() {
					t.Fatalf("%s to %s by %s: %s, want %d events", from, to, interval, w.Body, all.Events)
				}
			},
		})
	})
}

// Many who ask at the same time, the same or not, read each field of a month
// once.
func TestRollupsAreReadOnce(t *testing.T) {
	st := newStore(t)
	for d := 1; d <= 30; d++ {
		st.swap(t, newDay("", fmt.Sprintf("2026-11-%02d", d), 1))
	}
	h := serve(st, report.Options{Now: atNoon("2026-11-30")}, quiet)
	for _, group := range []struct {
		paths []string
		reads int64 // with all before
	}{
		{[]string{"/stats?", "/stats?limit=5&", "/stats/breakdown?dimension=path&"}, 1},
		{[]string{"/stats/timeseries?", "/stats/visits?"}, 2},
		{[]string{"/stats/breakdown?dimension=entry_page&", "/stats/breakdown?dimension=exit_page&"}, 3},
		{[]string{"/stats/users?", "/stats/breakdown?dimension=path&page=2&"}, 3},
	} {
		var all sync.WaitGroup
		for _, path := range group.paths {
			for range 5 {
				all.Go(func() {
					w := request(t.Context(), h, http.MethodGet, path+"site_id=a&period=month", "")
					if w.Code != http.StatusOK {
						t.Errorf("%s: %d %s", path, w.Code, w.Body)
					}
				})
			}
		}
		all.Wait()
		if n := st.reads.Load(); n != group.reads {
			t.Errorf("with %v the month was read %d times, want %d", group.paths, n, group.reads)
		}
	}
}

// The days of a site are those of its time zone, and their raw events may be
// dated in any zone that it ever had.
func TestZones(t *testing.T) {
	const berlin = "Europe/Berlin"
	st := newStore(t)
	// Before and after midnight in Berlin, which is 23:00 in UTC; dated in UTC
	// as long as that was the zone of the site.
	late, early := newEvent("a", "2026-11-10", "/late", "u1", 0), newEvent("a", "2026-11-10", "/early", "u1", 1)
	late.Time = civil("2026-11-10").Add(22 * time.Hour)
	early.Time = civil("2026-11-10").Add(23 * time.Hour)
	st.put(t, []store.Event{late, early})
	ask := func(query string) report.Stats {
		t.Helper()
		h := serve(st, report.Options{Now: atNoon("2026-11-12")}, quiet)
		return totals(t, get(t.Context(), h, "site_id=a&"+query))
	}
	if s := ask("date=2026-11-10"); s.TotalViews != 2 || s.Timezone != "UTC" {
		t.Errorf("in UTC: %+v", s)
	}

	settings := site.NewDirectory(st, 0)
	change := func(change func(*site.Settings)) {
		t.Helper()
		_, err := settings.Change(t.Context(), "a", func(s *site.Settings) error { change(s); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	change(func(s *site.Settings) { s.ChangeTo(berlin) })
	if s := ask("date=2026-11-10"); s.TotalViews != 2 || s.Source != "rollup" {
		t.Errorf("while the zone is being changed: %+v", s)
	}
	change((*site.Settings).Finish)

	// There are no rollups of Berlin's days.
	for query, views := range map[string]uint64{
		"date=2026-11-09": 0, "date=2026-11-10": 1, "date=2026-11-11": 1, "date=2026-11-12": 0,
		"": 2, "from=2026-11-11": 1, "to=2026-11-10": 1, "from=2026-11-01&to=2026-12-31": 2,
	} {
		s := ask(query)
		wantSource := "raw"
		if views == 0 {
			wantSource = "rollup"
		}
		if s.TotalViews != views || s.Timezone != berlin || s.Source != wantSource {
			t.Errorf("%q from raw events: %+v, want %d views", query, s, views)
		}
	}
	if s := ask(""); s.From != "2026-11-10" || s.To != "2026-11-11" || s.UniqueUsers != 1 {
		t.Errorf("all days from raw events: %+v", s)
	}

	// A day that is yet to come has none, and no raw event is read to know it.
	scans := st.scans.Load()
	h := serve(st, report.Options{Now: atNoon("2026-11-10")}, quiet)
	totals(t, get(t.Context(), h, "site_id=a&from=2026-11-10&to=2026-11-30"))
	if n := st.scans.Load() - scans; n != 1 {
		t.Errorf("%d days were counted, want 1", n)
	}

	// Now one has.
	st.swap(t, newDay(berlin, "2026-11-10", 7))
	if s := ask(""); s.TotalViews != 7+1 || s.Source != "mixed" {
		t.Errorf("with the rollup of one day: %+v", s)
	}
	st.swap(t, newDay(berlin, "2026-11-11", 8))
	st.swap(t, newDay("America/New_York", "2026-11-11", 100))
	if s := ask(""); s.TotalViews != 7+8 || s.Source != "rollup" {
		t.Errorf("with the rollups of both days: %+v", s)
	}
}
