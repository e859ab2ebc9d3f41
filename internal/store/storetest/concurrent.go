package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// testAtomic proves that a step is one atomic batch, and that its sites are
// its own from Insert to the end.
func (b Backend) testAtomic(t *testing.T) {
	// begin starts a step that has done all but its Commit.
	begin := func(t *testing.T, s store.Store) (store.Step, *rollup.Day) {
		t.Helper()
		step := s.Begin()
		t.Cleanup(step.Discard)
		_, err := step.Insert(t.Context(), []store.Event{newEvent("a", 1)})
		check(t, err)
		d := newDay(day, stream, 1)
		conflicts, err := step.Swap(t.Context(), []*rollup.Day{d})
		check(t, err)
		wantEqual(t, "conflicts", len(conflicts), 0)
		letter := store.DeadLetter{Stream: stream, Position: at(2), Reason: "bad", Time: noon}
		check(t, step.DeadLetter(t.Context(), []store.DeadLetter{letter}))
		return step, d
	}
	wantNothing := func(t *testing.T, s store.Store) {
		t.Helper()
		wantEqual(t, "events", len(scan(t, s, day, nil, nil)), 0)
		_, err := s.Day(t.Context(), day)
		wantErr(t, err, store.ErrNotFound)
		letters, err := s.DeadLetters(t.Context(), "", 10)
		check(t, err)
		wantEqual(t, "dead letters", len(letters), 0)
	}

	t.Run("Discard", func(t *testing.T) {
		s, reopen := b.openTwice(t)
		step, _ := begin(t, s)
		wantNothing(t, s)
		step.Discard()
		step.Discard()
		wantNothing(t, s)
		s = reopen()
		wantNothing(t, s)

		wantEqual(t, "results", insert(t, s, newEvent("a", 9)), []store.Result{store.Inserted})
		swap(t, s, newDay(day, stream, 1))
	})

	// within gives a context that ends soon: what waits for a step ends with
	// it, and what does not wait is done long before.
	within := func(t *testing.T) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	t.Run("SameSiteWaits", func(t *testing.T) {
		s := b.open(t)
		step, d := begin(t, s)

		other := s.Begin()
		defer other.Discard()
		_, err := other.Insert(within(t), []store.Event{newEvent("b", 2)})
		wantErr(t, err, context.DeadlineExceeded)
		other.Discard()
		wantErr(t, s.SwapDay(within(t), newDay(day, stream, 9)), context.DeadlineExceeded)
		for name, remove := range removals {
			if _, err := remove(within(t), s, site, "2027-01-01"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s of a site that a step has: error is %v", name, err)
			}
		}

		commit(t, step, stream, at(2))
		wantDay(t, load(t, s, day), d)
		wantEqual(t, "results", insert(t, s, newEvent("b", 2)), []store.Result{store.Inserted})
		swap(t, s, d)
	})
	t.Run("OtherSitesDoNotWait", func(t *testing.T) {
		s := b.open(t)
		step, d := begin(t, s)
		e := newEvent("a", 1)
		e.Site = site + "x"
		wantEqual(t, "results", insert(t, s, e), []store.Result{store.Inserted})
		swap(t, s, newDay(store.DayKey{Site: site + "x", Date: date}, stream, 1))
		commit(t, step, stream, at(2))
		wantDay(t, load(t, s, day), d)
	})
}

// writers is how many goroutines race in each test of testConcurrent.
const writers = 8

// race runs fn for each writer at once.
func race(t *testing.T, fn func(writer int) error) {
	t.Helper()
	start := make(chan struct{})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			<-start
			if err := fn(w); err != nil {
				t.Errorf("writer %d: %v", w, err)
			}
		})
	}
	close(start)
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// testConcurrent proves that nothing is lost or doubled between writers.
func (b Backend) testConcurrent(t *testing.T) {
	const perWriter = 8
	// wantTotal proves that all events are in the rollups, and that the revs
	// counted each write once from the first one on, which came after began.
	wantTotal := func(t *testing.T, s store.Store, began time.Time, keys ...store.DayKey) {
		t.Helper()
		ended := time.Now()
		for _, key := range keys {
			d := load(t, s, key)
			wantEqual(t, "events of "+key.String(), d.Events, writers*perWriter)
			first := d.Rev - (writers*perWriter - 1)
			if first < uint64(began.UnixMilli()) || first > uint64(ended.UnixMilli()) {
				t.Errorf("the first rev of %s would have been %d, which is not the time", key, first)
			}
		}
	}

	t.Run("SwapDay", func(t *testing.T) {
		s, began := b.open(t), time.Now()
		race(t, func(w int) error {
			for n := 1; n <= perWriter; {
				d, err := s.Day(t.Context(), day)
				if errors.Is(err, store.ErrNotFound) {
					d = rollup.NewDay(site, date)
				} else if err != nil {
					return err
				}
				foldUpTo(d, fmt.Sprint("1:", w), n)
				switch err := s.SwapDay(t.Context(), d); {
				case err == nil:
					n++
				case !errors.Is(err, store.ErrConflict):
					return err
				}
			}
			return nil
		})
		wantTotal(t, s, began, day)
	})

	t.Run("Steps", func(t *testing.T) {
		s, began := b.open(t), time.Now()
		keys := []store.DayKey{day, {Site: site, Date: "2026-11-25"}, {Site: "b", Date: date}, {Site: "c", Date: date}}
		race(t, func(w int) error {
			for n := 1; n <= perWriter; n++ {
				if err := countOnce(t.Context(), s, fmt.Sprint("1:", w), n, keys); err != nil {
					return err
				}
			}
			return nil
		})
		wantTotal(t, s, began, keys...)
		for _, key := range keys {
			wantEqual(t, "raw events", len(scan(t, s, key, nil, nil)), writers*perWriter)
		}
	})

	t.Run("SameEvent", func(t *testing.T) {
		s := b.open(t)
		const keys = 50
		outcomes := make([][]store.Outcome, writers)
		race(t, func(w int) error {
			var events []store.Event
			for i := range keys {
				e := newEvent(fmt.Sprint("event ", i), i)
				e.Stream = fmt.Sprint("1:", w)
				events = append(events, e)
			}
			step := s.Begin()
			defer step.Discard()
			var err error
			if outcomes[w], err = step.Insert(t.Context(), events); err != nil {
				return err
			}
			return step.Commit(t.Context(), store.Checkpoint{Stream: fmt.Sprint("1:", w), Position: at(keys), AsOf: noon})
		})
		stored := map[string]string{}
		for _, e := range scan(t, s, day, nil, nil) {
			stored[e.ID] = e.Stream
		}
		wantEqual(t, "stored events", len(stored), keys)
		for i := range keys {
			for w := range writers {
				want := store.Duplicate
				if stored[fmt.Sprint("event ", i)] == fmt.Sprint("1:", w) {
					want = store.Inserted
				}
				wantEqual(t, fmt.Sprintf("result of event %d by writer %d", i, w), outcomes[w][i].Result, want)
			}
		}
	})

	t.Run("Leases", func(t *testing.T) {
		s := b.open(t)
		var won [writers]int
		race(t, func(w int) error {
			for term := range uint64(perWriter) {
				err := s.SwapLease(t.Context(), store.Lease{Name: "1:0", Owner: fmt.Sprint(w), Term: term})
				if err == nil {
					won[w]++
				} else if !errors.Is(err, store.ErrConflict) {
					return err
				}
			}
			return nil
		})
		// Whoever is behind only finds conflicts, so that each term was won by
		// at most one; a writer that runs ahead finds them too.
		leases, err := s.Leases(t.Context())
		check(t, err)
		wantEqual(t, "leases", len(leases), 1)
		total := 0
		for _, n := range won {
			total += n
		}
		wantEqual(t, "terms won", uint64(total), leases[0].Term)
	})

	t.Run("Checkpoints", func(t *testing.T) {
		s := b.open(t)
		race(t, func(w int) error {
			for n := range perWriter {
				step := s.Begin()
				defer step.Discard()
				c := store.Checkpoint{Stream: stream, Position: at(n*writers + w), AsOf: noon}
				if err := step.Commit(t.Context(), c); err != nil {
					return err
				}
				stored, err := s.Checkpoints(t.Context())
				if err != nil {
					return err
				}
				if stored[stream].Position.Compare(c.Position) < 0 {
					return fmt.Errorf("checkpoint is %v after %v was saved", stored[stream].Position, c.Position)
				}
			}
			return nil
		})
		stored, err := s.Checkpoints(t.Context())
		check(t, err)
		wantEqual(t, "checkpoint", stored[stream].Position, at(writers*perWriter-1))
	})

	t.Run("DeadLetters", func(t *testing.T) {
		s := b.open(t)
		race(t, func(w int) error {
			step := s.Begin()
			defer step.Discard()
			var letters []store.DeadLetter
			for n := range perWriter {
				letters = append(letters, store.DeadLetter{Stream: stream, Position: at(n), Reason: "bad", Time: noon})
			}
			if err := step.DeadLetter(t.Context(), letters); err != nil {
				return err
			}
			return step.Commit(t.Context(), store.Checkpoint{Stream: stream, Position: at(perWriter), AsOf: noon})
		})
		letters, err := s.DeadLetters(t.Context(), "", 1000)
		check(t, err)
		wantEqual(t, "dead letters", len(letters), perWriter)
	})
}

// countOnce does a worker's step: it inserts one event of each key at
// position n of a stream of its own, folds it, and tries again what conflicts.
func countOnce(ctx context.Context, s store.Store, stream string, n int, keys []store.DayKey) error {
	step := s.Begin()
	defer step.Discard()
	var events []store.Event
	for _, key := range keys {
		e := newEvent(fmt.Sprint(key.Date, " ", stream, " ", n), n)
		e.Site, e.Date, e.Stream = key.Site, key.Date, stream
		events = append(events, e)
	}
	if _, err := step.Insert(ctx, events); err != nil {
		return err
	}
	for left := keys; len(left) > 0; {
		loaded, _, err := step.Load(ctx, left)
		if err != nil {
			return err
		}
		var days []*rollup.Day
		for _, key := range left {
			d := loaded[key]
			if d == nil {
				d = store.NewDay(key)
			}
			if !d.Marks.Covers(stream, at(n)) {
				foldAt(d, stream, n)
				days = append(days, d)
			}
		}
		if left, err = step.Swap(ctx, days); err != nil {
			return err
		}
	}
	return step.Commit(ctx, store.Checkpoint{Stream: stream, Position: at(n), AsOf: noon})
}
