package web

import (
	"net/http"
	"testing"
)

func TestGuard(t *testing.T) {
	reached := 0
	h := func(w http.ResponseWriter, _ *http.Request) error {
		reached++
		WriteJSON(w, http.StatusOK, "in")
		return nil
	}
	refuse := Guard(func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("WWW-Authenticate", "Bearer")
		return &Error{Status: http.StatusUnauthorized, Message: "no"}
	})
	rt, _ := newTestRouter()
	rt.Handle("/open", Methods{http.MethodGet: Guard(nil).Before(h)})
	rt.Handle("/let-in", Methods{http.MethodGet: Guard(func(http.ResponseWriter, *http.Request) error { return nil }).Before(h)})
	rt.Handle("/refused", Methods{http.MethodGet: refuse.Before(h)})
	wantAnswer(t, do(rt, "GET", "/open"), 200, `"in"`)
	wantAnswer(t, do(rt, "GET", "/let-in"), 200, `"in"`)
	w := do(rt, "GET", "/refused")
	wantAnswer(t, w, 401, `{"error":"no"}`)
	if w.Header().Get("WWW-Authenticate") != "Bearer" || reached != 2 {
		t.Errorf("headers %v; the handler was reached %d times", w.Header(), reached)
	}
}
