package web_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/web"
)

// observed notes what a router tells of its requests, as "route method status".
type observed struct {
	mu    sync.Mutex
	asked []string
	seen  []string
}

func (o *observed) observe(route, method string) func(int, time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, route+" "+method)
	return func(status int, took time.Duration) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if took < 0 {
			status = -1
		}
		o.seen = append(o.seen, fmt.Sprint(route, " ", method, " ", status))
	}
}

func TestRequestsAreObserved(t *testing.T) {
	var o observed
	rt := web.NewObservedRouter(slog.New(slog.DiscardHandler), o.observe)
	rt.Handle("/items/{id}", web.Methods{
		http.MethodGet: func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(http.StatusAccepted)
			return nil
		},
		http.MethodPost:   func(http.ResponseWriter, *http.Request) error { return nil },
		http.MethodPut:    func(w http.ResponseWriter, _ *http.Request) error { _, err := io.WriteString(w, "x"); return err },
		http.MethodPatch:  func(http.ResponseWriter, *http.Request) error { return web.Invalid("x", "", "", "") },
		http.MethodDelete: func(http.ResponseWriter, *http.Request) error { panic("a fault") },
		"GONE":            func(_ http.ResponseWriter, r *http.Request) error { return r.Context().Err() },
		"ABORT":           func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) },
	})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	send := func(method, target string) {
		defer func() {
			if p := recover(); p != nil && (method != "ABORT" || p != any(http.ErrAbortHandler)) {
				t.Errorf("%s %s panicked: %v", method, target, p)
			}
		}()
		r := httptest.NewRequest(method, target, nil)
		if method == "GONE" {
			r = r.WithContext(gone)
		}
		rt.ServeHTTP(httptest.NewRecorder(), r)
	}
	if len(o.asked) != 0 {
		t.Errorf("asked for %q before there was a request", o.asked)
	}
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "GONE", "ABORT", "X", "Y"}
	for _, method := range methods {
		send(method, "/items/1?x=2")
	}
	send("GET", "/items/2")
	send("GET", "/nothing/here")
	send("X", "/nothing/there")

	want := []string{
		"/items/{id} GET 202", "/items/{id} HEAD 202", "/items/{id} POST 200", "/items/{id} PUT 200",
		"/items/{id} PATCH 422", "/items/{id} DELETE 500", "/items/{id} GONE 499", "/items/{id} ABORT 499",
		"/items/{id} other 405", "/items/{id} other 405",
		"/items/{id} GET 202", "other other 404", "other other 404",
	}
	if !slices.Equal(o.seen, want) {
		t.Errorf("got  %q\nwant %q", o.seen, want)
	}
	if len(o.asked) != 10 {
		t.Errorf("asked more than once for a route and method: %q", o.asked)
	}
}

// net/http ends the connection after a body that is larger than allowed; it
// must do so although the writer that it has for that is wrapped.
func TestTooLargeClosesTheConnection(t *testing.T) {
	rt := web.NewRouter(slog.New(slog.DiscardHandler))
	rt.Handle("/", web.Methods{http.MethodPost: func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 10))
		return err
	}})
	server := httptest.NewServer(rt)
	defer server.Close()
	for size, wantClose := range map[int]bool{10: false, 11: true} {
		resp, err := http.Post(server.URL, "text/plain", strings.NewReader(strings.Repeat("x", size)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.Close != wantClose {
			t.Errorf("%d bytes: %s, connection closed: %v, want %v", size, resp.Status, resp.Close, wantClose)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestWriterCanBeUnwrapped(t *testing.T) {
	rt := web.NewRouter(slog.New(slog.DiscardHandler))
	rt.Handle("/", web.Methods{http.MethodGet: func(w http.ResponseWriter, _ *http.Request) error {
		return http.NewResponseController(w).Flush()
	}})
	w := httptest.NewRecorder()
	rt.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if !w.Flushed {
		t.Errorf("a handler cannot flush: %d %s", w.Code, w.Body)
	}
}
