package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/site"
)

type sitesCmd struct {
	List sitesListCmd `cmd:"" help:"List all sites with their time zones."`
	Show sitesShowCmd `cmd:"" help:"Show the settings of one site."`
	Set  sitesSetCmd  `cmd:"" help:"Change the settings of one site."`
}

type sitesListCmd struct {
	JSON bool `name:"json" help:"Print one JSON object a line."`
	installation
}

func (c *sitesListCmd) Run(env *env) error {
	return c.do(env, app.Needs{Store: true}, func(actions admin.Actions) error {
		sites, err := actions.Sites(env.ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env, sites)
		}
		if len(sites) == 0 {
			fmt.Fprintln(env.stdout, "no sites")
			return nil
		}
		table := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "SITE\tTIME ZONE\tCHANGING TO")
		for _, s := range sites {
			fmt.Fprintf(table, "%s\t%s\t%s\n", s.Site, s.Timezone, s.ChangingTo)
		}
		return table.Flush()
	})
}

type sitesShowCmd struct {
	Site string `arg:"" help:"The site."`
	JSON bool   `name:"json" help:"Print one JSON object."`
	installation
}

func (c *sitesShowCmd) Run(env *env) error {
	return c.do(env, app.Needs{Store: true}, func(actions admin.Actions) error {
		s, err := actions.Site(env.ctx, c.Site)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env, []*admin.Site{s})
		}
		fmt.Fprintf(env.stdout, "site:       %s\ntime zone:  %s\n", s.Site, s.Timezone)
		if s.ChangingTo != "" {
			fmt.Fprintf(env.stdout, "changing:   to %s; `daybook jobs list` shows how far it is\n", s.ChangingTo)
		}
		fmt.Fprintf(env.stdout, "raw events: dated in %s\n", strings.Join(s.Dated, ", "))
		return nil
	})
}

type sitesSetCmd struct {
	Site     string `arg:"" help:"The site."`
	Timezone string `env:"-" required:"" placeholder:"ZONE" help:"Time zone of its days: an IANA name such as Europe/Berlin, or UTC. Answers stay as they are until all its days are built anew."`
	JSON     bool   `name:"json" help:"Print the job's record as JSON at the end."`
	installation
}

func (c *sitesSetCmd) Validate() error {
	if _, err := site.ParseZone(c.Timezone); err != nil {
		return fmt.Errorf("--timezone: %w", err)
	}
	return c.installation.Validate()
}

func (c *sitesSetCmd) Run(env *env) error {
	return c.do(env, app.Needs{Queue: true, Store: true, Limits: anyLimits}, func(actions admin.Actions) error {
		job, err := actions.SetTimezone(env.ctx, c.Site, admin.Timezone{Timezone: c.Timezone, By: who()})
		if err != nil {
			return err
		}
		if job == nil {
			fmt.Fprintf(env.stdout, "%s is in %s already\n", c.Site, c.Timezone)
			return nil
		}
		fmt.Fprintf(env.stderr, "job %s\n", job.ID)
		if job, err = wait(env, actions, job); err != nil {
			return err
		}
		if c.JSON {
			return errors.Join(printJSON(env, []*reconcile.Job{job}), ended(job))
		}
		if err := ended(job); err != nil {
			return err
		}
		fmt.Fprintf(env.stdout, "%s is in %s now: %d days built of %d raw events in %.1f s, %d months\n",
			c.Site, c.Timezone, job.Rebuilt, job.Events, job.Seconds, job.Months)
		if job.TakenOver > 0 {
			fmt.Fprintf(env.stdout, "%d days were taken over as they were, because their raw events are not all kept: their hours and limits are those of the old time zone\n", job.TakenOver)
		}
		return nil
	})
}
