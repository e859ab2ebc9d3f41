package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/queue/logq"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/store/pebblestore"
	"github.com/daybook-analytics/daybook/internal/worker"
	"github.com/daybook-analytics/daybook/rollup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a queue and a store on disk with a worker between them.
type world struct {
	t     *testing.T
	queue queue.Queue
	store *pebblestore.Store
	sent  int
	// bot is why the events that are sent are those of a bot; empty: they are
	// not.
	bot string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	q, err := logq.Open(filepath.Join(dir, "queue"), logq.Options{Streams: 2, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	st, err := pebblestore.Open(filepath.Join(dir, "store"), pebblestore.Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Migrate(t.Context(), func(int, string) {}); err != nil {
		t.Fatal(err)
	}
	w := worker.New(q, st, worker.Options{Pace: 10 * time.Millisecond}, log)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{t: t, queue: q, store: st}
}

// send puts n events of a day into the queue, in one entry.
func (w *world) send(key store.DayKey, n int) {
	w.t.Helper()
	noon, err := time.Parse(time.DateOnly, key.Date)
	if err != nil {
		w.t.Fatal(err)
	}
	group := queue.Group{Stream: fmt.Sprintf("1:%d", queue.Partition(key.Site, 2)), Events: n}
	for range n {
		w.sent++
		e := event.Event{
			ID:   fmt.Sprintf("%d", w.sent),
			Site: key.Site,
			User: fmt.Sprintf("user-%d", w.sent%97),
			Time: noon.Add(time.Duration(w.sent%24) * time.Hour),
		}
		e.Values[rollup.EventType] = rollup.PageView
		e.Values[rollup.Path] = fmt.Sprintf("/%d", w.sent%31)
		e.Values[rollup.Browser] = "Firefox"
		e.Values[rollup.Bot] = w.bot
		if w.sent%7 == 0 {
			e.Values[rollup.EventType] = "signup"
		}
		group.Lines = append(e.AppendLine(group.Lines), '\n')
	}
	if errs := w.queue.Append(w.t.Context(), []queue.Group{group}); errs != nil {
		w.t.Fatal(errs)
	}
}

// settle waits until the queue is worked off.
func (w *world) settle() {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		backlog, err := w.queue.Backlog(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		entries := int64(0)
		for _, b := range backlog {
			entries += b.Entries
		}
		if entries == 0 {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%d entries are still in the queue", entries)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// day gives the stored rollup.
func (w *world) day(key store.DayKey) *rollup.Day {
	w.t.Helper()
	day, err := w.store.Day(w.t.Context(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	return day
}

// alter changes the stored rollup behind everybody's back.
func (w *world) alter(key store.DayKey, change func(*rollup.Day)) {
	w.t.Helper()
	for {
		day := w.day(key)
		change(day)
		err := w.store.SwapDay(w.t.Context(), day)
		if err == nil {
			return
		}
		if w.t.Context().Err() != nil {
			w.t.Fatal(err)
		}
	}
}

// lose removes the rollup of a day, and corrupt damages its bytes.
func (w *world) lose(key store.DayKey) { w.damage(key, func([]byte) []byte { return nil }) }

func (w *world) corrupt(key store.DayKey) {
	w.damage(key, func(value []byte) []byte {
		value[len(value)/2] ^= 0x10
		return value
	})
}

func (w *world) damage(key store.DayKey, change func([]byte) []byte) {
	w.t.Helper()
	if err := w.store.Damage(w.t.Context(), key, change); err != nil {
		w.t.Fatal(err)
	}
}

// exact fails the test unless the check of each day finds nothing.
func (w *world) exact(keys ...store.DayKey) {
	w.t.Helper()
	for _, key := range keys {
		c, err := CheckDay(w.t.Context(), w.store, key)
		if err != nil {
			w.t.Fatal(err)
		}
		if c.State != OK {
			w.t.Errorf("%s: %s %v", key, c.State, c.AllDifferences())
		}
	}
}

func (w *world) runner() *Runner {
	return NewRunner(w.store, rollup.DefaultLimits, slog.New(slog.DiscardHandler))
}
