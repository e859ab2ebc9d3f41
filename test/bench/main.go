// Bench measures Daybook against what the same machine can do at all: each
// figure stands beside a yardstick, the least work that could give the same
// result, measured in turn with it in the same run. `make bench` runs it.
//
// It builds nothing and asserts nothing. It starts the given binary and its
// own small servers as processes on loopback, prints a table of medians with
// least and most and the ratio, and writes the same as JSON.
//
// Where to look: main.go lists the rows, measure.go tells how a pair is
// measured, process.go starts processes, load.go is the client of HTTP, and
// each row*.go has the rows of its name.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// row is one of the questions that are measured. Run gives a result for each
// of its variants.
type row struct {
	number int
	name   string
	run    func(ctx context.Context, b *bench) ([]result, error)
}

var rows = []row{
	{1, "one event a request, embedded log", rowEvent},
	{2, "one event a request, Redis", rowEventRedis},
	{3, "batches", rowBatch},
	{4, "the whole way", rowWhole},
	{5, "the worker's rollups", rowRollup},
	{6, "answers", rowStats},
	{7, "rebuild", rowRebuild},
	{8, "memory", rowMemory},
	{9, "growth", rowGrowth},
	{10, "two workers", rowWorkers},
}

// bench is one run.
type bench struct {
	// daybook is the binary that is measured.
	daybook string
	// dir is a directory for all that the run writes; it is removed at its end.
	dir string
	// pairs is how often each comparison is made.
	pairs int
	// span is how long a closed loop of requests is measured.
	span time.Duration
	// large is the number of stored events up to which growth is measured.
	large int
}

// progress tells on standard error what is going on.
func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

func main() {
	// The processes that the run starts of this same binary.
	if len(os.Args) > 2 && os.Args[1] == childCommand {
		exit(runChild(os.Args[2], os.Args[3:]))
	}
	b := &bench{}
	flag.StringVar(&b.daybook, "daybook", "bin/daybook", "the binary to measure")
	flag.IntVar(&b.pairs, "pairs", 5, "how often each comparison is made")
	flag.DurationVar(&b.span, "span", 1500*time.Millisecond, "how long a closed loop of requests is measured")
	flag.IntVar(&b.large, "large", 100_000_000, "stored events up to which growth is measured")
	parent := flag.String("dir", "", "where to make the directory of the run; by default that of temporary files")
	only := flag.String("rows", "", "numbers of the rows to measure, as in 1,4; by default all")
	jsonFile := flag.String("json", "", "file for the results as JSON")
	markdown := flag.String("markdown", "", "file for the table as Markdown")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(func() (err error) {
		if flag.NArg() > 0 {
			return fmt.Errorf("argument %q is not known; bench takes flags only", flag.Arg(0))
		}
		chosen, err := choose(*only)
		if err != nil {
			return err
		}
		if b.dir, err = os.MkdirTemp(*parent, "daybook-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
		r := report{Machine: describeMachine(), Begun: time.Now().UTC(), Pairs: b.pairs}
		for _, row := range chosen {
			b.progress("row %d: %s", row.number, row.name)
			results, err := row.run(ctx, b)
			if err != nil {
				return fmt.Errorf("row %d, %s: %w", row.number, row.name, err)
			}
			for _, result := range results {
				result.Row = row.number
				b.progress("%s", result.line())
				r.Results = append(r.Results, result)
			}
		}
		r.Seconds = time.Since(r.Begun).Seconds()
		return r.write(os.Stdout, *markdown, *jsonFile)
	}())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// choose gives the rows of a list of numbers.
func choose(list string) ([]row, error) {
	if list == "" {
		return rows, nil
	}
	var chosen []row
	for text := range strings.SplitSeq(list, ",") {
		number, err := strconv.Atoi(text)
		i := slices.IndexFunc(rows, func(r row) bool { return r.number == number })
		if err != nil || i < 0 {
			return nil, fmt.Errorf("there is no row %q: rows are 1 to %d", text, len(rows))
		}
		chosen = append(chosen, rows[i])
	}
	return chosen, nil
}
