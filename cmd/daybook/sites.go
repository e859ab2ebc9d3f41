package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/site"
)

type sitesCmd struct {
	Add    sitesAddCmd    `cmd:"" help:"Add a site by its name."`
	List   sitesListCmd   `cmd:"" help:"List all sites with their settings."`
	Show   sitesShowCmd   `cmd:"" help:"Show the settings of one site."`
	Set    sitesSetCmd    `cmd:"" help:"Change the settings of one site: those that are given."`
	Remove sitesRemoveCmd `cmd:"" help:"Revoke the keys of a site and take its settings away. Its events and rollups stay."`
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
		fmt.Fprintln(table, "SITE\tADDED\tTIME ZONE\tCHANGING TO\tORIGINS\tBOTS\tKEEPS")
		for i := range sites {
			s := &sites[i]
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Site, yes(s.Added), s.Timezone, s.ChangingTo, listed(s.Origins, "all"), s.Bots, keeps(s))
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
		showSite(env, s)
		return nil
	})
}

// showSite shows what is set of a site.
func showSite(env *env, s *admin.Site) {
	line := func(name, value string) { fmt.Fprintf(env.stdout, "%-13s %s\n", name+":", value) }
	line("site", s.Site)
	line("added", yes(s.Added))
	line("time zone", s.Timezone)
	if s.ChangingTo != "" {
		line("changing", "to "+s.ChangingTo+"; `daybook jobs list` shows how far it is")
	}
	line("raw events", "kept "+keeps(s)+", dated in "+strings.Join(s.Dated, ", "))
	line("origins", listed(s.Origins, "all"))
	line("bots", s.Bots)
	line("data centres", map[bool]string{true: "are bots", false: "as others"}[s.DataCenters])
	line("paths", listed(pathRules(s), "as they are"))
}

// pathRules are the rules for paths in words.
func pathRules(s *admin.Site) []string {
	var rules []string
	if s.StripSlash {
		rules = append(rules, "without / at the end")
	}
	if s.LowerCase {
		rules = append(rules, "in lower case")
	}
	return append(rules, s.Paths...)
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

// listed lists things, or says what there is if there are none.
func listed(things []string, none string) string {
	if len(things) == 0 {
		return none
	}
	return strings.Join(things, ", ")
}

// keeps says for how long raw events of a site are kept.
func keeps(s *admin.Site) string {
	switch {
	case s.KeepRawDays == nil:
		return "by default"
	case *s.KeepRawDays == 0:
		return "for ever"
	}
	return fmt.Sprintf("%d days", *s.KeepRawDays)
}

// siteSettings are what can be set of a site. They have no variables, so that
// one which is set for something else never decides what becomes of a site.
type siteSettings struct {
	Timezone    *string `env:"-" placeholder:"ZONE" help:"Time zone of its days: an IANA name such as Europe/Berlin, or UTC. Answers stay as they are until all its days are built anew."`
	Origins     *string `env:"-" placeholder:"A,B" help:"Web origins whose pages may send events, as https://shop.example or https://*.shop.example; an empty list is all."`
	KeepRawDays *string `env:"-" placeholder:"N" help:"Whole days before today that raw events are kept; 0 is for ever, and default as long as the workers' own setting says."`
	Bots        *string `env:"-" placeholder:"POLICY" help:"filter keeps of the events of bots that they were and why, keep all but who sent them. They are counted by reason alone in either case."`
	DataCenters *bool   `env:"-" name:"datacenters" negatable:"" help:"Take what comes from the addresses of data centres for bots."`
	StripSlash  *bool   `env:"-" negatable:"" help:"Take slashes off the end of paths."`
	LowerCase   *bool   `env:"-" negatable:"" help:"Make all letters of paths small."`
	Paths       *string `env:"-" placeholder:"A,B" help:"Patterns that stand for all paths which they match, as /user/*,/a/**: * is one segment, ** at the end all that follow."`
}

// change is what is to be changed but for the time zone.
func (c *siteSettings) change() (admin.SiteChange, error) {
	change := admin.SiteChange{
		Origins: commas(c.Origins), Bots: c.Bots, DataCenters: c.DataCenters,
		StripSlash: c.StripSlash, LowerCase: c.LowerCase, Paths: commas(c.Paths),
	}
	if c.KeepRawDays != nil {
		days, err := strconv.Atoi(*c.KeepRawDays)
		switch {
		case *c.KeepRawDays == "default":
			days = admin.DefaultDays
		case err != nil || days < 0:
			return change, fmt.Errorf("--keep-raw-days %s: allowed are numbers of days, 0 for ever, and default", *c.KeepRawDays)
		}
		change.KeepRawDays = &days
	}
	return change, change.Validate()
}

// commas takes a list apart, if there is one.
func commas(list *string) *[]string {
	if list == nil {
		return nil
	}
	things := []string{}
	if *list != "" {
		things = strings.Split(*list, ",")
	}
	return &things
}

func (c *siteSettings) Validate() error {
	if c.Timezone != nil {
		if _, err := site.ParseZone(*c.Timezone); err != nil {
			return fmt.Errorf("--timezone: %w", err)
		}
	}
	_, err := c.change()
	return err
}

// needs is what the change needs of the installation: one of the time zone is
// a job.
func (c *siteSettings) needs() app.Needs {
	if c.Timezone == nil {
		return app.Needs{Store: true}
	}
	return app.Needs{Queue: true, Store: true, Limits: anyLimits}
}

// show shows a site as it is set now.
func (c *siteSettings) show(env *env, s *admin.Site, asJSON bool) error {
	if asJSON {
		return printJSON(env, []*admin.Site{s})
	}
	showSite(env, s)
	return nil
}

type sitesAddCmd struct {
	Site string `arg:"" help:"The site: its site_id, as events have it."`
	siteSettings
	JSON bool `name:"json" help:"Print the site as JSON, and the record of the job that sets its time zone."`
	installation
}

func (c *sitesAddCmd) Validate() error {
	return errors.Join(c.siteSettings.Validate(), c.installation.Validate())
}

func (c *sitesAddCmd) Run(env *env) error {
	change, err := c.change()
	if err != nil {
		return err
	}
	return c.do(env, makesNew(env, c.needs()), func(actions admin.Actions) error {
		s, err := actions.AddSite(env.ctx, c.Site, change)
		if err != nil {
			return err
		}
		if err := c.show(env, s, c.JSON); err != nil || c.Timezone == nil {
			return err
		}
		return setTimezone(env, actions, c.Site, *c.Timezone, c.JSON)
	})
}

type sitesSetCmd struct {
	Site string `arg:"" help:"The site."`
	siteSettings
	JSON bool `name:"json" help:"Print the site as JSON, and the record of the job that sets its time zone."`
	installation
}

func (c *sitesSetCmd) Validate() error {
	if c.siteSettings == (siteSettings{}) {
		return errors.New("there is nothing to set: give --timezone, --origins, --keep-raw-days, --bots, --datacenters, --strip-slash, --lower-case or --paths")
	}
	return errors.Join(c.siteSettings.Validate(), c.installation.Validate())
}

func (c *sitesSetCmd) Run(env *env) error {
	change, err := c.change()
	if err != nil {
		return err
	}
	return c.do(env, c.needs(), func(actions admin.Actions) error {
		if change != (admin.SiteChange{}) {
			s, err := actions.ChangeSite(env.ctx, c.Site, change)
			if err != nil {
				return err
			}
			if err := c.show(env, s, c.JSON); err != nil {
				return err
			}
		}
		if c.Timezone == nil {
			return nil
		}
		return setTimezone(env, actions, c.Site, *c.Timezone, c.JSON)
	})
}

// setTimezone changes the time zone of a site, and waits for the job that does
// it.
func setTimezone(env *env, actions admin.Actions, name, zone string, asJSON bool) error {
	job, err := actions.SetTimezone(env.ctx, name, admin.Timezone{Timezone: zone, By: who()})
	if err != nil {
		return err
	}
	if job == nil {
		fmt.Fprintf(env.stdout, "%s is in %s already\n", name, zone)
		return nil
	}
	fmt.Fprintf(env.stderr, "job %s\n", job.ID)
	if job, err = wait(env, actions, job); err != nil {
		return err
	}
	if asJSON {
		return errors.Join(printJSON(env, []*reconcile.Job{job}), ended(job))
	}
	if err := ended(job); err != nil {
		return err
	}
	fmt.Fprintf(env.stdout, "%s is in %s now: %d days built of %d raw events in %.1f s, %d months\n",
		name, zone, job.Rebuilt, job.Events, job.Seconds, job.Months)
	if job.TakenOver > 0 {
		fmt.Fprintf(env.stdout, "%d days were taken over as they were, because their raw events are not all kept: their hours and limits are those of the old time zone\n", job.TakenOver)
	}
	return nil
}

type sitesRemoveCmd struct {
	Site string `arg:"" help:"The site."`
	installation
}

func (c *sitesRemoveCmd) Run(env *env) error {
	return c.do(env, app.Needs{Store: true}, func(actions admin.Actions) error {
		removed, err := actions.RemoveSite(env.ctx, c.Site)
		if err != nil {
			return err
		}
		fmt.Fprintf(env.stdout, "%s is removed; keys revoked: %d\n", c.Site, removed.RevokedKeys)
		if removed.HasData {
			fmt.Fprintf(env.stdout, "its events and rollups are kept: `daybook erase --site %s` erases them\n", c.Site)
		}
		return nil
	})
}
