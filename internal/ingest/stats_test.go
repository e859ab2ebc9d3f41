package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
)

func TestReasons(t *testing.T) {
	c := testCommitter(newTestQueue(1), 1)
	for _, test := range []struct {
		err         error
		rejected    string
		unavailable string
	}{
		{&event.FieldError{Field: "utm_source"}, "utm_source", ""},
		{&event.FieldError{Field: "a field of the future"}, "other", ""},
		{event.TooLarge(1), "event", ""},
		{notJSON(&event.SyntaxError{}), "syntax", ""},
		{readError(errors.New("broken off"), false), "syntax", ""},
		{&http.MaxBytesError{}, "too_large", ""},
		{errTooMany(1), "too_large", ""},
		{errStopping, "", "stopping"},
		{errBusy, "", "busy"},
		{errBacklog, "", "backlog"},
		{c.unconfirmed(nil), "", "unconfirmed"},
		{c.unconfirmed(context.Canceled), "", "unconfirmed"},
		{fmt.Errorf("%w: it is away", queue.ErrUnavailable), "", "queue"},
		{errors.New("a fault"), "", "other"},
	} {
		in := New(newTestQueue(1), Options{}, slog.New(slog.DiscardHandler))
		in.refused(test.err)
		got := in.Stats()
		wantOne(t, test.err, got.Rejected, test.rejected)
		wantOne(t, test.err, got.Unavailable, test.unavailable)
	}
}

// wantOne checks that one was counted for a reason; for "" none for any.
func wantOne(t *testing.T, err error, got Counts, reason string) {
	t.Helper()
	want := uint64(1)
	if reason == "" {
		want = 0
	}
	if got.Total() != want || got[reason] != want {
		t.Errorf("%v: counted %v, want %d for %q", err, got, want, reason)
	}
}

func TestAppendsAreTold(t *testing.T) {
	q := newTestQueue(2)
	var told []int
	in, rt := start(t, q, Options{Appended: func(events int, took time.Duration) {
		if took < 0 {
			t.Errorf("a write took %v", took)
		}
		told = append(told, events)
	}})
	const line = `{"site_id":"%s","event_type":"e"}` + "\n"
	post(rt, "/events", fmt.Sprintf(line+line+line, "a", "b", "c"), "Content-Type", typeNDJSON)
	q.set(func(q *testQueue) {
		q.failing = func([]queue.Group) []error { return []error{errDown} }
	})
	post(rt, "/event", small, "Content-Type", typeJSON)
	if err := in.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(told) != 2 || told[0] != 3 || told[1] != 1 {
		t.Errorf("told of writes of %v events, want 3 and 1", told)
	}
}
