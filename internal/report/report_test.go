package report_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/store/pebblestore"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// brokenStore is the embedded store in which rollups can be lost and damaged.
type brokenStore struct {
	*pebblestore.Store
	lost, damaged map[store.DayKey]bool
	// scans counts the scans of raw events, reads the times that rollups were
	// read.
	scans, reads atomic.Int64
}

func newStore(t testing.TB) *brokenStore {
	st, err := pebblestore.Open(t.TempDir(), pebblestore.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return &brokenStore{Store: st, lost: map[store.DayKey]bool{}, damaged: map[store.DayKey]bool{}}
}

func damage(key store.DayKey) *store.DamagedError {
	return &store.DamagedError{Key: key, Err: errors.New("a bit has flipped")}
}

func (s *brokenStore) DayHeads(ctx context.Context, site, zone, from, to string) ([]store.Head, error) {
	heads, err := s.Store.DayHeads(ctx, site, zone, from, to)
	return slices.DeleteFunc(heads, func(h store.Head) bool {
		return s.lost[store.DayKey{Site: site, Zone: zone, Date: h.Date}]
	}), err
}

func (s *brokenStore) SiteDays(ctx context.Context, site, zone, from, to string, fields rollup.Fields, fn func(*rollup.Day, *store.DamagedError) error) error {
	s.reads.Add(1)
	return s.Store.SiteDays(ctx, site, zone, from, to, fields, func(day *rollup.Day, _ *store.DamagedError) error {
		key := store.KeyOf(day)
		switch {
		case s.lost[key]:
			return nil
		case s.damaged[key]:
			return fn(nil, damage(key))
		}
		return fn(day, nil)
	})
}

func (s *brokenStore) Month(ctx context.Context, key store.DayKey, fields rollup.Fields) (*rollup.Day, error) {
	s.reads.Add(1)
	return s.Store.Month(ctx, key, fields)
}

func (s *brokenStore) ScanDay(ctx context.Context, site string, dates []string, after, upTo rollup.Marks, fn func(*store.Event) error) error {
	s.scans.Add(1)
	return s.Store.ScanDay(ctx, site, dates, after, upTo, fn)
}

// put stores events and their rollups as the worker does, in one step.
func (s *brokenStore) put(t rapid.TB, events []store.Event) {
	t.Helper()
	fail := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	step := s.Begin()
	defer step.Discard()
	outcomes, err := step.Insert(ctx, events)
	fail(err)
	days := map[store.DayKey]*rollup.Day{}
	for i, e := range events {
		if outcomes[i].Result != store.Inserted {
			t.Fatalf("event %d: %+v", i, outcomes[i])
		}
		key := store.DayKey{Site: e.Site, Date: e.Date}
		if days[key] == nil {
			loaded, _, err := step.Load(ctx, []store.DayKey{key})
			fail(err)
			days[key] = cmp.Or(loaded[key], rollup.NewDay(e.Site, e.Date))
		}
		clock, err := event.NewClock("", e.Date)
		fail(err)
		days[key].Fold(e.Stream, []rollup.Event{e.ForFold(e.Position, clock)})
	}
	for _, day := range days {
		day.Compact(rollup.DefaultLimits)
		_, err := step.Swap(ctx, []*rollup.Day{day})
		fail(err)
	}
	last := events[len(events)-1]
	fail(step.Commit(ctx, store.Checkpoint{Stream: last.Stream, Position: last.Position, AsOf: asOf}))
}

var asOf = time.Date(2026, 11, 24, 10, 0, 0, 5e6, time.UTC)

// newEvent is event number n of a stream, a view of path by user.
func newEvent(site, date, path, user string, n int) store.Event {
	at, err := time.Parse(time.DateOnly, date)
	if err != nil {
		panic(err)
	}
	e := store.Event{Stream: "1:0", Date: date}
	e.Event = event.Event{ID: fmt.Sprint(n), Site: site, User: user, Time: at.Add(time.Hour)}
	e.Values[rollup.EventType], e.Values[rollup.Path] = rollup.PageView, path
	e.Position.Entry.Ms = uint64(n + 1)
	return e
}

// serve makes the handler of a report.
func serve(st report.Store, opts report.Options, log *slog.Logger) http.Handler {
	rt := web.NewRouter(log)
	report.New(st, opts, log).Register(rt)
	return rt
}

// get asks for /stats with a query.
func get(ctx context.Context, h http.Handler, query string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/stats?"+query, nil))
	return w
}

// want fails unless the answer is this JSON.
func want(t rapid.TB, w *httptest.ResponseRecorder, status int, body string) {
	t.Helper()
	if got := strings.TrimSuffix(w.Body.String(), "\n"); w.Code != status || got != body {
		t.Fatalf("answer is %d\n%s\nwant %d\n%s", w.Code, got, status, body)
	}
}

func TestAnswers(t *testing.T) {
	st := newStore(t)
	h := serve(st, report.Options{}, quiet)
	ctx := t.Context()

	want(t, get(ctx, h, "site_id=a&date=2026-11-01"), 200,
		`{"site_id":"a","date":"2026-11-01","total_views":0,"unique_users":0,"top_paths":[],"total_events":0,"bots":0,"top_paths_exact":true,"source":"rollup","timezone":"UTC","as_of":null}`)

	events := []store.Event{
		newEvent("a", "2026-11-01", "/x", "u1", 0),
		newEvent("a", "2026-11-01", "/x", "u2", 1),
		newEvent("a", "2026-11-01", "/y<&>", "u2", 2),
		newEvent("a", "2026-11-03", "/x", "u1", 3),
		newEvent("a", "2026-11-05", "/z", "u3", 4),
		newEvent("b", "2026-11-01", "/x", "u9", 5),
	}
	events[3].Values[rollup.EventType] = "click"
	st.put(t, events)
	h = serve(st, report.Options{}, quiet)

	const rest = `"source":"rollup","timezone":"UTC","as_of":"2026-11-24T10:00:00.005Z"}`
	all := `"total_views":4,"unique_users":3,"top_paths":[{"path":"/x","views":2},{"path":"/y\u003c\u0026\u003e","views":1},{"path":"/z","views":1}],"total_events":5,"bots":0,"top_paths_exact":true,` + rest
	one := `"total_views":3,"unique_users":2,"top_paths":[{"path":"/x","views":2},{"path":"/y\u003c\u0026\u003e","views":1}],"total_events":3,"bots":0,"top_paths_exact":true,` + rest
	none := `"total_views":0,"unique_users":0,"top_paths":[],"total_events":0,"bots":0,"top_paths_exact":true,` + rest
	for query, answer := range map[string]string{
		"site_id=a&date=2026-11-01":                    `"site_id":"a","date":"2026-11-01",` + one,
		"site_id=a&date=2026-11-02":                    `"site_id":"a","date":"2026-11-02",` + none,
		"site_id=a":                                    `"site_id":"a","from":"2026-11-01","to":"2026-11-05",` + all,
		"site_id=a&from=2026-10-01&to=2026-11-30":      `"site_id":"a","from":"2026-10-01","to":"2026-11-30",` + all,
		"site_id=a&from=2026-11-01":                    `"site_id":"a","from":"2026-11-01","to":"2026-11-05",` + all,
		"site_id=a&to=2026-11-30":                      `"site_id":"a","from":"2026-11-01","to":"2026-11-30",` + all,
		"site_id=a&to=2026-11-02":                      `"site_id":"a","from":"2026-11-01","to":"2026-11-02",` + one,
		"site_id=a&from=2026-11-01&to=2026-11-01":      `"site_id":"a","from":"2026-11-01","to":"2026-11-01",` + one,
		"site_id=a&from=2026-12-01":                    `"site_id":"a","from":"2026-12-01",` + none,
		"site_id=nobody":                               `"site_id":"nobody",` + none,
		"site_id=nobody&from=2026-01-01&to=2026-01-31": `"site_id":"nobody","from":"2026-01-01","to":"2026-01-31",` + none,
		"site_id=a&limit=1&date=2026-11-01": `"site_id":"a","date":"2026-11-01",` +
			`"total_views":3,"unique_users":2,"top_paths":[{"path":"/x","views":2}],"total_events":3,"bots":0,"top_paths_exact":true,` + rest,
	} {
		want(t, get(ctx, h, query), 200, "{"+answer)
	}
	if n := st.scans.Load(); n != 0 {
		t.Errorf("%d raw scans where every day has its rollup", n)
	}
}

// A table that dropped keys says how far its counts may be off.
func TestInexactTop(t *testing.T) {
	st := newStore(t)
	day := rollup.NewDay("a", "2026-11-01")
	paths := &day.Tables[rollup.Path]
	for i, n := range []uint64{50, 40, 30, 20} {
		paths.Add(fmt.Sprintf("/%d", i), n)
	}
	paths.Compact(2)
	paths.Add("/late", 5)
	if err := st.SwapDay(t.Context(), day); err != nil {
		t.Fatal(err)
	}
	h := serve(st, report.Options{}, quiet)
	for limit, answer := range map[int]string{
		2: `"top_paths":[{"path":"/0","views":50},{"path":"/1","views":40}],"total_events":0,"bots":0,"top_paths_exact":true`,
		3: `"top_paths":[{"path":"/0","views":50},{"path":"/1","views":40},{"path":"/late","views":35,"views_error":30}],"total_events":0,"bots":0,"top_paths_exact":false`,
	} {
		if w := get(t.Context(), h, fmt.Sprintf("site_id=a&limit=%d", limit)); !strings.Contains(w.Body.String(), answer) {
			t.Errorf("limit %d: answer is %s, want %s", limit, w.Body, answer)
		}
	}
}

func TestRefusals(t *testing.T) {
	h := serve(newStore(t), report.Options{}, quiet)
	long := strings.Repeat("s", 129)
	for _, c := range []struct {
		query, field, message string
		status                int
	}{
		{"", "site_id", "site_id is missing", 422},
		{"date=2026-11-01", "site_id", "site_id is missing", 422},
		{"site_id=", "site_id", "site_id is empty", 422},
		{"site_id=" + long, "site_id", "site_id is 129 bytes long", 422},
		{"site_id=a/b", "site_id", "site_id has a character that is not allowed", 422},
		{"site_id=a%00", "site_id", "site_id has a character that is not allowed", 422},
		{"site_id=%C3%A9", "site_id", "site_id has a character that is not allowed", 422},
		{"site_id=" + strings.Repeat("%80", 200), "site_id", "site_id is 200 bytes long", 422},
		{"site_id=a|2026-11-01", "site_id", "site_id has a character that is not allowed", 422},
		{"site_id=a&date=2025-02-30", "date", "date is not a date", 422},
		{"site_id=a&date=2025-2-3", "date", "date is not a date", 422},
		{"site_id=a&date=today", "date", "date is not a date", 422},
		{"site_id=a&date=", "date", "date is not a date", 422},
		{"site_id=a&date=2025-02-03T00:00:00Z", "date", "date is not a date", 422},
		{"site_id=a&from=2025-13-01&to=2025-12-01", "from", "from is not a date", 422},
		{"site_id=a&from=2025-12-01&to=2025-12-32", "to", "to is not a date", 422},
		{"site_id=a&from=2025-12-02&to=2025-12-01", "from", "from is later than to", 422},
		{"site_id=a&date=2025-12-02&to=2025-12-01", "date", "date cannot be combined with from and to", 422},
		{"site_id=a&date=2025-12-02&from=2025-12-01", "date", "date cannot be combined with from and to", 422},
		{"site_id=a&limit=0", "limit", "limit is not a number that is allowed", 422},
		{"site_id=a&limit=1001", "limit", "limit is not a number that is allowed", 422},
		{"site_id=a&limit=-1", "limit", "limit is not a number that is allowed", 422},
		{"site_id=a&limit=ten", "limit", "limit is not a number that is allowed", 422},
		{"site_id=a&limit=", "limit", "limit is not a number that is allowed", 422},
		{"site_id=a&limit=99999999999999999999", "limit", "limit is not a number that is allowed", 422},
		{"site_id=a&site_id=b", "site_id", "site_id is given 2 times", 422},
		{"site_id=a&date=2025-12-02&date=2025-12-02", "date", "date is given 2 times", 422},
		{"site_id=a&form=2025-12-01", "form", "form is not a parameter here", 422},
		{"site_id=a&to=2025-12-01&Site=b&form=1", "Site, form", "Site, form are not parameters here", 422},
		{"site_id=a&date=%zz", "", `the query string cannot be read: invalid URL escape "%zz"`, 400},
		{"site_id=a;date=2025-12-01", "", "the query string cannot be read: invalid semicolon separator in query", 400},
	} {
		w := get(t.Context(), h, c.query)
		var answer web.Error
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%q: %v in %s", c.query, err, w.Body)
		}
		if w.Code != c.status || answer.Message != c.message || answer.Field != c.field {
			t.Errorf("%q: answer is %d %s\nwant %d, field %q, error %q", c.query, w.Code, w.Body, c.status, c.field, c.message)
		}
		if c.status == 422 && answer.Allowed == "" {
			t.Errorf("%q: answer does not say what is allowed: %s", c.query, w.Body)
		}
	}

	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/stats?site_id=a", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST is answered with %d", w.Code)
	}
}

// Whatever rollups are lost or damaged, whatever is asked for: the answer is
// what one gets by counting the events with maps.
func TestAnswersAreRight(t *testing.T) {
	st := newStore(t)
	h := serve(st, report.Options{}, quiet)
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		site := fmt.Sprintf("site-%d", run)
		date := rapid.Map(rapid.IntRange(1, 8), func(d int) string { return fmt.Sprintf("2026-11-%02d", d) })

		var events []store.Event
		for i := range rapid.IntRange(1, 60).Draw(t, "events") {
			path := rapid.SampledFrom([]string{"/", "/a", "/b", "/c"}).Draw(t, "path")
			user := rapid.SampledFrom([]string{"", "u1", "u2", "u3", "u4"}).Draw(t, "user")
			e := newEvent(site, date.Draw(t, "date"), path, user, i)
			e.Values[rollup.EventType] = rapid.SampledFrom([]string{"page_view", "click"}).Draw(t, "type")
			events = append(events, e)
		}
		st.put(t, events)
		for _, e := range events {
			key := store.DayKey{Site: site, Date: e.Date}
			if st.lost[key] || st.damaged[key] {
				continue
			}
			switch rapid.IntRange(0, 5).Draw(t, "fate") {
			case 0:
				st.lost[key] = true
			case 1:
				st.damaged[key] = true
			}
		}

		for range 5 {
			query := url.Values{"site_id": {site}}
			from, to := "", ""
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				from = date.Draw(t, "date")
				to = from
				query.Set("date", from)
			case 1:
				from = date.Draw(t, "from")
				query.Set("from", from)
			case 2:
				to = date.Draw(t, "to")
				query.Set("to", to)
			case 3:
				from, to = date.Draw(t, "from"), date.Draw(t, "to")
				from, to = min(from, to), max(from, to)
				query.Set("from", from)
				query.Set("to", to)
			}
			limit := rapid.IntRange(1, 5).Draw(t, "limit")
			query.Set("limit", strconv.Itoa(limit))

			w := get(t.Context(), h, query.Encode())
			var got report.Stats
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
				t.Fatalf("%s: answer is %d %s", query.Encode(), w.Code, w.Body)
			}
			compare(t, &got, bruteForce(st, site, from, to, limit, events))
		}
	})
}

// bruteForce counts the events from <= date <= to.
func bruteForce(st *brokenStore, site, from, to string, limit int, events []store.Event) *report.Stats {
	s := new(report.Stats)
	s.Site, s.TopPaths, s.TopPathsExact = site, []report.PathViews{}, true
	users, views := map[string]bool{}, map[string]uint64{}
	whole, broken := 0, 0
	for _, e := range events {
		if e.Date < from || to != "" && e.Date > to {
			continue
		}
		if key := (store.DayKey{Site: site, Date: e.Date}); st.lost[key] || st.damaged[key] {
			broken++
		} else {
			whole++
		}
		s.TotalEvents++
		if e.User != "" {
			users[e.User] = true
		}
		if e.Type() == rollup.PageView {
			s.TotalViews++
			views[e.Values[rollup.Path]]++
		}
	}
	s.UniqueUsers = uint64(len(users))
	for path, n := range views {
		s.TopPaths = append(s.TopPaths, report.PathViews{Path: path, Views: n})
	}
	slices.SortFunc(s.TopPaths, func(a, b report.PathViews) int {
		return cmp.Or(cmp.Compare(b.Views, a.Views), cmp.Compare(a.Path, b.Path))
	})
	s.TopPaths = s.TopPaths[:min(limit, len(s.TopPaths))]
	switch {
	case broken > 0 && whole > 0:
		s.Source = "mixed"
	case broken > 0:
		s.Source = "raw"
	default:
		s.Source = "rollup"
	}
	return s
}

// compare leaves the dates, the zone and as_of to TestAnswers.
func compare(t rapid.TB, got, want *report.Stats) {
	t.Helper()
	a, b := *got, *want
	for _, s := range []*report.Stats{&a, &b} {
		s.Date, s.From, s.To, s.Timezone, s.AsOf = "", "", "", "", nil
	}
	if fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", b) {
		t.Fatalf("answer is %+v\nwant %+v", a, b)
	}
}

// Users and paths of several days count once, on sketches and tables of the
// size of a busy site.
func TestRangeOfBusyDays(t *testing.T) {
	st := newStore(t)
	const days, users = 3, 20_000
	for d := range days {
		date := fmt.Sprintf("2026-11-%02d", d+1)
		events := make([]store.Event, 2*users)
		for i := range events {
			events[i] = newEvent("a", date, fmt.Sprintf("/%d", i%100), fmt.Sprintf("u%d", i%users), d*len(events)+i)
		}
		st.put(t, events)
	}
	ask := func() report.Stats {
		w := get(t.Context(), serve(st, report.Options{}, quiet), "site_id=a&limit=5")
		var s report.Stats
		if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
			t.Fatalf("%v in %s", err, w.Body)
		}
		return s
	}
	s := ask()
	if most := 3 * rollup.SketchError * users; float64(s.UniqueUsers) < users-most || float64(s.UniqueUsers) > users+most {
		t.Errorf("%d unique users, want %d", s.UniqueUsers, users)
	}
	if s.TotalViews != days*2*users || len(s.TopPaths) != 5 || s.TopPaths[4].Views != days*2*users/100 || !s.TopPathsExact {
		t.Errorf("answer is %+v", s)
	}
	st.lost[store.DayKey{Site: "a", Date: "2026-11-02"}] = true
	mixed := ask()
	if mixed.Source != "mixed" {
		t.Errorf("source is %s with a lost rollup", mixed.Source)
	}
	mixed.Source = s.Source
	compare(t, &mixed, &s)
}

// A damaged rollup without raw events must not look like a day without
// visitors.
func TestDamagedWithoutRawEvents(t *testing.T) {
	st := newStore(t)
	key := store.DayKey{Site: "a", Date: "2026-11-01"}
	if err := st.SwapDay(t.Context(), rollup.NewDay(key.Site, key.Date)); err != nil {
		t.Fatal(err)
	}
	st.damaged[key] = true
	h := serve(st, report.Options{}, quiet)
	for _, query := range []string{"site_id=a", "site_id=a&date=2026-11-01"} {
		want(t, get(t.Context(), h, query), 500,
			`{"error":"the rollup of a|2026-11-01 is damaged, and there are no raw events left to count instead"}`)
	}
}

func TestScanIsLogged(t *testing.T) {
	st := newStore(t)
	st.put(t, []store.Event{newEvent("a", "2026-11-01", "/", "u", 0), newEvent("a", "2026-11-02", "/", "u", 1)})
	st.lost[store.DayKey{Site: "a", Date: "2026-11-01"}] = true
	st.damaged[store.DayKey{Site: "a", Date: "2026-11-02"}] = true
	var out strings.Builder
	get(t.Context(), serve(st, report.Options{}, slog.New(slog.NewTextHandler(&out, nil))), "site_id=a")
	for _, line := range []string{
		"level=WARN msg=\"rollup is missing, its raw events are counted instead; `daybook rebuild` restores it\" site=a date=2026-11-01\n",
		"level=WARN msg=\"rollup is damaged, its raw events are counted instead; `daybook rebuild` restores it\" site=a date=2026-11-02 damage=\"a bit has flipped\"\n",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("log is\n%swant in it\n%s", out.String(), line)
		}
	}
}
