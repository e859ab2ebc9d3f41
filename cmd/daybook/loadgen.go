package main

import (
	"fmt"
	"time"

	"github.com/daybook-analytics/daybook/internal/loadgen"
)

type loadgenCmd struct {
	To       string        `default:"http://127.0.0.1:3000" placeholder:"URL" help:"Server that takes the events."`
	Key      string        `placeholder:"KEY" help:"The server's key for sending events, and with --check for reading, unless it is open."`
	Events   int           `default:"100000" placeholder:"N" help:"Events to send in all."`
	Sites    int           `default:"10" placeholder:"N" help:"Number of sites, with equal shares."`
	Days     int           `default:"3" placeholder:"N" help:"Number of days, with equal shares."`
	End      string        `placeholder:"DATE" help:"Last of the days, as YYYY-MM-DD; by default today (UTC)."`
	Paths    int           `default:"1000" placeholder:"N" help:"Paths a site."`
	Users    int           `default:"10000" placeholder:"N" help:"Users a site."`
	Zipf     float64       `default:"1.1" placeholder:"S" help:"Exponent of Zipf's law for paths and users, above 1."`
	Seed     uint64        `default:"1" placeholder:"N" help:"The same seed gives the same events; they then count once, however often they are sent."`
	Rate     float64       `default:"0" placeholder:"N" help:"Events a second; 0 is as many as possible."`
	Batch    int           `default:"1000" placeholder:"N" help:"Events a request (1 to 10000)."`
	Single   bool          `help:"Send each event in a request of its own."`
	Parallel int           `default:"4" placeholder:"N" help:"Requests under way at once (1 to 1000)."`
	NoIDs    bool          `name:"no-ids" help:"Send events without event_id; what is sent again may then count twice."`
	Gzip     bool          `help:"Compress batches."`
	Patience time.Duration `default:"1m" help:"How long a request is tried while the server is away or busy."`
	Summary  string        `placeholder:"FILE" help:"Write what was sent to FILE, as JSON."`
	Check    string        `placeholder:"URL" help:"Then ask the report server at URL for every day and compare; exit 1 if anything differs."`
	Wait     time.Duration `default:"1m" help:"How long --check waits for the server to be done."`
}

func (c *loadgenCmd) Run(env *env) error {
	summary, err := loadgen.Run(env.ctx, loadgen.Options{
		To: c.To, Key: c.Key, Events: c.Events, Sites: c.Sites, Days: c.Days, End: c.End,
		Paths: c.Paths, Users: c.Users, ZipfS: c.Zipf, Seed: c.Seed,
		Rate: c.Rate, Batch: c.Batch, Single: c.Single, Parallel: c.Parallel,
		NoIDs: c.NoIDs, Gzip: c.Gzip, Patience: c.Patience,
		SummaryFile: c.Summary, Out: env.stdout, Log: env.stderr,
	})
	if err != nil || c.Check == "" {
		return err
	}
	differences, err := loadgen.Check(env.ctx, c.Check, c.Key, summary, c.Wait)
	if err != nil {
		return err
	}
	for _, d := range differences {
		fmt.Fprintln(env.stdout, d)
	}
	if len(differences) > 0 {
		return fmt.Errorf("%d numbers of %d days differ from what was sent", len(differences), len(summary.Days))
	}
	fmt.Fprintf(env.stdout, "all %d days are counted as they were sent\n", len(summary.Days))
	return nil
}
