package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/retention"
	"github.com/daybook-analytics/daybook/rollup"
)

type retentionCmd struct {
	DryRun        bool           `env:"-" help:"Only tell what would go."`
	KeepRawDays   *int           `placeholder:"N" help:"Whole days before today, in the time zone of the site, that raw events are kept; 0 is for ever. By default the settings of the daybook that runs on --data."`
	KeepRawDaysOf map[string]int `mapsep:"," placeholder:"SITE=N" help:"The same for single sites, as shop=30,blog=0."`
	JSON          bool           `name:"json" help:"Print one JSON object."`
	installation
}

// policy is what is asked for; nil is nothing.
func (c *retentionCmd) policy() *retention.Policy {
	if c.KeepRawDays == nil && c.KeepRawDaysOf == nil {
		return nil
	}
	policy := &retention.Policy{Of: c.KeepRawDaysOf}
	if c.KeepRawDays != nil {
		policy.Days = *c.KeepRawDays
	}
	return policy
}

func (c *retentionCmd) Validate() error {
	if policy := c.policy(); policy != nil {
		if err := policy.Validate(); err != nil {
			return fmt.Errorf("--keep-raw-days, --keep-raw-days-of: %w", err)
		}
	}
	return c.installation.Validate()
}

// anyLimits keep as much of a rollup as any worker may; the worker that writes
// it next brings it within its own.
var anyLimits = rollup.Limits{Keys: rollup.MaxKeys, Bytes: rollup.DefaultLimits.Bytes}

func (c *retentionCmd) Run(env *env) error {
	return c.do(env, app.Needs{Store: true, Limits: anyLimits}, func(actions admin.Actions) error {
		expired, err := actions.Expire(env.ctx, admin.Expiry{Policy: c.policy(), DryRun: c.DryRun, By: who()})
		switch {
		case err != nil && env.ctx.Err() != nil:
			return errors.New("interrupted: what is done is done, and the next run goes on there")
		case err != nil:
			return err
		case c.JSON:
			err = json.NewEncoder(env.stdout).Encode(expired)
		default:
			err = c.show(env, expired)
		}
		return errors.Join(err, incomplete(expired))
	})
}

// show shows what went or would go.
func (c *retentionCmd) show(env *env, expired *admin.Expired) error {
	if !expired.Policy.Expires() && len(expired.Sites) == 0 {
		fmt.Fprintln(env.stdout, "nothing is to go: raw events are kept for ever unless --keep-raw-days, --keep-raw-days-of or their site's own settings say how long")
		return nil
	}
	var days int
	var events int64
	if len(expired.Sites) > 0 {
		table := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "SITE\tKEEPS\tDATES\tEVENTS\tKEPT SINCE\tNOTE")
		for i := range expired.Sites {
			s := &expired.Sites[i]
			since, note := s.Before, ""
			if s.Left != "" {
				since, note = s.Left, "not right and left: "+s.Reason
			} else if len(s.Rebuilt) > 0 {
				note = "rebuilt before: " + spans(s.Rebuilt)
			}
			fmt.Fprintf(table, "%s\t%d days\t%s\t%d\t%s\t%s\n", s.Site, s.KeepDays, spans(s.Dates), s.Events, since, note)
			days += len(s.Dates)
			events += s.Events
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	if c.DryRun {
		fmt.Fprintf(env.stdout, "raw events of %d days would go, about %d events by the rollups; nothing was changed\n", days, events)
	} else {
		fmt.Fprintf(env.stdout, "removed %d raw events of %d days\n", events, days)
	}
	return nil
}

// incomplete is the error of what did not all go.
func incomplete(expired *admin.Expired) error {
	if expired.Problem != "" {
		return fmt.Errorf("it ended early: %s; what is done is done, and the next run goes on there", expired.Problem)
	}
	left := 0
	for i := range expired.Sites {
		if expired.Sites[i].Left != "" {
			left++
		}
	}
	if left > 0 {
		return fmt.Errorf("raw events of %d sites stay because a rollup is not right, and without them nobody could tell: `daybook verify` shows what is wrong, `daybook rebuild --force` accepts what the raw events give", left)
	}
	return nil
}

// spans writes dates, which are in order, as few as there can be: "2026-11-20
// to 2026-11-22, 2026-11-24".
func spans(dates []string) string {
	follows := func(a, b string) bool {
		day, err := time.Parse(time.DateOnly, a)
		return err == nil && day.AddDate(0, 0, 1).Format(time.DateOnly) == b
	}
	var all []string
	for rest := dates; len(rest) > 0; {
		n := 1
		for n < len(rest) && follows(rest[n-1], rest[n]) {
			n++
		}
		span := rest[0]
		if n > 1 {
			span += " to " + rest[n-1]
		}
		all, rest = append(all, span), rest[n:]
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}
