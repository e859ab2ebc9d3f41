package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// Queue is what a worker needs of the queue.
type Queue interface {
	Layout(ctx context.Context) (queue.Layout, error)
	Read(ctx context.Context, stream string, after rollup.EntryID, max, maxBytes int, wait time.Duration) ([]queue.Entry, error)
	Trim(ctx context.Context, stream string, through rollup.EntryID) error
}

// Store is what a worker needs of the store.
type Store interface {
	store.Events
	store.Records
	store.Leases
	Begin() store.Step
	Checkpoints(ctx context.Context) (map[string]store.Checkpoint, error)
	KeptSince(ctx context.Context, site string) (string, error)
}

// Options are a worker's settings. The zero value of each is its default.
type Options struct {
	// ID names the worker among all; by default host, process and chance.
	ID string
	// Limits bounds the stored rollups.
	Limits rollup.Limits
	// BatchEntries and BatchBytes are the most that one step takes from the
	// queue: 1,000 entries and 8 MiB by default.
	BatchEntries, BatchBytes int
	// Pace is the least time from one step of a stream to the next unless the
	// stream is behind: 200 ms by default. It spares writing a rollup again
	// for each event, and adds to the lag. Where steps take long it becomes
	// longer by itself, up to two seconds.
	Pace time.Duration
	// Parallel is the most steps at once; by default each stream may have one.
	// It bounds the memory and the processors that steps take.
	Parallel int
	// CacheBytes is about how much memory each stream's rollups may take: 16
	// MiB by default.
	CacheBytes int
	// LeaseTime is after how long without a sign of life a worker is taken
	// for dead: 5 s by default.
	LeaseTime time.Duration
	// Stepped, if set, is called after each committed step with its entries,
	// which it must not keep, and how long it took; for several streams at
	// once.
	Stepped func(entries []queue.Entry, took time.Duration)
}

func (o Options) withDefaults() Options {
	if o.ID == "" {
		host, _ := os.Hostname()
		o.ID = fmt.Sprintf("%s-%d-%s", host, os.Getpid(), rand.Text()[:6])
	}
	if o.Limits == (rollup.Limits{}) {
		o.Limits = rollup.DefaultLimits
	}
	setDefault(&o.BatchEntries, 1000)
	setDefault(&o.BatchBytes, 8<<20)
	setDefault(&o.Pace, 200*time.Millisecond)
	setDefault(&o.CacheBytes, 16<<20)
	setDefault(&o.LeaseTime, 5*time.Second)
	return o
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

const (
	// readWait is how long a read waits for an entry; when none comes, the
	// stream is up to date as of its beginning.
	readWait = time.Second
	// trimInterval is the least time between two trims of a stream.
	trimInterval = time.Second
	// leaseInterval is the time between two signs of life.
	leaseInterval = time.Second
	// minRetry and maxRetry bound the wait after a failed step.
	minRetry = 100 * time.Millisecond
	maxRetry = 3 * time.Second
)

// Stats counts what a worker did since it was made.
type Stats struct {
	// Steps counts the committed steps, Events the events in them.
	Steps, Events uint64
	// Duplicates counts clients' retries, which are not counted in rollups.
	Duplicates uint64
	// DeadLetters counts lines that could not be decoded or stored.
	DeadLetters uint64
	// Conflicts counts rollups that another writer had changed.
	Conflicts uint64
	// Rebuilt counts rollups that were missing or damaged and were folded
	// again from raw events.
	Rebuilt uint64
	// Failures counts steps and reads that failed and were tried again.
	Failures uint64
}

type counters struct {
	steps, events, duplicates, deadLetters, conflicts, rebuilt, failures atomic.Uint64
}

// Worker moves events from the queue into the store. Start it once; Stop may
// be called at any time, and again.
type Worker struct {
	queue Queue
	store Store
	opts  Options
	log   *slog.Logger
	stats counters
	// rooms has *[]store.Event, in which steps have their events.
	rooms sync.Pool
	// slots holds a value for each step under way; nil is no bound.
	slots chan struct{}

	// stopping ends the loops between two steps; working ends calls under way
	// and so breaks steps off.
	stopping, working context.Context
	stop, abort       context.CancelFunc
	done              chan struct{} // closed when everything has ended
	started           atomic.Bool
}

// New makes a worker.
func New(q Queue, st Store, opts Options, log *slog.Logger) *Worker {
	w := &Worker{queue: q, store: st, opts: opts.withDefaults(), log: log, done: make(chan struct{})}
	w.rooms.New = func() any { return new([]store.Event) }
	if w.opts.Parallel > 0 {
		w.slots = make(chan struct{}, w.opts.Parallel)
	}
	w.working, w.abort = context.WithCancel(context.Background())
	w.stopping, w.stop = context.WithCancel(w.working)
	return w
}

// Start begins to work in the background.
func (w *Worker) Start() error {
	if w.started.Swap(true) {
		return errors.New("worker was started before")
	}
	go func() {
		defer close(w.done)
		w.share()
	}()
	return nil
}

// Stop ends the steps under way, gives the streams to the other workers, and
// returns when all is done. When ctx ends first it breaks the steps off: they
// are done again by whoever comes next.
func (w *Worker) Stop(ctx context.Context) error {
	w.stop()
	if !w.started.Swap(true) {
		close(w.done)
	}
	defer w.abort()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		w.abort()
		<-w.done
		return fmt.Errorf("worker: a step was broken off: %w", ctx.Err())
	}
}

// Stats tells what the worker did so far. Safe for concurrent use.
func (w *Worker) Stats() Stats {
	return Stats{
		Steps:       w.stats.steps.Load(),
		Events:      w.stats.events.Load(),
		Duplicates:  w.stats.duplicates.Load(),
		DeadLetters: w.stats.deadLetters.Load(),
		Conflicts:   w.stats.conflicts.Load(),
		Rebuilt:     w.stats.rebuilt.Load(),
		Failures:    w.stats.failures.Load(),
	}
}

// loop is the work on one stream that this worker holds.
type loop struct {
	stop func()
	done chan struct{}
}

// share keeps the worker's lease alive, and takes and gives up streams, until
// the worker stops.
func (w *Worker) share() {
	crew := newCrew(w.opts.ID, w.opts.LeaseTime)
	loops := map[string]loop{}
	ticker := time.NewTicker(leaseInterval)
	defer ticker.Stop()
	for {
		if err := w.tick(crew, loops); err != nil && w.stopping.Err() == nil {
			w.stats.failures.Add(1)
			w.log.Warn("leases not renewed", "error", err)
		}
		select {
		case <-ticker.C:
		case <-w.stopping.Done():
			w.leave(crew, loops)
			return
		}
	}
}

// tick takes one look at the crew and does what follows from it. An error
// leaves everything as it is until the next tick: work goes on, for nothing
// depends on the leases.
func (w *Worker) tick(crew *crew, loops map[string]loop) error {
	ctx := w.stopping
	layout, err := w.queue.Layout(ctx)
	if err != nil {
		return fmt.Errorf("read the streams' layout: %w", err)
	}
	leases, err := w.store.Leases(ctx)
	if err != nil {
		return fmt.Errorf("read leases: %w", err)
	}
	now := time.Now()
	crew.observe(leases, now)

	// A conflict here means that others took this worker for dead; it finds
	// its lease gone at the next tick and makes a new one.
	me := store.Lease{Name: workerLease + crew.me, Owner: crew.me, Term: crew.leases[workerLease+crew.me].Term}
	if err := w.store.SwapLease(ctx, me); err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("renew lease: %w", err)
	}
	for _, lease := range crew.dead(now) {
		if err := w.store.DropLease(ctx, lease); err != nil && !errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("drop lease of %s: %w", lease.Owner, err)
		}
	}

	held := make(map[string]bool, len(loops))
	for name := range loops {
		held[name] = true
	}
	lost, release, take := crew.plan(layout.Names(), held, now)
	for _, name := range lost {
		w.log.Info("stream was taken over by another worker", "stream", name)
		w.end(loops, name)
	}
	for _, name := range release {
		w.end(loops, name)
		if err := w.release(ctx, crew, name); err != nil {
			return err
		}
	}
	for _, lease := range take {
		lease.Owner = crew.me
		err := w.store.SwapLease(ctx, lease)
		if errors.Is(err, store.ErrConflict) {
			continue // another was faster
		}
		if err != nil {
			return fmt.Errorf("take %s: %w", lease.Name, err)
		}
		w.begin(loops, lease.Name[len(streamLease):])
	}
	return nil
}

// release gives up the claim on a stream that this worker no longer works on.
func (w *Worker) release(ctx context.Context, crew *crew, name string) error {
	lease := crew.leases[streamLease+name]
	lease.Owner = ""
	if err := w.store.SwapLease(ctx, lease); err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("release stream %s: %w", name, err)
	}
	return nil
}

// leave ends all loops and gives all streams and the worker's own lease up,
// so that others need not wait for the lease time.
func (w *Worker) leave(crew *crew, loops map[string]loop) {
	names := make([]string, 0, len(loops))
	for name, l := range loops {
		l.stop()
		names = append(names, name)
	}
	for _, name := range names {
		w.end(loops, name)
	}
	leases, err := w.store.Leases(w.working)
	if err == nil {
		crew.observe(leases, time.Now())
		for _, name := range names {
			if crew.leases[streamLease+name].Owner == crew.me {
				err = errors.Join(err, w.release(w.working, crew, name))
			}
		}
		if me, ok := crew.leases[workerLease+crew.me]; ok {
			err = errors.Join(err, w.store.DropLease(w.working, me))
		}
	}
	if err != nil {
		w.log.Warn("leases not given up; others take the streams over after the lease time", "error", err)
	}
}

func (w *Worker) begin(loops map[string]loop, name string) {
	ctx, stop := context.WithCancel(w.stopping)
	l := loop{stop: stop, done: make(chan struct{})}
	loops[name] = l
	w.log.Debug("working on stream", "stream", name)
	go func() {
		defer close(l.done)
		defer stop()
		w.run(ctx, name)
	}()
}

// end stops the loop on a stream and waits for its step to end.
func (w *Worker) end(loops map[string]loop, name string) {
	l := loops[name]
	l.stop()
	<-l.done
	delete(loops, name)
}

// run works on a stream until ctx ends; a step under way is ended first.
func (w *Worker) run(ctx context.Context, name string) {
	s := w.stream(name)
	retry := minRetry
	for ctx.Err() == nil {
		begun := time.Now()
		behind, err := w.once(ctx, s)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			w.stats.failures.Add(1)
			w.log.Warn("step failed, trying again", "stream", name, "checkpoint", s.checkpoint.Position, "error", err)
			sleep(ctx, retry)
			retry = min(2*retry, maxRetry)
		default:
			retry = minRetry
			if !behind {
				sleep(ctx, time.Until(begun.Add(w.pace(s.took))))
			}
		}
	}
}

// pace is the time from the beginning of a step that took so long to the next
// one. A step writes each of its rollups as a whole, however few events it has
// for it: the longer that takes, the more events are worth waiting for, so that
// a stream which is not behind spends no more than a share of its time writing.
func (w *Worker) pace(took time.Duration) time.Duration {
	const (
		share   = 10
		longest = 2 * time.Second
	)
	return max(w.opts.Pace, min(share*took, longest))
}

// stream makes the state for work on a stream from its stored checkpoint on.
func (w *Worker) stream(name string) *stream {
	return &stream{
		name: name, queue: w.queue, store: w.store, sites: site.NewDirectory(w.store, 0), opts: w.opts, stats: &w.stats, rooms: &w.rooms,
		days: newDayCache(w.opts.CacheBytes), most: w.opts.BatchEntries,
	}
}

// once reads what follows the checkpoint and takes it through a step. It
// tells whether there is more than one step takes. Reading ends with ctx,
// while writing goes on until the worker is aborted.
//
// After an error nothing is known but what the store holds: the cached
// rollups are forgotten, and the next call begins again at the checkpoint.
func (w *Worker) once(ctx context.Context, s *stream) (behind bool, err error) {
	defer func() {
		if err != nil {
			s.days.clear()
		}
	}()
	if s.checkpoint.Stream == "" {
		checkpoints, err := w.store.Checkpoints(ctx)
		if err != nil {
			return false, fmt.Errorf("read checkpoints: %w", err)
		}
		s.checkpoint = checkpoints[s.name]
		s.checkpoint.Stream = s.name
	}
	// A stream that nobody has worked on so far tells at once that it is
	// empty: until it does, nobody knows as of when an answer is.
	wait := readWait
	if s.checkpoint.AsOf.IsZero() {
		wait = 0
	}
	asked := time.Now().UTC()
	entries, err := w.queue.Read(ctx, s.name, s.checkpoint.Position.Entry, s.most, w.opts.BatchBytes, wait)
	if err != nil {
		return false, fmt.Errorf("read queue: %w", err)
	}
	s.took = 0
	if len(entries) == 0 {
		err = s.idle(w.working, asked)
	} else if err = w.step(ctx, s, entries); err != nil {
		s.most = max(1, len(entries)/2)
	}
	if err != nil {
		return false, err
	}
	if len(entries) > 0 && w.opts.Stepped != nil {
		w.opts.Stepped(entries, s.took)
	}
	size := 0
	for _, entry := range entries {
		size += len(entry.Lines)
	}
	// A read ends before the entry that would be too much, so that one which
	// is more than half full mostly has more behind it.
	behind = len(entries) == s.most || size > w.opts.BatchBytes/2
	s.most = min(2*s.most, w.opts.BatchEntries)
	return behind, s.trim(w.working, time.Now())
}

// step takes entries through a step, when there is a slot for it; after ctx has
// ended it does not begin.
func (w *Worker) step(ctx context.Context, s *stream, entries []queue.Entry) error {
	if w.slots != nil {
		select {
		case w.slots <- struct{}{}:
			defer func() { <-w.slots }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	begun := time.Now()
	defer func() { s.took = time.Since(begun) }()
	return s.step(w.working, entries)
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
