package admin_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/web"
)

// Whoever the guard refuses does not see the page that was made for others.
func TestStatusPageIsGuarded(t *testing.T) {
	rt := web.NewRouter(discard)
	status := func(context.Context) (*admin.Status, error) { return new(admin.Status), nil }
	admin.NewStatusPage(status).Register(rt, func(_ http.ResponseWriter, r *http.Request) error {
		if r.Header.Get("X-API-Key") == "" {
			return &web.Error{Status: http.StatusUnauthorized, Message: "no"}
		}
		return nil
	})
	for _, test := range []struct {
		key    string
		status int
	}{{"", 401}, {"k", 200}, {"", 401}} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/status", nil)
		r.Header.Set("X-API-Key", test.key)
		rt.ServeHTTP(w, r)
		if w.Code != test.status || test.status == 401 && w.Body.String() != "{\"error\":\"no\"}\n" {
			t.Errorf("key %q: %d %s, want %d", test.key, w.Code, w.Body, test.status)
		}
	}
}
