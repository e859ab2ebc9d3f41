package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

// fill puts raw events of so many days of a site into a store, from
// 2026-11-01 on, and no rollups: all of them are missing.
func fill(t *testing.T, st store.Store, site string, days int) {
	t.Helper()
	var events []store.Event
	for day := range days {
		for range 10 {
			at := time.Date(2026, 11, 1+day, 12, 0, 0, 0, time.UTC)
			e := store.Event{Event: event.Event{ID: fmt.Sprint(len(events)), Site: site, User: "u", Time: at}, Stream: "1:0", Date: at.Format(time.DateOnly)}
			e.Values[rollup.EventType] = "signup"
			e.Position.Entry.Ms = uint64(len(events) + 1)
			events = append(events, e)
		}
	}
	step := st.Begin()
	defer step.Discard()
	_, err := step.Insert(t.Context(), events)
	check(t, err)
	check(t, step.Commit(t.Context(), store.Checkpoint{Stream: "1:0", Position: events[len(events)-1].Position, AsOf: noon}))
}

// heldStore holds up whoever reads rollups from a date on, until it is let go.
type heldStore struct {
	store.Store
	from  string
	letGo chan struct{} // closed to let go
}

func hold(st store.Store, from string) *heldStore {
	return &heldStore{Store: st, from: from, letGo: make(chan struct{})}
}

func (h *heldStore) Day(ctx context.Context, key store.DayKey) (*rollup.Day, error) {
	if key.Date >= h.from {
		select {
		case <-h.letGo:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return h.Store.Day(ctx, key)
}

// curl asks on a socket as curl does, and gives the status and the body.
func curl(t *testing.T, socket, method, path, body string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://daybook"+path, strings.NewReader(body))
	check(t, err)
	resp, err := client.Do(r)
	check(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp.StatusCode, string(text)
}

// job waits until a job is as it should be.
func job(t *testing.T, actions admin.Actions, id, what string, ok func(*reconcile.Job) bool) *reconcile.Job {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		job, err := actions.Rebuild(t.Context(), id)
		check(t, err)
		if ok(job) {
			return job
		}
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for this: %s; the job is %+v", what, job)
		}
	}
}

// TestJobsOnTheSocket starts a job over the socket, lists it, stops it with
// its process, resumes it in the next one, cancels it, and starts another that
// ends well.
func TestJobsOnTheSocket(t *testing.T) {
	q, st := embedded(t)
	fill(t, st, "a", 5)
	held := hold(st, "2026-11-03")
	process := func() (*admin.Admin, string, *admin.Client) {
		rt := web.NewRouter(discard)
		a := admin.New(q, held, admin.Options{Alone: true}, discard)
		a.Register(rt)
		t.Cleanup(func() { check(t, a.Stop(context.Background())) })
		socket := serve(t, rt)
		return a, socket, dial(t, socket)
	}
	first, socket, client := process()
	status, body := curl(t, socket, http.MethodPost, "/admin/rebuilds", `{"site":"a","to":"2026-11-04","parallel":1}`)
	var begun reconcile.Job
	check(t, json.Unmarshal([]byte(body), &begun))
	if status != http.StatusAccepted || begun.State != reconcile.Running || begun.Spec.Site != "a" || begun.By != "the socket" {
		t.Fatalf("%d %s", status, body)
	}
	path := "/admin/rebuilds/" + begun.ID
	two := func(j *reconcile.Job) bool { return j.Finished == 2 }
	job(t, client, begun.ID, "two days are done", two)
	status, body = curl(t, socket, http.MethodGet, "/admin/rebuilds?limit=5", "")
	if status != http.StatusOK || !strings.Contains(body, begun.ID) || !strings.Contains(body, `"finished":2`) {
		t.Errorf("list: %d %s", status, body)
	}
	if status, body := curl(t, socket, http.MethodPost, path+"/resume", ""); status != http.StatusConflict || !strings.Contains(body, "is at work") {
		t.Errorf("resume of a job at work: %d %s", status, body)
	}
	s, err := client.Status(t.Context())
	check(t, err)
	if len(s.Running) != 1 || s.LastRebuild.ID != begun.ID || s.Backlog == nil {
		t.Errorf("status: %+v", s)
	}

	check(t, first.Stop(t.Context()))
	if j := job(t, client, begun.ID, "it is stopped", func(j *reconcile.Job) bool { return j.State == reconcile.Stopped }); j.Finished != 2 {
		t.Errorf("stopped: %+v", j)
	}
	if status, body := curl(t, socket, http.MethodPost, "/admin/rebuilds", `{"all":true}`); status != http.StatusServiceUnavailable {
		t.Errorf("a job in a process that stops: %d %s", status, body)
	}

	_, socket, client = process()
	path = "/admin/rebuilds/" + begun.ID
	if status, body := curl(t, socket, http.MethodPost, path+"/resume", `{"parallel":1}`); status != http.StatusAccepted || !strings.Contains(body, `"finished":2`) {
		t.Fatalf("resume: %d %s", status, body)
	}
	if status, body := curl(t, socket, http.MethodDelete, path, ""); status != http.StatusOK || !strings.Contains(body, `"state":"cancelled"`) {
		t.Errorf("cancel: %d %s", status, body)
	}
	if status, body := curl(t, socket, http.MethodPost, path+"/resume", ""); status != http.StatusConflict || !strings.Contains(body, "is cancelled") {
		t.Errorf("resume of a cancelled job: %d %s", status, body)
	}

	close(held.letGo)
	next, err := client.StartRebuild(t.Context(), admin.Rebuild{All: true, By: "me"})
	check(t, err)
	done := job(t, client, next.ID, "it is done", func(j *reconcile.Job) bool { return j.State != reconcile.Running })
	if done.State != reconcile.Done || done.Finished != 5 || done.Rebuilt != 3 || done.By != "me" {
		t.Errorf("the job after it: %+v", done)
	}
	if j := job(t, client, begun.ID, "it stays cancelled", func(*reconcile.Job) bool { return true }); j.State != reconcile.Cancelled || j.Finished != 2 {
		t.Errorf("cancelled: %+v", j)
	}
}

// TestBadRequestsForJobs answers each with what is wrong, and starts nothing.
func TestBadRequestsForJobs(t *testing.T) {
	q, st := embedded(t)
	fill(t, st, "a", 1)
	rt := web.NewRouter(discard)
	a := admin.New(q, st, admin.Options{}, discard)
	a.Register(rt)
	socket := serve(t, rt)
	for _, tt := range []struct {
		method, path, body string
		status             int
		tells              string
	}{
		{"POST", "/admin/rebuilds", `{}`, 422, "a site is needed"},
		{"POST", "/admin/rebuilds", `{"site":"a","all":true}`, 422, "not both"},
		{"POST", "/admin/rebuilds", `{"site":"a","from":"yesterday"}`, 422, `from \"yesterday\" is not a date`},
		{"POST", "/admin/rebuilds", `{"site":"a","from":"2026-11-02","to":"2026-11-01"}`, 422, "is later than"},
		{"POST", "/admin/rebuilds", `{"site":"a","parallel":65}`, 422, "1 to 64"},
		{"POST", "/admin/rebuilds", `{"site":"a","dryrun":true}`, 400, "dryrun"},
		{"POST", "/admin/rebuilds", `site=a`, 400, "cannot be used"},
		{"POST", "/admin/rebuilds", `{"site":"nobody"}`, 404, "neither raw events nor rollups"},
		{"GET", "/admin/rebuilds?limit=0", "", 422, "1 to 1000"},
		{"GET", "/admin/reconciliations?limit=many", "", 422, "1 to 1000"},
		{"GET", "/admin/rebuilds/nothing", "", 404, "there is no job"},
		{"DELETE", "/admin/rebuilds/nothing", "", 404, "there is no job"},
		{"POST", "/admin/rebuilds/nothing/resume", "", 404, "there is no job"},
		{"PUT", "/admin/rebuilds", "", 405, "not allowed"},
		{"GET", "/admin/verify", "", 422, "a site is needed"},
		{"GET", "/admin/verify?site=nobody", "", 404, "neither raw events nor rollups"},
		{"GET", "/admin/verify?all=true&to=never", "", 422, "is not a date"},
	} {
		status, body := curl(t, socket, tt.method, tt.path, tt.body)
		if status != tt.status || !strings.Contains(body, tt.tells) {
			t.Errorf("%s %s %s: %d %s, want %d and %q", tt.method, tt.path, tt.body, status, body, tt.status, tt.tells)
		}
	}
	if status, body := curl(t, socket, "GET", "/admin/rebuilds", ""); status != 200 || body != "[]\n" {
		t.Errorf("jobs were started: %d %s", status, body)
	}
}

// TestVerify streams what it finds, both ways, also of a day that cannot be
// read.
func TestVerify(t *testing.T) {
	bothWays(t, func(t *testing.T, actions admin.Actions, _ queue.Queue, st store.Store) {
		fill(t, st, "a", 3)
		for _, date := range []string{"2026-11-01", "2026-11-02"} {
			_, _, err := reconcile.RebuildDay(t.Context(), st, store.DayKey{Site: "a", Date: date}, reconcile.Options{Limits: rollup.DefaultLimits})
			check(t, err)
		}
		var days []admin.Verified
		check(t, actions.Verify(t.Context(), reconcile.Range{From: "2026-11-02"}, func(v admin.Verified) error {
			days = append(days, v)
			return nil
		}))
		wantEqual(t, "days", days, []admin.Verified{
			{Site: "a", Date: "2026-11-02", State: reconcile.OK, Events: 10},
			{Site: "a", Date: "2026-11-03", State: reconcile.Missing, Events: 10, Differences: []rollup.Difference{
				{Field: "total_events", Stored: "missing", True: "10"},
				{Field: "total_views", Stored: "missing", True: "0"},
				{Field: "unique_users", Stored: "missing", True: "1"},
				{Field: "bots", Stored: "missing", True: "0"},
			}},
		})
		enough := errors.New("enough")
		if err := actions.Verify(t.Context(), reconcile.Range{Site: "a"}, func(admin.Verified) error { return enough }); !errors.Is(err, enough) {
			t.Errorf("an error of the function gives %v", err)
		}
		if err := actions.Verify(t.Context(), reconcile.Range{Site: "nobody"}, nil); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a site of which there is nothing gives %v", err)
		}
	})
}

// badDays cannot read the raw events of some dates.
type badDays struct {
	store.Store
	dates map[string]error
}

func (b badDays) ScanDay(ctx context.Context, site string, dates []string, after, upTo rollup.Marks, fn func(*store.Event) error) error {
	for _, date := range dates {
		if err := b.dates[date]; err != nil {
			return err
		}
	}
	return b.Store.ScanDay(ctx, site, dates, after, upTo, fn)
}

// TestVerifyOfBadDays goes on behind a day that is broken, and ends where the
// store is away, which it says over the socket too.
func TestVerifyOfBadDays(t *testing.T) {
	q, st := embedded(t)
	fill(t, st, "a", 4)
	a := admin.New(q, badDays{st, map[string]error{
		"2026-11-02": errors.New("a block is damaged"),
		"2026-11-04": fmt.Errorf("read: %w", store.ErrUnavailable),
	}}, admin.Options{}, discard)
	rt := web.NewRouter(discard)
	a.Register(rt)
	for _, actions := range []admin.Actions{a, dial(t, serve(t, rt))} {
		var states []string
		err := actions.Verify(t.Context(), reconcile.Range{Site: "a"}, func(v admin.Verified) error {
			states = append(states, string(v.State)+" "+v.Problem)
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), store.ErrUnavailable.Error()) {
			t.Errorf("a store that is away gives %v", err)
		}
		if len(states) != 3 || !strings.HasPrefix(states[1], "unreadable ") || !strings.Contains(states[1], "a block is damaged") {
			t.Errorf("%q", states)
		}
	}
}

// TestVerifyEndsWithItsProcess stops a process that is asked to verify.
func TestVerifyEndsWithItsProcess(t *testing.T) {
	q, st := embedded(t)
	fill(t, st, "a", 3)
	rt := web.NewRouter(discard)
	a := admin.New(q, hold(st, "2026-11-02"), admin.Options{}, discard)
	a.Register(rt)
	err := dial(t, serve(t, rt)).Verify(t.Context(), reconcile.Range{Site: "a"}, func(admin.Verified) error {
		return a.Stop(t.Context())
	})
	if err == nil || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("it ended with %v", err)
	}
}

// TestOverviewOfInstallation shows how everything stands to whoever can reach
// it, and so names nobody and nothing that is not theirs.
func TestOverviewOfInstallation(t *testing.T) {
	q, st := embedded(t)
	fill(t, st, "secret-site", 2)
	check(t, st.SwapLease(t.Context(), store.Lease{Name: "stream/1:0", Owner: "secret-host-17"}))
	a := admin.New(q, st, admin.Options{}, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { check(t, a.Stop(context.Background())) })
	begun, err := a.StartRebuild(t.Context(), admin.Rebuild{All: true, By: "secret-person"})
	check(t, err)
	job(t, a, begun.ID, "it is done", func(j *reconcile.Job) bool { return j.State == reconcile.Done })

	for name, actions := range map[string]*admin.Admin{"all roles": a, "report alone": admin.New(nil, st, admin.Options{}, discard)} {
		rt := web.NewRouter(discard)
		admin.NewOverview(actions.Status).Register(rt, nil)
		status, body := curl(t, serve(t, rt), "GET", "/status", "")
		if status != 200 || strings.Contains(body, "secret") {
			t.Fatalf("%s: %d %s", name, status, body)
		}
		for _, text := range []string{`"stream":"1:0"`, `"as_of":"2026-11-24T12:00:00Z"`, `"kind":"rebuild"`, `"state":"done"`, `"finished":2`, `"rebuilt":2`} {
			if !strings.Contains(body, text) {
				t.Errorf("%s: it lacks %s: %s", name, text, body)
			}
		}
		if unknown := strings.Contains(body, `"backlog":null`); unknown != (name == "report alone") {
			t.Errorf("%s: %s", name, body)
		}
	}
}
