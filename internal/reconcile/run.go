package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// JobStore is what jobs need of the store.
type JobStore interface {
	Store
	Lister
	store.Jobs
}

// Runner runs rebuild jobs. It is safe for concurrent use, also by several
// processes on one store: the record of a job belongs to whoever wrote it
// last, and any other that runs it notices at its next write and ends.
type Runner struct {
	store  JobStore
	jobs   jobs
	limits rollup.Limits
	log    *slog.Logger
	now    func() time.Time
	stats  counters
}

// NewRunner makes a Runner that bounds the rollups that it writes.
func NewRunner(st JobStore, limits rollup.Limits, log *slog.Logger) *Runner {
	return &Runner{store: st, jobs: jobs{st}, limits: limits, log: log, now: time.Now}
}

// Errors of running a job.
var (
	// ErrCancelled says that the job was cancelled.
	ErrCancelled = errors.New("the job was cancelled")
	// ErrNotResumable says that the job is at work elsewhere, or at its end.
	ErrNotResumable = errors.New("the job cannot be resumed")
)

// MaxParallel is the most days that one job rebuilds at a time.
const MaxParallel = 64

// Create makes the record of a rebuild job. by tells who wants it.
func (r *Runner) Create(ctx context.Context, spec Spec, by string) (*Job, error) {
	now := r.now()
	return r.jobs.create(ctx, newID(KindRebuild, now), KindRebuild, spec, by, now)
}

// Job gives a job, or store.ErrNotFound.
func (r *Runner) Job(ctx context.Context, id string) (*Job, error) { return r.jobs.load(ctx, id) }

// List gives up to limit jobs of the kinds, newest first.
func (r *Runner) List(ctx context.Context, limit int, kinds ...string) ([]*Job, error) {
	return r.jobs.list(ctx, limit, kinds...)
}

// Cancel ends a job. The days that it has rebuilt stay as they are.
func (r *Runner) Cancel(ctx context.Context, id string) (*Job, error) {
	for {
		job, err := r.jobs.load(ctx, id)
		if err != nil {
			return nil, err
		}
		if job.State == Done || job.State == Cancelled {
			return job, nil
		}
		job.State = Cancelled
		err = r.jobs.save(ctx, job, r.now())
		if !errors.Is(err, store.ErrConflict) {
			return job, err
		}
	}
}

// Resume takes over a job that was stopped, failed, or has lost its process.
// The job must then be run.
func (r *Runner) Resume(ctx context.Context, id string) (*Job, error) {
	return r.resume(ctx, id, r.now().Add(-StaleAfter))
}

// TakeOver resumes even a job with fresh news. It is for who knows that the
// job has lost its process; if it has not, that process ends with it at its
// next write.
func (r *Runner) TakeOver(ctx context.Context, id string) (*Job, error) {
	return r.resume(ctx, id, r.now())
}

// resume takes over a job; one that is running if its last news are older.
func (r *Runner) resume(ctx context.Context, id string, older time.Time) (*Job, error) {
	job, err := r.jobs.load(ctx, id)
	if err != nil {
		return nil, err
	}
	switch {
	case job.State == Done || job.State == Cancelled:
		return nil, fmt.Errorf("job %s is %s: %w", id, job.State, ErrNotResumable)
	case job.State == Running && job.Updated.After(older):
		return nil, fmt.Errorf("job %s is at work (last news %s ago; without news for %s it can be resumed): %w",
			id, r.now().Sub(job.Updated).Round(time.Second), StaleAfter, ErrNotResumable)
	}
	job.State, job.Error = Running, ""
	return job, r.jobs.save(ctx, job, r.now())
}

// Run does what is left of a job that Create or Resume gave, parallel days at
// a time, and calls progress, from one goroutine at a time, with the job after
// each day unless that is nil. When ctx ends it finishes no further day and leaves the job
// Stopped; when days cannot be checked it leaves it Failed.
func (r *Runner) Run(ctx context.Context, job *Job, parallel int, progress func(*Job)) error {
	run := r.start(job, progress)
	return run.end(ctx, run.alive(ctx, func(ctx context.Context) error {
		if err := run.all(ctx, parallel); err != nil {
			return err
		}
		made, err := RebuildMonths(ctx, r.store, run.rebuilt, r.now())
		run.madeMonths(made)
		return err
	}))
}

// newsEvery is the most time between two writes of a running job's record.
const newsEvery = StaleAfter / 6

// alive does the work of a run and writes the job's record meanwhile, because
// a single day can take longer than StaleAfter. That is also how a run that
// was cancelled or taken over notices it in the midst of a day.
func (r *run) alive(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var news sync.WaitGroup
	news.Go(func() {
		ticker := time.NewTicker(newsEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			r.mu.Lock()
			err := r.save(ctx)
			r.mu.Unlock()
			if errors.Is(err, store.ErrConflict) {
				cancel(err)
			}
			// Another error need not last, and if it does the work has it too.
		}
	})
	err := work(ctx)
	cancel(err)
	news.Wait()
	if cause := context.Cause(ctx); errors.Is(cause, store.ErrConflict) {
		return cause
	}
	return err
}

// start makes a run of a job that rebuilds the days of its range.
func (r *Runner) start(job *Job, progress func(*Job)) *run {
	run := &run{Runner: r, job: job, progress: progress, begun: r.now(), spent: job.Seconds}
	run.each = func(ctx context.Context, fn func(store.DayKey) error) error {
		return EachDay(ctx, r.store, job.Spec.Range, fn)
	}
	run.do = run.day
	return run
}

// end records how a run ended, with err or well, and says the same.
func (r *run) end(ctx context.Context, err error) error {
	// The record is written even if ctx has ended, but not at any price.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if errors.Is(err, store.ErrConflict) {
		return r.lost(end, r.job.ID)
	}
	switch {
	case err == nil:
		r.job.State, r.job.Ahead = Done, nil
	case ctx.Err() != nil:
		r.job.State = Stopped
	default:
		r.job.State, r.job.Error = Failed, err.Error()
	}
	if saveErr := r.save(end); errors.Is(saveErr, store.ErrConflict) {
		return r.lost(end, r.job.ID)
	} else if saveErr != nil {
		return errors.Join(err, saveErr)
	}
	return err
}

// lost says why the record of a job that is running was written by somebody
// else.
func (r *Runner) lost(ctx context.Context, id string) error {
	job, err := r.jobs.load(ctx, id)
	switch {
	case err != nil:
		return err
	case job.State == Cancelled:
		return fmt.Errorf("job %s: %w", id, ErrCancelled)
	}
	return fmt.Errorf("job %s was taken over by another process", id)
}

// run is one run of a job.
type run struct {
	*Runner
	begun time.Time
	spent float64 // seconds of earlier runs

	// each lists the job's days, in order, and do does one of them.
	each func(ctx context.Context, fn func(store.DayKey) error) error
	do   func(ctx context.Context, key store.DayKey) error

	mu       sync.Mutex // protects what follows
	job      *Job
	progress func(*Job)
	// pending are the days that were given out and lie behind the cursor, in
	// order; those that are finished wait for the ones before them.
	pending []pendingDay
	given   store.DayKey   // the last one that was given out
	rebuilt []store.DayKey // the days that this run has rebuilt
}

type pendingDay struct {
	key  store.DayKey
	done bool
}

// all does all days that are not finished.
func (r *run) all(ctx context.Context, parallel int) error {
	if err := r.count(ctx); err != nil {
		return err
	}
	finished := make(map[store.DayKey]bool)
	for _, key := range r.job.Ahead {
		finished[key] = true
	}
	cursor := r.job.Cursor

	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, min(parallel, MaxParallel)))
	err := r.each(groupCtx, func(key store.DayKey) error {
		if compareKeys(key, cursor) <= 0 || !r.job.chosen(key) {
			return nil
		}
		r.mu.Lock()
		r.pending = append(r.pending, pendingDay{key, finished[key]})
		r.given = key
		r.mu.Unlock()
		if finished[key] {
			return nil
		}
		group.Go(func() error {
			if err := groupCtx.Err(); err != nil {
				return err
			}
			return r.do(groupCtx, key)
		})
		return groupCtx.Err()
	})
	// What failed in a day is why listing the others ended.
	if groupErr := group.Wait(); groupErr != nil {
		return groupErr
	}
	return err
}

// count counts the days that there are to do, unless that is done.
func (r *run) count(ctx context.Context) error {
	if r.job.Days > 0 {
		return nil
	}
	days := 0
	if err := r.each(ctx, func(store.DayKey) error { days++; return nil }); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.job.Days, r.job.Population = days, days
	if n := r.job.Spec.Sample; n > 0 {
		r.job.Days = min(n, days)
	}
	return r.save(ctx)
}

// compareKeys orders days as EachDay does.
func compareKeys(a, b store.DayKey) int {
	return slices.Compare([]string{a.Site, a.Date}, []string{b.Site, b.Date})
}

// day does one day and records it.
func (r *run) day(ctx context.Context, key store.DayKey) error {
	spec := r.job.Spec // never changes
	opts := Options{Limits: r.limits, Force: spec.Force, Exact: spec.Exact}
	var (
		check   *Check
		rebuilt bool
		err     error
	)
	if spec.DryRun {
		if check, err = CheckDay(ctx, r.store, key); err == nil {
			rebuilt, err = opts.verdict(check)
		}
	} else {
		check, rebuilt, err = RebuildDay(ctx, r.store, key, opts)
	}
	return r.record(ctx, key, check, rebuilt, err)
}

// record records what a check or a rebuild of a day gave.
func (r *run) record(ctx context.Context, key store.DayKey, check *Check, rebuilt bool, err error) error {
	if err != nil && !refused(err) {
		return r.unreadable(ctx, key, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	job, spec := r.job, r.job.Spec
	job.Events += int64(check.True.Folded())
	r.stats.found(job.Kind, check.State, rebuilt && !spec.DryRun, err != nil)
	if rebuilt {
		job.Rebuilt++
		if !spec.DryRun {
			r.rebuilt = append(r.rebuilt, key)
		}
	}
	switch {
	case check.State == OK && !rebuilt:
	case check.State == Partial && !rebuilt:
		job.Partial++
	default:
		if check.State != OK && check.State != Partial {
			job.Faulty++
		}
		if err != nil {
			job.Refused++
		}
		job.find(finding(check, rebuilt && !spec.DryRun, err))
		r.log.Info("day is not right", "site", key.Site, "date", key.Date, "state", check.State, "rebuilt", rebuilt && !spec.DryRun, "refused", err)
	}
	return r.done(ctx, key)
}

// unreadable records that a day could not be checked, which is no reason to
// leave the others, unless err is of a kind that they would have too.
func (r *run) unreadable(ctx context.Context, key store.DayKey, err error) error {
	if ctx.Err() != nil || errors.Is(err, store.ErrUnavailable) {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.job.Unreadable++
	r.job.find(Finding{Site: key.Site, Date: key.Date, State: Unreadable, Refused: err.Error()})
	r.stats.found(r.job.Kind, Unreadable, false, false)
	r.log.Error("day cannot be checked", "site", key.Site, "date", key.Date, "error", err)
	return r.done(ctx, key)
}

// done records that a day is finished. The caller holds mu.
func (r *run) done(ctx context.Context, key store.DayKey) error {
	r.job.Finished++
	r.finish(key)
	if err := r.save(ctx); err != nil {
		return err
	}
	if r.progress != nil {
		r.progress(r.job)
	}
	return nil
}

// refused tells whether an error says that a day was left as it is.
func refused(err error) bool { return errors.Is(err, ErrSmaller) || errors.Is(err, ErrPartial) }

// finish moves the job's cursor over all finished days that it reaches. The
// caller holds mu.
func (r *run) finish(key store.DayKey) {
	for i := range r.pending {
		if r.pending[i].key == key {
			r.pending[i].done = true
		}
	}
	for len(r.pending) > 0 && r.pending[0].done {
		r.job.Cursor = r.pending[0].key
		r.pending = r.pending[1:]
	}
	var ahead []store.DayKey
	for _, p := range r.pending {
		if p.done {
			ahead = append(ahead, p.key)
		}
	}
	for _, key := range r.job.Ahead {
		if compareKeys(key, r.given) > 0 { // finished by an earlier run
			ahead = append(ahead, key)
		}
	}
	r.job.Ahead = ahead
}

// save writes the job's record. The caller holds mu, or is alone.
func (r *run) save(ctx context.Context) error {
	now := r.now()
	r.job.Seconds = r.spent + now.Sub(r.begun).Seconds()
	return r.jobs.save(ctx, r.job, now)
}
