package tracker

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"

	"github.com/daybook-analytics/daybook/internal/web"
)

// request asks a router with the script for it.
func request(t *testing.T, header http.Header) *http.Response {
	t.Helper()
	rt := web.NewRouter(slog.New(slog.DiscardHandler))
	Register(rt)
	r := httptest.NewRequest(http.MethodGet, Path, nil)
	r.Header = header
	w := httptest.NewRecorder()
	rt.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, answer *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRegister(t *testing.T) {
	t.Parallel()
	tags := map[string]bool{}
	for _, test := range []struct{ accepted, encoding string }{
		{"", ""},
		{"br, zstd", ""},
		{"gzip", "gzip"},
		{"deflate, GZIP ; q=0.5, br", "gzip"},
		{"gzip;q=0, br", ""},
		{"gzip;q=0.000", ""},
		{"gzip;q=1.0", "gzip"},
	} {
		answer := request(t, http.Header{"Accept-Encoding": {test.accepted}})
		got := body(t, answer)
		if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Encoding") != test.encoding {
			t.Errorf("Accept-Encoding %q: status %d, encoding %q, want 200, %q", test.accepted,
				answer.StatusCode, answer.Header.Get("Content-Encoding"), test.encoding)
			continue
		}
		if test.encoding == "gzip" {
			zipped, err := gzip.NewReader(bytes.NewReader(got))
			if err != nil {
				t.Fatal(err)
			}
			if got, err = io.ReadAll(zipped); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, script) {
			t.Errorf("Accept-Encoding %q: not the script: %s", test.accepted, got)
		}
		for name, want := range map[string]string{
			"Content-Type":                 "text/javascript; charset=utf-8",
			"Cache-Control":                "public, max-age=3600",
			"Vary":                         "Accept-Encoding",
			"Cross-Origin-Resource-Policy": "cross-origin",
			"Access-Control-Allow-Origin":  "*",
		} {
			if got := answer.Header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}

		tag := answer.Header.Get("ETag")
		tags[tag] = true
		again := request(t, http.Header{"Accept-Encoding": {test.accepted}, "If-None-Match": {tag}})
		if again.StatusCode != http.StatusNotModified || len(body(t, again)) > 0 {
			t.Errorf("If-None-Match %s: status %d, want 304 without a body", tag, again.StatusCode)
		}
	}
	if len(tags) != 2 {
		t.Errorf("ETags %v, want one for each encoding", tags)
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	const limit = 1536
	size := len(body(t, request(t, http.Header{"Accept-Encoding": {"gzip"}})))
	t.Logf("%d bytes gzipped", size)
	if size >= limit {
		t.Errorf("the script has %d bytes gzipped, and must have less than %d", size, limit)
	}
}

// TestCurrent holds that what is served was made of the source.
func TestCurrent(t *testing.T) {
	t.Parallel()
	made, err := exec.Command("../../scripts/minify-tracker").Output()
	if err != nil {
		message := err.Error()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			message += ": " + string(exit.Stderr)
		}
		if os.Getenv("CI") == "" {
			t.Skip("the minifier does not run here; CI has it:", message)
		}
		t.Fatal(message)
	}
	if !bytes.Equal(made, script) {
		t.Error("daybook.min.js was not made of daybook.js: run `make tracker`")
	}
}
