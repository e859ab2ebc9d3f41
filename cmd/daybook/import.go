package main

import (
	"os"
	"time"

	"github.com/daybook-analytics/daybook/internal/importer"
)

type importCmd struct {
	Files     []string      `arg:"" name:"file" help:"Files to read in this order, plain or gzip; - is standard input."`
	Site      string        `placeholder:"SITE" help:"site_id of the events; access logs need it, events of NDJSON keep their own without it."`
	To        string        `default:"http://127.0.0.1:3000" placeholder:"URL" help:"Server that takes the events."`
	Key       string        `placeholder:"KEY" help:"The server's key for sending events, unless it is open."`
	Format    string        `default:"auto" enum:"auto,combined,ndjson" help:"auto, combined (Apache and nginx access logs) or ndjson (Daybook's events)."`
	All       bool          `help:"Import every request of an access log, not only GETs with status 2xx or 304."`
	SkipBots  bool          `help:"Pass over the requests of an access log that are of known bots, by their user agent."`
	Resume    bool          `help:"Pass over what an earlier run has confirmed, as its state file says."`
	StateFile string        `placeholder:"FILE" help:"Where it is kept what is confirmed; by default beside the first file, as FILE.daybook-import."`
	Batch     int           `default:"1000" placeholder:"N" help:"Events a request (1 to 10000)."`
	Parallel  int           `default:"4" placeholder:"N" help:"Requests under way at once (1 to 64)."`
	Gzip      bool          `help:"Compress the requests."`
	Patience  time.Duration `default:"1m" help:"How long a request is tried while the server is away or busy."`
}

// Help is what "daybook import --help" tells beside the flags.
func (c *importCmd) Help() string {
	return "Importing the same lines again counts nothing twice. For that the IDs of an access log's users and events are made without a secret, so that whoever has the store can compute them from addresses: docs/visitors.md tells how to replace the addresses first."
}

func (c *importCmd) Run(env *env) error {
	_, err := importer.Run(env.ctx, importer.Options{
		To: c.To, Key: c.Key, Site: c.Site, Files: c.Files, Stdin: os.Stdin, Format: c.Format, All: c.All,
		SkipBots: c.SkipBots, Resume: c.Resume, StateFile: c.StateFile, Batch: c.Batch, Parallel: c.Parallel,
		Gzip: c.Gzip, Patience: c.Patience, Out: env.stdout, Log: env.stderr,
	})
	return err
}
