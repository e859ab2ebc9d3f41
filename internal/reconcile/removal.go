package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
)

// Raw events may be removed by one at a time only. Who does it has a record of
// a kind of its own that says so, and is not at work before it has seen that
// there is no other such record.

// ErrBusy says that another job is at work, beside which this one cannot be.
var ErrBusy = errors.New("another job must end first")

func busyWith(other *Job) error {
	return fmt.Errorf("%w: job %s, by %s; try again when it has ended (one that was killed counts as ended after %s)",
		ErrBusy, other.ID, other.By, StaleAfter)
}

// Work is what a job other than a rebuild does to record how far it is.
type Work struct{ run *run }

// Rebuild makes sure that the rollup of a day is what its raw events give, the
// counts of overflowed tables too, and records what it found. If the rollup
// was left as it is because counts could get lost, or the day cannot be read,
// left says why. err is for what is no matter of this day.
func (w *Work) Rebuild(ctx context.Context, key store.DayKey) (rebuilt bool, left, err error) {
	check, rebuilt, left := RebuildDay(ctx, w.run.store, key, Options{Limits: w.run.limits, Exact: true})
	return rebuilt, left, w.run.record(ctx, key, check, rebuilt, left)
}

// Alone does work that removes raw events, unless other such work is under way:
// then the error wraps ErrBusy. Its record tells of it meanwhile and
// afterwards.
func (r *Runner) Alone(ctx context.Context, kind string, what Range, by string, do func(context.Context, *Work) error) (*Job, error) {
	now := r.now()
	job, err := r.jobs.create(ctx, newID(kind, now), kind, Spec{Range: what}, by, now)
	if err != nil {
		return nil, err
	}
	return job, r.alone(ctx, job, do)
}

// alone does the work of a job that there is a record of. When two begin at
// once both may see the other and leave it.
func (r *Runner) alone(ctx context.Context, job *Job, do func(context.Context, *Work) error) error {
	// A change of a zone takes days over of which raw events are gone, and
	// builds others of those that are there: neither may change meanwhile.
	others, err := r.AtWork(ctx, KindRetention, KindErasure, KindTimezone)
	others = slices.DeleteFunc(others, func(other *Job) bool { return other.ID == job.ID })
	if err == nil && len(others) > 0 {
		err = busyWith(others[0])
	}
	if err != nil {
		return errors.Join(err, r.store.DropJob(context.WithoutCancel(ctx), job.ID))
	}
	run := r.start(job, nil)
	return run.end(ctx, run.alive(ctx, func(ctx context.Context) error { return do(ctx, &Work{run}) }))
}

// listedJobs is how many of the newest records are looked at.
const listedJobs = 500

// AtWork lists the jobs of the kinds that run now, in any process.
func (r *Runner) AtWork(ctx context.Context, kinds ...string) ([]*Job, error) {
	list, err := r.List(ctx, listedJobs, kinds...)
	return slices.DeleteFunc(list, func(j *Job) bool { return j.State != Running || j.Lost(r.now()) }), err
}

// quietPoll is the time between two looks at jobs that are waited for.
const quietPoll = 100 * time.Millisecond

// Quiet waits for the end of the rebuilds and checks that run now. Those may
// have read raw events that were removed since, and still write what they
// give; those that begin later cannot.
func (r *Runner) Quiet(ctx context.Context) error {
	running, err := r.AtWork(ctx, KindRebuild, KindCheck, KindNightly)
	for _, job := range running {
		for err == nil && job.State == Running && !job.Lost(r.now()) {
			select {
			case <-time.After(quietPoll):
			case <-ctx.Done():
				return ctx.Err()
			}
			job, err = r.jobs.load(ctx, job.ID)
		}
		if errors.Is(err, store.ErrNotFound) {
			err = nil
		}
	}
	return err
}

// Forget takes out of the records of jobs that have ended what they found of a
// site, and drops those that were about it alone. It tells how many records it
// changed or dropped.
func (r *Runner) Forget(ctx context.Context, site string) (changed int, err error) {
	for before := ""; ; {
		records, err := r.store.Jobs(ctx, before, listedJobs)
		if err != nil || len(records) == 0 {
			return changed, err
		}
		for _, record := range records {
			before = record.ID
			job, err := parseJob(record)
			if err != nil {
				return changed, err
			}
			did, err := r.forget(ctx, job, site)
			if did {
				changed++
			}
			if err != nil {
				return changed, fmt.Errorf("take site %s out of job %s: %w", site, job.ID, err)
			}
		}
	}
}

func (r *Runner) forget(ctx context.Context, job *Job, site string) (did bool, err error) {
	if job.State == Running && !job.Lost(r.now()) {
		return false, nil
	}
	if job.Spec.Site == site {
		return true, r.store.DropJob(ctx, job.ID)
	}
	findings := len(job.Findings)
	job.Findings = slices.DeleteFunc(job.Findings, func(f Finding) bool { return f.Site == site })
	// A job that can be resumed needs its place.
	over := (job.State == Done || job.State == Cancelled) && job.Cursor.Site == site
	if over {
		job.Cursor = store.DayKey{}
	}
	if len(job.Findings) == findings && !over {
		return false, nil
	}
	err = r.jobs.save(ctx, job, job.Updated)
	if errors.Is(err, store.ErrConflict) {
		return false, nil // it was resumed just now
	}
	return true, err
}

// UnfinishedErasures tells what was to be erased of a site by those that did
// not come to their end: killed, stopped or failed.
func (r *Runner) UnfinishedErasures(ctx context.Context, site string) ([]Range, error) {
	var ranges []Range
	err := r.eachErasure(ctx, site, func(job *Job) error {
		ranges = append(ranges, job.Spec.Range)
		return nil
	})
	return ranges, err
}

// DropErasures drops the records of erasures of a site that have ended.
func (r *Runner) DropErasures(ctx context.Context, site string) (dropped int, err error) {
	err = r.eachErasure(ctx, site, func(job *Job) error {
		dropped++
		return r.store.DropJob(ctx, job.ID)
	})
	return dropped, err
}

func (r *Runner) eachErasure(ctx context.Context, site string, fn func(*Job) error) error {
	list, err := r.List(ctx, listedJobs, KindErasure)
	for _, job := range list {
		if err == nil && job.Spec.Site == site && (job.State != Running || job.Lost(r.now())) {
			err = fn(job)
		}
	}
	return err
}
