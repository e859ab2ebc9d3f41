package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"time"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/progress"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/rollup"
)

type rebuildCmd struct {
	days
	DryRun    bool   `env:"-" help:"Change nothing: show what would change, and what it costs to find out."`
	Force     bool   `env:"-" help:"Rebuild even where that loses counts: days whose raw events are not all kept, or give less than is stored."`
	Exact     bool   `env:"-" help:"Also rebuild days that are right but whose tables have overflowed, so that the counts that are kept become exact."`
	Resume    string `env:"-" placeholder:"JOB" help:"Go on with a job that was stopped, failed or killed."`
	Parallel  int    `default:"2" placeholder:"N" help:"Days to rebuild at a time (1 to 64)."`
	TableKeys int    `default:"2000" placeholder:"N" help:"As for the workers. A daybook that runs on --data has its own."`
	JSON      bool   `name:"json" help:"Print the job's record as JSON at the end."`
	installation
}

func (c *rebuildCmd) Validate() error {
	if c.Resume == "" {
		if err := c.days.Validate(); err != nil {
			return err
		}
	} else if c.days != (days{}) || c.DryRun || c.Force || c.Exact {
		return errors.New("--resume goes on with a job as it was begun: give no days, --dry-run, --force or --exact with it")
	}
	if c.Parallel < 1 || c.Parallel > reconcile.MaxParallel {
		return fmt.Errorf("--parallel %d: allowed are 1 to %d", c.Parallel, reconcile.MaxParallel)
	}
	if err := c.limits().Validate(); err != nil {
		return fmt.Errorf("--table-keys: %w", err)
	}
	return c.installation.Validate()
}

func (c *rebuildCmd) limits() rollup.Limits {
	return rollup.Limits{Keys: c.TableKeys, Bytes: rollup.DefaultLimits.Bytes}
}

func (c *rebuildCmd) Run(env *env) error {
	return c.do(env, app.Needs{Store: true, Limits: c.limits()}, func(actions admin.Actions) error {
		job, err := c.start(env, actions)
		if err != nil {
			return err
		}
		fmt.Fprintf(env.stderr, "job %s\n", job.ID)
		return c.follow(env, actions, job)
	})
}

// follow shows how far a job is until it ends, and then what it has found.
func (c *rebuildCmd) follow(env *env, actions admin.Actions, job *reconcile.Job) error {
	job, err := wait(env, actions, job)
	if err != nil {
		return err
	}
	if c.JSON {
		err = json.NewEncoder(env.stdout).Encode(job)
	} else {
		err = showFindings(env, job)
	}
	return errors.Join(err, ended(job))
}

func (c *rebuildCmd) start(env *env, actions admin.Actions) (*reconcile.Job, error) {
	if c.Resume != "" {
		return actions.ResumeRebuild(env.ctx, c.Resume, c.Parallel)
	}
	return actions.StartRebuild(env.ctx, admin.Rebuild{
		Range: c.days.days(), All: c.All, DryRun: c.DryRun, Force: c.Force, Exact: c.Exact, Parallel: c.Parallel, By: who(),
	})
}

// who tells who runs this command, and where.
func who() string {
	name, host := "somebody", "an unknown host"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return name + "@" + host
}

const (
	minPoll = 20 * time.Millisecond
	maxPoll = 500 * time.Millisecond
)

// wait shows how far a job is until it ends, and gives its last record.
func wait(env *env, actions admin.Actions, job *reconcile.Job) (*reconcile.Job, error) {
	resume := fmt.Sprintf("`daybook rebuild --resume %s`", job.ID)
	var bar *progress.Progress
	defer func() {
		if bar != nil {
			bar.Close()
		}
	}()
	for pause := minPoll; job.State == reconcile.Running; pause = min(2*pause, maxPoll) {
		if job.Lost(time.Now()) {
			return nil, fmt.Errorf("job %s had no news for %s, so that its process is gone: go on with %s", job.ID, reconcile.StaleAfter, resume)
		}
		if bar == nil && job.Days > 0 {
			bar = progress.New(env.stderr, int64(job.Days), false)
		}
		if bar != nil {
			bar.Set(int64(job.Finished), pace(job))
		}
		select {
		case <-time.After(pause):
		case <-env.ctx.Done():
			if _, remote := actions.(*admin.Client); remote {
				return nil, fmt.Errorf("job %s goes on in the running daybook: `daybook jobs show %[1]s` tells how far it is, `daybook jobs cancel %[1]s` ends it", job.ID)
			}
			return nil, fmt.Errorf("job %s is stopped, and what it has done is done: go on with %s", job.ID, resume)
		}
		next, err := actions.Rebuild(env.ctx, job.ID)
		if err != nil && env.ctx.Err() == nil {
			return nil, fmt.Errorf("job %s: %w; if it does not go on, then go on with %s", job.ID, err, resume)
		}
		if err == nil {
			job = next
		}
	}
	return job, nil
}

// pace tells how fast a job is and how long it may still take.
func pace(job *reconcile.Job) string {
	if job.Finished == 0 || job.Seconds == 0 {
		return fmt.Sprintf("%d days to do", job.Days)
	}
	left := job.Seconds / float64(job.Finished) * float64(max(0, job.Days-job.Finished))
	return fmt.Sprintf("%d events, %.0f events/s, %s left", job.Events,
		float64(job.Events)/job.Seconds, time.Duration(left*float64(time.Second)).Round(time.Second))
}

// ended tells by the exit code, and if need be in words, how a job ended.
func ended(job *reconcile.Job) error {
	switch job.State {
	case reconcile.Failed:
		return fmt.Errorf("job %s failed: %s; once that is mended go on with `daybook rebuild --resume %[1]s`", job.ID, job.Error)
	case reconcile.Stopped:
		return fmt.Errorf("job %s was stopped with the daybook that ran it: go on with `daybook rebuild --resume %[1]s`", job.ID)
	case reconcile.Cancelled:
		return fmt.Errorf("job %s was cancelled", job.ID)
	}
	if job.Refused > 0 || job.Unreadable > 0 {
		return &exitError{exitFailed}
	}
	return nil
}

// showFindings shows what a job has found, and a summary.
func showFindings(env *env, job *reconcile.Job) error {
	table := newDayTable(env.stdout)
	for i := range job.Findings {
		f := &job.Findings[i]
		switch {
		case f.Refused != "":
			table.note(f.Site, f.Date, f.State, "left as it is: "+f.Refused)
		case f.State == reconcile.OK:
			table.note(f.Site, f.Date, f.State, "counts of overflowed tables made exact")
		}
		table.day(f.Site, f.Date, f.State, f.Differences, f.More)
	}
	if err := table.out.Flush(); err != nil {
		return err
	}
	if shown := len(job.Findings); job.Faulty+job.Unreadable > shown {
		fmt.Fprintf(env.stdout, "only the first %d days are shown; `daybook verify` shows all\n", shown)
	}
	did := "rebuilt"
	if job.Spec.DryRun {
		did = "would be rebuilt"
	}
	fmt.Fprintf(env.stdout, "%d days with %d raw events in %.1f s: %d not right, %d %s, %d left as they are, %d not checkable, %d with errors\n",
		job.Finished, job.Events, job.Seconds, job.Faulty, job.Rebuilt, did, job.Refused, job.Partial, job.Unreadable)
	if job.Spec.DryRun {
		fmt.Fprintf(env.stdout, "nothing was changed; a rebuild reads the same %d events, which took %.1f s, and writes %d rollups\n", job.Events, job.Seconds, job.Rebuilt)
	}
	return nil
}
