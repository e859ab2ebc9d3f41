package report_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/report"
)

// door is a store with keys, and a report behind a gate on it.
type door struct {
	st     *brokenStore
	tokens map[string]string // by what the tests call the keys
	h      http.Handler
	asked  int
}

// testKeys are keys as the tests call them.
var testKeys = map[string]access.Key{
	"ingest of mine": {Scope: access.Ingest, Site: "mine"},
	"ingest of all":  {Scope: access.Ingest, Site: access.EverySite},
	"public of mine": {Scope: access.Ingest, Site: "mine", Public: true},
	"revoked":        {Scope: access.Read, Site: "mine"},
	"read of mine":   {Scope: access.Read, Site: "mine"},
	"read of theirs": {Scope: access.Read, Site: "theirs"},
	"read of all":    {Scope: access.Read, Site: access.EverySite},
	"admin of mine":  {Scope: access.Admin, Site: "mine"},
	"admin of all":   {Scope: access.Admin, Site: access.EverySite},
}

// newDoor makes a report with the keys of these names; one is called "wrong"
// too and opens nothing.
func newDoor(t *testing.T, st *brokenStore, mode access.Mode, opts report.Options, names ...string) *door {
	t.Helper()
	d := &door{st: st, tokens: map[string]string{"wrong": "db_read_ABCDEFGHIJ_ABCDEFGHIJKLMNOPQRSTUVWXYZ"}}
	keys := access.NewKeys(st)
	for _, name := range names {
		made, token, err := keys.Create(t.Context(), testKeys[name])
		if err == nil && name == "revoked" {
			_, err = keys.Revoke(t.Context(), made.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
		d.tokens[name] = token
	}
	book := access.NewBook(st, quiet)
	if err := book.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	opts.Gate = access.NewGate(book, access.Read, access.Options{Mode: mode}, quiet)
	d.h, _ = begin(t, st, opts)
	return d
}

// ask sends a request with a key; "" is none. Each comes from another address,
// so that wrong keys do not close the gate to the others.
func (d *door) ask(t rapid.TB, key, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(context.Background(), method, target, strings.NewReader(body))
	if key != "" {
		token, ok := d.tokens[key]
		if !ok {
			t.Fatalf("there is no key %q", key)
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		req.Header.Set(name, value)
	}
	req.Host = "127.0.0.1:3001"
	d.asked++
	req.RemoteAddr = fmt.Sprintf("198.51.%d.%d:4000", 100+d.asked/250, 1+d.asked%250)
	w := httptest.NewRecorder()
	d.h.ServeHTTP(w, req)
	return w
}

// targets are questions about site mine at all endpoints that have one.
var targets = []string{
	"/stats?site_id=mine",
	"/stats?site_id=mine&filter=path==/",
	"/stats?site_id=mine&format=csv",
	"/stats/timeseries?site_id=mine",
	"/stats/breakdown?site_id=mine&dimension=path",
	"/stats/users?site_id=mine&exact=true",
	"/stats/visits?site_id=mine",
	"/stats/realtime?site_id=mine",
}

// putBoth stores a view of two sites.
func putBoth(t *testing.T, st *brokenStore) {
	t.Helper()
	st.put(t, history{newEvent("mine", "2026-11-01", "/", "u", 0), newEvent("theirs", "2026-11-01", "/", "v", 1)})
}

// Who may ask what, by the mode, by which keys there are and by the key of the
// request.
func TestWhoMayAsk(t *testing.T) {
	all := make([]string, 0, len(testKeys))
	for name := range testKeys {
		all = append(all, name)
	}
	for _, test := range []struct {
		name string
		mode access.Mode
		keys []string
		// want has the statuses by the key of the request.
		want map[string]int
	}{
		{"closed", access.Auto, all, map[string]int{
			"": 401, "wrong": 401, "revoked": 401,
			"ingest of mine": 403, "ingest of all": 403, "public of mine": 403, "read of theirs": 403,
			"read of mine": 200, "read of all": 200, "admin of mine": 200, "admin of all": 200,
		}},
		{"closed for good", access.Auto, []string{"revoked"}, map[string]int{"": 401, "wrong": 401, "revoked": 401}},
		{"closed by an admin key", access.Auto, []string{"admin of all"}, map[string]int{"": 401, "admin of all": 200}},
		{"closed without keys", access.Always, nil, map[string]int{"": 401, "wrong": 401}},
		{"open", access.Auto, []string{"ingest of mine"}, map[string]int{"": 200, "wrong": 401, "ingest of mine": 403}},
		{"open whatever keys there are", access.None, []string{"read of theirs", "ingest of mine"}, map[string]int{
			"": 200, "wrong": 200, "read of theirs": 200, "ingest of mine": 200,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := newStore(t)
			putBoth(t, st)
			d := newDoor(t, st, test.mode, report.Options{}, test.keys...)
			for key, want := range test.want {
				check := func(what string, w *httptest.ResponseRecorder, want int) {
					t.Helper()
					if w.Code != want {
						t.Errorf("%s with key %q: %d %s\nwant %d", what, key, w.Code, w.Body, want)
					}
					challenge := w.Header().Get("WWW-Authenticate")
					if (challenge != "") != (w.Code == http.StatusUnauthorized) {
						t.Errorf("%s with key %q: %d with WWW-Authenticate %q", what, key, w.Code, challenge)
					}
				}
				for _, target := range targets {
					check(target, d.ask(t, key, "GET", target, ""), want)
					check("HEAD "+target, d.ask(t, key, "HEAD", target, ""), want)
				}
				// Whoever may ask at all may ask about something there.
				asks := want
				if key == "read of theirs" {
					asks = 200
				}
				check("sites", d.ask(t, key, "GET", "/stats/sites", ""), asks)
				w := d.ask(t, key, "POST", "/stats/query", `{"queries":[{"endpoint":"stats","site_id":"mine"}]}`)
				check("query", w, asks)
				if asks == 200 {
					var batch report.Batch
					if err := json.Unmarshal(w.Body.Bytes(), &batch); err != nil || batch.Answers[0].Status != want {
						t.Errorf("query with key %q: %v %s\nwant %d in it", key, err, w.Body, want)
					}
				}
				for _, target := range []string{"/stats?nonsense=1", "/stats/jobs/0query-NONE"} {
					missing := map[bool]int{true: 422, false: 404}[strings.HasPrefix(target, "/stats?")]
					if asks != 200 {
						missing = want
					}
					check(target, d.ask(t, key, "GET", target, ""), missing)
				}
				check("openapi", d.ask(t, key, "GET", "/openapi.json", ""), 200)
				check("OPTIONS", d.ask(t, key, "OPTIONS", "/stats", ""), 405)
			}
		})
	}
}

// X-API-Key is as good as Authorization; a URL is no place for a key.
func TestWhereKeysStand(t *testing.T) {
	st := newStore(t)
	d := newDoor(t, st, access.Auto, report.Options{}, "read of mine", "public of mine")
	for header, status := range map[string]int{
		"X-API-Key: " + d.tokens["read of mine"]:            200,
		"X-API-Key: " + d.tokens["public of mine"]:          403,
		"Authorization: bearer " + d.tokens["read of mine"]: 200,
		"Authorization: Basic " + d.tokens["read of mine"]:  401,
	} {
		if w := d.ask(t, "", "GET", "/stats?site_id=mine", "", header); w.Code != status {
			t.Errorf("%s: %d %s, want %d", header, w.Code, w.Body, status)
		}
	}
	for _, key := range []string{"read of mine", "public of mine"} {
		if w := d.ask(t, "", "GET", "/stats?site_id=mine&key="+d.tokens[key], ""); w.Code != 403 {
			t.Errorf("%s in the URL: %d %s", key, w.Code, w.Body)
		}
	}
}

// Before keys are known nobody is let in, whatever there is to be found.
func TestNobodyIsLetInUnseen(t *testing.T) {
	st := newStore(t)
	gate := access.NewGate(access.NewBook(st, quiet), access.Read, access.Options{}, quiet)
	h, _ := begin(t, st, report.Options{Gate: gate})
	for _, target := range append(targets, "/stats/sites", "/stats/jobs/x") {
		if w := getTarget(t.Context(), h, target); w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

// A job is there for those who may ask about its site, and to all others as if
// it were not.
func TestWhoseJobs(t *testing.T) {
	st := newStore(t)
	putBoth(t, st)
	d := newDoor(t, st, access.Auto, report.Options{}, "read of mine", "read of theirs", "read of all")
	const question = "/stats?site_id=mine&filter=path==/&async=true"
	w := d.ask(t, "read of mine", "GET", question, "")
	place := w.Header().Get("Location")
	if w.Code != 202 || place == "" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, key := range []string{"read of mine", "read of all"} {
		job := d.await(t, key, place)
		if !strings.Contains(string(job.Answer), `"total_views":1`) {
			t.Errorf("with key %q the answer is %s", key, job.Answer)
		}
	}
	if w := d.ask(t, "read of theirs", "GET", question, ""); w.Code != 403 || w.Header().Get("Location") != "" {
		t.Errorf("the same question by others: %d %s", w.Code, w.Body)
	}
	never := place[:len(place)-1] + "_"
	got, want := d.ask(t, "read of theirs", "GET", place, ""), d.ask(t, "read of theirs", "GET", never, "")
	if got.Code != 404 || strings.ReplaceAll(got.Body.String(), place[len("/stats/jobs/"):], "ID") != strings.ReplaceAll(want.Body.String(), never[len("/stats/jobs/"):], "ID") {
		t.Errorf("to others a job is %d %s\nand one that there is not %d %s", got.Code, got.Body, want.Code, want.Body)
	}
}

// await asks for a job until it is done.
func (d *door) await(t rapid.TB, key, place string) report.Job {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		w := d.ask(t, key, "GET", place, "")
		var job report.Job
		if err := json.Unmarshal(w.Body.Bytes(), &job); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", place, w.Code, w.Body)
		}
		if job.State == report.JobDone {
			return job
		}
		if time.Now().After(deadline) {
			t.Fatalf("job %s does not end", place)
		}
	}
}

// A key of one site has one page with one site, whether it has data or not; one
// of all has all pages.
func TestSitesOfKeys(t *testing.T) {
	st := newStore(t)
	d := newDoor(t, st, access.Auto, report.Options{}, "read of mine", "read of all")
	list := func(key, query string) string {
		t.Helper()
		var sites report.Sites
		w := d.ask(t, key, "GET", "/stats/sites?"+query, "")
		if err := json.Unmarshal(w.Body.Bytes(), &sites); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		var got strings.Builder
		for _, s := range sites.Sites {
			fmt.Fprintf(&got, "%s %d, ", s.Site, s.Events)
		}
		return got.String() + strconv.FormatBool(sites.More)
	}
	if got := list("read of mine", ""); got != "mine 0, false" {
		t.Errorf("without data: %s", got)
	}
	st.put(t, history{
		newEvent("a", "2026-11-01", "/", "u", 0), newEvent("mine", "2026-11-01", "/", "u", 1), newEvent("z", "2026-11-01", "/", "u", 2),
	})
	for _, c := range []struct{ key, query, want string }{
		{"read of mine", "", "mine 1, false"},
		{"read of mine", "limit=1", "mine 1, false"},
		{"read of mine", "limit=1&page=2", "false"},
		{"read of mine", "date=2026-11-02", "mine 0, false"},
		{"read of all", "limit=1", "a 1, true"},
		{"read of all", "limit=2&page=2", "z 1, false"},
	} {
		if got := list(c.key, c.query); got != c.want {
			t.Errorf("%s with key %q: %s, want %s", c.query, c.key, got, c.want)
		}
	}
}

// random is what two answers that are the same may differ in: the IDs of jobs,
// and ETags, which are made of revs that begin anywhere.
var random = regexp.MustCompile(`0query-20[0-9TZ.]+-[A-Z0-9]+|W/"[0-9a-f]+"`)

// Whatever a key of one site asks: the answer is the same, byte for byte and in
// its headers, as where no other site has anything. Others have asked all of it
// before, so that whatever is kept for them is there.
func TestAnswersDoNotDependOnOtherSites(t *testing.T) {
	now := func() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) }
	newWorld := func(sites ...string) *door {
		st, q := newStore(t), newFakeQueue(1)
		n := 0
		for _, site := range sites {
			var events history
			for _, date := range []string{"2026-10-31", "2026-11-01", "2026-11-24"} {
				for i := range 5 {
					// What a site has is the same in both worlds, and differs
					// from what the others have.
					events = append(events, newEvent(site, date, fmt.Sprintf("/%s/%d", site, i%3), fmt.Sprint(site, i), n))
					events[len(events)-1].ID = fmt.Sprint(site, n)
					n++
				}
			}
			st.put(t, events)
			q.append(now(), site, liveEvent(site, "live", "user of "+site, "/live/"+site, now().Add(-time.Minute)))
		}
		return newDoor(t, st, access.Auto, report.Options{Queue: q, Now: now}, "read of mine", "read of all", "read of theirs")
	}
	crowded, alone := newWorld("a", "mine", "theirs"), newWorld("mine")
	var etags, places []string

	rapid.Check(t, func(t *rapid.T) {
		questions := rapid.SliceOfN(rapid.Custom(drawQuestion), 1, 3).Draw(t, "questions")
		forbidden := func(q url.Values) bool { return q.Has("site_id") && q.Get("site_id") != "mine" }
		var method, target, body string
		if len(questions) == 1 {
			method = rapid.SampledFrom([]string{"GET", "HEAD"}).Draw(t, "method")
			name := questions[0].Get("endpoint")
			questions[0].Del("endpoint")
			target = "/stats/" + name
			if name == "stats" {
				target = "/stats"
			}
			target += "?" + questions[0].Encode()
			if len(places) > 0 && rapid.IntRange(0, 9).Draw(t, "job") == 0 {
				target = rapid.SampledFrom(places).Draw(t, "place")
			}
		} else {
			method, target = "POST", "/stats/query"
			for _, q := range questions {
				q.Del("async") // how far a job is by then nobody knows
			}
			text, err := json.Marshal(map[string]any{"queries": questions})
			if err != nil {
				t.Fatal(err)
			}
			body = string(text)
		}
		header := "Accept: */*"
		if len(etags) > 0 && rapid.Bool().Draw(t, "conditional") {
			header = "If-None-Match: " + rapid.SampledFrom(etags).Draw(t, "etag")
		}

		// Those who may ask this do, and what they got is no help to others.
		for _, key := range []string{"read of all", "read of theirs"} {
			w := crowded.ask(t, key, method, target, body)
			if etag := w.Header().Get("ETag"); etag != "" && !strings.Contains(target, "site_id=mine") {
				etags = append(etags, etag)
			}
			if place := w.Header().Get("Location"); place != "" {
				crowded.await(t, key, place)
				if !strings.Contains(target, "site_id=mine") {
					places = append(places, place)
				}
			}
		}
		got, want := crowded.ask(t, "read of mine", method, target, body, header), alone.ask(t, "read of mine", method, target, body, header)
		for d, w := range map[*door]*httptest.ResponseRecorder{crowded: got, alone: want} {
			if place := w.Header().Get("Location"); place != "" {
				job, err := json.Marshal(d.await(t, "read of mine", place))
				if err != nil {
					t.Fatal(err)
				}
				w.Body.Reset()
				w.Body.Write(job)
			}
		}
		same := func(w *httptest.ResponseRecorder) string {
			return random.ReplaceAllString(fmt.Sprintf("%d %v\n%s", w.Code, w.Header(), w.Body), "random")
		}
		if same(got) != same(want) {
			t.Fatalf("%s %s %s with %s\namong others: %s\nalone: %s", method, target, body, header, same(got), same(want))
		}

		var batch report.Batch
		if method == "POST" && got.Code == http.StatusOK {
			if err := json.Unmarshal(got.Body.Bytes(), &batch); err != nil {
				t.Fatal(err)
			}
		}
		for i, q := range questions {
			switch {
			case !forbidden(q) || strings.HasPrefix(target, "/stats/jobs/"):
			case method == "POST" && batch.Answers[i].Status != http.StatusForbidden,
				method != "POST" && got.Code != http.StatusForbidden:
				t.Fatalf("%s %s %s: %d %s", method, target, body, got.Code, got.Body)
			}
		}
	})
}

// drawQuestion draws the parameters of a question, with the endpoint among
// them, that is right but for whom it is about.
func drawQuestion(t *rapid.T) url.Values {
	q := url.Values{}
	maybe := func(name string, values ...string) {
		if rapid.IntRange(0, 2).Draw(t, "has "+name) == 0 {
			q.Set(name, rapid.SampledFrom(values).Draw(t, name))
		}
	}
	name := rapid.SampledFrom([]string{"stats", "timeseries", "breakdown", "users", "visits", "sites", "realtime"}).Draw(t, "endpoint")
	q.Set("endpoint", name)
	if name != "sites" {
		q.Set("site_id", rapid.SampledFrom([]string{"mine", "mine", "theirs", "a", "nobody"}).Draw(t, "site"))
	}
	if name != "realtime" {
		maybe("period", "today", "30d", "month", "all")
	}
	if name == "breakdown" {
		q.Set("dimension", rapid.SampledFrom([]string{"path", "event_type", "entry_page"}).Draw(t, "dimension"))
	}
	if name != "realtime" && name != "sites" {
		maybe("filter", "path~/*/1", "event_type==page_view")
		maybe("compare", "previous", "year")
		maybe("async", "true")
		if q.Get("period") == "all" || !q.Has("period") {
			q.Del("compare")
		}
	}
	if name != "users" && name != "visits" && name != "timeseries" {
		maybe("limit", "1", "2")
	}
	if name == "sites" {
		maybe("page", "1", "2")
	}
	return q
}
