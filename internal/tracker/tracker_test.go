package tracker

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"

	"github.com/daybook-analytics/daybook/internal/web"
)

// get asks a router with the script for it.
func get(header http.Header) *httptest.ResponseRecorder {
	rt := web.NewRouter(slog.New(slog.DiscardHandler))
	Register(rt)
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, Path, nil)
	r.Header = header
	rt.ServeHTTP(w, r)
	return w
}

func TestRegister(t *testing.T) {
	t.Parallel()
	w := get(nil)
	if w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), script) {
		t.Errorf("%d, and not the script: %s", w.Code, w.Body)
	}
	for name, want := range map[string]string{
		"Content-Type":                 "text/javascript; charset=utf-8",
		"Cache-Control":                "public, max-age=3600",
		"Cross-Origin-Resource-Policy": "cross-origin",
		"Access-Control-Allow-Origin":  "*",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	const limit = 1536
	size := get(http.Header{"Accept-Encoding": {"gzip"}}).Body.Len()
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
