package report_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

func post(t *testing.T, h http.Handler, body string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/stats/query", strings.NewReader(body)))
	return w
}

// Each of several questions is answered as its GET is, errors included.
func TestSeveralQuestions(t *testing.T) {
	st := newStore(t)
	st.put(t, history{newEvent("a", "2026-11-01", "/", "u", 0), newEvent("a", "2026-11-02", "/x", "u", 1)})
	h := serve(st, report.Options{}, quiet)
	questions := []struct{ question, path string }{
		{`{"endpoint":"stats","site_id":"a","limit":1}`, "/stats?site_id=a&limit=1"},
		{`{"endpoint":"stats","site_id":"a","from":"2026-11-02","to":"2026-11-02","compare":"previous"}`, "/stats?site_id=a&from=2026-11-02&to=2026-11-02&compare=previous"},
		{`{"endpoint":"timeseries","site_id":"a","interval":"day"}`, "/stats/timeseries?site_id=a&interval=day"},
		{`{"endpoint":"breakdown","site_id":"a","dimension":"path","filter":["path!=/","event_type==page_view"]}`, "/stats/breakdown?site_id=a&dimension=path&filter=path!%3D/&filter=event_type%3D%3Dpage_view"},
		{`{"endpoint":"users","site_id":"a","exact":true}`, "/stats/users?site_id=a&exact=true"},
		{`{"endpoint":"visits","site_id":["a"]}`, "/stats/visits?site_id=a"},
		{`{"endpoint":"sites"}`, "/stats/sites"},
		{`{"endpoint":"stats"}`, "/stats"},
		{`{"endpoint":"stats","site_id":["a","b"]}`, "/stats?site_id=a&site_id=b"},
		{`{"endpoint":"visits","site_id":"a","dimension":"path"}`, "/stats/visits?site_id=a&dimension=path"},
	}
	var all []string
	for _, q := range questions {
		all = append(all, q.question)
	}
	w := post(t, h, `{"queries":[`+strings.Join(all, ",")+`]}`)
	var batch report.Batch
	if err := json.Unmarshal(w.Body.Bytes(), &batch); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %v %s", w.Code, err, w.Body)
	}
	if len(batch.Answers) != len(questions) {
		t.Fatalf("%d answers to %d questions", len(batch.Answers), len(questions))
	}
	for i, q := range questions {
		single := getAs(t, h, q.path, "")
		got := batch.Answers[i]
		if got.Status != single.Code || string(got.Body) != strings.TrimSuffix(single.Body.String(), "\n") {
			t.Errorf("%s: %d %s\nGET gives %d %s", q.question, got.Status, got.Body, single.Code, single.Body)
		}
	}
}

func TestQuestionsThatAreRefused(t *testing.T) {
	h := serve(newStore(t), report.Options{}, quiet)
	many := strings.Repeat(`{"endpoint":"stats","site_id":"a"},`, 20)
	for body, want := range map[string]string{
		``:               `400 "the body cannot be read`,
		`[]`:             `400 "the body cannot be read`,
		`{"queries":[]}`: `422 "queries has 0 questions"`,
		`{"queries":[` + many + `{"endpoint":"stats"}]}`:                   `422 "queries has 21 questions"`,
		`{"queries":[{"endpoint":"stats"}],"limit":1}`:                     `400 "the body cannot be read`,
		`{"queries":[{"endpoint":"stats","limit":1,"limit":2}]}`:           `400 "the body cannot be read`,
		`{"queries":[{"site_id":"a"}]}`:                                    `422 "queries[0].endpoint is none of the endpoints"`,
		`{"queries":[{"endpoint":"stats"},{"endpoint":"/stats"}]}`:         `422 "queries[1].endpoint is none of the endpoints"`,
		`{"queries":[{"endpoint":["stats","visits"]}]}`:                    `422 "queries[0].endpoint is none of the endpoints"`,
		`{"queries":[{"endpoint":"stats","site_id":null}]}`:                `422 "queries[0].site_id is no value of a parameter"`,
		`{"queries":[{"endpoint":"stats","site_id":{"a":1}}]}`:             `422 "queries[0].site_id is no value of a parameter"`,
		`{"queries":[{"endpoint":"stats","site_id":[["a"]]}]}`:             `422 "queries[0].site_id is no value of a parameter"`,
		`{"queries":[{"endpoint":"stats","site_id":"a","format":"csv"}]}`:  `422 "queries[0].format is not possible here: the answers are parts of one JSON object"`,
		`{"queries":[{"endpoint":"` + strings.Repeat("x", 70_000) + `"}]}`: `413 "the body is larger than 65536 bytes"`,
	} {
		w := post(t, h, body)
		var answer struct{ Error string }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%v in %s", err, w.Body)
		}
		if got := fmt.Sprintf("%d %q", w.Code, answer.Error); !strings.HasPrefix(got, want) {
			t.Errorf("%.80s: %s\nwant %s", body, got, want)
		}
	}
}

// The sites of all pages are all sites, in order, each with its own totals.
func TestAllSites(t *testing.T) {
	st := newStore(t)
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		var events history
		for n := range i + 1 {
			e := newEvent(name, fmt.Sprintf("2026-11-%02d", n+1), "/", fmt.Sprint("u", n%2), 10*i+n)
			events = append(events, e)
		}
		st.put(t, events)
	}
	setZone(t, st, "f", "Europe/Berlin")
	putZoned(t, st, "f", "Europe/Berlin", "2026-11-01T23:30:00Z", "2026-11-04T23:30:00Z")
	h := serve(st, report.Options{}, quiet)

	var got []string
	for page := 1; ; page++ {
		var sites report.Sites
		fetch(t, h, "/stats/sites", url.Values{"from": {"2026-11-02"}, "to": {"2026-11-04"}, "limit": {"2"}, "page": {fmt.Sprint(page)}}, &sites)
		for _, s := range sites.Sites {
			got = append(got, fmt.Sprintf("%s %s %d %d %d", s.Site, s.Timezone, s.Events, s.Views, s.Users))
		}
		if more := page < 3; sites.More != more {
			t.Errorf("page %d says more %t", page, sites.More)
		}
		if !sites.More {
			break
		}
	}
	want := []string{"a UTC 0 0 0", "b UTC 1 1 1", "c UTC 2 2 2", "d UTC 3 3 2", "e UTC 3 3 2", "f Europe/Berlin 1 1 1"}
	if !slices.Equal(got, want) {
		t.Errorf("sites are %q\nwant %q", got, want)
	}
	var none report.Sites
	fetch(t, h, "/stats/sites", url.Values{"page": {"1000000"}}, &none)
	if len(none.Sites) != 0 || none.More {
		t.Errorf("page 1000000 has %+v", none)
	}
}

// Sites that were added by their names stand among those with events, also
// before they have any.
func TestAddedSites(t *testing.T) {
	st := newStore(t)
	add := func(name string, settings site.Settings) {
		t.Helper()
		_, err := site.NewDirectory(st, 0).Change(t.Context(), name, func(s *site.Settings) error { *s = settings; return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"b", "d", "f"} {
		st.put(t, history{newEvent(name, "2026-11-01", "/", "u", 0)})
	}
	berlin := "Europe/Berlin"
	add("a", site.Settings{Added: true, Zone: berlin, Zones: []string{berlin}})
	add("d", site.Settings{Added: true})
	add("c", site.Settings{DataCenters: true}) // set, neither added nor seen
	add("e", site.Settings{Added: true})
	add("g", site.Settings{Added: true})
	h := serve(st, report.Options{}, quiet)
	want := []string{"a Europe/Berlin 0", "b UTC 1", "d UTC 1", "e UTC 0", "f UTC 1", "g UTC 0"}
	for limit := 1; limit <= len(want)+1; limit++ {
		var got []string
		for page := 1; ; page++ {
			var sites report.Sites
			fetch(t, h, "/stats/sites", url.Values{"date": {"2026-11-01"}, "limit": {fmt.Sprint(limit)}, "page": {fmt.Sprint(page)}}, &sites)
			if len(sites.Sites) > limit || sites.More && len(sites.Sites) < limit {
				t.Errorf("page %d of %d sites has %d, more %t", page, limit, len(sites.Sites), sites.More)
			}
			for _, s := range sites.Sites {
				got = append(got, fmt.Sprintf("%s %s %d", s.Site, s.Timezone, s.Events))
			}
			if !sites.More {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("by %d, sites are %q\nwant %q", limit, got, want)
		}
	}
	// One whose settings are damaged is in nobody's way.
	if err := st.SwapRecord(t.Context(), store.SiteKind, &store.Record{Name: "aa", Body: []byte("{")}); err != nil {
		t.Fatal(err)
	}
	var sites report.Sites
	fetch(t, h, "/stats/sites", url.Values{"date": {"2026-11-01"}}, &sites)
	if len(sites.Sites) != len(want) {
		t.Errorf("beside a damaged record there are %d sites", len(sites.Sites))
	}
}

// Answers that are too long together are given as far as there is room.
func TestAnswersThatAreTooLong(t *testing.T) {
	st := newStore(t)
	day := rollup.NewDay("a", "2026-11-01")
	events := make([]rollup.Event, 1000)
	for i := range events {
		e := &events[i]
		e.Position.Entry.Ms = uint64(i + 1)
		e.Values = rollup.Values{rollup.EventType: rollup.PageView, rollup.Path: fmt.Sprint(strings.Repeat("<", 390), i)}
	}
	day.Fold("1:0", events)
	st.swap(t, day)
	h := serve(st, report.Options{}, quiet)
	var all []string
	for i := range 20 {
		all = append(all, fmt.Sprintf(`{"endpoint":"stats","site_id":"a","limit":%d}`, 1000-i))
	}
	w := post(t, h, `{"queries":[`+strings.Join(all, ",")+`]}`)
	if size := w.Body.Len(); w.Code != http.StatusOK || size > 17<<20 || size < 10<<20 {
		t.Fatalf("the answer is %d of %d bytes", w.Code, size)
	}
	var batch report.Batch
	if err := json.Unmarshal(w.Body.Bytes(), &batch); err != nil {
		t.Fatal(err)
	}
	given := 0
	for i, answer := range batch.Answers {
		switch {
		case answer.Status == http.StatusOK && i == given:
			given++
		case answer.Status != http.StatusUnprocessableEntity || !strings.Contains(string(answer.Body), "longer than 16 MiB together"):
			t.Errorf("answer %d is %d %.100s", i, answer.Status, answer.Body)
		}
	}
	if given == 0 || given == len(batch.Answers) {
		t.Errorf("%d of %d questions are answered", given, len(batch.Answers))
	}
}
