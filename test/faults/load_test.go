package faults

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// retryAfter is how long the clients wait before they send again. It is less
// than they are asked to wait, so that more is sent while nothing works.
const retryAfter = 50 * time.Millisecond

var (
	sites = []string{"site-a", "site-b", "site-c"} // on both of two streams
	dates = []string{"2026-03-01", "2026-03-02", "2026-03-03"}
)

// event is an event as it is sent.
type event struct {
	ID   string `json:"event_id"`
	Site string `json:"site_id"`
	Type string `json:"event_type"`
	Path string `json:"path"`
	User string `json:"user_id"`
	Time string `json:"timestamp"`
}

// newEvent makes an event of chance.
func newEvent(rng *rand.Rand, id string) event {
	kind := "page_view"
	if rng.IntN(5) == 0 {
		kind = "signup"
	}
	return event{
		ID: id, Site: sites[rng.IntN(len(sites))], Type: kind,
		Path: fmt.Sprintf("/page-%d", min(rng.IntN(30), rng.IntN(30))),
		User: fmt.Sprintf("user-%d", rng.IntN(300)),
		Time: dates[rng.IntN(len(dates))] + "T12:00:00Z",
	}
}

// dayKey is a site and a date; an empty date is all of dates.
type dayKey struct{ site, date string }

// day is what is counted of a site and day.
type day struct {
	events, views int
	users         map[string]bool
	paths         map[string]int
}

func (d *day) String() string {
	var paths []string
	for _, path := range slices.Sorted(maps.Keys(d.paths)) {
		paths = append(paths, fmt.Sprintf("%s %d", path, d.paths[path]))
	}
	return fmt.Sprintf("%d events, %d views, %d users, %s", d.events, d.views, len(d.users), strings.Join(paths, " "))
}

// load is clients that send events, each until it is acknowledged, and keep
// what was, and how long every answer took.
type load struct {
	t       *testing.T
	roles   *roles
	client  *http.Client
	stopped chan struct{}
	clients sync.WaitGroup

	mu      sync.Mutex      // protects what follows
	sent    map[string]int  // events that were sent, by site
	counted map[dayKey]*day // what was acknowledged, each event once
	// answers has how long each took, by method and status.
	answers map[string][]time.Duration
}

func newLoad(t *testing.T, r *roles) *load {
	l := &load{
		t: t, roles: r, stopped: make(chan struct{}),
		client:  &http.Client{Timeout: noHang, Transport: &http.Transport{MaxIdleConnsPerHost: 1000}},
		sent:    map[string]int{},
		counted: map[dayKey]*day{},
		answers: map[string][]time.Duration{},
	}
	t.Cleanup(l.client.CloseIdleConnections)
	return l
}

// Paces of the load. Reading is dear on FerretDB, which goes through all raw
// events to see whether a day without a rollup has some.
const (
	sendEvery = 20 * time.Millisecond
	readEvery = 250 * time.Millisecond
)

// start begins to send, each of n clients a request per sendEvery or, when
// that is not acknowledged, as soon as it is. Another client reads the
// statistics.
func (l *load) start(n int) {
	for i := range n {
		l.clients.Go(func() {
			rng := random(100 + uint64(i))
			for n := 0; l.wait(sendEvery); n++ {
				var batch []event
				for range 1 + rng.IntN(3) {
					batch = append(batch, newEvent(rng, fmt.Sprintf("%d-%d-%d", i, n, len(batch))))
				}
				l.sendUntilTaken(batch)
			}
		})
	}
	l.clients.Go(func() {
		for i := 0; l.wait(readEvery); i++ {
			l.read(sites[i%len(sites)])
		}
	})
}

// wait waits for d, and tells whether to go on.
func (l *load) wait(d time.Duration) bool {
	select {
	case <-l.stopped:
		return false
	case <-time.After(d):
		return true
	}
}

// stop ends the clients when all that they sent is acknowledged.
func (l *load) stop() {
	close(l.stopped)
	l.clients.Wait()
}

// sendUntilTaken sends a batch until it is acknowledged.
func (l *load) sendUntilTaken(batch []event) {
	l.mu.Lock()
	for _, e := range batch {
		l.sent[e.Site]++
	}
	l.mu.Unlock()
	for deadline := time.Now().Add(time.Minute); !l.send(batch); time.Sleep(retryAfter) {
		if time.Now().After(deadline) {
			l.t.Errorf("the batch with event %s is not acknowledged after a minute", batch[0].ID)
			return
		}
	}
}

// send sends a batch once, and tells whether it was acknowledged. One event
// goes to POST /event, more go to POST /events.
func (l *load) send(batch []event) bool {
	path, media := "/events", "application/x-ndjson"
	if len(batch) == 1 {
		path, media = "/event", "application/json"
	}
	var body strings.Builder
	for _, e := range batch {
		line, err := json.Marshal(e)
		if err != nil {
			panic(err) // strings always encode
		}
		body.Write(append(line, '\n'))
	}
	req, err := http.NewRequest(http.MethodPost, l.roles.ingest+path, strings.NewReader(body.String()))
	if err != nil {
		panic(err) // the URL is wrong
	}
	req.Header.Set("Content-Type", media)
	status, answer := l.do(req)
	if status != http.StatusAccepted {
		return false
	}
	if want := fmt.Sprintf(`{"accepted":%d,"rejected":[]}`, len(batch)); len(batch) > 1 && strings.TrimSpace(answer) != want {
		l.t.Errorf("answer %s, want %s", answer, want)
	}
	l.acknowledge(batch)
	return true
}

// acknowledge counts a batch as it must be counted in the end.
func (l *load) acknowledge(batch []event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range batch {
		keys := []dayKey{{e.Site, e.Time[:10]}}
		if slices.Contains(dates, e.Time[:10]) {
			keys = append(keys, dayKey{e.Site, ""})
		}
		for _, key := range keys {
			d := l.counted[key]
			if d == nil {
				d = &day{users: map[string]bool{}, paths: map[string]int{}}
				l.counted[key] = d
			}
			d.events++
			d.users[e.User] = true
			if e.Type == "page_view" {
				d.views++
				d.paths[e.Path]++
			}
		}
	}
}

// do sends a request. Whatever is broken behind the server, its answer is
// success or 503 with Retry-After, and comes in time; 0 is no answer.
func (l *load) do(req *http.Request) (status int, body string) {
	begun := time.Now()
	resp, err := l.client.Do(req)
	if err != nil {
		l.t.Errorf("no answer: %v", err)
		return 0, ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	took := time.Since(begun)
	if err != nil {
		l.t.Errorf("half an answer: %v", err)
		return 0, ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	kind := fmt.Sprintf("%s %d", req.Method, resp.StatusCode)
	l.answers[kind] = append(l.answers[kind], took)
	switch resp.StatusCode {
	case http.StatusOK, http.StatusAccepted:
	case http.StatusServiceUnavailable:
		if resp.Header.Get("Retry-After") == "" {
			l.t.Errorf("503 without Retry-After: %s", text)
		}
	default:
		l.t.Errorf("%s %s: %s: %s", req.Method, req.URL, resp.Status, text)
	}
	return resp.StatusCode, string(text)
}

// refused is how many requests to ingest were answered with 503.
func (l *load) refused() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.answers["POST 503"])
}

// print prints how long the answers took.
func (l *load) print() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, kind := range slices.Sorted(maps.Keys(l.answers)) {
		took := l.answers[kind]
		slices.Sort(took)
		n := len(took)
		l.t.Logf("%s: %6d answers, median %v, 99 %% in %v, all in %v", kind, n,
			took[n/2].Round(10*time.Microsecond), took[n*99/100].Round(10*time.Microsecond), took[n-1].Round(10*time.Microsecond))
	}
}

// stats asks for the statistics of a site and date, or of all dates; nil is
// no answer for now.
func (l *load) stats(key dayKey) *day {
	query := "/stats?limit=1000&site_id=" + key.site
	if key.date != "" {
		query += "&date=" + key.date
	} else {
		query += "&from=" + dates[0] + "&to=" + dates[len(dates)-1]
	}
	req, err := http.NewRequest(http.MethodGet, l.roles.report+query, nil)
	if err != nil {
		panic(err) // the URL is wrong
	}
	status, body := l.do(req)
	if status != http.StatusOK {
		return nil
	}
	var s struct {
		Events int `json:"total_events"`
		Views  int `json:"total_views"`
		Users  int `json:"unique_users"`
		Paths  []struct {
			Path  string
			Views int
		} `json:"top_paths"`
	}
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		l.t.Errorf("%s: %v", body, err)
		return nil
	}
	d := &day{events: s.Events, views: s.Views, users: map[string]bool{}, paths: map[string]int{}}
	for i := range s.Users {
		d.users[fmt.Sprint(i)] = true // who they are is not told
	}
	for _, p := range s.Paths {
		d.paths[p.Path] = p.Views
	}
	return d
}

// read reads a site's statistics while events come in: they may be behind,
// but not ahead.
func (l *load) read(site string) {
	d := l.stats(dayKey{site, ""})
	l.mu.Lock()
	defer l.mu.Unlock()
	if d != nil && d.events > l.sent[site] {
		l.t.Errorf("%s has %d events, and only %d were sent", site, d.events, l.sent[site])
	}
}

// check waits until everything is counted, and compares it with what was
// acknowledged. A site's events are counted in their order, so that all are
// when one that is sent after them is.
func (l *load) check() {
	l.t.Helper()
	for _, site := range sites {
		const date = "2020-01-01"
		l.sendUntilTaken([]event{{ID: "last", Site: site, Type: "last", Time: date + "T00:00:00Z"}})
		eventually(l.t, "the last event of "+site+" is counted", func() bool {
			time.Sleep(readEvery)
			d := l.stats(dayKey{site, date})
			return d != nil && d.events == 1
		})
	}
	total := 0
	for _, site := range sites {
		for _, date := range append([]string{""}, dates...) {
			key := dayKey{site, date}
			want := l.counted[key]
			if want == nil {
				l.t.Errorf("no event of %v was acknowledged: this shows nothing", key)
				continue
			}
			got := l.stats(key)
			if got == nil || got.String() != want.String() {
				l.t.Errorf("%s %s\n got %v\nwant %v", site, date, got, want)
			}
			if date == "" {
				total += want.events
			}
		}
	}
	l.t.Logf("%d events were acknowledged", total)
}
