package ingest

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testQueue is a queue in memory. Only what ingest uses is there.
type testQueue struct {
	queue.Queue

	// gate, if it is not nil, is received from by every Append before it does
	// anything.
	gate chan struct{}
	// linger is how long an Append goes on after its context has ended.
	linger time.Duration
	// underWay counts the calls of Append that have not returned.
	underWay atomic.Int64
	// delay is what every Append takes; it is for benchmarks.
	delay time.Duration
	// ignoreContext makes Append wait at the gate whatever its context says.
	ignoreContext bool
	// forget makes Append keep nothing.
	forget bool

	mu      sync.Mutex
	layout  queue.Layout
	backlog []queue.Backlog
	// down is the error of Layout and Backlog, failing gives those of Append.
	down    error
	failing func([]queue.Group) []error
	appends [][]queue.Group
}

// newTestQueue makes a queue with some streams.
func newTestQueue(streams int) *testQueue {
	return &testQueue{layout: queue.Layout{Epochs: []queue.Epoch{{Number: 1, Streams: streams}}}}
}

func (q *testQueue) set(change func(*testQueue)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	change(q)
}

func (q *testQueue) Layout(context.Context) (queue.Layout, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.layout, q.down
}

func (q *testQueue) Backlog(context.Context) ([]queue.Backlog, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.backlog, q.down
}

func (q *testQueue) Append(ctx context.Context, groups []queue.Group) []error {
	q.underWay.Add(1)
	defer q.underWay.Add(-1)
	if q.gate != nil {
		done := ctx.Done()
		if q.ignoreContext {
			done = nil
		}
		select {
		case <-q.gate:
		case <-done:
			time.Sleep(q.linger)
			errs := make([]error, len(groups))
			for i := range errs {
				errs[i] = ctx.Err()
			}
			return errs
		}
	}
	// time.Sleep would round this up to a millisecond.
	for begun := time.Now(); time.Since(begun) < q.delay; {
		runtime.Gosched()
	}
	if q.forget {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var errs []error
	if q.failing != nil {
		errs = q.failing(groups)
	}
	var written []queue.Group
	for i, g := range groups {
		if errs == nil || errs[i] == nil {
			g.Lines = append([]byte(nil), g.Lines...)
			written = append(written, g)
		}
	}
	q.appends = append(q.appends, written)
	return errs
}

// groups are those of each Append, as "stream=lines", the lines joined by
// commas.
func (q *testQueue) groups() (all []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, groups := range q.appends {
		var parts []string
		for _, g := range groups {
			parts = append(parts, g.Stream+"="+strings.Join(strings.Fields(string(g.Lines)), ","))
		}
		all = append(all, strings.Join(parts, " "))
	}
	return all
}

// events are all that were written, in order.
func (q *testQueue) events(t testing.TB) (events []event.Event) {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, groups := range q.appends {
		for _, g := range groups {
			events = append(events, eventsOf(t, g.Lines, g.Events)...)
		}
	}
	return events
}

// eventsOf parses the lines of an entry, which must be n whole events.
func eventsOf(t testing.TB, lines []byte, n int) (events []event.Event) {
	t.Helper()
	for line := range strings.Lines(string(lines)) {
		e, err := event.ParseLine(strings.TrimSuffix(line, "\n"))
		if err != nil || !strings.HasSuffix(line, "\n") {
			t.Fatalf("line %q: %v", line, err)
		}
		events = append(events, e)
	}
	if len(events) != n {
		t.Fatalf("an entry of %d lines says that it has %d events", len(events), n)
	}
	return events
}

// start makes the role with its routes, started, and stops it at the end of
// the test.
func start(t testing.TB, q queue.Queue, opts Options) (*Ingest, *web.Router) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	in := New(q, opts, log)
	if err := in.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	rt := web.NewRouter(log)
	in.Register(rt)
	return in, rt
}

var errDown = errors.Join(errors.New("the test has it down"), queue.ErrUnavailable)
