package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/store"
)

func TestErrors(t *testing.T) {
	const queueAway = `{"error":"the queue cannot take events just now; nothing of this request is confirmed: events with an event_id can be sent again and are counted once"}`
	const storeAway = `{"error":"the store cannot be reached just now"}`
	secret := errors.New("a secret")
	for _, test := range []struct {
		name       string
		err        error
		status     int
		body       string
		retryAfter string
		level      string // at which it is logged
	}{
		{"of its own", &Error{Status: 409, Message: "no", Cause: secret}, 409, `{"error":"no"}`, "", ""},
		{"wrapped", fmt.Errorf("more: %w", &Error{Status: 418, Message: "no"}), 418, `{"error":"no"}`, "", ""},
		{"for later", &Error{Status: 503, Message: "no", RetryAfter: 1200 * time.Millisecond}, 503, `{"error":"no"}`, "2", "DEBUG"},
		{"invalid", Invalid("site_id", strings.Repeat("ä", 60), "is long", "less"), 422,
			`{"error":"site_id is long","field":"site_id","value":"` + strings.Repeat("ä", 50) + `…","allowed":"less"}`, "", ""},
		{"field", fmt.Errorf("more: %w", &event.FieldError{Field: "path", Value: "x", Problem: "is odd", Allowed: "even ones"}), 422,
			`{"error":"path is odd","field":"path","value":"x","allowed":"even ones"}`, "", ""},
		{"large", &http.MaxBytesError{Limit: 65536}, 413, `{"error":"the body is larger than 65536 bytes"}`, "", ""},
		{"queue", fmt.Errorf("%w: %w", queue.ErrUnavailable, secret), 503, queueAway, "1", "DEBUG"},
		{"store", fmt.Errorf("%w: %w", store.ErrUnavailable, secret), 503, storeAway, "1", "DEBUG"},
		{"late", fmt.Errorf("%w: %w", secret, context.DeadlineExceeded), 503, `{"error":"this took too long"}`, "1", "DEBUG"},
		{"canceled by the server", fmt.Errorf("%w: %w", secret, context.Canceled), 500, internalError, "", "ERROR"},
		{"other", secret, 500, internalError, "", "ERROR"},
	} {
		t.Run(test.name, func(t *testing.T) {
			rt, log := newTestRouter()
			rt.Handle("/", Methods{http.MethodGet: func(http.ResponseWriter, *http.Request) error { return test.err }})
			w := do(rt, "GET", "/")
			wantAnswer(t, w, test.status, test.body)
			if got := w.Header().Get("Retry-After"); got != test.retryAfter {
				t.Errorf("Retry-After %q, want %q", got, test.retryAfter)
			}
			if test.level == "" && log.Len() > 0 || !strings.Contains(log.String(), test.level) {
				t.Errorf("logged is %q, want level %q", log, test.level)
			}
			if test.level != "" && errors.Is(test.err, secret) && !strings.Contains(log.String(), "a secret") {
				t.Errorf("the log does not have the cause: %s", log)
			}
		})
	}
}

func TestClientHasGone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx)
	WriteError(w, r, slog.New(slog.DiscardHandler), fmt.Errorf("read: %w", context.Canceled))
	if w.Body.Len() > 0 {
		t.Errorf("wrote %s to nobody", w.Body)
	}
}

func TestShorten(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		strings.Repeat("x", 100):       strings.Repeat("x", 100),
		strings.Repeat("x", 101):       strings.Repeat("x", 100) + "…",
		strings.Repeat("x", 99) + "é":  strings.Repeat("x", 99) + "…",
		strings.Repeat("x", 97) + "🙂🙂": strings.Repeat("x", 97) + "…",
		strings.Repeat("\x80", 101):    "…", // no UTF-8
	} {
		if got := Shorten(in); got != want {
			t.Errorf("Shorten(%q) is %q, want %q", in, got, want)
		}
	}
}
