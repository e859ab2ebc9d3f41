package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/progress"
	"github.com/daybook-analytics/daybook/internal/transfer"
)

// exportCmd has no variables of its own, so that one which is set for import
// never decides what an export has.
type exportCmd struct {
	days
	What   string `env:"-" default:"events" enum:"events,rollups" help:"events (raw) or rollups."`
	Format string `env:"-" default:"ndjson" enum:"ndjson,csv,json" help:"ndjson (can be read back), csv or json (one array)."`
	Out    string `env:"-" default:"-" placeholder:"FILE" help:"File to write, which is there when all is in it; - is standard output."`
	Gzip   bool   `env:"-" help:"Compress what is written."`
	installation
}

func (c *exportCmd) Validate() error {
	return errors.Join(c.days.Validate(), c.installation.Validate())
}

func (c *exportCmd) Run(env *env) error {
	var sum transfer.Exported
	export := func(out io.Writer) error {
		return c.do(env, app.Needs{Store: true}, func(actions admin.Actions) (err error) {
			spec := transfer.Spec{Range: c.days.days(), What: c.What, Format: c.Format}
			sum, err = actions.Export(env.ctx, spec, out)
			return err
		})
	}
	if err := c.write(env, export); err != nil {
		return err
	}
	fmt.Fprintf(env.stderr, "exported %d days with %d events\n", sum.Days, sum.Events)
	switch {
	case c.What == transfer.Rollups && sum.Partial > 0:
		fmt.Fprintf(env.stderr, "%d of them have no whole raw events any more\n", sum.Partial)
	case sum.Partial > 0:
		fmt.Fprintf(env.stderr, "%d days were left out because their raw events are not all kept any more: --what rollups has them\n", sum.Partial)
	}
	if sum.Broken > 0 {
		return fmt.Errorf("%d days were left out because their rollups are damaged or missing: `daybook verify` shows them, `daybook rebuild` mends them", sum.Broken)
	}
	return nil
}

// write lets export write to where the flags say.
func (c *exportCmd) write(env *env, export func(io.Writer) error) error {
	if c.Out == "-" {
		return c.compress(env.stdout, export)
	}
	// Under its name there is never a part of an export only.
	file, err := os.CreateTemp(filepath.Dir(c.Out), filepath.Base(c.Out)+".*.tmp")
	if err != nil {
		return err
	}
	shown := &counting{out: file, bar: progress.New(env.stderr, 0, true)}
	err = c.compress(shown, export)
	shown.bar.Close()
	if err == nil {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), c.Out)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

func (c *exportCmd) compress(out io.Writer, export func(io.Writer) error) error {
	if !c.Gzip {
		return export(out)
	}
	z := gzip.NewWriter(out)
	return errors.Join(export(z), z.Close())
}

// counting shows how much is written.
type counting struct {
	out io.Writer
	bar *progress.Progress
	n   int64
}

func (c *counting) Write(b []byte) (int, error) {
	n, err := c.out.Write(b)
	c.n += int64(n)
	c.bar.Set(c.n, fmt.Sprintf("%d MiB written", c.n>>20))
	return n, err
}

type importDaysCmd struct {
	Files []string `arg:"" name:"file" help:"Files to read in this order, plain or gzip; - is standard input."`
	installation
}

func (c *importDaysCmd) Run(env *env) error {
	return c.do(env, app.Needs{Store: true}, func(actions admin.Actions) error {
		for _, name := range c.Files {
			if err := importRollups(env, actions, name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	})
}

func importRollups(env *env, actions admin.Actions, name string) error {
	file := os.Stdin
	if name != "-" {
		var err error
		if file, err = os.Open(name); err != nil {
			return err
		}
		defer file.Close()
	}
	in, err := plain(file)
	if err != nil {
		return err
	}
	sum, err := actions.ImportRollups(env.ctx, in)
	if err != nil {
		return err
	}
	fmt.Fprintf(env.stdout, "%s: %d rollups written, %d were there already, %d passed over because their raw events are all kept\n",
		name, sum.Written, sum.Same, sum.Whole)
	for _, r := range sum.Refusals {
		fmt.Fprintf(env.stdout, "  %s, %s: %s\n", r.Site, r.Date, r.Reason)
	}
	if sum.Removed > 0 {
		err = fmt.Errorf("%d raw events were lost that came in meanwhile for the imported days or earlier ones", sum.Removed)
	}
	if sum.Refused > 0 {
		err = errors.Join(err, fmt.Errorf("%d rollups were not written", sum.Refused))
	}
	return err
}

// plain gives what a file holds, uncompressed.
func plain(file io.Reader) (io.Reader, error) {
	in := bufio.NewReader(file)
	if magic, _ := in.Peek(2); string(magic) != "\x1f\x8b" {
		return in, nil
	}
	return gzip.NewReader(in)
}
