package main

import (
	"cmp"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/queue"
)

type streamsCmd struct {
	List  streamsListCmd  `cmd:"" help:"List the queue's streams: what is in them, how far they are done, who works on them."`
	Raise streamsRaiseCmd `cmd:"" help:"Raise the number of streams, so that more workers can share the work."`
}

type streamsListCmd struct {
	installation
	JSON bool `name:"json" help:"Print one JSON object a line."`
}

func (c *streamsListCmd) Run(env *env) error {
	return c.do(env, app.Needs{Queue: true, Store: true}, func(actions admin.Actions) error {
		streams, err := actions.Streams(env.ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env, streams)
		}
		return printStreams(env, streams)
	})
}

func printStreams(env *env, streams []admin.Stream) error {
	table := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "EPOCH\tSTREAM\tENTRIES\tEVENTS\tBYTES\tOLDEST\tCHECKPOINT\tAS OF\tOWNER")
	for _, s := range streams {
		oldest, asOf := "-", "-"
		if s.Entries > 0 {
			oldest = time.Duration(s.OldestSeconds * float64(time.Second)).Round(100 * time.Millisecond).String()
		}
		if !s.AsOf.IsZero() {
			asOf = s.AsOf.Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%d\t%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", s.Epoch, s.Name,
			s.Entries, s.Events, s.Bytes, oldest, cmp.Or(s.Checkpoint, "-"), asOf, cmp.Or(s.Owner, "-"))
	}
	return table.Flush()
}

type streamsRaiseCmd struct {
	Number int `arg:"" name:"n" help:"How many streams there are to be, more than now and at most 256."`
	installation
}

func (c *streamsRaiseCmd) Validate() error {
	if c.Number < 2 || c.Number > queue.MaxStreams {
		return fmt.Errorf("%d streams: allowed are 2 to %d", c.Number, queue.MaxStreams)
	}
	return c.installation.Validate()
}

func (c *streamsRaiseCmd) Run(env *env) error {
	return c.do(env, app.Needs{Queue: true}, func(actions admin.Actions) error {
		epoch, err := actions.RaiseStreams(env.ctx, c.Number)
		if err != nil {
			return err
		}
		fmt.Fprintf(env.stdout, "opened epoch %d with %d streams\n", epoch.Number, epoch.Streams)
		fmt.Fprintln(env.stdout, "Within about a second new events go to the new streams. The old ones drain and then stay empty; `daybook streams list` shows how far they are.")
		return nil
	})
}
