package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// testSteps proves Load and Swap, and that a step is durable when it ends.
func (b Backend) testSteps(t *testing.T) {
	keys := []store.DayKey{
		{Site: site, Date: "2026-11-23"},
		{Site: site, Date: "2026-11-24"},
		{Site: site + ".b", Date: "2026-11-24"},
		{Site: "new", Date: "2026-11-24"},
		berlin,
	}
	// begin starts a step as a worker does, with the sites of the keys.
	begin := func(t *testing.T, s store.Store) store.Step {
		t.Helper()
		step := s.Begin()
		t.Cleanup(step.Discard)
		var events []store.Event
		for i, key := range keys {
			if key.Zone != "" {
				continue // its events are those of the dates of UTC
			}
			e := newEvent("event "+key.String(), i+1)
			e.Site, e.Date = key.Site, key.Date
			events = append(events, e)
		}
		_, err := step.Insert(t.Context(), events)
		check(t, err)
		return step
	}

	t.Run("Whole", func(t *testing.T) {
		s, reopen := b.openTwice(t)
		before := newDay(keys[0], stream, 2)
		swap(t, s, before)

		step := begin(t, s)
		loaded, damaged, err := step.Load(t.Context(), keys)
		check(t, err)
		wantEqual(t, "damaged", len(damaged), 0)
		wantEqual(t, "loaded", len(loaded), 1)
		wantDay(t, loaded[keys[0]], before)

		var days []*rollup.Day
		for i, key := range keys {
			d := loaded[key]
			if d == nil {
				d = store.NewDay(key)
			}
			foldUpTo(d, stream, i+5)
			days = append(days, d)
		}
		began := time.Now()
		conflicts, err := step.Swap(t.Context(), days)
		check(t, err)
		wantEqual(t, "conflicts", len(conflicts), 0)
		letter := store.DeadLetter{Stream: stream, Position: at(9), Reason: "bad", Line: []byte("x"), Time: noon}
		check(t, step.DeadLetter(t.Context(), []store.DeadLetter{letter}))
		commit(t, step, stream, at(9))
		step.Discard()

		wantNextRev(t, days[0].Rev, before.Rev, began)
		for _, d := range days[1:] {
			wantNextRev(t, d.Rev, 0, began)
		}
		wantAll := func() {
			t.Helper()
			for i, key := range keys {
				wantDay(t, load(t, s, key), days[i])
				if key.Zone == "" {
					wantEqual(t, "raw events", ids(scan(t, s, key, nil, nil)), []string{"event " + key.String()})
				}
			}
			checkpoints, err := s.Checkpoints(t.Context())
			check(t, err)
			wantEqual(t, "checkpoint", checkpoints[stream].Position, at(9))
			letters, err := s.DeadLetters(t.Context(), "", 10)
			check(t, err)
			wantEqual(t, "dead letters", len(letters), 1)
		}
		wantAll()
		s = reopen()
		wantAll()
	})

	t.Run("Nothing", func(t *testing.T) {
		s := b.open(t)
		step := begin(t, s)
		loaded, damaged, err := step.Load(t.Context(), nil)
		check(t, err)
		wantEqual(t, "days", len(loaded)+len(damaged), 0)
		conflicts, err := step.Swap(t.Context(), nil)
		check(t, err)
		wantEqual(t, "conflicts", len(conflicts), 0)
		check(t, step.DeadLetter(t.Context(), nil))
		commit(t, step, stream, at(1))
	})

	t.Run("Conflicts", func(t *testing.T) {
		s := b.open(t)
		existing := newDay(keys[0], stream, 3)
		swap(t, s, existing)
		current := newDay(keys[1], stream, 3)
		swap(t, s, current)
		swap(t, s, current)

		step := begin(t, s)
		good := newDay(keys[1], stream, 7)
		good.Rev = current.Rev
		fresh := newDay(keys[3], stream, 7)
		notNew := newDay(keys[0], stream, 7) // rev 0, but there is one
		gone := newDay(keys[2], stream, 7)
		gone.Rev = 5 // and there is none
		began := time.Now()
		conflicts, err := step.Swap(t.Context(), []*rollup.Day{notNew, good, gone, fresh})
		check(t, err)
		wantSameKeys(t, conflicts, keys[0], keys[2])
		wantEqual(t, "revs after the conflicts", []uint64{notNew.Rev, gone.Rev}, []uint64{0, 5})
		wantNextRev(t, good.Rev, current.Rev, began)
		wantNextRev(t, fresh.Rev, 0, began)

		// The worker loads those again and folds what they do not have.
		loaded, _, err := step.Load(t.Context(), conflicts)
		check(t, err)
		wantEqual(t, "loaded", len(loaded), 1)
		wantDay(t, loaded[keys[0]], existing)
		again := loaded[keys[0]]
		foldUpTo(again, stream, 7)
		anew := newDay(keys[2], stream, 7)
		conflicts, err = step.Swap(t.Context(), []*rollup.Day{again, anew})
		check(t, err)
		wantEqual(t, "conflicts", len(conflicts), 0)
		commit(t, step, stream, at(7))
		for _, d := range []*rollup.Day{again, good, anew, fresh} {
			wantDay(t, load(t, s, store.KeyOf(d)), d)
		}
	})

	t.Run("Stale", func(t *testing.T) {
		s := b.open(t)
		d := newDay(keys[0], stream, 3)
		swap(t, s, d)
		swap(t, s, d)
		for _, rev := range []uint64{1, d.Rev - 1, d.Rev + 1} {
			step := begin(t, s)
			stale := newDay(keys[0], stream, 9)
			stale.Rev = rev
			conflicts, err := step.Swap(t.Context(), []*rollup.Day{stale})
			check(t, err)
			wantSameKeys(t, conflicts, keys[0])
			commit(t, step, stream, at(9))
			wantDay(t, load(t, s, keys[0]), d)
		}
	})

	t.Run("Many", func(t *testing.T) {
		s := b.open(t)
		step := s.Begin()
		defer step.Discard()
		var events []store.Event
		var days []*rollup.Day
		var keys []store.DayKey
		for i := range 40 {
			key := store.DayKey{Site: site, Date: noon.AddDate(0, 0, i).Format(time.DateOnly)}
			e := newEvent(key.Date, i)
			e.Date = key.Date
			events = append(events, e)
			keys = append(keys, key)
			days = append(days, newDay(key, stream, i+1))
		}
		_, err := step.Insert(t.Context(), events)
		check(t, err)
		conflicts, err := step.Swap(t.Context(), days)
		check(t, err)
		wantEqual(t, "conflicts", len(conflicts), 0)
		commit(t, step, stream, at(40))

		step = s.Begin()
		defer step.Discard()
		_, err = step.Insert(t.Context(), events)
		check(t, err)
		loaded, _, err := step.Load(t.Context(), keys)
		check(t, err)
		wantEqual(t, "loaded", len(loaded), len(days))
		for i, key := range keys {
			wantDay(t, loaded[key], days[i])
		}
		commit(t, step, stream, at(40))
	})
}

// wantSameKeys compares keys in any order.
func wantSameKeys(t *testing.T, got []store.DayKey, want ...store.DayKey) {
	t.Helper()
	count := map[store.DayKey]int{}
	for _, key := range got {
		count[key]++
	}
	for _, key := range want {
		count[key]--
	}
	for _, n := range count {
		if n != 0 {
			t.Fatalf("keys are %v, want %v", got, want)
		}
	}
}

// testCancel proves that a call whose context is done gives the context's
// error and changes nothing, and that it ends what is under way.
func (b Backend) testCancel(t *testing.T) {
	s := b.open(t)
	kept := newDay(day, stream, 1)
	swap(t, s, kept)
	insert(t, s, newEvent("a", 1), newEvent("b", 2), newEvent("c", 3))
	swap(t, s, newDay(store.DayKey{Site: site, Date: "2026-11-25"}, stream, 1))
	lease := store.Lease{Name: "1:0", Owner: "me"}
	check(t, s.SwapLease(t.Context(), lease))
	lease.Term = 1

	done, cancel := context.WithCancel(t.Context())
	cancel()
	noDay := func(*rollup.Day, *store.DamagedError) error { t.Error("fn was called"); return nil }
	noEvent := func(*store.Event) error { t.Error("fn was called"); return nil }
	changed := newDay(day, stream, 9)
	changed.Rev = kept.Rev
	// Of those of a step, only Insert may be the first call.
	inStep := func(call func(store.Step) error) func() error {
		return func() error {
			step := s.Begin()
			defer step.Discard()
			_, err := step.Insert(t.Context(), []store.Event{newEvent("a", 1)})
			check(t, err)
			return call(step)
		}
	}
	for name, call := range map[string]func() error{
		"Day":           func() error { _, err := s.Day(done, day); return err },
		"SiteDays":      func() error { return s.SiteDays(done, site, "", "", "", rollup.AllFields, noDay) },
		"DayHeads":      func() error { _, err := s.DayHeads(done, site, "", "", ""); return err },
		"SwapDay":       func() error { return s.SwapDay(done, changed) },
		"Month":         func() error { _, err := s.Month(done, month, rollup.AllFields); return err },
		"PutMonth":      func() error { return s.PutMonth(done, newDay(month, stream, 9)) },
		"DropRollups":   func() error { return s.DropRollups(done, site, "") },
		"ScanDay":       func() error { return s.ScanDay(done, site, []string{date}, nil, nil, noEvent) },
		"EventDates":    func() error { _, err := s.EventDates(done, site, "", ""); return err },
		"Checkpoints":   func() error { _, err := s.Checkpoints(done); return err },
		"DeadLetters":   func() error { _, err := s.DeadLetters(done, "", 10); return err },
		"OneDeadLetter": func() error { _, err := s.DeadLetter(done, "1:0@"+at(0).String()); return err },
		"DeleteDeadLetters": func() error {
			_, err := s.DeleteDeadLetters(done, []string{"1:0@" + at(0).String()})
			return err
		},
		"SchemaVersion": func() error { _, err := s.SchemaVersion(done); return err },
		"Migrate":       func() error { return s.Migrate(done, func(int, string) {}) },
		"Leases":        func() error { _, err := s.Leases(done); return err },
		"SwapLease":     func() error { return s.SwapLease(done, lease) },
		"DropLease":     func() error { return s.DropLease(done, lease) },
		"Insert": func() error {
			step := s.Begin()
			defer step.Discard()
			_, err := step.Insert(done, []store.Event{newEvent("new", 4)})
			return err
		},
		"Load": inStep(func(step store.Step) error { _, _, err := step.Load(done, []store.DayKey{day}); return err }),
		"Swap": inStep(func(step store.Step) error { _, err := step.Swap(done, []*rollup.Day{changed}); return err }),
		"DeadLetter": inStep(func(step store.Step) error {
			return step.DeadLetter(done, []store.DeadLetter{{Stream: stream, Position: at(1), Reason: "bad", Time: noon}})
		}),
		"Commit": inStep(func(step store.Step) error {
			return step.Commit(done, store.Checkpoint{Stream: stream, Position: at(9), AsOf: noon})
		}),
	} {
		t.Run(name, func(t *testing.T) { wantErr(t, call(), context.Canceled) })
	}
	wantDay(t, load(t, s, day), kept)
	wantEqual(t, "events", ids(scan(t, s, day, nil, nil)), []string{"a", "b", "c"})
	checkpoints, err := s.Checkpoints(t.Context())
	check(t, err)
	wantEqual(t, "checkpoint", checkpoints[stream].Position, at(0))
	letters, err := s.DeadLetters(t.Context(), "", 10)
	check(t, err)
	wantEqual(t, "dead letters", len(letters), 0)
	leases, err := s.Leases(t.Context())
	check(t, err)
	wantEqual(t, "leases", leases, []store.Lease{lease})

	for name, run := range map[string]func(ctx context.Context, fn func()) error{
		"DuringScanDay": func(ctx context.Context, fn func()) error {
			return s.ScanDay(ctx, site, []string{date}, nil, nil, func(*store.Event) error { fn(); return nil })
		},
		"DuringSiteDays": func(ctx context.Context, fn func()) error {
			return s.SiteDays(ctx, site, "", "", "", rollup.AllFields, func(*rollup.Day, *store.DamagedError) error { fn(); return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			calls := 0
			wantErr(t, run(ctx, func() { calls++; cancel() }), context.Canceled)
			wantEqual(t, "calls", calls, 1)
		})
	}
}
