package redisq

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/queue/redisq/redistest"
	"github.com/daybook-analytics/daybook/rollup"
)

// bound is far more than any call may take while Redis is away.
const bound = 20 * time.Second

// wantUnavailable checks that all that needs Redis says so, in bounded time,
// and that the layout is there all the same.
func wantUnavailable(t *testing.T, q *Queue) {
	t.Helper()
	var calls sync.WaitGroup
	for name, call := range map[string]func(context.Context) error{
		"Append": func(ctx context.Context) error {
			errs := q.Append(ctx, one("unconfirmed"))
			if len(errs) != 1 {
				return nil
			}
			return errs[0]
		},
		"Read": func(ctx context.Context) error {
			_, err := q.Read(ctx, "1:0", rollup.EntryID{Ms: rollup.MaxMs}, 10, 1000, time.Hour)
			return err
		},
		"Trim":      func(ctx context.Context) error { return q.Trim(ctx, "1:0", rollup.EntryID{}) },
		"Backlog":   func(ctx context.Context) error { _, err := q.Backlog(ctx); return err },
		"OpenEpoch": func(ctx context.Context) error { _, err := q.OpenEpoch(ctx, 1); return err },
	} {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), bound)
			defer cancel()
			err := call(ctx)
			if !errors.Is(err, queue.ErrUnavailable) {
				t.Errorf("%s: error %v", name, err)
			}
			if ctx.Err() != nil {
				t.Errorf("%s took more than %v", name, bound)
			}
		})
	}
	calls.Wait()
	if layout, err := q.Layout(t.Context()); err != nil || len(layout.Epochs) != 1 {
		t.Errorf("Layout: %v, %v", layout, err)
	}
}

// appendUntilConfirmed appends until Redis confirms it. It may be written more
// than once.
func appendUntilConfirmed(t *testing.T, q *Queue, line string) {
	t.Helper()
	var errs []error
	for end := time.Now().Add(bound); time.Now().Before(end); {
		if errs = q.Append(t.Context(), one(line)); errs == nil {
			return
		}
		if !errors.Is(errs[0], queue.ErrUnavailable) {
			break
		}
	}
	t.Fatalf("Append: %v", errs)
}

// wantLines checks that the stream 1:0 has the lines that were appended until
// they were confirmed, and between them at most so many of "unconfirmed".
func wantLines(t *testing.T, q *Queue, want []string, unconfirmed int) {
	t.Helper()
	got, err := lines(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	all := len(got)
	got = slices.DeleteFunc(got, func(line string) bool { return line == "unconfirmed\n" })
	if n := all - len(got); n > unconfirmed {
		t.Errorf("%d unconfirmed lines, want at most %d", n, unconfirmed)
	}
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("lines %q, want %q", got, want)
	}
}

// A server that is killed takes nothing confirmed with it, and when it is
// back the queue goes on.
func TestKilled(t *testing.T) {
	server := redistest.StartServer(t)
	q := open(t, server.URL(), Options{timeout: defaultTimeout})
	appendUntilConfirmed(t, q, "before")
	server.Kill()
	wantUnavailable(t, q)
	if _, err := Open(t.Context(), server.URL(), Options{}); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("Open: %v", err)
	}
	server.Start()
	appendUntilConfirmed(t, q, "after")
	wantLines(t, q, []string{"before\n", "after\n"}, 0)
}

// A server that stands still is as one that is away.
func TestStalled(t *testing.T) {
	server := redistest.StartServer(t)
	q := open(t, server.URL(), Options{timeout: defaultTimeout})
	appendUntilConfirmed(t, q, "before")
	server.Pause()
	wantUnavailable(t, q)
	server.Resume()
	appendUntilConfirmed(t, q, "after")
	wantLines(t, q, []string{"before\n", "after\n"}, 1)
}

// A server without memory says so, and the queue passes it on.
func TestOutOfMemory(t *testing.T) {
	server := redistest.StartServer(t)
	q := open(t, server.URL(), Options{})
	appendUntilConfirmed(t, q, "before")
	if err := q.client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if errs := q.Append(t.Context(), one("x")); len(errs) != 1 || !errors.Is(errs[0], queue.ErrUnavailable) {
		t.Fatalf("errors %v", errs)
	}
	if err := q.client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	appendUntilConfirmed(t, q, "after")
	wantLines(t, q, []string{"before\n", "after\n"}, 0)
}

// A key that is something else will not go away by itself.
func TestWrongKey(t *testing.T) {
	q := open(t, redistest.Start(t), Options{})
	if err := q.client.Set(t.Context(), q.keys.stream("1:0"), "x", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if errs := q.Append(t.Context(), one("x")); len(errs) != 1 || errors.Is(errs[0], queue.ErrUnavailable) {
		t.Errorf("errors %v", errs)
	}
}

// cutConn is a connection that breaks when the answer to an append comes.
type cutConn struct {
	net.Conn
	cut     *atomic.Bool
	appends bool
}

func (c *cutConn) Write(b []byte) (int, error) {
	c.appends = c.cut.Load() && (bytes.Contains(b, []byte("xadd")) || bytes.Contains(b, []byte("rpush")))
	return c.Conn.Write(b)
}

func (c *cutConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.appends {
		c.Close()
		return 0, io.EOF
	}
	return n, err
}

func TestLostAnswer(t *testing.T) { lostAnswer(t, redistest.StartServer(t).URL()) }

// lostAnswer checks that nothing is written a second time when the answer is
// lost, so that the outcome is unknown.
func lostAnswer(t *testing.T, url string) {
	var cut atomic.Bool
	q := open(t, url, Options{dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return &cutConn{Conn: conn, cut: &cut}, err
	}})
	cut.Store(true)
	if errs := q.Append(t.Context(), one("x")); len(errs) != 1 || !errors.Is(errs[0], queue.ErrUnavailable) {
		t.Fatalf("errors %v", errs)
	}
	if _, err := q.OpenEpoch(t.Context(), 2); !errors.Is(err, queue.ErrUnavailable) {
		t.Fatalf("error %v", err)
	}
	cut.Store(false)
	if got, err := lines(t.Context(), q); err != nil || !slices.Equal(got, []string{"x\n"}) {
		t.Errorf("lines %q, %v", got, err)
	}
	if got := q.client.LRange(t.Context(), q.keys.layout(), 0, -1).Val(); !slices.Equal(got, []string{"4", "2"}) {
		t.Errorf("layout %v", got)
	}
}
