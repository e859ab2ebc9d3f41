package sender_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/daybook-analytics/daybook/internal/sender"
	"github.com/daybook-analytics/daybook/internal/sender/sendertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a network that gives one answer after the other, and remembers
// when it was asked for what.
type script struct {
	answers []answer
	times   []time.Time
	bodies  []string
	keys    []string // the Authorization of each request
}

type answer struct {
	err        error
	status     int
	retryAfter int
	body       string
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	a := s.answers[min(len(s.times), len(s.answers)-1)]
	s.times = append(s.times, time.Now())
	s.bodies = append(s.bodies, string(body))
	s.keys = append(s.keys, r.Header.Get("Authorization"))
	if a.err != nil {
		return nil, a.err
	}
	h := http.Header{}
	if a.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(a.retryAfter))
	}
	return &http.Response{StatusCode: a.status, Header: h, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

func newSender(t *testing.T, transport http.RoundTripper) *sender.Sender {
	t.Helper()
	s, err := sender.New(sender.Options{To: "http://daybook.example:3000/", Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	taken    = answer{status: 202, body: `{"accepted":2,"rejected":[]}`}
	busy     = answer{status: 503, body: `{"error":"the queue cannot take events"}`}
	errReset = errors.New("connection reset")
)

func TestSendTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := busy
		wait.retryAfter = 7
		network := &script{answers: []answer{busy, {status: 429}, {err: errReset}, wait, taken}}
		result, err := newSender(t, network).Send(t.Context(), []byte("{}\n{}\n"), 2)
		if err != nil || result.Accepted != 2 || result.Retries != 4 {
			t.Fatalf("%+v, %v", result, err)
		}
		for i, body := range network.bodies {
			if body != "{}\n{}\n" {
				t.Errorf("try %d had the body %q", i, body)
			}
		}
		for i, bounds := range [][2]time.Duration{{50, 100}, {100, 200}, {200, 400}, {7000, 7000}} {
			waited := network.times[i+1].Sub(network.times[i])
			if waited < bounds[0]*time.Millisecond || waited > bounds[1]*time.Millisecond {
				t.Errorf("waited %s behind try %d, want %d to %d ms", waited, i, bounds[0], bounds[1])
			}
		}
	})
}

func TestSendGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &script{answers: []answer{busy}}
		started := time.Now()
		_, err := newSender(t, network).Send(t.Context(), nil, 2)
		if err == nil || !strings.Contains(err.Error(), "gave up on a request of 2 events after") || !strings.Contains(err.Error(), "answered 503: the queue cannot take events") {
			t.Errorf("error %v", err)
		}
		if took := time.Since(started); took > sender.DefaultPatience || took < sender.DefaultPatience-5*time.Second {
			t.Errorf("gave up after %s", took)
		}
	})
}

func TestSendEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		started := time.Now()
		_, err := newSender(t, &script{answers: []answer{busy}}).Send(ctx, nil, 2)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(started) != 3*time.Second {
			t.Errorf("%v after %s", err, time.Since(started))
		}
	})
}

func TestSendAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer answer
		says   string
	}{
		{"nobody there", answer{err: errReset}, `no server answers at http://daybook.example:3000 (connection reset): start one with "daybook serve"`},
		{"too large", answer{status: 413, body: `{"error":"the body is larger than 8388608 bytes"}`}, "answered 413: the body is larger"},
		{"no key", answer{status: 401, body: `{"error":"this takes a key"}`}, `answered 401: this takes a key: make a key for it with "daybook keys create --site SITE --scope ingest", and give it with --key`},
		{"wrong key", answer{status: 403, body: `{"error":"the key is for reading"}`}, `answered 403: the key is for reading: make a key`},
		{"a proxy's password", answer{status: 401, body: "<html>"}, "is it the address where a Daybook server takes events?"},
		{"another server", answer{status: 404, body: "<html>"}, "is it the address where a Daybook server takes events?"},
		{"redirect", answer{status: 301}, "answered 301"},
		{"no JSON", answer{status: 202, body: "OK"}, `answered 202 with "OK", which does not tell`},
		{"too few results", answer{status: 202, body: `{"accepted":1}`}, "does not tell of each event"},
		{"wrong index", answer{status: 202, body: `{"accepted":1,"rejected":[{"index":2}]}`}, "does not tell of each event"},
		{"all wrong", answer{status: 422, body: `{"error":"body is a string"}`}, "answered 422: body is a string"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			network := &script{answers: []answer{tt.answer}}
			_, err := newSender(t, network).Send(t.Context(), nil, 2)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want %q", err, tt.says)
			}
			if len(network.times) != 1 {
				t.Errorf("tried %d times, want once", len(network.times))
			}
		})
	}
}

func TestKey(t *testing.T) {
	for key, header := range map[string]string{"": "", "db_ingest_1_x": "Bearer db_ingest_1_x"} {
		network := &script{answers: []answer{taken}}
		s, err := sender.New(sender.Options{To: "http://daybook.example", Key: key, Transport: network})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Send(t.Context(), nil, 2); err != nil {
			t.Error(err)
		}
		if _, err := s.SendOne(t.Context(), nil); err != nil {
			t.Error(err)
		}
		if network.keys[0] != header || network.keys[1] != header {
			t.Errorf("key %q was sent as %q", key, network.keys)
		}
	}
}

func TestRejections(t *testing.T) {
	server, to := sendertest.Start(t)
	for _, zip := range []bool{false, true} {
		s, err := sender.New(sender.Options{To: to, Gzip: zip})
		if err != nil {
			t.Fatal(err)
		}
		result, err := s.Send(t.Context(), []byte(`{"site_id":"s","event_type":"a"}`+"\n{}\n"), 2)
		if err != nil || result.Accepted != 1 || len(result.Rejected) != 1 || result.Rejected[0].Index != 1 {
			t.Errorf("some: %+v, %v", result, err)
		}
		result, err = s.Send(t.Context(), []byte("{}\n"), 1)
		if err != nil || result.Accepted != 0 || len(result.Rejected) != 1 || result.Rejected[0].Field != "site_id" {
			t.Errorf("all: %+v, %v", result, err)
		}
		result, err = s.SendOne(t.Context(), []byte(`{"site_id":"s","event_type":"a"}`))
		if err != nil || result.Accepted != 1 {
			t.Errorf("one: %+v, %v", result, err)
		}
		result, err = s.SendOne(t.Context(), []byte(`{"event_type":"a"}`))
		if err != nil || result.Accepted != 0 || len(result.Rejected) != 1 || result.Rejected[0].Field != "site_id" {
			t.Errorf("one rejected: %+v, %v", result, err)
		}
		s.Close()
	}
	if server.Received() != 4 {
		t.Errorf("received %d, want 4", server.Received())
	}
}

func TestRejectionString(t *testing.T) {
	r := sender.Rejection{Problem: "site_id has a character that is not allowed", Value: "a b", Allowed: "letters"}
	if got, want := r.String(), `site_id has a character that is not allowed (it is "a b"): allowed is letters`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWrongAddress(t *testing.T) {
	for _, to := range []string{"", "localhost:3000", "127.0.0.1:3000", "ftp://x", "http://", "http://x?y", "http://x#y", "http://[", "/events"} {
		if _, err := sender.New(sender.Options{To: to}); err == nil || !strings.Contains(err.Error(), "allowed is") {
			t.Errorf("%q: error %v", to, err)
		}
	}
}

func TestWrongKey(t *testing.T) {
	for _, key := range []string{"db_ingest_1_x\n", "db ingest", "…"} {
		_, err := sender.New(sender.Options{To: "http://daybook.example", Key: key})
		if err == nil || !strings.Contains(err.Error(), "daybook keys create") || strings.Contains(err.Error(), key) {
			t.Errorf("%q: error %v", key, err)
		}
	}
}

func TestPipelineConfirmsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var confirmed []int
		running, most := make(chan struct{}, 100), 0
		p := sender.NewPipeline(t.Context(), 3,
			func(_ context.Context, i int) (sender.Result, error) {
				running <- struct{}{}
				time.Sleep(time.Duration(10-i%5) * time.Second) // virtual time
				<-running
				return sender.Result{Accepted: i}, nil
			},
			func(i int, r sender.Result) error {
				if r.Accepted != i {
					t.Errorf("request %d has the result of %d", i, r.Accepted)
				}
				confirmed = append(confirmed, i)
				return nil
			})
		for i := range 40 {
			if err := p.Submit(i); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			most = max(most, len(running))
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if most != 3 {
			t.Errorf("%d at once, want 3", most)
		}
		for i, got := range confirmed {
			if got != i {
				t.Fatalf("confirmed %v", confirmed)
			}
		}
		if len(confirmed) != 40 {
			t.Errorf("confirmed %d, want 40", len(confirmed))
		}
	})
}

func TestPipelineStopsAtAnError(t *testing.T) {
	for _, in := range []string{"send", "confirm"} {
		t.Run(in, func(t *testing.T) {
			want := fmt.Errorf("fault in %s", in)
			var confirmed bytes.Buffer
			p := sender.NewPipeline(t.Context(), 2,
				func(_ context.Context, i int) (sender.Result, error) {
					if in == "send" && i == 5 {
						return sender.Result{}, want
					}
					return sender.Result{}, nil
				},
				func(i int, _ sender.Result) error {
					if in == "confirm" && i == 5 {
						return want
					}
					fmt.Fprint(&confirmed, i)
					return nil
				})
			var err error
			for i := 0; err == nil; i++ {
				err = p.Submit(i)
			}
			if closed := p.Close(); !errors.Is(err, want) || !errors.Is(closed, want) {
				t.Errorf("Submit %v, Close %v; want %v", err, closed, want)
			}
			if confirmed.String() != "01234" {
				t.Errorf("confirmed %s, want 01234", &confirmed)
			}
		})
	}
}
