package worker

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/queue/logq"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/store/pebblestore"
	"github.com/daybook-analytics/daybook/rollup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// embedded is a queue and a store on disk.
func embedded(t *testing.T, streams int) (queue.Queue, store.Store) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	q, err := logq.Open(filepath.Join(dir, "queue"), logq.Options{Streams: streams, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	st, err := pebblestore.Open(filepath.Join(dir, "store"), pebblestore.Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := st.Migrate(t.Context(), func(int, string) {}); err != nil {
		t.Fatal(err)
	}
	return q, st
}

// start starts a worker that is stopped at the end of the test.
func start(t *testing.T, q Queue, st Store, opts Options) *Worker {
	t.Helper()
	w := New(q, st, opts, slog.New(slog.DiscardHandler))
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, w) })
	return w
}

func stop(t *testing.T, w *Worker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := w.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// eventually waits until ok says so.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for this: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// send appends events from number first on, one entry for each, to the
// streams in turn.
func send(t *testing.T, q queue.Queue, first, count int) {
	t.Helper()
	layout, err := q.Layout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	streams := layout.Names()
	for n := first; n < first+count; n++ {
		e := modelEvent(0)
		e.ID = fmt.Sprintf("sent-%d", n)
		e.User = fmt.Sprintf("user-%d", n)
		group := queue.Group{Stream: streams[n%len(streams)], Lines: append(e.AppendLine(nil), '\n'), Events: 1}
		if errs := q.Append(t.Context(), []queue.Group{group}); errs != nil {
			t.Fatal(errs)
		}
	}
}

var sentKey = store.DayKey{Site: "a", Date: "2026-03-01"}

// counted tells whether the rollup of what send sends counts n events.
func counted(t *testing.T, st store.Store, n int) func() bool {
	return func() bool {
		day, err := st.Day(t.Context(), sentKey)
		return err == nil && day.Events == uint64(n) && day.Users.Estimate() == uint64(n)
	}
}

func TestEventsReachTheRollup(t *testing.T) {
	q, st := embedded(t, 2)
	w := start(t, q, st, Options{})
	send(t, q, 0, 10)
	eventually(t, "10 events in the rollup", counted(t, st, 10))
	send(t, q, 10, 1)
	eventually(t, "11 events in the rollup", counted(t, st, 11))
	send(t, q, 5, 3) // retries
	eventually(t, "3 duplicates", func() bool { return w.Stats().Duplicates == 3 })
	if !counted(t, st, 11)() {
		t.Error("retries were counted")
	}
	eventually(t, "an empty queue", func() bool {
		backlog, err := q.Backlog(t.Context())
		return err == nil && backlog[0].Entries+backlog[1].Entries == 0
	})
}

// TestManySitesInAStep has more rollups in a step than are folded at a time, and
// far more than the cache may keep.
func TestManySitesInAStep(t *testing.T) {
	const sites, rounds = 2*foldAtOnce + 100, 3
	q, st := embedded(t, 1)
	w := start(t, q, st, Options{CacheBytes: 1})
	key := func(i int) store.DayKey { return store.DayKey{Site: fmt.Sprintf("site-%d", i), Date: sentKey.Date} }
	for round := range rounds {
		var lines []byte
		for i := range sites {
			e := modelEvent(0)
			e.ID, e.Site = fmt.Sprintf("%d", round), key(i).Site
			lines = append(e.AppendLine(lines), '\n')
		}
		if errs := q.Append(t.Context(), []queue.Group{{Stream: "1:0", Lines: lines, Events: sites}}); errs != nil {
			t.Fatal(errs)
		}
	}
	eventually(t, "all events", func() bool { return w.Stats().Events == sites*rounds })
	for i := range sites {
		if day, err := st.Day(t.Context(), key(i)); err != nil || day.Events != rounds {
			t.Fatalf("rollup %s: %v, %v", key(i), day, err)
		}
	}
	if n := w.Stats().Rebuilt; n > 0 {
		t.Errorf("%d rollups were folded again", n)
	}
}

func TestAsOfMovesOnWithoutEvents(t *testing.T) {
	q, st := embedded(t, 2)
	start(t, q, st, Options{})
	asOf := func() time.Time {
		checkpoints, err := st.Checkpoints(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a, b := checkpoints["1:0"].AsOf, checkpoints["1:1"].AsOf
		if a.Before(b) {
			return a
		}
		return b
	}
	begun := time.Now()
	eventually(t, "a time after the start", func() bool { return asOf().After(begun) })
}

func TestDeadLetters(t *testing.T) {
	q, st := embedded(t, 1)
	good := modelEvent(0)
	lines := append(good.AppendLine([]byte("no event\n")), "\n\nalso none\n"...)
	if errs := q.Append(t.Context(), []queue.Group{{Stream: "1:0", Lines: lines, Events: 4}}); errs != nil {
		t.Fatal(errs)
	}
	start(t, q, st, Options{})
	eventually(t, "the good event in the rollup", counted(t, st, 1))
	letters, err := st.DeadLetters(t.Context(), "", 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(letters) != 3 {
		t.Fatalf("%d dead letters, want 3: %v", len(letters), letters)
	}
	for i, want := range []struct {
		text string
		line uint32
	}{{"no event", 0}, {"", 2}, {"also none", 3}} {
		l := letters[i]
		if string(l.Line) != want.text || l.Position.Line != want.line || l.Reason == "" {
			t.Errorf("dead letter %d is %q at line %d because %q, want %q at line %d", i, l.Line, l.Position.Line, l.Reason, want.text, want.line)
		}
	}
}

func TestLostRollupIsMadeAgain(t *testing.T) {
	q, st := embedded(t, 1)
	first := start(t, q, st, Options{})
	send(t, q, 0, 5)
	eventually(t, "5 events in the rollup", counted(t, st, 5))
	stop(t, first)

	second := start(t, q, withoutDay{st}, Options{})
	send(t, q, 5, 2)
	eventually(t, "7 events in the rollup", counted(t, st, 7))
	if second.Stats().Rebuilt != 1 {
		t.Errorf("%d rollups rebuilt, want 1", second.Stats().Rebuilt)
	}
}

// TestYearTenThousand puts an event away whose time has no date, and goes on.
func TestYearTenThousand(t *testing.T) {
	q, st := embedded(t, 1)
	start(t, q, st, Options{})
	far := modelEvent(0)
	far.Time = time.UnixMilli(rollup.MaxMs).UTC()
	if errs := q.Append(t.Context(), []queue.Group{{Stream: "1:0", Lines: append(far.AppendLine(nil), '\n'), Events: 1}}); errs != nil {
		t.Fatal(errs)
	}
	send(t, q, 0, 1)
	eventually(t, "the event after it in the rollup", counted(t, st, 1))
	letters(t, st, 1)
}

// TestLostRollupOfAnotherZone makes a rollup again from raw events that are
// dated in the time zone that the site had before.
func TestLostRollupOfAnotherZone(t *testing.T) {
	q, st := embedded(t, 1)
	w := start(t, q, st, Options{})
	// At 18:25, which is 23:55 in Kolkata, still on the 1st.
	send(t, q, 0, 5)
	eventually(t, "5 events in the rollup", counted(t, st, 5))
	kolkata := "Asia/Kolkata"
	_, err := site.NewDirectory(st, 0).Change(t.Context(), "a", func(s *site.Settings) error {
		s.ChangeTo(kolkata)
		s.Finish()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	late := modelEvent(0)
	late.ID, late.Time = "late", time.Date(2026, 2, 28, 20, 0, 0, 0, time.UTC) // half past one on the 1st there
	if errs := q.Append(t.Context(), []queue.Group{{Stream: "1:0", Lines: append(late.AppendLine(nil), '\n'), Events: 1}}); errs != nil {
		t.Fatal(errs)
	}
	eventually(t, "6 events in the rollup of Kolkata", func() bool {
		day, err := st.Day(t.Context(), store.DayKey{Site: "a", Zone: kolkata, Date: "2026-03-01"})
		return err == nil && day.Events == 6 && day.HourEvents[1] == 1 && day.HourEvents[23] == 5
	})
	if w.Stats().Rebuilt != 1 {
		t.Errorf("%d rollups rebuilt, want 1", w.Stats().Rebuilt)
	}
	raw := 0
	err = st.ScanDay(t.Context(), "a", []string{"2026-03-01"}, nil, nil, func(*store.Event) error { raw++; return nil })
	if err != nil || raw != 6 {
		t.Errorf("%v, %d raw events are dated the 1st in the zone that the site had", err, raw)
	}
}

// withoutDay is a store whose rollups look damaged when a step loads them.
type withoutDay struct{ store.Store }

func (s withoutDay) Begin() store.Step { return damagedStep{s.Store.Begin()} }

type damagedStep struct{ store.Step }

func (s damagedStep) Load(ctx context.Context, keys []store.DayKey) (map[store.DayKey]*rollup.Day, map[store.DayKey]*store.DamagedError, error) {
	days, _, err := s.Step.Load(ctx, keys)
	damaged := map[store.DayKey]*store.DamagedError{}
	for key, day := range days {
		damaged[key] = &store.DamagedError{Key: key, Rev: day.Rev}
	}
	return nil, damaged, err
}

func TestWorkersShareAndHandOver(t *testing.T) {
	q, st := embedded(t, 4)
	a := start(t, q, st, Options{ID: "a"})
	owners := func() map[string]int {
		leases, err := st.Leases(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n := map[string]int{}
		for _, l := range leases {
			if len(l.Name) > len(streamLease) && l.Name[:len(streamLease)] == streamLease {
				n[l.Owner]++
			}
		}
		return n
	}
	eventually(t, "a has all streams", func() bool { return owners()["a"] == 4 })
	b := start(t, q, st, Options{ID: "b"})
	sent := 0
	more := func(ok func() bool) func() bool {
		return func() bool {
			send(t, q, sent, 1)
			sent++
			return ok()
		}
	}
	eventually(t, "both have two streams", more(func() bool { n := owners(); return n["a"] == 2 && n["b"] == 2 }))
	stop(t, a)
	if n := owners(); n["a"] != 0 {
		t.Errorf("a has %d streams after it was stopped", n["a"])
	}
	eventually(t, "b has all streams", more(func() bool { return owners()["b"] == 4 }))
	eventually(t, "all events in the rollup", counted(t, st, sent))
	stop(t, b)
	leases, err := st.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases {
		if l.Owner != "" {
			t.Errorf("lease %s is still with %s", l.Name, l.Owner)
		}
	}
}

func TestStopBeforeStartAndTwice(t *testing.T) {
	q, st := embedded(t, 1)
	w := New(q, st, Options{}, slog.New(slog.DiscardHandler))
	stop(t, w)
	stop(t, w)
	if err := w.Start(); err == nil {
		t.Error("a stopped worker could be started")
	}
	w = start(t, q, st, Options{})
	stop(t, w)
	stop(t, w)
}

// TestStopBreaksOffAStuckStep stops a worker whose store does not answer.
func TestStopBreaksOffAStuckStep(t *testing.T) {
	q, st := embedded(t, 1)
	send(t, q, 0, 1)
	reached := make(chan struct{}, 1)
	w := New(q, stuckStore{st, reached}, Options{}, slog.New(slog.DiscardHandler))
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	<-reached
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.Stop(ctx); err == nil {
		t.Error("a step was broken off without an error")
	}
	start(t, q, st, Options{})
	eventually(t, "the event in the rollup, by the next worker", counted(t, st, 1))
}

type stuckStore struct {
	store.Store
	reached chan struct{}
}

func (s stuckStore) Begin() store.Step { return stuckStep{s.Store.Begin(), s.reached} }

type stuckStep struct {
	store.Step
	reached chan struct{}
}

func (s stuckStep) Insert(ctx context.Context, _ []store.Event) ([]store.Outcome, error) {
	select {
	case s.reached <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return nil, ctx.Err()
}
