package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func track(t *testing.T, c *Client, n int) {
	t.Helper()
	for range n {
		if err := c.Track(Event{Type: "signup"}); err != nil {
			t.Fatal(err)
		}
	}
}

func closed(t *testing.T, c *Client) {
	t.Helper()
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// wantStats also holds Stats to what it promises.
func wantStats(t *testing.T, c *Client, want Stats) {
	t.Helper()
	got := c.Stats()
	if got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
	if got.Taken != got.Delivered+got.Dropped+got.Waiting {
		t.Errorf("stats do not add up: %+v", got)
	}
}

// An event is sent as the server takes it, and gets an ID and a time.
func TestEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		c, _ := newClient(t, n, Options{Key: "db_ingest_1_x"})
		now := time.Now().UTC()
		whole := Event{
			Site: "blog", Type: PageView, Path: "https://blog.example/<a>?b&c", User: "u", ID: "id-1",
			Time:     time.Date(2026, 11, 24, 9, 30, 0, 5e6, time.FixedZone("", 3600)),
			Referrer: "r", Country: "DE", Device: "d", Browser: "b", OS: "o",
			UTMSource: "s", UTMMedium: "m", UTMCampaign: "c", UserAgent: "Mozilla/5.0", ClientIP: "192.0.2.1",
		}
		if err := c.Track(whole); err != nil {
			t.Fatal(err)
		}
		track(t, c, 2)
		closed(t, c)
		const want = `{"site_id":"blog","event_type":"page_view","path":"https://blog.example/<a>?b&c","user_id":"u",` +
			`"timestamp":"2026-11-24T09:30:00.005+01:00","event_id":"id-1","referrer":"r","country":"DE","device":"d",` +
			`"browser":"b","os":"o","utm_source":"s","utm_medium":"m","utm_campaign":"c","user_agent":"Mozilla/5.0","client_ip":"192.0.2.1"}`
		if got := n.events["id-1"]; got != want {
			t.Errorf("sent\n%s, want\n%s", got, want)
		}
		if len(n.events) != 3 {
			t.Errorf("%d events, want 3 with an ID each", len(n.events))
		}
		delete(n.events, "id-1")
		for id, line := range n.events {
			want := fmt.Sprintf(`{"site_id":"shop","event_type":"signup","timestamp":%q,"event_id":%q}`, now.Format(time.RFC3339Nano), id)
			if line != want || len(id) < 20 {
				t.Errorf("sent\n%s, want\n%s", line, want)
			}
		}
		if got := n.header.Get("Authorization"); got != "Bearer db_ingest_1_x" {
			t.Errorf("Authorization %q", got)
		}
	})
}

func TestTrackRefuses(t *testing.T) {
	c, err := New("http://127.0.0.1:1", Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		event Event
		says  string
	}{
		{Event{Type: "e"}, "has no Site"},
		{Event{Site: "s"}, "has no Type"},
		{Event{Site: "s", Type: "e", Path: strings.Repeat("x", 64<<10)}, "the server takes at most 65536"},
		{Event{Site: "s", Type: "e", Time: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}, "cannot be written as JSON"},
	} {
		if err := c.Track(tt.event); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%.100v: error %v, want %q", tt.event, err, tt.says)
		}
	}
	wantStats(t, c, Stats{})
	closed(t, c)
	closed(t, c)
	if err := c.Track(Event{Site: "s", Type: "e"}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestWrongOptions(t *testing.T) {
	const right = "https://daybook.example/base/"
	for _, tt := range []struct {
		address string
		o       Options
		says    string
	}{
		{"", Options{}, "address"},
		{"127.0.0.1:3000", Options{}, "address"},
		{"ftp://x", Options{}, "address"},
		{"http://", Options{}, "address"},
		{"http://x?key=secret", Options{}, "address"},
		{"http://x#y", Options{}, "address"},
		{"http://user:secret@x", Options{}, "address"},
		{"http://[", Options{}, "address"},
		{right, Options{Key: "secret\n"}, "key"},
		{right, Options{BufferEvents: -1}, "BufferEvents is -1"},
		{right, Options{BufferBytes: -1}, "BufferBytes is -1"},
		{right, Options{BatchEvents: 10_001}, "allowed are 1 to 10000"},
		{right, Options{BatchDelay: -1}, "BatchDelay is -1ns"},
		{right, Options{Patience: -1}, "Patience is -1ns"},
	} {
		_, err := New(tt.address, tt.o)
		if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "allowed") && !strings.Contains(err.Error(), "give it") {
			t.Errorf("%q, %+v: error %v, want %q", tt.address, tt.o, err, tt.says)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells a secret: %v", err)
		}
	}
}

// Events are sent when there is a batch of them, when the first has waited
// long enough, or when somebody flushes; and no sooner.
func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		c, _ := newClient(t, n, Options{BatchEvents: 10, BatchDelay: 2 * time.Second})
		start := time.Now()
		track(t, c, 9)
		time.Sleep(1999 * time.Millisecond)
		synctest.Wait()
		n.mu.Lock()
		if len(n.sizes) != 0 {
			t.Errorf("sent %v before it was time", n.sizes)
		}
		n.mu.Unlock()
		time.Sleep(time.Millisecond) // 2s: nine
		synctest.Wait()
		track(t, c, 10) // 2s: ten at once
		synctest.Wait()
		track(t, c, 3)
		if err := c.Flush(t.Context()); err != nil { // 2s: three at once
			t.Error(err)
		}
		wantStats(t, c, Stats{Taken: 22, Delivered: 22})
		if err := c.Flush(t.Context()); err != nil { // nothing
			t.Error(err)
		}
		track(t, c, 1)
		time.Sleep(time.Second)
		track(t, c, 24) // 3s: ten and ten
		synctest.Wait()
		track(t, c, 2)
		time.Sleep(2 * time.Second) // 5s: seven
		synctest.Wait()
		track(t, c, 2)
		closed(t, c) // 5s: two
		if want := []int{9, 10, 3, 10, 10, 7, 2}; !slices.Equal(n.sizes, want) {
			t.Errorf("batches of %v, want %v", n.sizes, want)
		}
		for i, want := range []time.Duration{2, 2, 2, 3, 3, 5, 5} {
			if got := n.times[i].Sub(start); got != want*time.Second {
				t.Errorf("batch %d was sent after %v, want %d s", i, got, want)
			}
		}
	})
}

// A request has no more bytes than proxies let pass.
func TestBatchBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		c, _ := newClient(t, n, Options{})
		for range 40 {
			if err := c.Track(Event{Type: "e", Path: strings.Repeat("p", 60_000)}); err != nil {
				t.Fatal(err)
			}
		}
		closed(t, c)
		if want := []int{17, 17, 6}; !slices.Equal(n.sizes, want) {
			t.Errorf("batches of %v, want %v", n.sizes, want)
		}
	})
}

func TestZip(t *testing.T) {
	for _, tt := range []struct {
		events int
		zipped bool
	}{{1, false}, {100, true}} {
		n := &network{}
		c, _ := newClient(t, n, Options{})
		track(t, c, tt.events)
		closed(t, c)
		if got := n.header.Get("Content-Encoding") == "gzip"; got != tt.zipped || len(n.events) != tt.events {
			t.Errorf("%d events: compressed %v; %d came", tt.events, got, len(n.events))
		}
	}
}

// What may pass is tried again: after waits that double, each half left to
// chance, and never sooner than the server says.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := []fault{
			{err: errReset}, {lost: errReset}, {status: 500}, {status: 503, retryAfter: "7"},
			{status: 429, retryAfter: time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat)},
			{status: 408, retryAfter: "-3"}, {status: 502, retryAfter: "99999999999999999999"},
			{status: 504, retryAfter: "999999"}, {takes: time.Hour}, {answerTime: time.Hour}, {},
		}
		n := &network{fault: func(i int) fault { return faults[i] }}
		c, _ := newClient(t, n, Options{BatchEvents: 3})
		start := time.Now()
		track(t, c, 3)
		closed(t, c)
		wantStats(t, c, Stats{Taken: 3, Delivered: 3, Retries: 10})
		if len(n.events) != 3 || n.repeated != 6 {
			t.Errorf("%d events, %d repeated; want 3, each twice more because its answer was lost", len(n.events), n.repeated)
		}
		wait := 100 * time.Millisecond
		for i, least := range []time.Duration{0, 0, 0, 7 * time.Second, 0, 0, 0, 5 * time.Minute, 30 * time.Second, 30 * time.Second} {
			waited := n.times[i+1].Sub(n.times[i])
			if i == 4 { // a date, in whole seconds
				least = 30*time.Second - n.times[4].Sub(start).Truncate(time.Second) - time.Second
			}
			most := least + wait
			if i == 4 {
				most += time.Second
			}
			if waited < least+wait/2 || waited > most {
				t.Errorf("waited %v after try %d, want %v to %v", waited, i, least+wait/2, most)
			}
			wait = min(2*wait, 10*time.Second)
		}
	})
}

// What does not pass is not tried again, and is reported; what comes behind it
// is sent.
func TestRefusedRequests(t *testing.T) {
	for _, tt := range []struct {
		fault fault
		says  string
	}{
		{fault{status: 401, body: `{"error":"this key is revoked"}`}, "http://daybook.example:3000/events answered 401: this key is revoked"},
		{fault{status: 400, body: "<html>"}, `answered 400 with "<html>": is it the address`},
		{fault{status: 301}, "answered 301"},
		{fault{status: 422, body: `{"error":"body is a string"}`}, "answered 422: body is a string"},
		{fault{status: 202, body: "OK"}, `answered 202 with "OK"`},
		{fault{status: 202, body: `{"accepted":1,"rejected":[]}`}, "answered 202"},
		{fault{status: 202, body: `{"accepted":1,"rejected":[{"index":2}]}`}, "answered 202"},
		{fault{status: 202, body: `{"accepted":1,"rejected":[{"index":-1}]}`}, "answered 202"},
		{fault{status: 202, body: `{"accepted":1,"rejected":[null]}`}, "answered 202"},
		{fault{status: 202, body: `{"accepted":0,"rejected":[{"index":1},{"index":1}]}`}, "answered 202"},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := &network{fault: func(i int) fault {
				if i == 0 {
					return tt.fault
				}
				return fault{}
			}}
			c, dropped := newClient(t, n, Options{})
			track(t, c, 2)
			err := c.Flush(t.Context())
			if err == nil || !strings.Contains(err.Error(), "2 events were dropped: ") || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Flush: %v, want %q", err, tt.says)
			}
			track(t, c, 1)
			if err := c.Flush(t.Context()); err != nil {
				t.Errorf("Flush of what was not dropped: %v", err)
			}
			err = c.Close(t.Context())
			if err == nil || !strings.Contains(err.Error(), "of 3 events 2 were dropped: ") || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Close: %v, want %q", err, tt.says)
			}
			if len(n.events) != 1 || len(dropped.events) != 2 || !strings.Contains(dropped.reasons[1].Error(), tt.says) {
				t.Errorf("%d events came; dropped %v", len(n.events), dropped.reasons)
			}
			wantStats(t, c, Stats{Taken: 3, Delivered: 1, Dropped: 2})
		})
	}
}

func TestRejections(t *testing.T) {
	for _, paths := range [][]string{{"/a", refusedPath, "/b", refusedPath}, {refusedPath}} {
		n := &network{}
		c, dropped := newClient(t, n, Options{})
		refused := 0
		for _, path := range paths {
			if err := c.Track(Event{Type: "e", Path: path}); err != nil {
				t.Fatal(err)
			}
			if path == refusedPath {
				refused++
			}
		}
		err := c.Close(t.Context())
		if want := fmt.Sprintf("daybook: of %d events %d were dropped: the server refused the event: path is refused", len(paths), refused); err == nil || err.Error() != want {
			t.Errorf("Close: %v, want %s", err, want)
		}
		if len(dropped.events) != refused {
			t.Fatalf("dropped %d, want %d", len(dropped.events), refused)
		}
		for i, e := range dropped.events {
			rejection, ok := errors.AsType[*RejectedError](dropped.reasons[i])
			if !ok || e.Path != refusedPath || paths[rejection.Index] != refusedPath || rejection.Field != "path" {
				t.Errorf("dropped %+v because of %+v", e, dropped.reasons[i])
			}
		}
		wantStats(t, c, Stats{Taken: uint64(len(paths)), Delivered: uint64(len(paths) - refused), Dropped: uint64(refused)})
	}
}

func TestRejectionError(t *testing.T) {
	r := &RejectedError{Problem: "site_id has a character that is not allowed", Value: "a b", Allowed: "letters"}
	if got, want := r.Error(), `the server refused the event: site_id has a character that is not allowed (it is "a b"): allowed is letters`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A buffer that is full takes no more until something is delivered, and
// counts what it did not take.
func TestFull(t *testing.T) {
	line, err := Event{Type: "signup", ID: "12345678901234567890123456", Time: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}.line("shop")
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"events": {BufferEvents: 5},
		"bytes":  {BufferBytes: 5*len(line) + len(line)/2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				away := true
				n := &network{fault: func(int) fault {
					if away {
						return fault{err: errReset}
					}
					return fault{}
				}}
				o.BatchEvents = 2
				c, dropped := newClient(t, n, o)
				track(t, c, 5)
				time.Sleep(20 * time.Second)
				for range 3 {
					if err := c.Track(Event{Type: "signup"}); !errors.Is(err, ErrFull) {
						t.Errorf("the buffer is full: %v", err)
					}
				}
				n.mu.Lock()
				away = false
				n.mu.Unlock()
				if err := c.Flush(t.Context()); err != nil {
					t.Error(err)
				}
				track(t, c, 5)
				closed(t, c)
				s := c.Stats()
				if s.Taken != 10 || s.Delivered != 10 || s.Overflowed != 3 || len(n.events) != 10 || len(dropped.events) != 0 {
					t.Errorf("%+v; %d events came", s, len(n.events))
				}
			})
		})
	}
}

// A request that the server never manages does not hold up others for ever.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{fault: func(i int) fault { return fault{status: 500, body: `{"error":"a fault of the server"}`} }}
		c, dropped := newClient(t, n, Options{Patience: time.Minute})
		start := time.Now()
		track(t, c, 2)
		err := c.Flush(t.Context())
		if took := time.Since(start); took > time.Minute+DefaultBatchDelay || took < 45*time.Second {
			t.Errorf("given up after %s", took)
		}
		if err == nil || !strings.Contains(err.Error(), "answered 500: a fault of the server") || !strings.Contains(err.Error(), "given up after ") {
			t.Error(err)
		}
		if len(dropped.events) != 2 {
			t.Errorf("dropped %d", len(dropped.events))
		}
		_ = c.Close(t.Context())
	})
}

// Flush ends with its context, and what it waited for is sent all the same.
func TestFlushEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{fault: func(i int) fault { return fault{takes: 10 * time.Second} }}
		c, _ := newClient(t, n, Options{})
		track(t, c, 2)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := c.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "2 events are still to be delivered") {
			t.Error(err)
		}
		closed(t, c)
		if len(n.events) != 2 {
			t.Errorf("%d events came", len(n.events))
		}
	})
}

// A Flush is for what was taken before it, also when later events are in its
// last batch.
func TestFlushIsForEventsBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{fault: func(int) fault { return fault{takes: 10 * time.Second} }}
		c, _ := newClient(t, n, Options{BatchEvents: 10})
		track(t, c, 11) // the last one waits for the first ten
		flushes := make(chan error, 2)
		go func() { flushes <- c.Flush(t.Context()) }()
		synctest.Wait()
		_ = c.Track(Event{Type: PageView, Path: refusedPath}) // is taken
		later := c.Flush(t.Context())
		if err := <-flushes; err != nil {
			t.Errorf("before it was refused: %v", err)
		}
		if later == nil || !strings.Contains(later.Error(), "1 events were dropped: the server refused the event") {
			t.Errorf("after it was taken: %v", later)
		}
		if !slices.Equal(n.sizes, []int{10, 2}) {
			t.Errorf("batches of %d events", n.sizes)
		}
		_ = c.Close(t.Context())
	})
}

// Close during an outage ends with its context, and tells of all that is
// lost. What is being sent then is broken off.
func TestCloseDuringOutage(t *testing.T) {
	for _, f := range []fault{{err: errReset}, {status: 503, retryAfter: "300"}, {takes: time.Hour}} {
		synctest.Test(t, func(t *testing.T) {
			n := &network{fault: func(int) fault { return f }}
			c, dropped := newClient(t, n, Options{BatchEvents: 10})
			track(t, c, 25)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			start := time.Now()
			err := c.Close(ctx)
			if took := time.Since(start); took != 5*time.Second {
				t.Errorf("Close took %v", took)
			}
			if err == nil || !strings.Contains(err.Error(), "of 25 events 25 were dropped: the client was closed before they were delivered") {
				t.Errorf("Close: %v", err)
			}
			if len(dropped.events) != 25 || len(n.events) != 0 {
				t.Errorf("dropped %d, %d came", len(dropped.events), len(n.events))
			}
			if again := c.Close(t.Context()); again == nil || again.Error() != err.Error() {
				t.Errorf("Close again: %v", again)
			}
		})
	}
}

// Whatever the faults: what Track took and OnDrop was not told of is at the
// server once, what the server refused is not there, and nothing else is.
func TestExactlyOnce(t *testing.T) {
	runs := 300
	if testing.Short() {
		runs = 30
	}
	seen := map[string]int{}
	for seed := range uint64(runs) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			n := &network{fault: randomFaults(rand.New(rand.NewPCG(seed, 8)))}
			o := Options{BatchEvents: 1 + rng.IntN(20), BufferEvents: 1 + rng.IntN(100), BatchDelay: time.Second}
			if rng.IntN(3) == 0 {
				o.Patience = 10 * time.Second
			}
			c, dropped := newClient(t, n, o)
			taken := map[string]bool{}
			for i := range 200 {
				switch rng.IntN(10) {
				case 0:
					time.Sleep(time.Duration(rng.IntN(5000)) * time.Millisecond)
				case 1:
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(60))*time.Second)
					if c.Flush(ctx) == nil && c.Stats().Waiting != 0 {
						t.Fatal("Flush returned before all was settled")
					}
					cancel()
				default:
					e := Event{Type: "e", ID: fmt.Sprint(i), Path: "/"}
					if rng.IntN(10) == 0 {
						e.Path = refusedPath
					}
					switch err := c.Track(e); {
					case err == nil:
						taken[e.ID] = true
					case !errors.Is(err, ErrFull):
						t.Fatal(err)
					}
					if s := c.Stats(); s.Waiting > uint64(o.BufferEvents) {
						t.Fatalf("%d wait where %d may", s.Waiting, o.BufferEvents)
					}
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(300))*time.Second)
			defer cancel()
			if err := c.Close(ctx); (err != nil) != (len(dropped.events) > 0) {
				t.Errorf("%d dropped, and Close says %v", len(dropped.events), err)
			}

			s := c.Stats()
			seen["delivered"] += int(s.Delivered)
			seen["overflowed"] += int(s.Overflowed)
			seen["retries"] += int(s.Retries)
			seen["repeated"] += n.repeated
			if s.Taken != uint64(len(taken)) || s.Waiting != 0 || s.Dropped != uint64(len(dropped.events)) || s.Delivered+s.Dropped != s.Taken {
				t.Errorf("%+v; %d taken, %d dropped", s, len(taken), len(dropped.events))
			}
			reported := map[string]bool{}
			for i, e := range dropped.events {
				if reported[e.ID] || !taken[e.ID] {
					t.Errorf("event %s was dropped twice, or never taken", e.ID)
				}
				reported[e.ID] = true
				_, rejected := errors.AsType[*RejectedError](dropped.reasons[i])
				if rejected {
					seen["rejected"]++
				} else {
					seen["dropped"]++
				}
				if rejected && n.events[e.ID] != "" {
					t.Errorf("event %s was rejected and is there", e.ID)
				}
			}
			for id := range taken {
				if n.events[id] == "" && !reported[id] {
					t.Errorf("event %s is lost", id)
				}
			}
			for id := range n.events {
				if !taken[id] {
					t.Errorf("event %s is there and was not taken", id)
				}
			}
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Log(seen)
	for _, what := range []string{"delivered", "overflowed", "retries", "repeated", "rejected", "dropped"} {
		if seen[what] == 0 {
			t.Errorf("no event was %s", what)
		}
	}
}

// A program that imports the client gets nothing but the standard library.
func TestDependsOnNothing(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var p struct {
			ImportPath string
			Standard   bool
		}
		if err := decoder.Decode(&p); err != nil {
			t.Fatal(err)
		}
		if !p.Standard {
			all = append(all, p.ImportPath)
		}
	}
	if want := []string{"github.com/daybook-analytics/daybook/client"}; !slices.Equal(all, want) {
		t.Errorf("it needs %v, want %v", all, want)
	}
}
