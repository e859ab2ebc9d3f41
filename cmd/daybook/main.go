// Command daybook is all of Daybook: a command for each role and for each
// thing that operators do. There is one file per command, without logic.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// cli is the whole command line.
type cli struct {
	Serve       serveCmd       `cmd:"" help:"Run all roles in one process, with the embedded queue and store unless told otherwise."`
	Ingest      ingestCmd      `cmd:"" help:"Take events over HTTP into the queue."`
	Worker      workerCmd      `cmd:"" help:"Move events from the queue into the store and its rollups."`
	Report      reportCmd      `cmd:"" help:"Answer queries from the store."`
	Migrate     migrateCmd     `cmd:"" help:"Bring the store's schema up to this version, or show where it is."`
	Import      importCmd      `cmd:"" help:"Send access logs or events from files to a running server."`
	Export      exportCmd      `cmd:"" help:"Write raw events or rollups to a file, as NDJSON, CSV or JSON."`
	ImportDays  importDaysCmd  `cmd:"" name:"import-rollups" help:"Take over the rollups of an export whose raw events are not all kept any more."`
	DeadLetters deadLettersCmd `cmd:"" name:"deadletters" help:"Look after events that could not be decoded or stored."`
	Streams     streamsCmd     `cmd:"" help:"Look after the queue's streams."`
	Status      statusCmd      `cmd:"" help:"Show how everything stands: streams, backlog, dead letters, reconciliation, jobs."`
	Verify      verifyCmd      `cmd:"" help:"Compare rollups with their raw events. Exit code 0: right, 1: some are not, 2: not all could be checked."`
	Rebuild     rebuildCmd     `cmd:"" help:"Restore rollups from their raw events where they are not right."`
	Jobs        jobsCmd        `cmd:"" help:"Look after rebuild jobs and runs of the scheduled reconciliation."`
	Sites       sitesCmd       `cmd:"" help:"Add sites, and look after their settings."`
	Keys        keysCmd        `cmd:"" help:"Make, list and revoke the keys by which others may send events and ask for statistics."`
	Retention   retentionCmd   `cmd:"" help:"Remove raw events that are older than they are to be kept now, or show what would go."`
	Erase       eraseCmd       `cmd:"" help:"Erase a user, days or all of a site for good, with a receipt."`
	Loadgen     loadgenCmd     `cmd:"" help:"Send synthetic traffic to a running server, and check what it counted."`

	Version kong.VersionFlag `env:"-" help:"Print the version and quit."`
}

// Exit codes.
const (
	exitFailed = 1 // the command could not do its work
	exitUsage  = 2 // the command line or the environment is wrong
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run runs one command line and gives the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	exited, code := false, 0
	parser, err := kong.New(&cli{},
		kong.Name("daybook"),
		kong.Description("Web analytics that counts every event once.\n\nEach flag can be given as an environment variable too: --report-addr is DAYBOOK_REPORT_ADDR."),
		kong.DefaultEnvars("DAYBOOK"),
		kong.Vars{"version": version()},
		kong.ValueFormatter(showDefault),
		kong.Writers(stdout, stderr),
		kong.Exit(func(c int) { exited, code = true, c }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		panic(err) // the struct tags above are wrong
	}
	command, err := parser.Parse(args)
	if exited { // --help and --version
		return code
	}
	if err != nil {
		fmt.Fprintf(stderr, "daybook: %v\n", err)
		return exitUsage
	}

	// The first signal ends ctx; from then on signals have their usual effect,
	// so that a second one ends the process at once.
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	context.AfterFunc(ctx, cancel)

	return exitCode(command.Run(&env{ctx: ctx, stdout: stdout, stderr: stderr}), stderr)
}

// exitCode gives the exit code of a command, and tells its error.
func exitCode(err error, stderr io.Writer) int {
	var coded *exitError
	switch {
	case errors.As(err, &coded):
		return coded.code
	case err != nil:
		fmt.Fprintf(stderr, "daybook: %v\n", err)
		return exitFailed
	}
	return 0
}

// showDefault is the help of a flag: what it is, its default, and its
// environment variable.
func showDefault(v *kong.Value) string {
	help := kong.DefaultHelpValueFormatter(v)
	if v.Default == "" || v.Flag == nil || v.Flag.PlaceHolder == "" {
		return help // a flag without a placeholder shows its default in its place
	}
	shown := " (default " + v.Default + ")"
	if at := strings.LastIndex(help, " ($"); at >= 0 {
		return help[:at] + shown + help[at:]
	}
	return strings.TrimSuffix(help, ".") + shown + "."
}

// env is what a command is run with.
type env struct {
	ctx            context.Context
	stdout, stderr io.Writer
}

// exitError is an exit code whose reason the command has told already.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// releaseVersion is set by the build of a release.
var releaseVersion = ""

// release is the version that this is: of a release, or of the module that it
// was built from.
func release() string {
	if releaseVersion != "" {
		return releaseVersion
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "(unknown version)"
}

func version() string { return "daybook " + release() + " " + runtime.Version() }
