package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/reconcile"
)

type statusCmd struct {
	JSON bool `name:"json" help:"Print one JSON object."`
	installation
}

func (c *statusCmd) Run(env *env) error {
	return c.do(env, app.Needs{Queue: true, Store: true}, func(actions admin.Actions) error {
		s, err := actions.Status(env.ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(env.stdout).Encode(s)
		}
		asOf := "unknown: there is a stream that no worker has looked at yet"
		if !s.AsOf.IsZero() {
			asOf = fmt.Sprintf("%s, %s ago", s.AsOf.Format(time.RFC3339), s.Time.Sub(s.AsOf).Round(time.Second))
		}
		fmt.Fprintf(env.stdout, "counted up to:  %s\n", asOf)
		fmt.Fprintf(env.stdout, "backlog:        %d events, %d bytes, the oldest for %.1f s\n", s.Backlog.Events, s.Backlog.Bytes, s.Backlog.Seconds)
		fmt.Fprintf(env.stdout, "dead letters:   %s\n", letters(s))
		fmt.Fprintf(env.stdout, "schema version: %d of %d\n", s.Schema, s.SchemaLatest)
		fmt.Fprintf(env.stdout, "rebuilds:       %d at work\n", len(s.Running))
		for _, job := range s.Running {
			fmt.Fprintf(env.stdout, "  %s: %d of %d days, %s\n", job.ID, job.Finished, job.Days, pace(job))
		}
		fmt.Fprintf(env.stdout, "last rebuild:   %s\n", outcome(s.LastRebuild))
		fmt.Fprintf(env.stdout, "last check:     %s\n", outcome(s.LastCheck))
		fmt.Fprintf(env.stdout, "last nightly:   %s\n\n", outcome(s.LastNightly))
		return printStreams(env, s.Streams)
	})
}

func letters(s *admin.Status) string {
	if s.DeadLetters >= admin.MaxLetters {
		return fmt.Sprintf("%d or more", s.DeadLetters)
	}
	return fmt.Sprint(s.DeadLetters)
}

// outcome tells what became of a job.
func outcome(job *reconcile.Job) string {
	if job == nil {
		return "none yet"
	}
	text := fmt.Sprintf("%s %s: %d of %d days, %d not right, %d rebuilt, %d left as they are",
		job.Created.Format(time.RFC3339), stateOf(job), job.Finished, job.Days, job.Faulty, job.Rebuilt, job.Refused)
	if job.Error != "" {
		text += "; " + job.Error
	}
	return text
}
