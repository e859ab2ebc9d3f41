package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/progress"
	"github.com/daybook-analytics/daybook/internal/reconcile"
)

// Exit codes of verify.
const (
	exitDrift     = 1 // some days are not right
	exitUnchecked = 2 // none was found, but not all could be checked
)

type verifyCmd struct {
	days
	JSON bool `name:"json" help:"Print one JSON object a line."`
	installation
}

func (c *verifyCmd) Validate() error {
	return errors.Join(c.days.Validate(), c.installation.Validate())
}

// verified sums up what was found.
type verified struct {
	Days    int     `json:"days"`
	Events  uint64  `json:"events"`
	Wrong   int     `json:"not_right"`
	Partial int     `json:"not_checkable"`
	Errors  int     `json:"errors"`
	Seconds float64 `json:"seconds"`
}

func (s *verified) add(day *admin.Verified) {
	s.Days++
	s.Events += day.Events
	switch day.State {
	case reconcile.OK:
	case reconcile.Partial:
		s.Partial++
	case reconcile.Unreadable:
		s.Errors++
	default:
		s.Wrong++
	}
}

func (c *verifyCmd) Run(env *env) error {
	var sum verified
	err := c.do(env, app.Needs{Store: true}, func(actions admin.Actions) error { return c.verify(env, actions, &sum) })
	if err != nil {
		fmt.Fprintf(env.stderr, "daybook: %v\n", err)
	}
	switch {
	case sum.Wrong > 0:
		return &exitError{exitDrift}
	case err != nil || sum.Errors > 0 || sum.Days > 0 && sum.Partial == sum.Days:
		return &exitError{exitUnchecked}
	}
	return nil
}

func (c *verifyCmd) verify(env *env, actions admin.Actions, sum *verified) error {
	begun := time.Now()
	bar := progress.New(env.stderr, 0, false)
	table := newDayTable(env.stdout)
	lines := json.NewEncoder(env.stdout)
	lines.SetEscapeHTML(false)
	err := actions.Verify(env.ctx, c.days.days(), func(day admin.Verified) error {
		sum.add(&day)
		bar.Set(int64(sum.Days), fmt.Sprintf("%s, %s: %d events", day.Site, day.Date, sum.Events))
		switch {
		case day.State == reconcile.OK:
		case c.JSON:
			return lines.Encode(day)
		case day.State == reconcile.Partial:
			table.note(day.Site, day.Date, day.State, "not checkable: the raw events are not all kept any more")
		case day.Problem != "":
			table.note(day.Site, day.Date, day.State, day.Problem)
			fallthrough
		default:
			table.day(day.Site, day.Date, day.State, day.Differences, 0)
		}
		return nil
	})
	bar.Close()
	sum.Seconds = time.Since(begun).Seconds()
	if c.JSON {
		return errors.Join(err, lines.Encode(map[string]*verified{"summary": sum}))
	}
	if err := errors.Join(err, table.out.Flush()); err != nil {
		return err
	}
	fmt.Fprintf(env.stdout, "%d days with %d raw events in %.1f s: %d not right, %d not checkable, %d with errors\n",
		sum.Days, sum.Events, sum.Seconds, sum.Wrong, sum.Partial, sum.Errors)
	return nil
}
