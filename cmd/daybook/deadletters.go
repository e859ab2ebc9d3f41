package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/app"
)

type deadLettersCmd struct {
	List   deadLettersListCmd   `cmd:"" help:"List events that could not be decoded or stored."`
	Show   deadLettersShowCmd   `cmd:"" help:"Show one of them in full."`
	Replay deadLettersReplayCmd `cmd:"" help:"Put some or all into the queue again, once the cause is mended."`
	Purge  deadLettersPurgeCmd  `cmd:"" help:"Delete some or all for good."`
}

type deadLettersListCmd struct {
	installation
	Limit int    `default:"100" placeholder:"N" help:"Most dead letters to list (1 to 1000)."`
	After string `placeholder:"KEY" help:"Begin behind the one with this key."`
	JSON  bool   `name:"json" help:"Print one JSON object a line."`
}

func (c *deadLettersListCmd) Validate() error {
	if c.Limit < 1 || c.Limit > admin.MaxLetters {
		return fmt.Errorf("--limit %d: allowed are 1 to %d", c.Limit, admin.MaxLetters)
	}
	if c.After != "" {
		if err := admin.CheckKey(c.After); err != nil {
			return fmt.Errorf("--after: %w", err)
		}
	}
	return c.installation.Validate()
}

func (c *deadLettersListCmd) Run(env *env) error {
	return c.do(env, app.Needs{Store: true}, func(actions admin.Actions) error {
		letters, err := actions.DeadLetters(env.ctx, c.After, c.Limit)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env, letters)
		}
		if len(letters) == 0 {
			fmt.Fprintln(env.stdout, "no dead letters")
			return nil
		}
		table := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "KEY\tPUT AWAY\tREASON\tLINE")
		for _, l := range letters {
			fmt.Fprintf(table, "%s\t%s\t%s\t%.40q\n", l.Key, l.Time.Format(time.RFC3339), l.Reason, l.Line)
		}
		if err := table.Flush(); err != nil {
			return err
		}
		if len(letters) == c.Limit {
			fmt.Fprintf(env.stdout, "there may be more: --after %s\n", letters[len(letters)-1].Key)
		}
		return nil
	})
}

// printJSON prints each thing as JSON on a line of its own.
func printJSON[T any](env *env, things []T) error {
	encoder := json.NewEncoder(env.stdout)
	encoder.SetEscapeHTML(false)
	for _, thing := range things {
		if err := encoder.Encode(thing); err != nil {
			return err
		}
	}
	return nil
}

type deadLettersShowCmd struct {
	Key string `arg:"" help:"Key of the dead letter, as list shows it."`
	installation
}

func (c *deadLettersShowCmd) Validate() error {
	return errors.Join(admin.CheckKey(c.Key), c.installation.Validate())
}

func (c *deadLettersShowCmd) Run(env *env) error {
	return c.do(env, app.Needs{Store: true}, func(actions admin.Actions) error {
		l, err := actions.DeadLetter(env.ctx, c.Key)
		if err != nil {
			return err
		}
		// Quoted, because a line may hold anything that harms a terminal.
		fmt.Fprintf(env.stdout, "key:      %s\nput away: %s\nreason:   %s\nline:     %q\n",
			l.Key, l.Time.Format(time.RFC3339Nano), l.Reason, l.Line)
		return nil
	})
}

// letterKeys choose dead letters. --all has no variable, so that it is never
// meant by mistake.
type letterKeys struct {
	Keys []string `arg:"" optional:"" name:"key" help:"Keys of the dead letters, as list shows them."`
	All  bool     `env:"-" help:"All dead letters that there are when it begins."`
}

func (k *letterKeys) Validate() error {
	if k.All == (len(k.Keys) > 0) {
		return errors.New("give the keys of dead letters, or --all and no keys")
	}
	for _, key := range k.Keys {
		if err := admin.CheckKey(key); err != nil {
			return err
		}
	}
	return nil
}

func (k *letterKeys) choose(env *env, actions admin.Actions) ([]string, error) {
	if k.All {
		return admin.AllKeys(env.ctx, actions)
	}
	return k.Keys, nil
}

// missing is the error of keys that there are no dead letters for.
func (k *letterKeys) missing(n int) error {
	if n == 0 || k.All {
		return nil // others may have been faster than --all
	}
	return fmt.Errorf("%d of %d dead letters are not there (any more); `daybook deadletters list` shows those that are", n, len(k.Keys))
}

type deadLettersReplayCmd struct {
	letterKeys
	installation
}

func (c *deadLettersReplayCmd) Validate() error {
	return errors.Join(c.letterKeys.Validate(), c.installation.Validate())
}

func (c *deadLettersReplayCmd) Run(env *env) error {
	return c.do(env, app.Needs{Queue: true, Store: true}, func(actions admin.Actions) error {
		keys, err := c.choose(env, actions)
		if err != nil {
			return err
		}
		replayed, err := actions.Replay(env.ctx, keys)
		fmt.Fprintf(env.stdout, "replayed %d dead letters\n", replayed.Lines)
		if replayed.Undecodable > 0 {
			fmt.Fprintf(env.stdout, "%d of them still cannot be decoded and come back as new dead letters\n", replayed.Undecodable)
		}
		return errors.Join(err, c.missing(replayed.Missing))
	})
}

type deadLettersPurgeCmd struct {
	letterKeys
	Yes bool `env:"-" help:"Say that --all is meant."`
	installation
}

func (c *deadLettersPurgeCmd) Validate() error {
	if c.All && !c.Yes {
		return errors.New("--all deletes every dead letter for good: say that it is meant with --yes")
	}
	return errors.Join(c.letterKeys.Validate(), c.installation.Validate())
}

func (c *deadLettersPurgeCmd) Run(env *env) error {
	return c.do(env, app.Needs{Store: true}, func(actions admin.Actions) error {
		keys, err := c.choose(env, actions)
		if err != nil {
			return err
		}
		purged, err := actions.Purge(env.ctx, keys)
		fmt.Fprintf(env.stdout, "purged %d dead letters\n", purged)
		if err != nil {
			return err
		}
		return c.missing(len(keys) - purged)
	})
}
