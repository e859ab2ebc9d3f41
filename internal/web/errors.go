package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/store"
)

// Error is an answer that is no success. It is written as JSON with the
// fields that are set; Cause is logged and never sent.
type Error struct {
	Status int `json:"-"`
	// Message says what was wrong and, where it is not plain, what to do.
	Message string `json:"error"`
	// Field, Value and Allowed tell of a bad input which one it was, what was
	// given and what would have been right.
	Field   string `json:"field,omitempty"`
	Value   string `json:"value,omitempty"`
	Allowed string `json:"allowed,omitempty"`
	// RetryAfter, if positive, is sent as a header in whole seconds.
	RetryAfter time.Duration `json:"-"`
	Cause      error         `json:"-"`
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.Cause }

// Invalid is the answer to an input that is well-formed but wrong.
func Invalid(field, value, problem, allowed string) *Error {
	return &Error{
		Status:  http.StatusUnprocessableEntity,
		Message: field + " " + problem,
		Field:   field,
		Value:   Shorten(value),
		Allowed: allowed,
	}
}

// Shorten cuts a value that is given back to its sender to at most 100 bytes.
func Shorten(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// retryAfter is how long a client is asked to wait for something that is away
// or overloaded for the moment.
const retryAfter = time.Second

// answer finds the answer to an error. It is the only place that maps errors
// to statuses.
func answer(err error) *Error {
	var (
		answer *Error
		field  *event.FieldError
		large  *http.MaxBytesError
	)
	switch {
	case errors.As(err, &answer):
		return answer
	case errors.As(err, &field):
		return Invalid(field.Field, field.Value, field.Problem, field.Allowed)
	case errors.As(err, &large):
		return &Error{Status: http.StatusRequestEntityTooLarge,
			Message: "the body is larger than " + strconv.FormatInt(large.Limit, 10) + " bytes"}
	case errors.Is(err, queue.ErrUnavailable):
		return unavailable("the queue cannot take events just now; nothing of this request is confirmed: events with an event_id can be sent again and are counted once", err)
	case errors.Is(err, store.ErrUnavailable):
		return unavailable("the store cannot be reached just now", err)
	case errors.Is(err, context.DeadlineExceeded):
		return unavailable("this took too long", err)
	}
	return &Error{Status: http.StatusInternalServerError, Message: "internal error; the server's log has more", Cause: err}
}

func unavailable(message string, cause error) *Error {
	return &Error{Status: http.StatusServiceUnavailable, Message: message, RetryAfter: retryAfter, Cause: cause}
}

// WriteError answers a request with err. Faults of the server are logged as
// errors; that something is away or overloaded for the moment is told by
// those who notice it, and not once more for each request.
func WriteError(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return // the client has gone
	}
	a := answer(err)
	if a.Status >= http.StatusInternalServerError {
		level := slog.LevelError
		if a.RetryAfter > 0 {
			level = slog.LevelDebug
		}
		log.Log(r.Context(), level, "request failed", "method", r.Method, "path", r.URL.Path, "status", a.Status, "error", a.Message, "cause", withoutClient(r, a.Cause))
	}
	if a.RetryAfter > 0 {
		seconds := (a.RetryAfter + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
	}
	if errors.As(err, new(*http.MaxBytesError)) {
		// There is more of the request, which nobody wants to read. net/http
		// would see to it, but does not know a writer that is wrapped.
		w.Header().Set("Connection", "close")
	}
	WriteJSON(w, a.Status, a)
}

// withoutClient gives the text of an error without the address of the client,
// which those of its connection have in them.
func withoutClient(r *http.Request, err error) string {
	if err == nil {
		return ""
	}
	if r.RemoteAddr == "" {
		return err.Error()
	}
	return strings.ReplaceAll(err.Error(), r.RemoteAddr, "the client")
}
