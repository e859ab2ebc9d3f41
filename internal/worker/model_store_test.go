package worker

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// fault is what the scheduler lets happen to one call of an actor.
type fault int

const (
	none      fault = iota // the call does what it should
	before                 // it fails and has done nothing
	after                  // it fails and has done it: an unknown outcome
	partly                 // it fails and has done half of it, where it can
	conflict               // a swap tells of conflicts that are none
	numFaults = int(conflict) + 1
)

func (f fault) String() string {
	return [...]string{"ok", "fails before", "fails after", "fails half done", "claims conflict"}[f]
}

// errInjected is the error of a fault. To the worker it is like any other.
var errInjected = fmt.Errorf("injected: %w", store.ErrUnavailable)

// crashed unwinds an actor that the scheduler has killed.
type crashed struct{}

// actor is a coroutine that works on the doubles. At each call it stops until
// the scheduler, which alone decides who is next, lets it go on with a fault
// or kills it. One actor runs at a time, so a schedule is all that a run
// depends on.
type actor struct {
	name  string
	next  func() (string, bool) // runs to the next call and tells its name
	kill  func()
	yield func(string) bool
	fault fault
	// owns is the set of sites of the atomic step that the actor is in.
	owns map[string]bool
}

// newActor makes an actor that runs body once or for ever.
func newActor(name string, body func(*actor)) *actor {
	a := &actor{name: name}
	a.next, a.kill = iter.Pull(func(yield func(string) bool) {
		defer func() {
			if p := recover(); p != nil && p != (crashed{}) {
				panic(p)
			}
		}()
		a.yield = yield
		body(a)
	})
	return a
}

// call is where an actor waits for its turn. It does the effect as the fault
// says.
func (a *actor) call(name string, effect func() error) error {
	if !a.yield(name) {
		panic(crashed{})
	}
	switch a.fault {
	case before:
		return errInjected
	case after, partly:
		if err := effect(); err != nil {
			return err
		}
		return errInjected
	}
	return effect()
}

// modelQueue is the queue double: what all actors share.
type modelQueue struct {
	entries map[string][]queue.Entry
	clock   uint64
}

func (q *modelQueue) append(stream, lines string, events int) {
	q.clock++
	q.entries[stream] = append(q.entries[stream], queue.Entry{
		ID: rollup.EntryID{Ms: q.clock}, Lines: lines, Events: events,
	})
}

// actorQueue is one actor's way to the queue.
type actorQueue struct {
	*modelQueue
	a *actor
}

func (q actorQueue) Backlog(context.Context) (backlog []queue.Backlog, err error) {
	err = q.a.call("backlog", func() error {
		for stream, entries := range q.entries {
			b := queue.Backlog{Stream: stream, Entries: int64(len(entries))}
			if len(entries) > 0 {
				b.Newest = entries[len(entries)-1].ID
			}
			backlog = append(backlog, b)
		}
		return nil
	})
	return backlog, err
}

func (q actorQueue) Layout(context.Context) (queue.Layout, error) { panic("not used") }

func (q actorQueue) Read(_ context.Context, stream string, pos rollup.EntryID, limit, _ int, _ time.Duration) (entries []queue.Entry, err error) {
	err = q.a.call("read "+stream, func() error {
		for _, e := range q.entries[stream] {
			if e.ID.Compare(pos) > 0 && len(entries) < limit {
				entries = append(entries, e)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

func (q actorQueue) Trim(_ context.Context, stream string, through rollup.EntryID) error {
	return q.a.call("trim "+stream, func() error {
		q.entries[stream] = slices.DeleteFunc(q.entries[stream], func(e queue.Entry) bool {
			return e.ID.Compare(through) <= 0
		})
		return nil
	})
}

// modelStore is the store double: what all actors share. Rollups are kept
// encoded, so that nobody holds on to another's value.
type modelStore struct {
	atomic      bool // steps are atomic batches, as in the embedded store
	events      map[string]store.Event
	days        map[store.DayKey][]byte
	born        uint64 // counts the new rollups, each of which gets revs of its own
	records     map[string]store.Record
	checkpoints map[string]store.Checkpoint
	letters     map[string]store.DeadLetter
	kept        map[string]string
	busy        map[string]*actor // the site's owner, when steps are atomic
	poison      string            // events of this type are refused
}

func (m *modelStore) day(key store.DayKey) *rollup.Day {
	b, ok := m.days[key]
	if !ok {
		return nil
	}
	day := new(rollup.Day)
	if err := day.UnmarshalBinary(b); err != nil {
		panic(err)
	}
	return day
}

// nextRev gives the rev with which a day would be written, if its rev is right.
func (m *modelStore) nextRev(day *rollup.Day) (rev uint64, ok bool) {
	stored := m.day(store.KeyOf(day))
	switch {
	case stored == nil && day.Rev == 0:
		m.born++
		return m.born << 32, true
	case stored != nil && stored.Rev == day.Rev:
		return day.Rev + 1, true
	}
	return 0, false
}

// write writes a day with a rev and leaves the caller's alone.
func (m *modelStore) write(day *rollup.Day, rev uint64) {
	known := day.Rev
	day.Rev = rev
	b, err := day.AppendBinary(nil)
	day.Rev = known
	if err != nil {
		panic(err)
	}
	m.days[store.KeyOf(day)] = b
}

func (m *modelStore) insert(e store.Event) store.Outcome {
	if m.poison != "" && e.Type() == m.poison {
		return store.Outcome{Result: store.Refused, Reason: "poison"}
	}
	key := e.Site + "|" + e.ID
	switch old, ok := m.events[key]; {
	case !ok:
		m.events[key] = e
		return store.Outcome{Result: store.Inserted}
	case old.Stream == e.Stream && old.Position == e.Position:
		return store.Outcome{Result: store.Replayed}
	}
	return store.Outcome{Result: store.Duplicate}
}

func (m *modelStore) commit(c store.Checkpoint) {
	if m.checkpoints[c.Stream].Position.Compare(c.Position) <= 0 {
		m.checkpoints[c.Stream] = c
	}
}

// actorStore is one actor's way to the store.
type actorStore struct {
	*modelStore
	a *actor
}

func (s actorStore) Leases(context.Context) ([]store.Lease, error) { panic("not used") }
func (s actorStore) SwapLease(context.Context, store.Lease) error  { panic("not used") }
func (s actorStore) DropLease(context.Context, store.Lease) error  { panic("not used") }
func (s actorStore) SiteDays(context.Context, string, string, string, string, rollup.Fields, func(*rollup.Day, *store.DamagedError) error) error {
	panic("not used")
}
func (s actorStore) DayHeads(context.Context, string, string, string, string) ([]store.Head, error) {
	panic("not used")
}
func (s actorStore) Month(context.Context, store.DayKey, rollup.Fields) (*rollup.Day, error) {
	panic("not used")
}
func (s actorStore) PutMonth(context.Context, *rollup.Day) error          { panic("not used") }
func (s actorStore) Sites(context.Context, string, int) ([]string, error) { panic("not used") }
func (s actorStore) RecordsAfter(context.Context, store.RecordKind, string, int) ([]store.Record, error) {
	panic("not used")
}
func (s actorStore) DropRecord(context.Context, store.RecordKind, store.Record) error {
	panic("not used")
}

func (s actorStore) Records(_ context.Context, _ store.RecordKind, sites []string) (map[string]store.Record, error) {
	found := map[string]store.Record{}
	err := s.a.call("settings", func() error {
		for _, site := range sites {
			if record, ok := s.records[site]; ok {
				found[site] = record
			}
		}
		return nil
	})
	return found, err
}

func (s actorStore) SwapRecord(_ context.Context, _ store.RecordKind, record *store.Record) error {
	return s.a.call("change settings of "+record.Name, func() error {
		if s.a.fault == conflict || s.records[record.Name].Rev != record.Rev {
			return store.ErrConflict
		}
		written := *record
		written.Rev++
		s.records[record.Name] = written
		return nil
	})
}

func (s actorStore) DropRollups(_ context.Context, site, zone string) error {
	s.own(map[string]bool{site: true})
	defer s.disown()
	return s.a.call("drop rollups in "+zone, func() error {
		maps.DeleteFunc(s.days, func(key store.DayKey, _ []byte) bool { return key.Site == site && key.Zone == zone })
		return nil
	})
}

func (s actorStore) DayDates(_ context.Context, site, zone, _, _ string) (dates []string, err error) {
	err = s.a.call("dates of rollups", func() error {
		for key := range s.days {
			if key.Site == site && key.Zone == zone {
				dates = append(dates, key.Date)
			}
		}
		return nil
	})
	slices.Sort(dates)
	return dates, err
}

func (s actorStore) EventDates(_ context.Context, site, _, _ string) (dates []string, err error) {
	err = s.a.call("dates of events", func() error {
		for _, e := range s.events {
			if e.Site == site {
				dates = append(dates, e.Date)
			}
		}
		return nil
	})
	slices.Sort(dates)
	return slices.Compact(dates), err
}

func (s actorStore) ScanDay(_ context.Context, site string, dates []string, from, upTo rollup.Marks, fn func(*store.Event) error) error {
	var found []store.Event
	err := s.a.call(fmt.Sprint("scan ", site, dates), func() error {
		for _, e := range s.events {
			if e.Site == site && slices.Contains(dates, e.Date) && !from.Covers(e.Stream, e.Position) &&
				(upTo == nil || upTo.Covers(e.Stream, e.Position)) {
				found = append(found, e)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(found, func(a, b store.Event) int {
		if c := strings.Compare(a.Stream, b.Stream); c != 0 {
			return c
		}
		return a.Position.Compare(b.Position)
	})
	for i := range found {
		if err := fn(&found[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s actorStore) KeptSince(_ context.Context, site string) (kept string, err error) {
	err = s.a.call("kept since", func() error {
		kept = s.kept[site]
		return nil
	})
	return kept, err
}

// expire first tells which raw events are kept and then removes the others, in
// two batches.
func (s actorStore) expire(site, before string) error {
	change := func(name string, effect func()) error {
		s.own(map[string]bool{site: true})
		defer s.disown()
		return s.a.call(name, func() error { effect(); return nil })
	}
	if err := change("kept since "+before, func() { s.kept[site] = before }); err != nil {
		return err
	}
	for batch := range 2 {
		err := change("remove raw events", func() {
			maps.DeleteFunc(s.events, func(_ string, e store.Event) bool {
				return e.Site == site && e.Date < before && (batch == 1 || e.Position.Line == 0)
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s actorStore) Checkpoints(context.Context) (checkpoints map[string]store.Checkpoint, err error) {
	err = s.a.call("checkpoints", func() error {
		checkpoints = maps.Clone(s.checkpoints)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return checkpoints, nil
}

func (s actorStore) Day(_ context.Context, key store.DayKey) (day *rollup.Day, err error) {
	err = s.a.call("load "+key.String(), func() error {
		day = s.day(key)
		return nil
	})
	if err == nil && day == nil {
		err = store.ErrNotFound
	}
	return day, err
}

func (s actorStore) SwapDay(_ context.Context, day *rollup.Day) error {
	s.own(map[string]bool{day.Site: true})
	defer s.disown()
	var rev uint64
	err := s.a.call("swap "+store.KeyOf(day).String(), func() (err error) {
		next, ok := s.nextRev(day)
		if s.a.fault == conflict || !ok {
			return store.ErrConflict
		}
		rev = next
		s.write(day, rev)
		return nil
	})
	if err == nil {
		day.Rev = rev
	}
	return err
}

// own waits until the sites are free and takes them. Only atomic steps do.
func (s actorStore) own(sites map[string]bool) {
	if !s.atomic {
		return
	}
	for {
		free := true
		for site := range sites {
			free = free && (s.busy[site] == nil || s.busy[site] == s.a)
		}
		if free {
			break
		}
		if !s.a.yield("wait for the sites") {
			panic(crashed{})
		}
	}
	s.a.owns = sites
	for site := range sites {
		s.busy[site] = s.a
	}
}

func (s actorStore) disown() {
	for site := range s.a.owns {
		delete(s.busy, site)
	}
	s.a.owns = nil
}

func (s actorStore) Begin() store.Step {
	return &modelStep{actorStore: s, swapped: map[store.DayKey]swapped{}}
}

// modelStep takes effect call by call, or keeps everything back until Commit
// when steps are atomic.
type modelStep struct {
	actorStore
	events  []store.Event
	swapped map[store.DayKey]swapped
	letters []store.DeadLetter
}

// swapped is a day to be written with a rev.
type swapped struct {
	day *rollup.Day
	rev uint64
}

func (st *modelStep) Insert(_ context.Context, events []store.Event) (outcomes []store.Outcome, err error) {
	if st.atomic {
		sites := map[string]bool{}
		for _, e := range events {
			sites[e.Site] = true
		}
		st.own(sites)
	}
	err = st.a.call("insert", func() error {
		n := len(events)
		if st.a.fault == partly {
			n /= 2
		}
		if st.atomic {
			// Nobody else can insert for these sites, so trying it on a copy
			// tells what will be.
			trial := modelStore{events: maps.Clone(st.modelStore.events), poison: st.poison}
			for _, e := range events[:n] {
				outcomes = append(outcomes, trial.insert(e))
			}
			st.events = events
			return nil
		}
		for _, e := range events[:n] {
			outcomes = append(outcomes, st.insert(e))
		}
		return nil
	})
	return outcomes, err
}

func (st *modelStep) Load(_ context.Context, keys []store.DayKey) (days map[store.DayKey]*rollup.Day, damaged map[store.DayKey]*store.DamagedError, err error) {
	days = map[store.DayKey]*rollup.Day{}
	err = st.a.call("load", func() error {
		for _, key := range keys {
			if day := st.day(key); day != nil {
				days[key] = day
			}
		}
		return nil
	})
	return days, nil, err
}

func (st *modelStep) Swap(_ context.Context, days []*rollup.Day) (conflicts []store.DayKey, err error) {
	var written []swapped
	err = st.a.call("swap", func() error {
		for i, day := range days {
			if st.a.fault == partly && i >= len(days)/2 {
				break
			}
			key := store.KeyOf(day)
			rev, ok := st.nextRev(day)
			if ok && st.atomic {
				st.swapped[key] = swapped{day, rev}
			} else if ok {
				st.write(day, rev)
			}
			// A claimed conflict is one whose write went through all the same.
			if !ok || st.a.fault == conflict && !st.atomic {
				conflicts = append(conflicts, key)
			} else {
				written = append(written, swapped{day, rev})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, w := range written {
		w.day.Rev = w.rev
	}
	return conflicts, nil
}

func (st *modelStep) DeadLetter(_ context.Context, letters []store.DeadLetter) error {
	return st.a.call("dead letters", func() error {
		if st.atomic {
			st.letters = letters
			return nil
		}
		st.put(letters)
		return nil
	})
}

func (st *modelStep) put(letters []store.DeadLetter) {
	for _, l := range letters {
		if _, there := st.modelStore.letters[l.Key()]; !there {
			st.modelStore.letters[l.Key()] = l
		}
	}
}

func (st *modelStep) Commit(_ context.Context, c store.Checkpoint) error {
	defer st.disown()
	return st.a.call("commit "+c.Stream, func() error {
		if st.atomic {
			for _, e := range st.events {
				st.insert(e)
			}
			for _, s := range st.swapped {
				st.write(s.day, s.rev)
			}
			st.put(st.letters)
		}
		st.commit(c)
		return nil
	})
}

func (st *modelStep) Discard() { st.disown() }
