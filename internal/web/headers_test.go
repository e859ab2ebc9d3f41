package web

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestSecurityHeaders(t *testing.T) {
	rt, _ := newTestRouter()
	rt.Handle("/ok", Methods{http.MethodGet: func(w http.ResponseWriter, _ *http.Request) error {
		WriteJSON(w, http.StatusOK, "ok")
		return nil
	}})
	rt.Handle("/panic", Methods{http.MethodGet: func(http.ResponseWriter, *http.Request) error { panic("a fault") }})
	rt.Handle("/own", Methods{http.MethodGet: func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
		return nil
	}})
	want := map[string]string{
		"X-Content-Type-Options":       "nosniff",
		"Referrer-Policy":              "no-referrer",
		"Content-Security-Policy":      "default-src 'none'; frame-ancestors 'none'",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Strict-Transport-Security":    "",
	}
	check := func(w *httptest.ResponseRecorder, what string, status int) {
		t.Helper()
		if w.Code != status {
			t.Errorf("%s: answered %d, want %d", what, w.Code, status)
		}
		for name, value := range want {
			if got := w.Header().Get(name); got != value {
				t.Errorf("%s: %s %q, want %q", what, name, got, value)
			}
		}
	}

	w := do(rt, "GET", "/own")
	if got := w.Header().Get("Content-Security-Policy") + w.Header().Get("Cross-Origin-Resource-Policy"); got != "default-src 'self'cross-origin" {
		t.Errorf("a handler's own headers became %q", got)
	}
	check(do(rt, "GET", "/ok"), "an answer", 200)
	check(do(rt, "GET", "/nothing"), "no route", 404)
	check(do(rt, "PUT", "/ok"), "no method", 405)
	check(do(rt, "GET", "/panic"), "a panic", 500)
	check(do(rt, "GET", "//ok"), "another way to write the path", 301)

	r := httptest.NewRequest(http.MethodGet, "/ok", nil)
	r.TLS = &tls.ConnectionState{}
	w = httptest.NewRecorder()
	rt.ServeHTTP(w, r)
	want["Strict-Transport-Security"] = "max-age=63072000"
	check(w, "an answer over TLS", 200)
}
