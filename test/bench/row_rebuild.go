package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/daybook-analytics/daybook/internal/reconcile"
)

// rowRebuild measures a rebuild of ten million events. Each side is a process
// of its own, from its start to its end.
func rowRebuild(ctx context.Context, b *bench) ([]result, error) {
	data, err := b.answersData(ctx)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &monthSite
	dates := make([]string, p.days)
	for day := range dates {
		dates[day] = p.date(day)
	}
	rebuild := func(ctx context.Context) (float64, error) {
		out, speed, err := perSecond(ctx, p.events, b.daybook, "rebuild", "--data", data, "--site", p.site(0),
			"--parallel", strconv.Itoa(min(runtime.GOMAXPROCS(0), reconcile.MaxParallel)), "--json")
		if err != nil {
			return 0, err
		}
		var job reconcile.Job
		if err := json.Unmarshal(out, &job); err != nil {
			return 0, err
		}
		// Days that are right are read and folded like any other, and not
		// written.
		if job.State != reconcile.Done || job.Finished != p.days || job.Events != int64(p.events) || job.Faulty != 0 {
			return 0, fmt.Errorf("the rebuild was not of %d right days with %d events: %s", p.days, p.events, out)
		}
		return speed, nil
	}
	read := func(child string) side {
		return func(ctx context.Context) (float64, error) {
			out, speed, err := perSecond(ctx, p.events, self, childCommand, child, "-data", data, "-site", p.site(0), "-dates", strings.Join(dates, ","))
			if err == nil && strings.TrimSpace(string(out)) != strconv.Itoa(p.events) {
				err = fmt.Errorf("%s read %s events, not %d", child, out, p.events)
			}
			return speed, err
		}
	}
	c, err := b.compare(ctx, rebuild, read("plain-events"))
	if err != nil {
		return nil, err
	}
	// For information, twice is enough.
	few := &bench{pairs: min(b.pairs, 2)}
	scan, err := few.repeat(ctx, read("scan-events"))
	if err != nil {
		return nil, err
	}
	events := number(float64(p.events))
	const goal = 0.6
	return []result{
		result{What: "daybook rebuild of " + events + " events", Unit: "events/s"}.
			against("plain read of the same events", c).goal(c.ratio.Median >= goal, "≥ %.1f of it", goal),
		{What: "the store's scan of " + events + " events, decoded", Unit: "events/s", Ours: scan},
	}, nil
}

// perSecond runs a program to its end, and gives what it prints and to how
// many events a second its time comes.
func perSecond(ctx context.Context, events int, name string, args ...string) (out []byte, speed float64, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	begun := time.Now()
	out, err = cmd.Output()
	took := time.Since(begun)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("%w\n%s", err, exit.Stderr)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("%s %s: %w", name, args[0], err)
	}
	return out, float64(events) / took.Seconds(), nil
}
