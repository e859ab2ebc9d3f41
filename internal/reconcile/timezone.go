package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
)

// drainPatience is how long the workers may stand still while a job waits for
// them.
const drainPatience = 30 * time.Second

// CreateZoneChange makes the record of a job that changes the time zone of a
// site; "" is UTC. by tells who wants it. The error wraps ErrBusy while another
// job changes the site's zone or raw events are being removed.
func (r *Runner) CreateZoneChange(ctx context.Context, name, zone, by string) (*Job, error) {
	now := r.now()
	spec := Spec{Range: Range{Site: name}, Timezone: &zone}
	job, err := r.jobs.create(ctx, newID(KindTimezone, now), KindTimezone, spec, by, now)
	if err != nil {
		return nil, err
	}
	if err := r.undisturbed(ctx, job); err != nil {
		return nil, errors.Join(err, r.store.DropJob(context.WithoutCancel(ctx), job.ID))
	}
	return job, nil
}

// UnfinishedZoneChange gives the newest job that changes the time zone of a
// site and did not come to its end, or nil.
func (r *Runner) UnfinishedZoneChange(ctx context.Context, name string) (*Job, error) {
	list, err := r.List(ctx, listedJobs, KindTimezone)
	for _, job := range list {
		if job.Spec.Site == name {
			if job.State == Done || job.State == Cancelled {
				break
			}
			return job, nil
		}
	}
	return nil, err
}

// RunZoneChange does what is left of a job that CreateZoneChange or Resume
// gave, parallel days at a time. It ends as Run does.
func (r *Runner) RunZoneChange(ctx context.Context, job *Job, q Queue, parallel int) error {
	run := r.start(job, nil)
	change := &ZoneChange{
		Site: job.Spec.Site, Zone: *job.Spec.Timezone, Limits: r.limits,
		Wait: func(ctx context.Context) error {
			drain, err := NewDrain(ctx, q)
			if err != nil {
				return err
			}
			return drain.Wait(ctx, r.store, drainPatience)
		},
		Restart: run.restart,
		Build: func(ctx context.Context, days []store.DayKey, build BuildFunc) error {
			return run.buildZone(ctx, parallel, days, build)
		},
	}
	return run.end(ctx, run.alive(ctx, func(ctx context.Context) error {
		if err := r.undisturbed(ctx, job); err != nil {
			return err
		}
		return change.Run(ctx, r.store)
	}))
}

// undisturbed gives an error that wraps ErrBusy if a job is at work that a job
// which changes a zone must not meet.
func (r *Runner) undisturbed(ctx context.Context, job *Job) error {
	others, err := r.AtWork(ctx, KindRetention, KindErasure, KindTimezone)
	for _, other := range others {
		if other.ID != job.ID && (other.Kind != KindTimezone || other.Spec.Site == job.Spec.Site) {
			return busyWith(other)
		}
	}
	return err
}

// restart forgets how far the job was.
func (r *run) restart(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.job.Cursor, r.job.Ahead = store.DayKey{}, nil
	r.job.Days, r.job.Finished, r.job.Events, r.job.Rebuilt, r.job.TakenOver = 0, 0, 0, 0, 0
	return r.save(ctx)
}

// buildZone builds those of the days of a new zone that are not built yet, and
// the months that are over.
func (r *run) buildZone(ctx context.Context, parallel int, days []store.DayKey, build BuildFunc) error {
	r.each = func(_ context.Context, fn func(store.DayKey) error) error {
		for _, key := range days {
			if err := fn(key); err != nil {
				return err
			}
		}
		return nil
	}
	r.do = func(ctx context.Context, key store.DayKey) error {
		check, takenOver, err := build(ctx, key)
		if err != nil {
			return fmt.Errorf("build %s: %w", key, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.job.Events += int64(check.True.Folded())
		if takenOver {
			r.job.TakenOver++
		} else if check.True.Folded() > 0 {
			r.job.Rebuilt++
		}
		return r.done(ctx, key)
	}
	if err := r.all(ctx, parallel); err != nil {
		return err
	}
	return r.freshen(ctx, r.job.Spec.Site, *r.job.Spec.Timezone)
}
