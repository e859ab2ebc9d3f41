package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
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
