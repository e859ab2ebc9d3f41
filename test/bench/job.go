package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// work is what a job did: a child process that works through some events and
// ends.
type work struct {
	Events int
	// Seconds is how long it took until all was written, CPUSeconds what it
	// took of the processors until nothing was left to do, compactions too.
	Seconds, CPUSeconds float64
}

// perSecond gives the events a second.
func (w work) perSecond() float64 { return float64(w.Events) / w.Seconds }

// cpu gives the processor time of an event, in microseconds.
func (w work) cpu() float64 { return w.CPUSeconds / float64(w.Events) * 1e6 }

// job runs one of the children that measure themselves.
func (b *bench) job(ctx context.Context, name string, args ...string) (w work, err error) {
	self, err := os.Executable()
	if err != nil {
		return w, err
	}
	var out, log bytes.Buffer
	cmd := exec.CommandContext(ctx, self, append([]string{childCommand, name}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		return w, fmt.Errorf("%s: %w\n%s", name, err, log.Bytes())
	}
	if err := json.Unmarshal(out.Bytes(), &w); err != nil {
		return w, fmt.Errorf("%s printed %q: %w", name, out.Bytes(), err)
	}
	return w, nil
}

// measureJob is what a job does: it runs fn, which works through so many
// events, and prints what that took. The process comes to rest before, so that
// nothing is counted of what it took to get ready.
func measureJob(events int, fn func() error) error {
	if err := settle(context.Background()); err != nil {
		return err
	}
	begun := time.Now()
	before, err := processorTime()
	if err != nil {
		return err
	}
	if err := fn(); err != nil {
		return err
	}
	took := time.Since(begun)
	if err := settle(context.Background()); err != nil {
		return err
	}
	after, err := processorTime()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(work{events, took.Seconds(), (after - before).Seconds()})
}
