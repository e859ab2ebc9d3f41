package report_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

// getTarget asks for any path.
func getTarget(ctx context.Context, h http.Handler, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, target, nil))
	return w
}

// setZone gives a site a time zone, and tells in which its raw events may be
// dated.
func (s *brokenStore) setZone(t rapid.TB, name, zone string, zones ...string) {
	t.Helper()
	body, err := json.Marshal(site.Settings{Zone: zone, Zones: zones})
	if err == nil {
		err = s.SwapRecord(context.Background(), store.SiteKind, &store.Record{Name: name, Body: body})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// putIn stores events of one site, dated as they are, and their rollups in a
// zone.
func (s *brokenStore) putIn(t rapid.TB, zone string, events []store.Event) {
	t.Helper()
	ctx := context.Background()
	fail := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	location, err := event.Location(zone)
	fail(err)
	step := s.Begin()
	defer step.Discard()
	_, err = step.Insert(ctx, events)
	fail(err)
	days := map[string]*rollup.Day{}
	for _, e := range events {
		date := e.Event.Date(location)
		if days[date] == nil {
			days[date] = rollup.NewDay(e.Site, date)
			days[date].Zone = zone
		}
		clock, err := event.NewClock(zone, date)
		fail(err)
		days[date].Fold(e.Stream, []rollup.Event{e.ForFold(e.Position, clock)})
	}
	for _, day := range days {
		_, err := step.Swap(ctx, []*rollup.Day{day})
		fail(err)
	}
	if len(events) > 0 {
		last := events[len(events)-1]
		fail(step.Commit(ctx, store.Checkpoint{Stream: last.Stream, Position: last.Position, AsOf: asOf}))
	}
}

// passes tells in another way than the code does whether an event passes a
// filter.
func passes(e *store.Event, dim rollup.Dimension, op, value string) bool {
	switch op {
	case "==":
		return e.Values[dim] == value
	case "!=":
		return e.Values[dim] != value
	}
	expression := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(value))
	return regexp.MustCompile("^" + expression + "$").MatchString(e.Values[dim])
}

// What is answered about the events that pass the filters is what is answered
// about a site that has only those: by every endpoint, in every zone, also
// where raw events are dated in a zone that the site had before.
func TestFiltersAreRight(t *testing.T) {
	st := newStore(t)
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		all, some := fmt.Sprintf("all-%d", run), fmt.Sprintf("some-%d", run)
		zones := rapid.SampledFrom([][]string{{""}, {"Asia/Kolkata"}, {"", "Asia/Kolkata"}, {"America/Los_Angeles", "Asia/Tokyo"}}).Draw(t, "zones")
		zone := zones[len(zones)-1]
		st.setZone(t, all, zone, zones...)
		st.setZone(t, some, zone)
		location, _ := event.Location(zone)

		value := rapid.SampledFrom([]string{"", "a", "b", "ab", "ba", "aab", "ü"})
		var events []store.Event
		for i := range rapid.IntRange(0, 40).Draw(t, "events") {
			e := store.Event{Stream: "1:0"}
			e.Event = event.Event{
				ID: fmt.Sprint(i), Site: all, User: rapid.SampledFrom([]string{"", "u1", "u2", "u3"}).Draw(t, "user"),
				Time: time.Date(2026, 10, 30, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 5*24*60).Draw(t, "minute")) * time.Minute),
			}
			for dim := range rollup.Bot {
				e.Values[dim] = value.Draw(t, "value")
			}
			if rapid.IntRange(0, 3).Draw(t, "bot") == 0 {
				e.Values[rollup.Bot] = value.Draw(t, "reason")
			}
			e.Values[rollup.EventType] = rapid.SampledFrom([]string{rollup.PageView, "click"}).Draw(t, "type")
			dated, _ := event.Location(rapid.SampledFrom(zones).Draw(t, "dated in"))
			e.Date = e.Event.Date(dated)
			e.Position.Entry.Ms = uint64(i + 1)
			events = append(events, e)
		}

		query := url.Values{}
		left, ofBots := slices.Clone(events), false
		for range rapid.IntRange(1, 3).Draw(t, "filters") {
			dim := rollup.Dimension(rapid.IntRange(0, int(rollup.NumDimensions)-1).Draw(t, "dimension"))
			op := rapid.SampledFrom([]string{"==", "!=", "~"}).Draw(t, "operator")
			want := value.Draw(t, "wanted")
			ofBots = ofBots || dim == rollup.Bot
			if dim == rollup.EventType {
				want = rapid.SampledFrom([]string{"click", rollup.PageView}).Draw(t, "wanted type")
			}
			if op == "~" {
				want = rapid.SampledFrom([]string{"*", "?", "a*", "*b", "?b", "*a*", "?", "click", "*_*", ""}).Draw(t, "pattern")
			}
			query.Add("filter", dim.String()+op+want)
			left = slices.DeleteFunc(left, func(e store.Event) bool { return !passes(&e, dim, op, want) })
		}
		for i := range left {
			left[i].Site = some
			left[i].Date = left[i].Event.Date(location)
		}
		if ofBots {
			// Bots that pass count like people, and as bots too.
			for i := range left {
				if left[i].Values[rollup.Bot] == "" {
					continue
				}
				bot := left[i]
				bot.ID += "-bot"
				bot.Position.Line++
				left = append(left, bot)
				left[i].Values[rollup.Bot] = ""
			}
			slices.SortFunc(left, func(a, b store.Event) int { return a.Position.Compare(b.Position) })
		}
		st.putIn(t, zone, events)
		st.putIn(t, zone, left)

		span := url.Values{}
		switch rapid.IntRange(0, 3).Draw(t, "period") {
		case 0:
			span.Set("date", "2026-10-31")
		case 1:
			span.Set("from", "2026-10-31")
			span.Set("to", "2026-11-02")
			span.Set("compare", "previous")
		case 2:
			span.Set("from", "2026-11-01")
		}
		// A new one, because answers and settings are kept.
		h := serve(st, report.Options{}, quiet)
		for _, target := range []string{
			"/stats?", "/stats/users?", "/stats/visits?", "/stats/timeseries?interval=hour&", "/stats/timeseries?interval=week&",
			"/stats/breakdown?dimension=entry_page&",
			"/stats/breakdown?dimension=" + rollup.Dimension(rapid.IntRange(0, int(rollup.NumDimensions)-1).Draw(t, "by")).String() + "&",
		} {
			filtered := answerOf(t, h, target+span.Encode()+"&"+query.Encode()+"&site_id="+all)
			if !strings.Contains(filtered, `"source":"raw"`) {
				t.Fatalf("the answer is not from raw events: %s", filtered)
			}
			got := strings.NewReplacer(all, some, `"source":"raw"`, `"source":"rollup"`).Replace(filtered)
			if want := answerOf(t, h, target+span.Encode()+"&site_id="+some); got != want {
				t.Fatalf("%s%s with %v:\n got %s\nwant %s", target, span.Encode(), query["filter"], got, want)
			}
		}
		// Exact users, of all events and of those.
		for _, of := range []string{"&site_id=" + some, "&site_id=" + all + "&" + query.Encode()} {
			exact := answerOf(t, h, "/stats/users?exact=true&"+span.Encode()+of)
			estimate := answerOf(t, h, "/stats/users?"+span.Encode()+"&site_id="+some)
			if users(t, exact) != users(t, estimate) || !strings.Contains(exact, `"exact":true`) {
				t.Fatalf("exact users %s, want as many as %s", exact, estimate)
			}
		}
	})
}

func answerOf(t rapid.TB, h http.Handler, target string) string {
	t.Helper()
	w := getTarget(context.Background(), h, target)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: answer is %d %s", target, w.Code, w.Body)
	}
	return w.Body.String()
}

// users are the unique users in an answer, and in what is compared with it.
func users(t rapid.TB, answer string) [2]int {
	var a struct {
		Users   int `json:"unique_users"`
		Compare struct {
			Users int `json:"unique_users"`
		}
	}
	if err := json.Unmarshal([]byte(answer), &a); err != nil {
		t.Fatal(err)
	}
	return [2]int{a.Users, a.Compare.Users}
}

// manyDays has n events on each of some days of November, folded.
func manyDays(t testing.TB, st *brokenStore, site string, days, n int) {
	var events []store.Event
	for day := range days {
		for i := range n {
			events = append(events, newEvent(site, fmt.Sprintf("2026-11-%02d", day+1), fmt.Sprintf("/%d", i%3), fmt.Sprintf("u%d", i), day*n+i))
		}
	}
	st.put(t, events)
}

// A question about too many events is refused before anything is read; just
// as many as are allowed are read.
func TestFiltersAreBoundedInEvents(t *testing.T) {
	st := newStore(t)
	manyDays(t, st, "a", 3, 500)
	r := report.New(st, report.Options{RawScanEvents: 1000}, quiet)
	h := web.NewRouter(quiet)
	r.Register(h)
	if w := get(t.Context(), h, "site_id=a&filter=path==/1&to=2026-11-02"); w.Code != 200 {
		t.Errorf("as many events as are allowed: %d %s", w.Code, w.Body)
	}
	scans := st.scans.Load()
	const bound = `reading 1500 raw events, and 1000 is the most for one answer: ask about a shorter period, without filter and exact, or with async=true"`
	want(t, get(t.Context(), h, "site_id=a&filter=path==/1"), 422,
		`{"error":"filter takes `+bound+`,"field":"filter","value":"path==/1","allowed":"a period with at most 1000 raw events"}`)
	want(t, getTarget(t.Context(), h, "/stats/users?site_id=a&exact=true"), 422,
		`{"error":"exact takes `+bound+`,"field":"exact","value":"true","allowed":"a period with at most 1000 raw events"}`)
	if n := st.scans.Load() - scans; n != 0 {
		t.Errorf("%d scans for questions that are refused", n)
	}
	// Without rollups to tell, it is noticed on the way.
	for day := range 3 {
		st.lost[store.DayKey{Site: "a", Date: fmt.Sprintf("2026-11-%02d", day+1)}] = true
	}
	if w := get(t.Context(), h, "site_id=a&filter=path==/1"); w.Code != 422 || !strings.Contains(w.Body.String(), "more than 1000 raw events") {
		t.Errorf("without rollups: %d %s", w.Code, w.Body)
	}
	if got, want := r.RawScans(), (report.ScanStats{Started: 2, RefusedEvents: 3}); got != want {
		t.Errorf("scans were %+v, want %+v", got, want)
	}
}

// Where raw events are gone an answer would be too small, and is refused.
func TestFiltersNeedAllRawEvents(t *testing.T) {
	st := newStore(t)
	manyDays(t, st, "a", 3, 10)
	if _, err := st.Expire(t.Context(), "a", "2026-11-02"); err != nil {
		t.Fatal(err)
	}
	h := serve(st, report.Options{}, quiet)
	want(t, get(t.Context(), h, "site_id=a&filter=path==/1"), 422,
		`{"error":"filter needs raw events from 2026-11-01 on, and those before 2026-11-02 are not all kept any more","field":"filter","value":"path==/1","allowed":"a period that begins on 2026-11-02 or later"}`)
	if w := get(t.Context(), h, "site_id=a&filter=path==/1&from=2026-11-02"); w.Code != 200 {
		t.Errorf("the days that are kept: %d %s", w.Code, w.Body)
	}

	// A rollup that was imported has none.
	imported := rollup.NewDay("b", "2026-11-01")
	imported.Events = 5
	if err := st.SwapDay(t.Context(), imported); err != nil {
		t.Fatal(err)
	}
	want(t, get(t.Context(), h, "site_id=b&filter=path==/1"), 422,
		`{"error":"filter needs all raw events of 2026-11-01, and only 0 of the 5 that its rollup counts are there","field":"filter","value":"path==/1","allowed":"a period whose raw events are all kept"}`)
}

// Of a site in a zone the first day that is whole is the one that touches no
// date of which something is gone.
func TestFiltersNeedAllRawEventsOfADayInAZone(t *testing.T) {
	st := newStore(t)
	st.setZone(t, "a", "Asia/Kolkata", "", "Asia/Kolkata")
	var events []store.Event
	for day := range 3 {
		e := newEvent("a", fmt.Sprintf("2026-11-%02d", day+1), "/", "u", day)
		e.Time = e.Time.Add(10 * time.Hour)
		events = append(events, e)
	}
	st.putIn(t, "Asia/Kolkata", events)
	if _, err := st.Expire(t.Context(), "a", "2026-11-02"); err != nil {
		t.Fatal(err)
	}
	h := serve(st, report.Options{}, quiet)
	want(t, get(t.Context(), h, "site_id=a&filter=path==/&from=2026-11-02"), 422,
		`{"error":"filter needs raw events from 2026-11-02 on, and those before 2026-11-02 are not all kept any more","field":"filter","value":"path==/","allowed":"a period that begins on 2026-11-03 or later"}`)
	if w := get(t.Context(), h, "site_id=a&filter=path==/&from=2026-11-03"); w.Code != 200 {
		t.Errorf("the day that is kept: %d %s", w.Code, w.Body)
	}
}

// An endpoint that wants no single days gets their sum, in bounded memory.
func TestFilteredSumIsBounded(t *testing.T) {
	st := newStore(t)
	const days, n = 3, 25_000
	var events []store.Event
	for day := range days {
		for i := range n {
			events = append(events, newEvent("a", fmt.Sprintf("2026-11-%02d", day+1), fmt.Sprintf("/%d/%d", day, i), "u", day*n+i))
		}
	}
	st.put(t, events)
	w := get(t.Context(), serve(st, report.Options{}, quiet), "site_id=a&filter=path~/*&limit=1")
	if body := w.Body.String(); !strings.Contains(body, `"total_views":75000,`) || !strings.Contains(body, `"top_paths_exact":false`) {
		t.Errorf("answer is %s", body)
	}
}

// Scans for filters share the slots of all scans; the same question, in
// whatever order its filters are, is read for once.
func TestFilterScansAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newJobStore()
		h := serve(st, report.Options{RawScans: 2, RawScanTime: 5 * time.Second}, quiet)
		ask := func(query string) <-chan *httptest.ResponseRecorder {
			answer := make(chan *httptest.ResponseRecorder, 1)
			go func() { answer <- get(t.Context(), h, "site_id=a&date=2026-11-01&"+query) }()
			return answer
		}
		shared := []<-chan *httptest.ResponseRecorder{
			ask("filter=path==/0&filter=country=="), ask("filter=country==&filter=path==/0"),
			ask("filter=path==/0&filter=country==&filter=path==/0"), ask("filter=path==/0&filter=country==&limit=3"),
		}
		other := ask("filter=path!=/0")
		synctest.Wait()
		if n := st.started.Load(); n != 2 {
			t.Errorf("%d scans for two questions", n)
		}
		wantRetry(t, <-ask("filter=country=="), "2", `{"error":"2 other scans of raw events are under way, which is the most at once; try again soon"}`)
		close(st.letGo)
		for _, answer := range shared {
			want(t, <-answer, 200, rawAnswer(1))
		}
		if w := <-other; !strings.Contains(w.Body.String(), `"total_events":0,`) {
			t.Errorf("answer is %s", w.Body)
		}
	})
}

func TestFilterScansAreBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(newJobStore(), report.Options{RawScanTime: 5 * time.Second}, quiet)
		wantRetry(t, get(t.Context(), h, "site_id=a&date=2026-11-01&filter=path==/0"), "60",
			`{"error":"the raw events could not be read within 5s: ask about a shorter period, without filter and exact, or with async=true"}`)
	})
}

func TestTooManyFilters(t *testing.T) {
	st := newStore(t)
	h := serve(st, report.Options{}, quiet)
	query := url.Values{"site_id": {"a"}}
	for i := range 10 {
		query.Add("filter", fmt.Sprintf("path!=/%d", i))
	}
	if w := get(t.Context(), h, query.Encode()); w.Code != 200 {
		t.Errorf("10 filters: %d %s", w.Code, w.Body)
	}
	query.Add("filter", "path!=/10")
	if w := get(t.Context(), h, query.Encode()); w.Code != 422 {
		t.Errorf("11 filters: %d %s", w.Code, w.Body)
	}
}
