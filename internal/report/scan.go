package report

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

// slotWait is how long a scan waits for others to end before it is refused.
const slotWait = time.Second

// While a scan folds, its tables are compacted every compactEvery events to
// scanLimits, so that its memory does not grow with the day: between two
// times come at most compactEvery new keys a table.
const compactEvery = 10_000

var scanLimits = rollup.Limits{Keys: 10_000, Bytes: 8 << 20}

// scans read raw events: to count days without a rollup, and to answer what
// no rollup can. Each question is read for once for all requests that ask it
// at the same time, and only so many at once.
type scans struct {
	store Store
	opts  Options
	log   *slog.Logger
	// slots holds a value for each scan that is reading.
	slots chan struct{}

	started                         atomic.Uint64
	tooMany, tooManyEvents, tooLong atomic.Uint64 // those refused
	// read counts the raw events that scans of spans have read, expected what
	// they had to read as far as rollups tell.
	read, expected atomic.Uint64

	mu      sync.Mutex
	running map[string]*scan // by question; protected by mu
}

// scan is one under way. It ends early when nobody waits for it any more.
type scan struct {
	waiting int // protected by scans.mu
	cancel  context.CancelFunc
	// done is closed when result and err are set.
	done   chan struct{}
	result any
	err    error
}

func newScans(st Store, opts Options, log *slog.Logger) *scans {
	return &scans{
		store: st, opts: opts, log: log,
		slots:   make(chan struct{}, opts.RawScans),
		running: make(map[string]*scan),
	}
}

// shared gives what work gives, which is done once for all who ask the same
// question at the same time: the result must not be changed.
func shared[T any](ctx context.Context, s *scans, question string, work func(context.Context) (T, error)) (T, error) {
	s.mu.Lock()
	sc := s.running[question]
	if sc == nil {
		sc = &scan{done: make(chan struct{})}
		s.running[question] = sc
		// The scan is for everyone who waits for it, not for the first alone.
		all, cancel := context.WithCancel(context.WithoutCancel(ctx))
		sc.cancel = cancel
		go s.run(question, sc, func() (any, error) { return work(all) })
	}
	sc.waiting++
	s.mu.Unlock()

	var none T
	select {
	case <-sc.done:
		if sc.err != nil {
			return none, sc.err
		}
		return sc.result.(T), nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	sc.waiting--
	last := sc.waiting == 0
	if last && s.running[question] == sc {
		delete(s.running, question)
	}
	s.mu.Unlock()
	if last {
		sc.cancel()
		<-sc.done // nothing may read the store behind the last request
	}
	return none, ctx.Err()
}

// run does the work and hands its result to those who wait.
func (s *scans) run(question string, sc *scan, work func() (any, error)) {
	defer func() {
		if p := recover(); p != nil {
			sc.err = fmt.Errorf("finding the answer to %s panicked: %v\n%s", question, p, debug.Stack())
		}
		s.mu.Lock()
		if s.running[question] == sc {
			delete(s.running, question)
		}
		s.mu.Unlock()
		sc.cancel()
		close(sc.done)
	}()
	sc.result, sc.err = work()
}

// errBusy says that as many scans are reading as may at once.
var errBusy = errors.New("too many raw scans")

// bound waits for a slot and calls read with the time that a scan may take. It
// gives errBusy, or what read gives; past the time that is
// context.DeadlineExceeded.
func (s *scans) bound(ctx context.Context, read func(context.Context) error) error {
	wait := time.NewTimer(slotWait)
	defer wait.Stop()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		s.tooMany.Add(1)
		return errBusy
	}
	s.started.Add(1)
	if s.opts.Scanned != nil {
		begun := time.Now()
		defer func() { s.opts.Scanned(time.Since(begun)) }()
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.RawScanTime)
	defer cancel()
	err := read(ctx)
	switch {
	case errors.Is(err, errTooMany):
		s.tooManyEvents.Add(1)
	case errors.Is(err, context.DeadlineExceeded):
		s.tooLong.Add(1)
	}
	return err
}

// day counts a day from its raw events, whose dates may be in the zones. Others
// may get the same Day, so that it may only be merged from. damage tells what
// is wrong with its rollup; nil is that there is none.
func (s *scans) day(ctx context.Context, key store.DayKey, zones []string, damage *store.DamagedError) (*rollup.Day, error) {
	return shared(ctx, s, key.String(), func(ctx context.Context) (*rollup.Day, error) {
		return s.count(ctx, key, zones, damage)
	})
}

// count folds the raw events of a day. A day that it cannot count is handed
// over to be repaired, so that nobody has to wait for it long.
func (s *scans) count(ctx context.Context, key store.DayKey, zones []string, damage *store.DamagedError) (*rollup.Day, error) {
	day := store.NewDay(key)
	err := s.bound(ctx, func(ctx context.Context) error {
		return store.FoldDay(ctx, bounded{Events: s.store, day: day, most: s.opts.RawScanEvents}, day, zones, nil)
	})
	switch {
	case errors.Is(err, errBusy):
		s.opts.Repair(key)
		return nil, refused(key, 2*time.Second, nil,
			"and %d other scans of raw events are under way, which is the most at once; try again soon", s.opts.RawScans)
	case errors.Is(err, errTooMany):
		s.opts.Repair(key)
		return nil, refused(key, time.Minute, nil,
			"and more than %d raw events, too many to count for an answer; `daybook rebuild` restores the rollup", s.opts.RawScanEvents)
	case errors.Is(err, context.DeadlineExceeded):
		s.opts.Repair(key)
		return nil, refused(key, time.Minute, err,
			"and its raw events could not be counted within %s; `daybook rebuild` restores the rollup", s.opts.RawScanTime)
	case err != nil:
		return nil, err
	}
	return day, s.warn(ctx, day, damage)
}

// ScanStats tells of the raw scans since the process began.
type ScanStats struct {
	// Running is how many are reading now, Started how many ever were.
	Running int
	Started uint64
	// RefusedBusy counts those that found too many others running,
	// RefusedEvents and RefusedTime those that were ended because the day has
	// too many events or took too long. A scan is counted once, for however
	// many requests it was.
	RefusedBusy, RefusedEvents, RefusedTime uint64
}

func (s *scans) stats() ScanStats {
	return ScanStats{
		Running: len(s.slots), Started: s.started.Load(),
		RefusedBusy: s.tooMany.Load(), RefusedEvents: s.tooManyEvents.Load(), RefusedTime: s.tooLong.Load(),
	}
}

// warn tells operators of a rollup that should be there, and hands it over to
// be repaired. One that is missing because the worker is about to write it is
// none of these: its events are beyond the checkpoints.
func (s *scans) warn(ctx context.Context, day *rollup.Day, damage *store.DamagedError) error {
	log := s.log.With("site", day.Site, "date", day.Date)
	key := store.KeyOf(day)
	if damage != nil {
		s.opts.Repair(key)
		log.Warn("rollup is damaged, its raw events are counted instead; `daybook rebuild` restores it", "damage", damage.Err)
		return nil
	}
	checkpoints, err := s.store.Checkpoints(ctx)
	if err != nil {
		return err
	}
	done := store.CheckpointMarks(checkpoints)
	for stream, mark := range day.Marks {
		if done.Covers(stream, mark) {
			s.opts.Repair(key)
			log.Warn("rollup is missing, its raw events are counted instead; `daybook rebuild` restores it")
			return nil
		}
	}
	return nil
}

// refused is the answer when a day cannot be counted now.
func refused(key store.DayKey, retry time.Duration, cause error, format string, args ...any) error {
	return &web.Error{
		Status:     http.StatusServiceUnavailable,
		Message:    fmt.Sprintf("%s has no rollup that can be read, ", key) + fmt.Sprintf(format, args...),
		RetryAfter: retry,
		Cause:      cause,
	}
}

var errTooMany = errors.New("too many raw events")

// bounded are the events of a store as the count of one day may read them: not
// too many, and the day is compacted on the way.
type bounded struct {
	store.Events
	day  *rollup.Day
	most int
}

// ScanDay is part of store.Events.
func (b bounded) ScanDay(ctx context.Context, site string, dates []string, after, upTo rollup.Marks, fn func(*store.Event) error) error {
	n := 0
	return b.Events.ScanDay(ctx, site, dates, after, upTo, func(e *store.Event) error {
		if n == b.most {
			return errTooMany
		}
		if n++; n%compactEvery == 0 {
			b.day.Compact(scanLimits)
		}
		return fn(e)
	})
}
