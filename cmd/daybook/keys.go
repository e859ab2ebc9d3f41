package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/app"
)

type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Make a key, and print its token, which nobody can ask for again."`
	List   keysListCmd   `cmd:"" help:"List keys."`
	Revoke keysRevokeCmd `cmd:"" help:"Revoke a key for good."`
}

type keysCreateCmd struct {
	Site   string `env:"-" required:"" placeholder:"SITE" help:"Site that the key is for, or * for all."`
	Scope  string `env:"-" required:"" placeholder:"SCOPE" help:"What it is for: ingest (send events), read (ask for statistics) or admin (all of that, and what operators do)."`
	Public bool   `env:"-" help:"It may stand in pages, and is taken from the allowed origins of the site alone."`
	Note   string `env:"-" placeholder:"TEXT" help:"What you want to remember of it."`
	installation
}

func (c *keysCreateCmd) Validate() error {
	if c.Site == "" || c.Scope == "" {
		return nil // that they are missing is told after this
	}
	key := access.Key{Site: c.Site, Scope: access.Scope(c.Scope), Public: c.Public, Note: c.Note}
	return errors.Join(key.Validate(), c.installation.Validate())
}

func (c *keysCreateCmd) Run(env *env) error {
	return c.do(env, makesNew(env, app.Needs{Store: true}), func(actions admin.Actions) error {
		key, err := actions.CreateKey(env.ctx, admin.NewKey{Site: c.Site, Scope: access.Scope(c.Scope), Public: c.Public, Note: c.Note})
		if err != nil {
			return err
		}
		// The token alone, so that a script can take it.
		fmt.Fprintln(env.stdout, key.Token)
		fmt.Fprintf(env.stderr, "key %s for %s of %s; keep the token, it cannot be shown again. All processes know it within seconds.\n", key.ID, key.Scope, sitesOf(key.Site))
		return nil
	})
}

// sitesOf says in words for which sites a key is.
func sitesOf(site string) string {
	if site == access.EverySite {
		return "all sites"
	}
	return "site " + site
}

type keysListCmd struct {
	Site string `env:"-" placeholder:"SITE" help:"Only keys that are good for this site, those of all sites too."`
	JSON bool   `name:"json" help:"Print one JSON object a line."`
	installation
}

func (c *keysListCmd) Run(env *env) error {
	return c.do(env, app.Needs{Store: true}, func(actions admin.Actions) error {
		keys, err := actions.Keys(env.ctx, c.Site)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env, keys)
		}
		if len(keys) == 0 {
			fmt.Fprintln(env.stdout, "no keys")
			return nil
		}
		table := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "KEY\tSITE\tSCOPE\tPUBLIC\tCREATED\tREVOKED\tNOTE")
		for i := range keys {
			k := &keys[i]
			created, revoked := "-", "-"
			if !k.Created.IsZero() { // it is not damaged
				created = k.Created.Format(time.RFC3339)
			}
			if k.Revoked != nil {
				revoked = k.Revoked.Format(time.RFC3339)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.Prefix, k.Site, k.Scope, yes(k.Public), created, revoked, k.Note)
		}
		return table.Flush()
	})
}

type keysRevokeCmd struct {
	Key string `arg:"" help:"The key: its ID, what its token begins with as list shows it, or the token."`
	installation
}

// Validate says nothing of what was given, which may be a token.
func (c *keysRevokeCmd) Validate() error {
	if c.Key == "" {
		return nil // that it is missing is told after this
	}
	_, err := access.FindID(c.Key)
	return errors.Join(err, c.installation.Validate())
}

func (c *keysRevokeCmd) Run(env *env) error {
	return c.do(env, app.Needs{Store: true}, func(actions admin.Actions) error {
		key, err := actions.RevokeKey(env.ctx, c.Key)
		if err != nil {
			return err
		}
		fmt.Fprintf(env.stdout, "key %s for %s of %s is revoked; all processes know it within seconds\n", key.ID, key.Scope, sitesOf(key.Site))
		return nil
	})
}
