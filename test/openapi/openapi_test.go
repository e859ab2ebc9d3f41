// Package openapi holds the report role to its OpenAPI document: the document
// is valid, and every operation in it, asked for with each of its parameters
// and answered with each of its statuses, is as the document says. It is a
// module of its own, so that Daybook does not depend on a validator.
package openapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	verrors "github.com/pb33f/libopenapi-validator/errors"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/limit"
	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/store/pebblestore"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

// faultyStore is a store that fails where the report role asks it first.
type faultyStore struct {
	*pebblestore.Store
	fault error // nil: none
}

func (s *faultyStore) Checkpoints(ctx context.Context) (map[string]store.Checkpoint, error) {
	if s.fault != nil {
		return nil, s.fault
	}
	return s.Store.Checkpoints(ctx)
}

func (s *faultyStore) Job(ctx context.Context, id string) (store.Job, error) {
	if s.fault != nil {
		return store.Job{}, s.fault
	}
	return s.Store.Job(ctx, id)
}

// rig is a report role with a day of data, and its document.
type rig struct {
	*testing.T
	store    *pebblestore.Store
	url      string
	validate validator.Validator
	document document
	// seen are the parameters and statuses that were used, by operation.
	seen map[string]bool
}

// document is what the test needs to read of an OpenAPI document.
type document struct {
	Paths map[string]map[string]struct {
		Parameters []struct{ Name string }
		Responses  map[string]any
	}
}

const (
	site   = "site-abc"
	oneDay = "2026-11-01"
)

func newRig(t *testing.T) *rig {
	st, err := pebblestore.Open(t.TempDir(), pebblestore.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &rig{T: t, store: st, seen: make(map[string]bool)}
	r.put()
	r.url = r.serve(report.Options{}, nil)

	text, err := io.ReadAll(r.get(r.url, "/openapi.json").Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &r.document); err != nil {
		t.Fatal(err)
	}
	doc, err := libopenapi.NewDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	var errs []error
	if r.validate, errs = validator.NewValidator(doc); len(errs) > 0 {
		t.Fatal(errors.Join(errs...))
	}
	return r
}

// put stores some events of one day and their rollup.
func (r *rig) put() {
	clock, err := event.NewClock("", oneDay)
	if err != nil {
		r.Fatal(err)
	}
	day := rollup.NewDay(site, oneDay)
	var events []store.Event
	for i := range 100 {
		e := store.Event{Stream: "1:0", Date: oneDay}
		e.Event = event.Event{ID: fmt.Sprint(i), Site: site, User: fmt.Sprint("u", i%7), Time: time.UnixMilli(clock.Begin).Add(time.Duration(i) * time.Minute)}
		e.Values[rollup.EventType], e.Values[rollup.Path], e.Values[rollup.Country] = rollup.PageView, fmt.Sprint("/", i%9), "DE"
		e.Position.Entry.Ms = uint64(i + 1)
		events = append(events, e)
		day.Fold(e.Stream, []rollup.Event{e.ForFold(e.Position, clock)})
	}
	step := r.store.Begin()
	defer step.Discard()
	if _, err := step.Insert(r.Context(), events); err != nil {
		r.Fatal(err)
	}
	if _, err := step.Swap(r.Context(), []*rollup.Day{day}); err != nil {
		r.Fatal(err)
	}
	last := store.Checkpoint{Stream: "1:0", Position: events[99].Position, AsOf: time.UnixMilli(clock.End)}
	if err := step.Commit(r.Context(), last); err != nil {
		r.Fatal(err)
	}
}

// serve starts a report role on the store and gives its address.
func (r *rig) serve(opts report.Options, fault error) string {
	log := slog.New(slog.DiscardHandler)
	role := report.New(&faultyStore{Store: r.store, fault: fault}, opts, log)
	if err := role.Start(); err != nil {
		r.Fatal(err)
	}
	rt := web.NewRouter(log)
	role.Register(rt)
	server := httptest.NewServer(rt)
	r.Cleanup(func() {
		server.Close()
		if err := role.Stop(context.Background()); err != nil {
			r.Error(err)
		}
	})
	return server.URL
}

func (r *rig) get(base, path string) *http.Response {
	r.Helper()
	return r.do(r.request(http.MethodGet, base+path, ""))
}

func (r *rig) request(method, url, body string) *http.Request {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), method, url, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

func (r *rig) do(req *http.Request) *http.Response {
	r.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { resp.Body.Close() })
	return resp
}

// check does a request, which must get the status, and holds the answer
// against the document. So it does the request itself, unless that is wrong on
// purpose.
func (r *rig) check(template string, req *http.Request, status int) *http.Response {
	r.Helper()
	name := req.Method + " " + template
	resp := r.do(req)
	if resp.StatusCode != status {
		text, _ := io.ReadAll(resp.Body)
		r.Fatalf("%s: status %d, want %d: %s", req.URL, resp.StatusCode, status, text)
	}
	r.seen[fmt.Sprint(name, " ", status)] = true
	for parameter := range req.URL.Query() {
		r.seen[name+" "+parameter] = true
	}
	if req.GetBody != nil {
		req.Body, _ = req.GetBody()
	}
	var ok bool
	var errs []*verrors.ValidationError
	if status < 400 {
		ok, errs = r.validate.ValidateHttpRequestResponse(req, resp)
	} else {
		ok, errs = r.validate.ValidateHttpResponse(req, resp)
	}
	if !ok {
		for _, err := range errs {
			r.Errorf("%s %s: %s: %s %v", req.Method, req.URL, err.Message, err.Reason, err.SchemaValidationErrors)
		}
	}
	return resp
}

func TestDocument(t *testing.T) {
	r := newRig(t)
	if ok, errs := r.validate.ValidateDocument(); !ok {
		for _, err := range errs {
			t.Error(err.Message, err.Reason, err.SchemaValidationErrors)
		}
	}
}

// values has for each parameter a value with which a question makes sense.
var values = map[string]url.Values{
	"site_id":   {},
	"date":      {"date": {oneDay}},
	"from":      {"from": {oneDay}},
	"to":        {"to": {oneDay}},
	"period":    {"period": {"7d"}},
	"compare":   {"date": {oneDay}, "compare": {"previous"}},
	"filter":    {"filter": {"path==/1", "country~D?"}},
	"format":    {"format": {"json"}},
	"limit":     {"limit": {"3"}},
	"page":      {"page": {"2"}},
	"interval":  {"date": {oneDay}, "interval": {"hour"}},
	"dimension": {"dimension": {"path"}},
	"exact":     {"exact": {"true"}},
}

// required gives the parameters that a question must have.
func (r *rig) required(path string) url.Values {
	query := url.Values{}
	for _, p := range r.document.Paths[path]["get"].Parameters {
		switch p.Name {
		case "site_id":
			query.Set("site_id", site)
		case "dimension":
			query.Set("dimension", "country")
		}
	}
	return query
}

// Every operation, with every parameter and every status, is as documented.
func TestOperations(t *testing.T) {
	r := newRig(t)
	broken := r.serve(report.Options{}, errors.New("a fault"))
	away := r.serve(report.Options{}, fmt.Errorf("no route: %w", store.ErrUnavailable))
	ask := r.closed()

	for path, methods := range r.document.Paths {
		if _, isGet := methods["get"]; !isGet || strings.Contains(path, "{") {
			continue
		}
		var job string
		for _, p := range methods["get"].Parameters {
			query := r.required(path)
			if p.Name == "async" {
				query.Set("async", "true")
				job = r.check(path, r.request(http.MethodGet, r.url+path+"?"+query.Encode(), ""), http.StatusAccepted).Header.Get("Location")
				continue
			}
			extra, known := values[p.Name]
			if !known {
				t.Fatalf("the test has no value for %s of %s", p.Name, path)
			}
			for name, list := range extra {
				query[name] = list
			}
			r.check(path, r.request(http.MethodGet, r.url+path+"?"+query.Encode(), ""), http.StatusOK)
		}
		query := r.required(path)
		if _, kept := methods["get"].Responses["304"]; kept {
			req := r.request(http.MethodGet, r.url+path+"?"+query.Encode(), "")
			first := r.check(path, req.Clone(t.Context()), http.StatusOK)
			req.Header.Set("If-None-Match", first.Header.Get("ETag"))
			r.check(path, req, http.StatusNotModified)
		}
		if content, ok := methods["get"].Responses["200"].(map[string]any)["content"].(map[string]any)["text/csv"]; ok {
			if content == nil {
				t.Error("CSV without a schema")
			}
			csv := r.required(path)
			csv.Set("format", "csv")
			resp := r.check(path, r.request(http.MethodGet, r.url+path+"?"+csv.Encode(), ""), http.StatusOK)
			if got := resp.Header.Get("Content-Type"); got != "text/csv; charset=utf-8" {
				t.Errorf("%s as CSV is %s", path, got)
			}
		}
		r.check(path, r.request(http.MethodGet, r.url+path+"?site_id=%zz", ""), http.StatusBadRequest)
		r.check(path, r.request(http.MethodGet, r.url+path+"?nonsense=1", ""), http.StatusUnprocessableEntity)
		r.check(path, r.request(http.MethodGet, broken+path+"?"+query.Encode(), ""), http.StatusInternalServerError)
		r.check(path, r.request(http.MethodGet, away+path+"?"+query.Encode(), ""), http.StatusServiceUnavailable)
		ask(path, http.MethodGet, path+"?"+query.Encode(), "")
		if job != "" {
			r.await(job)
		}
	}

	const jobs = "/stats/jobs/{id}"
	id := "/stats/jobs/0query-20261101T000000.000Z-NONE"
	r.check(jobs, r.request(http.MethodGet, r.url+id, ""), http.StatusNotFound)
	r.check(jobs, r.request(http.MethodGet, broken+id, ""), http.StatusInternalServerError)
	r.check(jobs, r.request(http.MethodGet, away+id, ""), http.StatusServiceUnavailable)
	ask(jobs, http.MethodGet, id, "")
	r.seen["GET "+jobs+" id"] = true

	const several = "/stats/query"
	question := func(body string) *http.Request { return r.request(http.MethodPost, r.url+several, body) }
	r.check(several, question(`{"queries":[{"endpoint":"stats","site_id":"site-abc","limit":3},{"endpoint":"breakdown","site_id":"site-abc","dimension":"path","filter":["country==DE","path!=/"]},{"endpoint":"users","site_id":"site-abc","exact":true},{"endpoint":"visits"}]}`), http.StatusOK)
	r.check(several, question(`[`), http.StatusBadRequest)
	r.check(several, question(`{"queries":[]}`), http.StatusUnprocessableEntity)
	r.check(several, question(`{"queries":["`+strings.Repeat("x", 100_000)+`"]}`), http.StatusRequestEntityTooLarge)
	ask(several, http.MethodPost, several, `{"queries":[{"endpoint":"sites"}]}`)

	r.allSeen()
}

// closed starts report roles that need keys, and gives a function that asks
// them so that they let nobody in.
func (r *rig) closed() (ask func(template, method, target, body string)) {
	log := slog.New(slog.DiscardHandler)
	keys, tokens := access.NewKeys(r.store), map[access.Scope]string{}
	for _, scope := range []access.Scope{access.Ingest, access.Read} {
		_, token, err := keys.Create(r.Context(), access.Key{Scope: scope, Site: access.EverySite})
		if err != nil {
			r.Fatal(err)
		}
		tokens[scope] = token
	}
	unread, book := access.NewBook(r.store, log), access.NewBook(r.store, log)
	if err := book.Read(r.Context()); err != nil {
		r.Fatal(err)
	}
	once := access.Options{PerKey: limit.Rate{PerSecond: 0.001, Burst: 1}}
	serve := func(book *access.Book, opts access.Options) string {
		return r.serve(report.Options{Gate: access.NewGate(book, access.Read, opts, log)}, nil)
	}
	closed, early, limited := serve(book, access.Options{}), serve(unread, access.Options{}), serve(book, once)
	r.do(r.withKey(r.request(http.MethodGet, limited+"/stats/jobs/x", ""), tokens[access.Read]))
	return func(template, method, target, body string) {
		r.Helper()
		r.check(template, r.request(method, early+target, body), http.StatusServiceUnavailable)
		r.check(template, r.request(method, closed+target, body), http.StatusUnauthorized)
		r.check(template, r.withKey(r.request(method, closed+target, body), tokens[access.Ingest]), http.StatusForbidden)
		resp := r.check(template, r.withKey(r.request(method, limited+target, body), tokens[access.Read]), http.StatusTooManyRequests)
		for _, name := range []string{"Retry-After", "RateLimit", "RateLimit-Policy"} {
			if resp.Header.Get(name) == "" {
				r.Errorf("%s: no %s with 429", template, name)
			}
		}
	}
}

func (r *rig) withKey(req *http.Request, token string) *http.Request {
	req.Header.Set("Authorization", "Bearer "+token)
	return req
}

// await asks for a job until it is done.
func (r *rig) await(place string) {
	r.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		var job report.Job
		resp := r.check("/stats/jobs/{id}", r.request(http.MethodGet, r.url+place, ""), http.StatusOK)
		if err := json.NewDecoder(resp.Body).Decode(&job); err != nil {
			r.Fatal(err)
		}
		switch job.State {
		case report.JobDone:
			return
		case report.JobFailed:
			r.Fatalf("job of %s failed: %s", job.Question, job.Error)
		}
	}
	r.Fatal("a job does not end")
}

// allSeen fails for what is in the document and was not tried.
func (r *rig) allSeen() {
	r.Helper()
	var missing []string
	for path, methods := range r.document.Paths {
		for method, operation := range methods {
			name := strings.ToUpper(method) + " " + path
			for _, p := range operation.Parameters {
				if !r.seen[name+" "+p.Name] {
					missing = append(missing, name+" with "+p.Name)
				}
			}
			for status := range operation.Responses {
				if !r.seen[name+" "+status] {
					missing = append(missing, name+" answered with "+status)
				}
			}
		}
	}
	slices.Sort(missing)
	for _, m := range missing {
		r.Error("nobody tried", m)
	}
}
