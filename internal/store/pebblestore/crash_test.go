package pebblestore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// powerCut takes a picture of what a power cut would leave on the disk, right
// before the file operation of a given number.
type powerCut struct {
	fs         *vfs.MemFS
	at         int64
	config     vfs.CrashCloneCfg
	operations atomic.Int64
	// committed counts the steps whose Commit has returned, saved is what it
	// was when the picture was taken.
	committed, saved atomic.Int64
	disk             atomic.Pointer[vfs.MemFS]
}

func (c *powerCut) String() string { return "power cut" }

func (c *powerCut) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && c.operations.Add(1) == c.at {
		c.cut()
	}
	return nil
}

func (c *powerCut) cut() {
	// A commit that returns between these two is no longer demanded of the
	// picture but may be in it, which is what the test allows.
	c.saved.Store(c.committed.Load())
	c.disk.Store(c.fs.CrashClone(c.config))
}

var crashDays = []store.DayKey{
	{Site: "a", Date: "2026-11-23"}, {Site: "a", Date: "2026-11-24"}, {Site: "b", Date: "2026-11-24"},
}

// crashClock is the clock of a date of UTC.
func crashClock(date string) event.Clock {
	clock, err := event.NewClock("", date)
	if err != nil {
		panic(err)
	}
	return clock
}

// crashEvents gives the events of the n-th step, one for each day.
func crashEvents(n int) []store.Event {
	events := make([]store.Event, len(crashDays))
	for i, key := range crashDays {
		events[i] = store.Event{
			Event:    event.Event{ID: fmt.Sprint(n), Site: key.Site, User: fmt.Sprint("user ", n), Time: time.UnixMilli(crashClock(key.Date).Begin + int64(n)).UTC()},
			Stream:   "1:0",
			Position: rollup.Position{Entry: rollup.EntryID{Ms: uint64(n)}, Line: uint32(i)},
			Date:     key.Date,
		}
		events[i].ID += " of " + key.Date
		events[i].Values[rollup.EventType] = rollup.PageView
	}
	return events
}

func crashLetter(n int) store.DeadLetter {
	return store.DeadLetter{
		Stream: "1:0", Position: rollup.Position{Entry: rollup.EntryID{Ms: uint64(n)}, Line: 9},
		Reason: "bad", Line: []byte("x"), Time: time.UnixMilli(int64(n)).UTC(),
	}
}

// crashStep is the n-th step, as a worker does it.
func crashStep(s *Store, n int) error {
	ctx := context.Background()
	events := crashEvents(n)
	t := s.Begin()
	defer t.Discard()
	if _, err := t.Insert(ctx, events); err != nil {
		return err
	}
	loaded, _, err := t.Load(ctx, crashDays)
	if err != nil {
		return err
	}
	var days []*rollup.Day
	for i, key := range crashDays {
		day := loaded[key]
		if day == nil {
			day = rollup.NewDay(key.Site, key.Date)
		}
		day.Fold("1:0", []rollup.Event{events[i].ForFold(events[i].Position, crashClock(key.Date))})
		days = append(days, day)
	}
	if conflicts, err := t.Swap(ctx, days); err != nil || len(conflicts) > 0 {
		return fmt.Errorf("conflicts %v, error %w", conflicts, err)
	}
	if err := t.DeadLetter(ctx, []store.DeadLetter{crashLetter(n)}); err != nil {
		return err
	}
	last := events[len(events)-1].Position
	return t.Commit(ctx, store.Checkpoint{Stream: "1:0", Position: last, AsOf: time.UnixMilli(int64(n)).UTC()})
}

// TestPowerCut proves that a power cut at any point leaves each step wholly
// there or not at all, and every committed one there.
func TestPowerCut(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		check := func(err error) {
			rt.Helper()
			if err != nil {
				rt.Fatal(err)
			}
		}
		cut := &powerCut{
			fs: vfs.NewCrashableMem(),
			at: rapid.Int64Range(1, 150).Draw(rt, "operation"),
			config: vfs.CrashCloneCfg{
				UnsyncedDataPercent: rapid.SampledFrom([]int{0, 50, 100}).Draw(rt, "unsynced data kept, percent"),
				RNG:                 rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0)),
			},
		}
		options := Options{FS: errorfs.Wrap(cut.fs, cut), CacheBytes: 1 << 20}
		s, err := Open("store", options)
		check(err)
		steps := rapid.IntRange(1, 12).Draw(rt, "steps")
		for n := 1; n <= steps; n++ {
			check(crashStep(s, n))
			cut.committed.Add(1)
			switch rapid.SampledFrom([]string{"nothing", "flush", "reopen"}).Draw(rt, "and then") {
			case "flush":
				_, err := s.db.AsyncFlush()
				check(err)
			case "reopen":
				check(s.Close())
				s, err = Open("store", options)
				check(err)
			}
		}
		if cut.disk.Load() == nil {
			cut.cut()
		}
		check(s.Close())

		s, err = Open("store", Options{FS: cut.disk.Load(), CacheBytes: 1 << 20})
		check(err)
		defer func() { check(s.Close()) }()
		checkpoints, err := s.Checkpoints(context.Background())
		check(err)
		there := int(checkpoints["1:0"].Position.Entry.Ms)
		if committed := int(cut.saved.Load()); there < committed || there > committed+1 {
			rt.Fatalf("%d steps were committed, the checkpoint says %d", committed, there)
		}
		check(wantSteps(s, there))
		// And it goes on from there.
		check(crashStep(s, there+1))
		check(wantSteps(s, there+1))
	})
}

// wantSteps tells what of the store is not as after the first n steps.
func wantSteps(s *Store, n int) error {
	ctx := context.Background()
	for i, key := range crashDays {
		var want, got []store.Event
		for step := 1; step <= n; step++ {
			want = append(want, crashEvents(step)[i])
		}
		if err := s.ScanDay(ctx, key.Site, []string{key.Date}, nil, nil, func(e *store.Event) error {
			got = append(got, *e)
			return nil
		}); err != nil {
			return err
		}
		if !reflect.DeepEqual(got, want) {
			return fmt.Errorf("raw events of %s after %d steps: got %v, want %v", key, n, got, want)
		}
		day, err := s.Day(ctx, key)
		if n == 0 {
			if err == nil {
				return fmt.Errorf("rollup %s is there before the first step", key)
			}
			continue
		}
		if err != nil {
			return err
		}
		if day.Events != uint64(n) {
			return fmt.Errorf("rollup %s has %d events after %d steps", key, day.Events, n)
		}
	}

	var want []store.DeadLetter
	for step := 1; step <= n; step++ {
		want = append(want, crashLetter(step))
	}
	letters, err := s.DeadLetters(ctx, "", 100)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(letters, want) {
		return fmt.Errorf("dead letters after %d steps: got %v, want %v", n, letters, want)
	}

	// The IDs of all steps are known, those of the next one are not.
	t := s.Begin()
	defer t.Discard()
	var events []store.Event
	for step := 1; step <= n+1; step++ {
		events = append(events, crashEvents(step)...)
	}
	outcomes, err := t.Insert(ctx, events)
	if err != nil {
		return err
	}
	for i, o := range outcomes {
		want := store.Replayed
		if i >= n*len(crashDays) {
			want = store.Inserted
		}
		if o.Result != want {
			return fmt.Errorf("event %s after %d steps: result %v, want %v", events[i].ID, n, o.Result, want)
		}
	}
	return nil
}

// TestFailedLogEndsProcess proves that a failed write of the log is never
// answered as if it had been done: the process ends, says what to do, and has
// all that was committed when it starts again. It runs itself in another
// process for that.
func TestFailedLogEndsProcess(t *testing.T) {
	const variable = "PEBBLESTORE_TEST_FAILING_DISK"
	if dir := os.Getenv(variable); dir != "" {
		var full atomic.Bool
		s := open(t, dir, Options{FS: errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if full.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				return syscall.ENOSPC
			}
			return nil
		}))})
		check(t, crashStep(s, 1))
		full.Store(true)
		t.Fatal("a step was written to a full disk, with error ", crashStep(s, 2))
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFailedLogEndsProcess$")
	cmd.Env = append(os.Environ(), variable+"="+dir)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "the store cannot go on and the process ends") || strings.Contains(string(out), "a step was written") {
		t.Fatalf("the process ended with %v and said:\n%s", err, out)
	}
	s := open(t, dir, Options{})
	defer s.Close()
	check(t, wantSteps(s, 1))
	check(t, crashStep(s, 2))
}
