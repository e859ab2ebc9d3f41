package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/web"
)

// overview asks for /status of what status gives.
func overview(status func(context.Context) (*admin.Status, error), guard web.Guard) func(key string) *httptest.ResponseRecorder {
	rt := web.NewRouter(discard)
	admin.NewOverview(status).Register(rt, guard)
	return func(key string) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/status", nil)
		r.Header.Set("X-API-Key", key)
		rt.ServeHTTP(w, r)
		return w
	}
}

// Whoever the guard refuses does not see what was read for others.
func TestOverviewIsGuarded(t *testing.T) {
	status := func(context.Context) (*admin.Status, error) { return new(admin.Status), nil }
	ask := overview(status, func(_ http.ResponseWriter, r *http.Request) error {
		if r.Header.Get("X-API-Key") == "" {
			return &web.Error{Status: http.StatusUnauthorized, Message: "no"}
		}
		return nil
	})
	for _, test := range []struct {
		key    string
		status int
	}{{"", 401}, {"k", 200}, {"", 401}} {
		w := ask(test.key)
		if w.Code != test.status || test.status == 401 && w.Body.String() != "{\"error\":\"no\"}\n" {
			t.Errorf("key %q: %d %s, want %d", test.key, w.Code, w.Body, test.status)
		}
	}
}

// The overview has the numbers of the status and none of the names in it, and
// leaves those in the status alone.
func TestOverviewNamesNobody(t *testing.T) {
	const name = "name-that-nobody-sees"
	named := name
	job := func() *reconcile.Job {
		return &reconcile.Job{
			ID: "20261124T000000.000Z-rebuild-ABCDEF", Kind: reconcile.KindRebuild, State: reconcile.Failed, By: name,
			Spec: reconcile.Spec{Range: reconcile.Range{Site: name, From: "2026-11-01", To: "2026-11-02"}, Timezone: &named},
			Days: 7, Finished: 3, Error: "site " + name,
			Findings: []reconcile.Finding{{Site: name, Date: "2026-11-01", Refused: name}},
			Cursor:   store.DayKey{Site: name}, Ahead: []store.DayKey{{Site: name}},
		}
	}
	full := &admin.Status{
		DeadLetters: 5, Backlog: &admin.Backlog{Events: 9},
		Streams: []admin.Stream{{Name: "e1s0", Owner: name}, {Name: "e1s1"}},
		Running: []*reconcile.Job{job()}, LastRebuild: job(), LastCheck: job(), LastNightly: job(),
	}
	body := overview(func(context.Context) (*admin.Status, error) { return full, nil }, nil)("").Body.String()
	if strings.Contains(body, name) {
		t.Errorf("it names somebody: %s", body)
	}
	var got admin.Status
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if got.DeadLetters != 5 || got.Backlog.Events != 9 || got.Streams[0].Owner == "" || got.Streams[1].Owner != "" {
		t.Errorf("got %+v", got)
	}
	for _, j := range []*reconcile.Job{got.Running[0], got.LastRebuild, got.LastCheck, got.LastNightly} {
		if j.Days != 7 || j.Finished != 3 || j.State != reconcile.Failed || j.Spec.From != "2026-11-01" {
			t.Errorf("a job is %+v", j)
		}
	}
	if full.Streams[0].Owner != name || !reflect.DeepEqual(full.Running[0], job()) {
		t.Error("the status itself was changed")
	}
}

// The status is read at most every two seconds, and again at once after an
// error.
func TestOverviewIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		var failing error
		ask := overview(func(context.Context) (*admin.Status, error) {
			reads++
			return &admin.Status{DeadLetters: reads}, failing
		}, nil)
		check := func(what string, want int) {
			t.Helper()
			w := ask("")
			if w.Code != http.StatusOK || reads != want {
				t.Errorf("%s: %d, %d reads, want %d", what, w.Code, reads, want)
			}
		}
		failing = errors.New("away")
		if w := ask(""); w.Code != http.StatusInternalServerError {
			t.Errorf("an error is answered %d", w.Code)
		}
		failing = nil
		check("after an error", 2)
		time.Sleep(1999 * time.Millisecond)
		check("soon after", 2)
		time.Sleep(time.Millisecond)
		check("later", 3)
	})
}

// Operators are told what was read for the overview, with the names in it.
func TestOverviewIsKeptForOperators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		overview := admin.NewOverview(func(context.Context) (*admin.Status, error) {
			reads++
			return &admin.Status{Streams: []admin.Stream{{Name: "1:0", Owner: "host-17"}}}, nil
		})
		a := admin.New(nil, nil, admin.Options{}, discard)
		rt := web.NewRouter(discard)
		overview.Register(rt, nil)
		a.RegisterGuarded(rt, overview, func(http.ResponseWriter, *http.Request) (string, error) { return "me", nil })
		for range 2 {
			for path, owner := range map[string]string{"/admin/status": "host-17", "/status": "a worker"} {
				w := httptest.NewRecorder()
				rt.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
				if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"`+owner+`"`) {
					t.Errorf("%s: %d %s, want the owner %s", path, w.Code, w.Body, owner)
				}
			}
		}
		if reads != 1 {
			t.Errorf("it was read %d times", reads)
		}
	})
}

// held is an overview whose status is read until release is closed, or until
// who reads it leaves, and then is err.
type held struct {
	*admin.Overview
	release chan struct{}
	err     error
	reads   int
}

func newHeld(err error) *held {
	h := &held{release: make(chan struct{}), err: err}
	h.Overview = admin.NewOverview(func(ctx context.Context) (*admin.Status, error) {
		h.reads++
		select {
		case <-h.release:
			return &admin.Status{DeadLetters: h.reads}, h.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	return h
}

// Who asks while the status is read gets what that gives, also its error: while
// the store is away nobody waits for it in a row.
func TestOverviewIsReadOnceForAll(t *testing.T) {
	for _, want := range []error{nil, errors.New("away")} {
		synctest.Test(t, func(t *testing.T) {
			h := newHeld(want)
			var all sync.WaitGroup
			for range 5 {
				all.Go(func() {
					status, err := h.Status(t.Context())
					if !errors.Is(err, want) || want == nil && status.DeadLetters != 1 {
						t.Errorf("got %v and %v, want %v", status, err, want)
					}
				})
			}
			synctest.Wait()
			close(h.release)
			all.Wait()
			if h.reads != 1 {
				t.Errorf("it was read %d times", h.reads)
			}
		})
	}
}

// Who leaves does not wait for the end, and spoils it for nobody: if it is the
// one who reads, another goes on.
func TestOverviewWithoutWhoLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeld(nil)
		var all sync.WaitGroup
		ask := func(ctx context.Context, want error) {
			all.Go(func() {
				if _, err := h.Status(ctx); !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			})
			synctest.Wait()
		}
		reader, readerLeaves := context.WithCancel(t.Context())
		waiter, waiterLeaves := context.WithCancel(t.Context())
		ask(reader, context.Canceled)
		ask(waiter, context.Canceled)
		ask(t.Context(), nil)
		waiterLeaves()
		synctest.Wait()
		readerLeaves()
		synctest.Wait()
		if h.reads != 2 {
			t.Errorf("after the reader left it was read %d times, want 2", h.reads)
		}
		close(h.release)
		all.Wait()
	})
}

// A panic while the status is read keeps nobody waiting.
func TestOverviewAfterPanic(t *testing.T) {
	reads := 0
	ask := overview(func(context.Context) (*admin.Status, error) {
		if reads++; reads == 1 {
			panic("on purpose")
		}
		return new(admin.Status), nil
	}, nil)
	for _, want := range []int{http.StatusInternalServerError, http.StatusOK} {
		if w := ask(""); w.Code != want {
			t.Errorf("%d %s, want %d", w.Code, w.Body, want)
		}
	}
}
