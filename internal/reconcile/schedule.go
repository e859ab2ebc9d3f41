package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/store"
)

// Schedule says when reconciliation runs, in the five fields of cron, in UTC;
// an empty one never runs.
type Schedule struct {
	// Check compares the totals of the days touched recently with their raw
	// events.
	Check string
	// Nightly checks yesterday and a sample of older days in full, makes the
	// counts of yesterday's overflowed tables exact, and makes the rollups of
	// months.
	Nightly string
	// Retention removes raw events that are older than they are kept; who
	// knows how does it (Also).
	Retention string
}

// Validate tells which schedule is wrong.
func (s Schedule) Validate() error {
	for name, spec := range map[string]string{"check reconciliation": s.Check, "nightly reconciliation": s.Nightly, "retention": s.Retention} {
		if spec == "" {
			continue
		}
		if _, err := cron.ParseStandard(spec); err != nil {
			return fmt.Errorf("schedule of the %s %q: %w; it has the five fields of cron, as */5 * * * *", name, spec, err)
		}
	}
	return nil
}

const (
	// recentDays is how many dates back from today a check goes, and one
	// ahead, for sites ahead of UTC.
	recentDays = 2
	// sampleDays is how many older days a night checks.
	sampleDays = 20
	// keptJobs is how many records of reconciliations are kept.
	keptJobs = 500
)

// Reconciler repairs rollups by itself, by schedule. Every worker process
// runs one; for each run the first to write its record does it, and the
// others leave it to that one. Start it once; Stop may be called at any time,
// and again.
type Reconciler struct {
	runner  *Runner
	tallies *tallies // of the check's goroutine: cron skips a run that would overlap
	cron    *cron.Cron
	log     *slog.Logger
	ctx     context.Context
	cancel  context.CancelFunc
	stop    sync.Once
}

// NewReconciler makes a Reconciler; the schedule must be valid.
func NewReconciler(runner *Runner, schedule Schedule, log *slog.Logger) (*Reconciler, error) {
	r := &Reconciler{runner: runner, tallies: newTallies(runner.store), log: log}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.cron = cron.New(cron.WithLocation(time.UTC), cron.WithChain(cron.SkipIfStillRunning(cron.DiscardLogger)))
	for _, run := range []struct {
		kind, spec string
		do         func(context.Context, *Job) error
	}{
		{KindCheck, schedule.Check, r.check},
		{KindNightly, schedule.Nightly, r.nightly},
	} {
		if run.spec == "" {
			continue
		}
		_, err := r.cron.AddFunc(run.spec, func() { r.run(run.kind, run.do) })
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Also has something else done by the same rules: at the times of a schedule,
// by one process, with a record, and not beside itself. It must be called
// before Start. An empty schedule never runs.
func (r *Reconciler) Also(kind, schedule string, do func(context.Context, *Work) error) error {
	if schedule == "" {
		return nil
	}
	_, err := r.cron.AddFunc(schedule, func() {
		r.run(kind, func(ctx context.Context, job *Job) error { return r.runner.alone(ctx, job, do) })
	})
	return err
}

// Start begins to wait for the times of the schedule.
func (r *Reconciler) Start() error {
	r.cron.Start()
	return nil
}

// Stop ends a run under way, which loses nothing but its work, and waits for
// its end.
func (r *Reconciler) Stop(ctx context.Context) error {
	r.stop.Do(r.cancel)
	select {
	case <-r.cron.Stop().Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("reconciliation did not end: %w", ctx.Err())
	}
}

// run does one run, unless another process does it or is still at the one
// before.
func (r *Reconciler) run(kind string, do func(context.Context, *Job) error) {
	begun := r.runner.now()
	log := r.log.With("kind", kind)
	job, err := r.claim(r.ctx, kind, begun)
	if err == nil && job != nil {
		err = do(r.ctx, job)
	}
	switch {
	case r.ctx.Err() != nil || errors.Is(err, store.ErrConflict):
	case err != nil:
		r.runner.stats.failed(kind)
		log.Warn("reconciliation failed", "error", err)
	case job != nil:
		r.runner.stats.succeeded(kind, r.runner.now())
		log.Info("reconciled", "days", job.Finished, "events", job.Events, "faulty", job.Faulty, "rebuilt", job.Rebuilt,
			"refused", job.Refused, "took", r.runner.now().Sub(begun).Round(time.Millisecond))
	}
	if err := r.prune(r.ctx); err != nil && r.ctx.Err() == nil {
		log.Warn("old records of reconciliations not removed", "error", err)
	}
}

// claim makes the record of the run of this minute; nil if another process
// has made it, or is still at an earlier one.
func (r *Reconciler) claim(ctx context.Context, kind string, now time.Time) (*Job, error) {
	latest, err := r.runner.List(ctx, 1, kind)
	if err != nil {
		return nil, err
	}
	if len(latest) > 0 && latest[0].State == Running && now.Sub(latest[0].Updated) < StaleAfter {
		return nil, nil
	}
	minute := now.UTC().Truncate(time.Minute)
	job, err := r.runner.jobs.create(ctx, minute.Format("20060102T150405Z")+"-"+kind, kind, Spec{}, "schedule", now)
	if errors.Is(err, store.ErrConflict) {
		return nil, nil
	}
	return job, err
}

// check compares counts with counts, and rebuilds what is not right.
func (r *Reconciler) check(ctx context.Context, job *Job) error {
	today := r.runner.now().UTC()
	job.Spec.From = today.AddDate(0, 0, -recentDays).Format(time.DateOnly)
	job.Spec.To = today.AddDate(0, 0, 1).Format(time.DateOnly)
	r.tallies.forget(func(key store.DayKey) bool { return key.Date >= job.Spec.From })

	run := r.runner.start(job, nil)
	return run.end(ctx, run.alive(ctx, func(ctx context.Context) error {
		return EachDay(ctx, r.runner.store, job.Spec.Range, func(key store.DayKey) error {
			right, err := r.tallies.right(ctx, key)
			if err != nil {
				run.seen(false)
				return run.unreadable(ctx, key, err)
			}
			run.seen(right)
			if !right {
				return run.day(ctx, key)
			}
			return nil
		})
	}))
}

// seen counts a day that was looked at, and whether that is all.
func (r *run) seen(finished bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.job.Days++
	if finished {
		r.job.Finished++
		r.stats.found(r.job.Kind, OK, false, false)
	}
}

// nightly does the day of each site that has ended last, then a sample of what
// is older, and then the months.
func (r *Reconciler) nightly(ctx context.Context, job *Job) error {
	now := r.runner.now().UTC()
	date := func(days int) string { return now.AddDate(0, 0, days).Format(time.DateOnly) }
	// In some zone or other it is one of these dates.
	job.Spec = Spec{Range: Range{From: date(-recentDays), To: date(0)}, Exact: true}
	run := r.runner.start(job, nil)
	days := run.each
	run.each = func(ctx context.Context, fn func(store.DayKey) error) error {
		return days(ctx, func(key store.DayKey) error {
			if clock, err := event.NewClock(key.Zone, key.Date); err == nil && !endedLast(clock, now) {
				return nil
			}
			return fn(key)
		})
	}
	err := run.end(ctx, run.alive(ctx, func(ctx context.Context) error { return run.all(ctx, 1) }))
	if err != nil {
		return err
	}
	older := Spec{Range: Range{To: date(-recentDays)}, Sample: sampleDays}
	sample, err := r.runner.jobs.create(ctx, newID(KindNightly, now), KindNightly, older, "schedule", now)
	if err != nil {
		return err
	}
	run = r.runner.start(sample, nil)
	return run.end(ctx, run.alive(ctx, func(ctx context.Context) error {
		if err := run.all(ctx, 1); err != nil {
			return err
		}
		return run.freshenAll(ctx)
	}))
}

// endedLast tells whether a day has ended in the last 24 hours.
func endedLast(clock event.Clock, now time.Time) bool {
	end := time.UnixMilli(clock.End)
	return !end.After(now) && end.After(now.Add(-24*time.Hour))
}

// prune removes the oldest records of reconciliations.
func (r *Reconciler) prune(ctx context.Context) error {
	list, err := r.runner.List(ctx, 2*keptJobs, KindCheck, KindNightly, KindRetention)
	if err != nil {
		return err
	}
	for _, job := range list[min(len(list), keptJobs):] {
		if err := r.runner.store.DropJob(ctx, job.ID); err != nil {
			return err
		}
	}
	return nil
}
