package web

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestErrorLogHasNoAddresses has messages as net/http writes them.
func TestErrorLogHasNoAddresses(t *testing.T) {
	for message, want := range map[string]string{
		"http: TLS handshake error from 192.0.2.1:4711: EOF":                                "http: TLS handshake error from (address): EOF",
		"http: TLS handshake error from [2001:db8::1]:4711: tls: bad":                       "http: TLS handshake error from (address): tls: bad",
		"http: TLS handshake error from [fe80::1%eth0]:4711: EOF":                           "http: TLS handshake error from (address): EOF",
		"http2: error: read tcp 10.0.0.1:443->[::ffff:192.0.2.1]:9: i/o timeout":            "http2: error: read tcp (address)->(address): i/o timeout",
		"http: superfluous response.WriteHeader call from main.f (x.go:33)":                 "http: superfluous response.WriteHeader call from main.f (x.go:33)",
		"http: Accept error: accept tcp 0.0.0.0:3000: too many open files; retrying in 5ms": "http: Accept error: accept tcp (address): too many open files; retrying in 5ms", // for operators
		"http2: server rejecting conn: [1 2 3]":                                             "http2: server rejecting conn: [1 2 3]",
	} {
		var log strings.Builder
		newErrorLog(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))).Print(message)
		level := "DEBUG"
		if strings.Contains(want, "Accept error") {
			level = "WARN"
		}
		if !strings.Contains(log.String(), fmt.Sprintf("level=%s msg=%q\n", level, want)) {
			t.Errorf("%q was logged as %s", message, &log)
		}
	}
}

// TestFailuresAreLoggedWithoutTheClient has a fault of the server while it
// reads a request that says much of its sender.
func TestFailuresAreLoggedWithoutTheClient(t *testing.T) {
	rt, log := newTestRouter()
	rt.Handle("/fails", Methods{http.MethodGet: func(_ http.ResponseWriter, r *http.Request) error {
		return fmt.Errorf("read tcp 10.0.0.1:3000->%s: connection reset by peer", r.RemoteAddr)
	}})
	r := httptest.NewRequest(http.MethodGet, "/fails?key=db_ingest_1_secret&user_id=alice", nil)
	r.RemoteAddr = "192.0.2.77:4711"
	r.Header.Set("Authorization", "Bearer db_read_2_secret")
	r.Header.Set("User-Agent", "a browser")
	rt.ServeHTTP(httptest.NewRecorder(), r)
	if !strings.Contains(log.String(), "10.0.0.1:3000->the client: connection reset") {
		t.Errorf("logged: %s", log)
	}
	for _, secret := range []string{"secret", "alice", "192.0.2.77", "a browser"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%q is in the log: %s", secret, log)
		}
	}
}
