// Package storetest is the conformance suite of store.Store: it proves each
// sentence of the contract, for every backend alike. A backend's test calls
// Run with a Backend that says how to open a store and what the backend can
// do; the suite never asks which backend it is.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// Backend is what the suite needs of a backend.
type Backend struct {
	// New makes an empty place for a store, which is gone when the test ends,
	// and gives the function that opens the store there. The suite closes a
	// store before it opens another one in its place.
	New func(t *testing.T) (open func() store.Store)

	// Damage holds ways to damage a stored rollup, by name, so that it is
	// there and cannot be read. There is at least one.
	Damage map[string]func(t *testing.T, s store.Store, key store.DayKey)

	// Refuse makes an event into one that the store can never take.
	Refuse func(e *store.Event)

	// Atomic says that nothing of a step is there before its Commit, and that
	// a step has its sites to itself.
	Atomic bool

	// Concurrent says that the backend judges conflicting writers rightly,
	// as every backend for more than a test must.
	Concurrent bool

	// OneProcess says that a store belongs to one process at a time, so that
	// leases end when it is closed or its process ends.
	OneProcess bool
}

// Run runs the suite.
func Run(t *testing.T, b Backend) {
	t.Run("Schema", b.testSchema)
	t.Run("Events", b.testEvents)
	t.Run("Scan", b.testScan)
	t.Run("ScanDates", b.testScanDates)
	t.Run("FoldZones", b.testFoldZones)
	t.Run("Days", b.testDays)
	t.Run("DayHeads", b.testDayHeads)
	t.Run("Zones", b.testZones)
	t.Run("DropRollups", b.testDropRollups)
	t.Run("Months", b.testMonths)
	t.Run("Damage", b.testDamage)
	t.Run("Steps", b.testSteps)
	t.Run("Checkpoints", b.testCheckpoints)
	t.Run("DeadLetters", b.testDeadLetters)
	t.Run("Leases", b.testLeases)
	t.Run("Cancel", b.testCancel)
	t.Run("Sites", b.testSites)
	t.Run("Expire", b.testExpire)
	t.Run("EraseUser", b.testEraseUser)
	t.Run("EraseDays", b.testEraseDays)
	t.Run("RemovalCancelled", b.testRemovalCancelled)
	t.Run("RemovalStopped", b.testRemovalStopped)
	t.Run("Records", eachKind(b.testRecords))
	t.Run("RecordKinds", b.testRecordKinds)
	t.Run("Jobs", b.testJobs)
	t.Run("Model", b.testModel)
	if b.Atomic {
		t.Run("Atomic", b.testAtomic)
	}
	if b.Concurrent {
		t.Run("Concurrent", b.testConcurrent)
		t.Run("ConcurrentRecords", eachKind(b.testConcurrentRecords))
		t.Run("ConcurrentJobs", b.testConcurrentJobs)
		t.Run("RemovalLive", b.testRemovalLive)
	}
}

// open gives an empty store with the newest schema.
func (b Backend) open(t *testing.T) store.Store {
	t.Helper()
	s, _ := b.openTwice(t)
	return s
}

// openTwice gives an empty store with the newest schema, and a function that
// closes it and opens it again.
func (b Backend) openTwice(t *testing.T) (s store.Store, reopen func() store.Store) {
	t.Helper()
	open := b.New(t)
	s = open()
	t.Cleanup(func() { check(t, s.Close()) })
	check(t, s.Migrate(t.Context(), func(int, string) {}))
	return s, func() store.Store {
		t.Helper()
		check(t, s.Close())
		s = open()
		return s
	}
}

// tb is what the helpers need of a *testing.T or a *rapid.T.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Context() context.Context
}

func check(t tb, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t tb, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("error is %v, want %v", err, target)
	}
}

func wantEqual[T any](t tb, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// The place and time of most events and days of the suite.
const (
	site   = "site-abc"
	date   = "2026-11-24"
	stream = "1:0"
)

var (
	noon = time.Date(2026, 11, 24, 12, 0, 0, 7e6, time.UTC)
	day  = store.DayKey{Site: site, Date: date}
	// berlin is the same date in another zone, month the month of day.
	berlin = store.DayKey{Site: site, Zone: "Europe/Berlin", Date: date}
	month  = store.DayKey{Site: site, Date: "2026-11"}
)

// at is the n-th position of a stream.
func at(n int) rollup.Position {
	return rollup.Position{Entry: rollup.EntryID{Ms: uint64(noon.UnixMilli()), Seq: uint64(n / 3)}, Line: uint32(n % 3)}
}

// newEvent makes a page view of the suite's site, day and stream.
func newEvent(id string, n int) store.Event {
	e := store.Event{
		Event:    event.Event{ID: id, Site: site, User: "user " + id, Time: noon},
		Stream:   stream,
		Position: at(n),
		Date:     date,
	}
	e.Values[rollup.EventType] = rollup.PageView
	e.Values[rollup.Path] = "/"
	return e
}

// newDay makes a day with n events folded from one stream.
func newDay(key store.DayKey, stream string, n int) *rollup.Day {
	d := store.NewDay(key)
	foldUpTo(d, stream, n)
	return d
}

// foldUpTo folds the events of positions 1 to n that the day does not have.
func foldUpTo(d *rollup.Day, stream string, n int) {
	for i := 1; i <= n; i++ {
		foldAt(d, stream, i)
	}
}

// foldAt folds the event of the n-th position.
func foldAt(d *rollup.Day, stream string, n int) {
	e := rollup.Event{Position: at(n), Hour: n % 24, User: fmt.Sprint("user ", n%7)}
	e.Values[rollup.EventType] = rollup.PageView
	e.Values[rollup.Path] = fmt.Sprint("/", n%5)
	d.Fold(stream, []rollup.Event{e})
}

// insert inserts events in a step of their own and gives the results.
func insert(t tb, s store.Store, events ...store.Event) []store.Result {
	t.Helper()
	step := s.Begin()
	defer step.Discard()
	outcomes, err := step.Insert(t.Context(), events)
	check(t, err)
	commit(t, step, stream, at(0))
	return results(outcomes)
}

func commit(t tb, step store.Step, stream string, p rollup.Position) {
	t.Helper()
	check(t, step.Commit(t.Context(), store.Checkpoint{Stream: stream, Position: p, AsOf: noon}))
}

func results(outcomes []store.Outcome) []store.Result {
	var results []store.Result
	for _, o := range outcomes {
		results = append(results, o.Result)
	}
	return results
}

// repeat gives n times the same result.
func repeat(r store.Result, n int) []store.Result {
	results := make([]store.Result, n)
	for i := range results {
		results[i] = r
	}
	return results
}

// scan collects what ScanDay gives of one date.
func scan(t tb, s store.Store, key store.DayKey, after, upTo rollup.Marks) []store.Event {
	t.Helper()
	return scanDates(t, s, key.Site, []string{key.Date}, after, upTo)
}

// scanDates collects what ScanDay gives.
func scanDates(t tb, s store.Store, site string, dates []string, after, upTo rollup.Marks) []store.Event {
	t.Helper()
	var events []store.Event
	check(t, s.ScanDay(t.Context(), site, dates, after, upTo, func(e *store.Event) error {
		events = append(events, cloneEvent(e))
		return nil
	}))
	return events
}

// cloneEvent copies an event with its strings: a scanned one is valid only
// during the call.
func cloneEvent(e *store.Event) store.Event {
	c := *e
	for _, field := range []*string{&c.ID, &c.Site, &c.User, &c.Stream, &c.Date} {
		*field = strings.Clone(*field)
	}
	for i := range c.Values {
		c.Values[i] = strings.Clone(c.Values[i])
	}
	return c
}

// ids lists the IDs of events.
func ids(events []store.Event) []string {
	var ids []string
	for i := range events {
		ids = append(ids, events[i].ID)
	}
	return ids
}

// swap writes a day, which must succeed and give it its next rev.
func swap(t tb, s store.Store, d *rollup.Day) {
	t.Helper()
	rev, began := d.Rev, time.Now()
	check(t, s.SwapDay(t.Context(), d))
	wantNextRev(t, d.Rev, rev, began)
}

// wantNextRev proves that what has the rev got was written in place of what had
// the rev given, at a time after began: it is one higher, or if it is new, the
// time.
func wantNextRev(t tb, got, rev uint64, began time.Time) {
	t.Helper()
	if rev > 0 {
		wantEqual(t, "rev after the write", got, rev+1)
	} else if got < uint64(began.UnixMilli()) || got > uint64(time.Now().UnixMilli()) {
		t.Fatalf("rev of what is new is %d, which is not the time", got)
	}
}

// passRev waits until the clock has passed a rev, as it has wherever a rollup
// is written, erased, and written anew over a network or to a disk.
func passRev(rev uint64) {
	for uint64(time.Now().UnixMilli()) <= rev {
		runtime.Gosched()
	}
}

// load gives a day that must be there.
func load(t tb, s store.Store, key store.DayKey) *rollup.Day {
	t.Helper()
	d, err := s.Day(t.Context(), key)
	check(t, err)
	return d
}

// wantDay compares two days in all that they hold.
func wantDay(t tb, got, want *rollup.Day) {
	t.Helper()
	if !bytes.Equal(encode(t, got), encode(t, want)) {
		t.Fatalf("rollup differs: rev %d, marks %v, %d events, %d views; want rev %d, marks %v, %d events, %d views; differences %v",
			got.Rev, got.Marks, got.Events, got.Views, want.Rev, want.Marks, want.Events, want.Views, got.Diff(want))
	}
}

// encode gives the canonical bytes of a day.
func encode(t tb, d *rollup.Day) []byte {
	t.Helper()
	if d == nil {
		t.Fatal("there is no rollup")
	}
	b, err := d.AppendBinary(nil)
	check(t, err)
	return b
}
