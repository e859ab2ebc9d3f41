// Package sendertest has a server that takes events as Daybook's ingest does
// and keeps them in memory, for tests of what sends events.
package sendertest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/sender"
)

// Server is the fake. It is a Handler, so that it can also be served on an
// address of choice. Events are decoded and normalized as by ingest. It is
// safe for concurrent use.
type Server struct {
	mu       sync.Mutex
	events   map[string]event.Event // by site and ID
	order    []string               // their keys as they came first
	received int
	requests int
	before   func(request int) (status int)
	after    func(request int)
}

// Start serves a new Server until the test ends.
func Start(t testing.TB) (*Server, string) {
	t.Helper()
	s := &Server{}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, h.URL
}

// Before sets what is asked before each request, which are counted from 1: a
// status other than 0 is answered instead.
func (s *Server) Before(fn func(request int) (status int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = fn
}

// After sets what is called when a request's events are kept but not answered
// yet.
func (s *Server) After(fn func(request int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = fn
}

// Events gives the events as they came, each ID once.
func (s *Server) Events() []event.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := make([]event.Event, len(s.order))
	for i, key := range s.order {
		events[i] = s.events[key]
	}
	return events
}

// Received tells how many events came, repeated ones counted each time.
func (s *Server) Received() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.received
}

// Requests tells how many requests came.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// ServeHTTP takes events.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests++
	request, before, after := s.requests, s.before, s.after
	s.mu.Unlock()
	if before != nil {
		if status := before(request); status != 0 {
			answer(w, status, map[string]string{"error": "as the test wants it"})
			return
		}
	}
	body, err := read(r)
	switch {
	case err != nil:
		answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
	case r.URL.Path == "/event":
		if rejected := s.take([][]byte{body}); len(rejected) > 0 {
			answer(w, http.StatusUnprocessableEntity, rejected[0])
			return
		}
		answer(w, http.StatusAccepted, map[string]string{"status": "accepted"})
	case r.URL.Path == "/events":
		lines := bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
		if len(body) > sender.MaxBytes || len(lines) > sender.MaxEvents {
			answer(w, http.StatusRequestEntityTooLarge, map[string]string{"error": "too large"})
			return
		}
		rejected := s.take(lines)
		if after != nil {
			after(request)
		}
		status := http.StatusAccepted
		if len(rejected) == len(lines) {
			status = http.StatusUnprocessableEntity
		}
		answer(w, status, map[string]any{"accepted": len(lines) - len(rejected), "rejected": rejected})
	default:
		http.NotFound(w, r)
	}
}

func read(r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(r.Body)
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func (s *Server) take(lines [][]byte) []sender.Rejection {
	rejected := []sender.Rejection{}
	s.mu.Lock()
	defer s.mu.Unlock()
	var decoder event.Decoder
	for i, line := range lines {
		sent, err := decoder.Decode(line, time.Now())
		if err != nil {
			r := sender.Rejection{Index: i, Problem: err.Error()}
			if field, ok := errors.AsType[*event.FieldError](err); ok {
				r.Field, r.Value, r.Allowed = field.Field, field.Value, field.Allowed
			}
			rejected = append(rejected, r)
			continue
		}
		s.received++
		key := sent.Site + " " + sent.ID
		if s.events == nil {
			s.events = map[string]event.Event{}
		}
		if _, known := s.events[key]; !known {
			s.events[key] = sent.Event
			s.order = append(s.order, key)
		}
	}
	return rejected
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
