package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
)

// server is all of Daybook, with the embedded queue and store. It can be
// stopped and started again on the same data.
type server struct {
	t   testing.TB
	dir string
	end func()

	mu     sync.Mutex
	addr   string // where it takes events, or last took them
	report string
}

func startServer(t testing.TB) *server {
	s := &server{t: t, dir: t.TempDir()}
	s.start()
	t.Cleanup(func() { s.end() })
	return s
}

func (s *server) start() {
	s.t.Helper()
	a, err := app.New(s.t.Context(), app.Config{
		Process: config.Process{Grace: 20 * time.Second},
		Queue:   config.Queue{Streams: 2}, Data: config.Data{Data: s.dir},
		Ingest: &config.Ingest{IngestAddr: "127.0.0.1:0"},
		Worker: &config.Worker{TableKeys: 2000, Pace: 20 * time.Millisecond, LeaseTime: 5 * time.Second},
		Report: &config.Report{ReportAddr: "127.0.0.1:0"},
	}, slog.New(slog.NewTextHandler(s.t.Output(), &slog.HandlerOptions{Level: slog.LevelError})))
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	s.end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	})
	for deadline := time.Now().Add(time.Minute); a.IngestAddr() == "" || a.ReportAddr() == ""; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("it does not listen")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addr, s.report = a.IngestAddr(), a.ReportAddr()
}

// transport reaches the server wherever it listens now. While it is stopped
// its old address refuses connections.
func (s *server) transport() *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		s.mu.Lock()
		addr := s.addr
		s.mu.Unlock()
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
}

// counted is what the server has counted of a day.
type counted struct {
	Events int `json:"total_events"`
	Users  int `json:"unique_users"`
	Paths  []struct {
		Path  string `json:"path"`
		Views int    `json:"views"`
	} `json:"top_paths"`
}

// counted waits until so many events of a day are counted.
func (s *server) counted(site, date string, events int) (c counted) {
	s.t.Helper()
	defer http.DefaultClient.CloseIdleConnections()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get(fmt.Sprintf("http://%s/stats?site_id=%s&date=%s&limit=1000", s.report, site, date))
		if err != nil {
			s.t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		c = counted{}
		if err == nil {
			err = json.Unmarshal(body, &c)
		}
		if err != nil {
			s.t.Fatalf("%v: %s", err, body)
		}
		if c.Events >= events || time.Now().After(deadline) {
			return c
		}
	}
}

// faulty loses requests before the server has them, and answers behind it: one
// of two, in each of its ways in turn.
type faulty struct {
	next *http.Transport

	mu       sync.Mutex
	requests int
	lost     map[string]int // by the way
}

func (f *faulty) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.requests++
	kind := f.requests % 8
	f.mu.Unlock()
	status := func(code int) *http.Response {
		return &http.Response{StatusCode: code, Header: http.Header{}, Body: http.NoBody, Request: r}
	}
	switch kind {
	case 0:
		f.count("request")
		return nil, errReset
	case 2:
		f.count("refused")
		return status(http.StatusServiceUnavailable), nil
	}
	resp, err := f.next.RoundTrip(r)
	if err != nil {
		f.count("away")
		return nil, err
	}
	if kind == 4 && resp.StatusCode == http.StatusAccepted {
		resp.Body.Close()
		f.count("answer")
		return nil, errReset
	}
	if kind == 6 && resp.StatusCode == http.StatusAccepted {
		resp.Body.Close()
		f.count("gateway")
		return status(http.StatusGatewayTimeout), nil
	}
	return resp, nil
}

func (f *faulty) count(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost[what]++
}

// Over a bad network, and while the server is stopped and started again, each
// event that Track took is counted once.
func TestCountedOnce(t *testing.T) {
	const (
		events  = 900
		senders = 3
		date    = "2026-03-01"
	)
	s := startServer(t)
	direct := s.transport()
	defer direct.CloseIdleConnections()
	f := &faulty{next: direct, lost: map[string]int{}}
	dropped := &drops{}
	c, err := New("http://daybook.example", Options{
		Site: "shop", BatchEvents: 20, BatchDelay: 20 * time.Millisecond,
		HTTP: &http.Client{Transport: f}, OnDrop: dropped.onDrop(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.DateOnly, date)
	if err != nil {
		t.Fatal(err)
	}
	send := func(first, behind int) {
		var all sync.WaitGroup
		for n := range senders {
			all.Go(func() {
				for i := first + n; i < behind; i += senders {
					err := c.Track(Event{Type: PageView, Path: fmt.Sprintf("/%d", i), User: fmt.Sprint(i), Time: at.Add(time.Duration(i) * time.Second)})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
	}
	send(0, events/3)
	if err := c.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	direct.CloseIdleConnections()
	s.end()
	send(events/3, 2*events/3)
	for away := func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.lost["away"] > 0 }; !away(); {
		time.Sleep(time.Millisecond)
	}
	s.start()
	send(2*events/3, events)
	if err := c.Track(Event{Type: PageView, Path: "/wrong", Country: strings.Repeat("x", 257)}); err != nil {
		t.Error(err)
	}
	if err := c.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "of 901 events 1 were dropped: the server refused the event: country is") {
		t.Errorf("Close: %v", err)
	}

	if len(dropped.events) != 1 || dropped.events[0].Path != "/wrong" || !errors.As(dropped.reasons[0], new(*RejectedError)) {
		t.Errorf("dropped %v: %v", dropped.events, dropped.reasons)
	}
	wantStats(t, c, Stats{Taken: events + 1, Delivered: events, Dropped: 1, Retries: c.Stats().Retries})
	got := s.counted("shop", date, events)
	if got.Events != events || got.Users != events || len(got.Paths) != events {
		t.Errorf("counted are %d events, %d users and %d paths, want %d", got.Events, got.Users, len(got.Paths), events)
	}
	for _, row := range got.Paths {
		if row.Views != 1 {
			t.Errorf("%s has %d views", row.Path, row.Views)
		}
	}
	t.Log(f.lost)
	for _, kind := range []string{"request", "refused", "away", "answer", "gateway"} {
		if f.lost[kind] == 0 {
			t.Errorf("nothing was lost as %q", kind)
		}
	}
}

// A server sends for its visitors: people are told apart by address and user
// agent, and bots are not counted.
func TestVisitors(t *testing.T) {
	s := startServer(t)
	transport := s.transport()
	defer transport.CloseIdleConnections()
	c, err := New("http://daybook.example", Options{Site: "shop", HTTP: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	at := time.Now().UTC()
	for _, e := range []Event{
		{UserAgent: firefox, ClientIP: "192.0.2.1"},
		{UserAgent: firefox, ClientIP: "192.0.2.1"},
		{UserAgent: firefox, ClientIP: "2001:db8::1"},
		{UserAgent: "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", ClientIP: "192.0.2.2"},
	} {
		e.Type, e.Time = PageView, at
		if err := c.Track(e); err != nil {
			t.Error(err)
		}
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if got := s.counted("shop", at.Format(time.DateOnly), 3); got.Events != 3 || got.Users != 2 {
		t.Errorf("counted are %d events and %d users, want 3 and 2", got.Events, got.Users)
	}
}
