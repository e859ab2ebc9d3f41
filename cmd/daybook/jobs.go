package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/reconcile"
)

type jobsCmd struct {
	List   jobsListCmd   `cmd:"" help:"List rebuild jobs, or runs of the scheduled reconciliation."`
	Show   jobsShowCmd   `cmd:"" help:"Show one of them in full."`
	Cancel jobsCancelCmd `cmd:"" help:"End one of them for good; what it has done stays done."`
}

type jobsListCmd struct {
	Scheduled bool `env:"-" help:"List runs of the scheduled reconciliation instead."`
	Limit     int  `default:"100" placeholder:"N" help:"Most jobs to list, newest first (1 to 1000)."`
	JSON      bool `name:"json" help:"Print one JSON object a line."`
	installation
}

func (c *jobsListCmd) Validate() error {
	if c.Limit < 1 || c.Limit > admin.MaxJobs {
		return fmt.Errorf("--limit %d: allowed are 1 to %d", c.Limit, admin.MaxJobs)
	}
	return c.installation.Validate()
}

func (c *jobsListCmd) Run(env *env) error {
	return c.do(env, app.Needs{Store: true}, func(actions admin.Actions) error {
		list := actions.Rebuilds
		if c.Scheduled {
			list = actions.Reconciliations
		}
		jobs, err := list(env.ctx, c.Limit)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env, jobs)
		}
		if len(jobs) == 0 {
			fmt.Fprintln(env.stdout, "no jobs")
			return nil
		}
		table := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "JOB\tSTATE\tDAYS\tEVENTS\tSECONDS\tNOT RIGHT\tREBUILT\tLEFT\tBY")
		for _, j := range jobs {
			fmt.Fprintf(table, "%s\t%s\t%d of %d\t%d\t%.1f\t%d\t%d\t%d\t%s\n",
				j.ID, stateOf(j), j.Finished, j.Days, j.Events, j.Seconds, j.Faulty, j.Rebuilt, j.Refused, j.By)
		}
		return table.Flush()
	})
}

// stateOf is a job's state in words.
func stateOf(j *reconcile.Job) string {
	state := string(j.State)
	if j.Spec.DryRun {
		state += ", dry run"
	}
	if j.Lost(time.Now()) {
		state = "lost its process"
	}
	return state
}

type jobsShowCmd struct {
	Job  string `arg:"" help:"ID of the job, as list shows it."`
	JSON bool   `name:"json" help:"Print the job's record as JSON."`
	installation
}

func (c *jobsShowCmd) Run(env *env) error {
	return c.do(env, app.Needs{Store: true}, func(actions admin.Actions) error {
		job, err := actions.Rebuild(env.ctx, c.Job)
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(env.stdout).Encode(job)
		}
		days := job.Spec.Site
		if days == "" {
			days = "all sites"
		}
		if job.Spec.From != "" {
			days += " from " + job.Spec.From
		}
		if job.Spec.To != "" {
			days += " to " + job.Spec.To
		}
		fmt.Fprintf(env.stdout, "job:    %s\ndays:   %s\nbegun:  %s by %s\nstate:  %s, last news %s\n", job.ID, days,
			job.Created.Format(time.RFC3339), job.By, stateOf(job), job.Updated.Format(time.RFC3339))
		if job.Error != "" {
			fmt.Fprintf(env.stdout, "error:  %s\n", job.Error)
		}
		if job.State == reconcile.Running {
			fmt.Fprintf(env.stdout, "so far: %d of %d days, %s\n", job.Finished, job.Days, pace(job))
		}
		return showFindings(env, job)
	})
}

type jobsCancelCmd struct {
	Job string `arg:"" help:"ID of the job, as list shows it."`
	installation
}

func (c *jobsCancelCmd) Run(env *env) error {
	return c.do(env, app.Needs{Store: true}, func(actions admin.Actions) error {
		job, err := actions.CancelRebuild(env.ctx, c.Job)
		if err != nil {
			return err
		}
		fmt.Fprintf(env.stdout, "job %s is %s; %d of %d days are finished\n", job.ID, job.State, job.Finished, job.Days)
		return nil
	})
}
