package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/queue/logq"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/store/mongostore"
	"github.com/daybook-analytics/daybook/internal/store/mongostore/mongotest"
	"github.com/daybook-analytics/daybook/internal/store/pebblestore"
	"github.com/daybook-analytics/daybook/internal/worker"
	"github.com/daybook-analytics/daybook/rollup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var discard = slog.New(slog.DiscardHandler)

// stores are the backends; each test of what the store takes part in runs on
// all.
var stores = map[string]func(t *testing.T, dir string) store.Store{
	"embedded": func(t *testing.T, dir string) store.Store {
		st, err := pebblestore.Open(filepath.Join(dir, "store"), pebblestore.Options{Logger: discard})
		if err != nil {
			t.Fatal(err)
		}
		return st
	},
	"mongodb": func(t *testing.T, _ string) store.Store {
		st, err := mongostore.Open(t.Context(), mongotest.Start(t), mongostore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return st
	},
}

// world is a queue and a store with a worker between them, and what was sent.
type world struct {
	t     *testing.T
	dir   string
	queue queue.Queue
	store store.Store
	log   *slog.Logger

	stopWorker func()

	mu   sync.Mutex // protects sent
	sent []event.Event
}

// onAll runs a test on each store.
func onAll(t *testing.T, test func(t *testing.T, w *world)) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) { test(t, newWorld(t, open)) })
	}
}

func newWorld(t *testing.T, open func(t *testing.T, dir string) store.Store) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), log: discard}
	var err error
	w.queue, err = logq.Open(filepath.Join(w.dir, "queue"), logq.Options{Streams: 2, Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	w.store = open(t, w.dir)
	if err := w.store.Migrate(t.Context(), func(int, string) {}); err != nil {
		t.Fatal(err)
	}
	w.startWorker()
	t.Cleanup(func() {
		w.stopWorker()
		if err := errors.Join(w.store.Close(), w.queue.Close()); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) startWorker() {
	worker := worker.New(w.queue, w.store, worker.Options{Pace: 10 * time.Millisecond}, w.log)
	if err := worker.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.stopWorker = sync.OnceFunc(func() {
		if err := worker.Stop(context.Background()); err != nil {
			w.t.Error(err)
		}
	})
}

// newEvent makes the next event of a user on a day.
func (w *world) newEvent(key store.DayKey, user string) event.Event {
	midnight, err := time.Parse(time.DateOnly, key.Date)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.sent)
	e := event.Event{
		ID:   fmt.Sprintf("event-%06d", n),
		Site: key.Site,
		User: user,
		Time: midnight.Add(time.Duration(n%24) * time.Hour),
	}
	e.Values[rollup.EventType] = rollup.PageView
	e.Values[rollup.Path] = fmt.Sprintf("/%d", n%31)
	if n%7 == 0 {
		e.Values[rollup.EventType] = "signup"
	}
	w.sent = append(w.sent, e)
	return e
}

// send puts n events of a day into the queue, of the users in turn.
func (w *world) send(key store.DayKey, n int, users ...string) {
	w.t.Helper()
	group := queue.Group{Stream: fmt.Sprintf("1:%d", queue.Partition(key.Site, 2)), Events: n}
	for i := range n {
		e := w.newEvent(key, users[i%len(users)])
		group.Lines = append(e.AppendLine(group.Lines), '\n')
	}
	if errs := w.queue.Append(w.t.Context(), []queue.Group{group}); errs != nil {
		w.t.Fatal(errs)
	}
}

// load sends events of days, a few at a time and no faster than they are
// counted, until the function that it gives is called.
func (w *world) load(keys []store.DayKey, users ...string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	begun := make(chan struct{})
	var loader sync.WaitGroup
	loader.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			w.send(keys[n%len(keys)], 3, users...)
			if n == 10 {
				close(begun)
			}
			for w.backlog() > 20 && ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
		}
	})
	<-begun
	return func() {
		cancel()
		loader.Wait()
		w.settle()
	}
}

// backlog tells how many entries are in the queue.
func (w *world) backlog() (entries int64) {
	backlog, err := w.queue.Backlog(context.Background())
	if err != nil {
		w.t.Error(err)
	}
	for _, b := range backlog {
		entries += b.Entries
	}
	return entries
}

// settle waits until the queue is worked off.
func (w *world) settle() {
	w.t.Helper()
	eventually(w.t, "the queue is worked off", func() bool { return w.backlog() == 0 })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for this: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// keeper makes a Keeper whose clock stands at a date.
func (w *world) keeper(today string) *Keeper {
	w.t.Helper()
	now, err := time.Parse(time.DateOnly, today)
	if err != nil {
		w.t.Fatal(err)
	}
	runner := reconcile.NewRunner(w.store, rollup.DefaultLimits, w.log)
	k := New(w.queue, w.store, runner, rollup.DefaultLimits, w.log)
	k.now = func() time.Time { return now.Add(3 * time.Hour) }
	return k
}

// day gives the stored rollup, nil if there is none.
func (w *world) day(key store.DayKey) *rollup.Day {
	w.t.Helper()
	day, err := w.store.Day(w.t.Context(), key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		w.t.Fatal(err)
	}
	return day
}

// alter changes the stored rollup behind everybody's back.
func (w *world) alter(key store.DayKey, change func(*rollup.Day)) {
	w.t.Helper()
	day := w.day(key)
	change(day)
	if err := w.store.SwapDay(w.t.Context(), day); err != nil {
		w.t.Fatal(err)
	}
}

// wantDay compares a rollup with the fold of the events that were sent for the
// day and that left says are counted.
func (w *world) wantDay(key store.DayKey, left func(*event.Event) bool) {
	w.t.Helper()
	want := rollup.NewDay(key.Site, key.Date)
	clock, err := event.NewClock(key.Zone, key.Date)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var p rollup.Position
	for i := range w.sent {
		if e := &w.sent[i]; e.Site == key.Site && clock.Contains(e.Time) && left(e) {
			p.Line++
			want.Fold("", []rollup.Event{e.ForFold(p, clock)})
		}
	}
	stored := w.day(key)
	if stored == nil {
		stored = rollup.NewDay(key.Site, key.Date)
	}
	if diff := stored.Diff(want); len(diff) > 0 {
		w.t.Errorf("%s has %d events and should have %d: %v", key, stored.Events, want.Events, diff)
	}
}

func all(*event.Event) bool { return true }

func notBy(user string) func(*event.Event) bool {
	return func(e *event.Event) bool { return e.User != user }
}

// raw counts the raw events of a day, and those of a user.
func (w *world) raw(key store.DayKey, user string) (n, ofUser int) {
	w.t.Helper()
	err := w.store.ScanDay(w.t.Context(), key.Site, []string{key.Date}, nil, nil, func(e *store.Event) error {
		n++
		if e.User == user {
			ofUser++
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n, ofUser
}

// state checks a day.
func (w *world) state(key store.DayKey) reconcile.State {
	w.t.Helper()
	check, err := reconcile.CheckDay(w.t.Context(), w.store, key)
	if err != nil {
		w.t.Fatal(err)
	}
	return check.State
}

// letters gives all dead letters.
func (w *world) letters() []store.DeadLetter {
	w.t.Helper()
	letters, err := w.store.DeadLetters(w.t.Context(), "", 10_000)
	if err != nil {
		w.t.Fatal(err)
	}
	return letters
}

// dates gives n days of a site from a date on.
func dates(name, from string, n int) []store.DayKey {
	var keys []store.DayKey
	for date := from; len(keys) < n; date = site.Shift(date, 1) {
		keys = append(keys, store.DayKey{Site: name, Date: date})
	}
	return keys
}
