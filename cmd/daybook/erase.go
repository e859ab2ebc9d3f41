package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/retention"
)

// eraseCmd has no variables for what goes, so that one which is set for
// something else never decides it.
type eraseCmd struct {
	Site   string  `env:"-" required:"" placeholder:"SITE" help:"Site of which to erase."`
	User   *string `env:"-" placeholder:"USER" help:"Erase this user's events, and rebuild the days without them. Without it all of the site goes."`
	Before string  `env:"-" placeholder:"DATE" help:"Erase only what is before this date, as YYYY-MM-DD."`
	Yes    bool    `env:"-" help:"Say that it is meant; without a terminal to ask on it is needed."`
	JSON   bool    `name:"json" help:"Print the receipt as JSON."`
	installation
}

func (c *eraseCmd) erasure() retention.Erasure {
	e := retention.Erasure{Site: c.Site, Before: c.Before, By: who()}
	if c.User != nil {
		e.User = *c.User
	}
	return e
}

func (c *eraseCmd) Validate() error {
	if c.User != nil && *c.User == "" {
		return errors.New("--user is empty: events without a user are nobody's; leave it off to erase all of the site")
	}
	erasure := c.erasure()
	if err := erasure.Validate(time.Now().In(retention.Farthest)); err != nil {
		return err
	}
	return c.installation.Validate()
}

// what says what is to be erased.
func (c *eraseCmd) what() string {
	what := "everything of site " + c.Site
	if c.User != nil {
		what = fmt.Sprintf("everything of user %s of site %s", *c.User, c.Site)
	}
	if c.Before != "" {
		what += " before " + c.Before
	}
	return what
}

func (c *eraseCmd) Run(env *env) error {
	if err := c.confirm(env); err != nil {
		return err
	}
	return c.do(env, app.Needs{Queue: true, Store: true, Limits: anyLimits}, func(actions admin.Actions) error {
		if err := warnOfBacklog(env, actions); err != nil {
			return err
		}
		receipt, err := actions.Erase(env.ctx, c.erasure())
		switch {
		case err != nil && env.ctx.Err() != nil:
			return errors.New("interrupted: a part may be erased; give the command again to erase the rest")
		case err != nil:
			return err
		case c.JSON:
			err = json.NewEncoder(env.stdout).Encode(receipt)
		default:
			err = c.show(env, receipt)
		}
		if receipt.Problem != "" {
			err = errors.Join(err, fmt.Errorf("not complete: %s; give the command again", receipt.Problem))
		}
		return err
	})
}

// confirm asks whether it is meant.
func (c *eraseCmd) confirm(env *env) error {
	if c.Yes {
		return nil
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return fmt.Errorf("this erases %s for good: say that it is meant with --yes", c.what())
	}
	fmt.Fprintf(env.stderr, "This erases %s for good. Type yes to go on: ", c.what())
	answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	if strings.TrimSpace(answer) != "yes" {
		return errors.New("nothing was erased")
	}
	return nil
}

// warnOfBacklog tells that it will wait for what is in the queue.
func warnOfBacklog(env *env, actions admin.Actions) error {
	streams, err := actions.Streams(env.ctx)
	if err != nil {
		return err
	}
	var events int64
	for _, s := range streams {
		events += s.Events
	}
	if events > 0 {
		fmt.Fprintf(env.stderr, "daybook: the queue holds %d events, which would come back: waiting until they are counted\n", events)
	}
	return nil
}

// show shows the receipt.
func (c *eraseCmd) show(env *env, r *retention.Receipt) error {
	fmt.Fprintf(env.stdout, "erased %s, %s to %s\n", c.what(), r.Began.Format(time.RFC3339), r.Ended.Format(time.RFC3339))
	if len(r.Days) > 0 {
		table := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "DATE\tEVENTS\tROLLUP")
		for _, day := range r.Days {
			fmt.Fprintf(table, "%s\t%d\t%s\n", day.Date, day.Events, c.outcome(day.State))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	fmt.Fprintf(env.stdout, "went: %d raw events, %d rollups, %d dead letters, %d records of jobs\n", r.Events, r.Rollups, r.DeadLetters, r.Records)
	if len(r.NotRecomputed) > 0 {
		fmt.Fprintf(env.stdout, "not recomputed, because their raw events are not all kept: %s; if these rollups have counted the user, it is without a name\n", spans(r.NotRecomputed))
	}
	if len(r.Since) > 0 {
		fmt.Fprintf(env.stdout, "events have come since it began, and are counted: %s\n", spans(r.Since))
	}
	if r.Unknown > 0 {
		fmt.Fprintf(env.stdout, "%d dead letters do not tell whose they are: look at them with `daybook deadletters list`\n", r.Unknown)
	}
	if r.Problem == "" {
		fmt.Fprintln(env.stdout, "Copies and backups still have it; docs/operations.md tells what else can.")
	}
	return nil
}

// outcome says what became of the rollup of a day.
func (c *eraseCmd) outcome(state reconcile.State) string {
	switch {
	case c.User == nil:
		return "went"
	case state == reconcile.OK:
		return "rebuilt and checked: ok"
	case state == reconcile.Partial:
		return "cannot be recomputed"
	case state == "":
		return "not rebuilt yet"
	}
	return "not right: " + string(state)
}
