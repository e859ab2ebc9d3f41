package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/web"
)

// MaxJobs is the most records of jobs that are listed at once.
const MaxJobs = 1000

// defaultParallel leaves the workers of a small machine some of it.
const defaultParallel = 2

// Rebuild says what a rebuild job does, and how.
type Rebuild struct {
	reconcile.Range
	// All stands for all sites, in the place of one.
	All bool `json:"all,omitempty"`
	// DryRun only tells what would change; Force rebuilds also where that may
	// lose counts; Exact also where tables have overflowed.
	DryRun bool `json:"dry_run,omitempty"`
	Force  bool `json:"force,omitempty"`
	Exact  bool `json:"exact,omitempty"`
	// Parallel is how many days are rebuilt at a time, up to
	// reconcile.MaxParallel; 0 is the default.
	Parallel int `json:"parallel,omitempty"`
	// By tells who wants it.
	By string `json:"by,omitempty"`
}

// Validate tells what is wrong with it.
func (r *Rebuild) Validate() error {
	if err := checkDays(r.Range, r.All); err != nil {
		return err
	}
	return checkParallel(r.Parallel)
}

// checkDays tells what is wrong with a choice of days.
func checkDays(days reconcile.Range, all bool) error {
	if all == (days.Site != "") {
		return errors.New("a site is needed, or that all are meant; not both")
	}
	return days.Validate()
}

func checkParallel(n int) error {
	if n < 0 || n > reconcile.MaxParallel {
		return fmt.Errorf("parallel %d: allowed are 1 to %d", n, reconcile.MaxParallel)
	}
	return nil
}

// invalid makes an error, if there is one, an answer to a request that is wrong.
func invalid(err error) error {
	if err == nil {
		return nil
	}
	return &web.Error{Status: http.StatusUnprocessableEntity, Message: err.Error(), Cause: err}
}

// StartRebuild is part of Actions.
func (a *Admin) StartRebuild(ctx context.Context, r Rebuild) (*reconcile.Job, error) {
	if err := r.Validate(); err != nil {
		return nil, invalid(err)
	}
	if err := a.checkSite(ctx, r.Site); err != nil {
		return nil, err
	}
	job, err := a.runner.Create(ctx, reconcile.Spec{Range: r.Range, DryRun: r.DryRun, Force: r.Force, Exact: r.Exact}, r.By)
	if err != nil {
		return nil, err
	}
	return a.run(job, r.Parallel)
}

// errFound ends a search that has found something.
var errFound = errors.New("found")

// checkSite gives store.ErrNotFound for a site of which there is nothing.
func (a *Admin) checkSite(ctx context.Context, site string) error {
	if site == "" {
		return nil
	}
	err := reconcile.EachDay(ctx, a.store, reconcile.Range{Site: site}, func(store.DayKey) error { return errFound })
	if errors.Is(err, errFound) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("site %q has neither raw events nor rollups: %w", web.Shorten(site), store.ErrNotFound)
	}
	return err
}

// ResumeRebuild is part of Actions.
func (a *Admin) ResumeRebuild(ctx context.Context, id string, parallel int) (*reconcile.Job, error) {
	if err := checkParallel(parallel); err != nil {
		return nil, invalid(err)
	}
	job, err := a.runner.Job(ctx, id)
	if err != nil {
		return nil, err
	}
	if job.Kind != reconcile.KindRebuild && job.Kind != reconcile.KindTimezone {
		return nil, fmt.Errorf("%s is a scheduled reconciliation, the next of which does its work: %w", id, reconcile.ErrNotResumable)
	}
	if job.Kind == reconcile.KindTimezone && a.queue == nil {
		return nil, errNoQueue
	}
	resume := a.runner.Resume
	if a.alone && !a.has(id) {
		resume = a.runner.TakeOver // the process that ran it is gone
	}
	if job, err = resume(ctx, id); err != nil {
		return nil, err
	}
	return a.run(job, parallel)
}

// has tells whether a job runs here.
func (a *Admin) has(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.running[id] != nil
}

// run runs a job in the background, and gives its record as it is now.
func (a *Admin) run(job *reconcile.Job, parallel int) (*reconcile.Job, error) {
	begun := *job
	begun.Findings, begun.Ahead = slices.Clone(job.Findings), slices.Clone(job.Ahead)

	a.mu.Lock()
	defer a.mu.Unlock()
	ctx, cancel := context.WithCancel(a.ctx)
	if a.stopped {
		cancel()
		// It ends at once, and says so in its record.
		return nil, &web.Error{Status: http.StatusServiceUnavailable, Message: "this daybook is stopping",
			Cause: a.runner.Run(ctx, job, 1, nil)}
	}
	a.running[job.ID] = cancel
	a.jobs.Go(func() {
		defer cancel()
		log := a.log.With("job", begun.ID, "by", begun.By)
		log.Info("job begins", "spec", begun.Spec)
		var err error
		if parallel = cmp.Or(parallel, defaultParallel); job.Kind == reconcile.KindTimezone {
			err = a.runner.RunZoneChange(ctx, job, a.queue, parallel)
		} else {
			err = a.runner.Run(ctx, job, parallel, nil)
		}
		a.mu.Lock()
		delete(a.running, begun.ID)
		a.mu.Unlock()
		switch {
		case err == nil:
			log.Info("job ended", "days", job.Finished, "events", job.Events, "faulty", job.Faulty, "rebuilt", job.Rebuilt, "refused", job.Refused)
		case ctx.Err() != nil:
			log.Info("job ended before its end", "reason", err)
		default:
			log.Error("job failed", "error", err)
		}
	})
	return &begun, nil
}

// CancelRebuild is part of Actions.
func (a *Admin) CancelRebuild(ctx context.Context, id string) (*reconcile.Job, error) {
	job, err := a.runner.Cancel(ctx, id)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if cancel := a.running[id]; cancel != nil {
		cancel() // in another process it notices by itself
	}
	return job, nil
}

// Rebuild is part of Actions.
func (a *Admin) Rebuild(ctx context.Context, id string) (*reconcile.Job, error) {
	return a.runner.Job(ctx, id)
}

// Rebuilds is part of Actions.
func (a *Admin) Rebuilds(ctx context.Context, limit int) ([]*reconcile.Job, error) {
	return a.runner.List(ctx, limit, reconcile.KindRebuild, reconcile.KindTimezone)
}

// Reconciliations is part of Actions.
func (a *Admin) Reconciliations(ctx context.Context, limit int) ([]*reconcile.Job, error) {
	return a.runner.List(ctx, limit, reconcile.KindCheck, reconcile.KindNightly, reconcile.KindRetention)
}
