package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is one that the run has started, which it stops again.
type process struct {
	cmd  *exec.Cmd
	name string
	log  bytes.Buffer
}

// start starts a program. What it writes is kept for the case that something
// goes wrong.
func (b *bench) start(ctx context.Context, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, name, args...), name: filepath.Base(name)}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 30 * time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	return p, nil
}

// stop ends the process and waits for it, and joins what went wrong to err.
func (p *process) stop(err error) error {
	signalErr := p.cmd.Process.Signal(syscall.SIGTERM)
	waitErr := p.cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(waitErr, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM {
		waitErr = nil // it has no handler of its own, and did as it was told
	}
	if err = errors.Join(err, signalErr, waitErr); err != nil {
		return fmt.Errorf("%w\nthe log of %s:\n%s", err, p.name, p.log.Bytes())
	}
	return nil
}

// peakMemory is the most that the process, which runs, had in memory.
func (p *process) peakMemory() (mib float64, err error) {
	var kib float64
	_, err = fmt.Sscan(fieldOf(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid), "VmHWM"), &kib)
	return kib / 1024, err
}

// waitReady asks a URL until it answers 200.
func waitReady(ctx context.Context, url string) error {
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	var last error
	for range 6000 {
		resp, err := client.Get(url)
		last = err
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			last = errors.New(resp.Status)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s is not ready after a minute: %w", url, last)
}

// freeAddr gives an address of loopback that nobody listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// daybook is a running `daybook serve` with the addresses of its roles.
type daybook struct {
	*process
	ingest, report string
}

// serve starts `daybook serve` on a directory, without its schedules, and
// waits until it is ready.
func (b *bench) serve(ctx context.Context, data string, flags ...string) (*daybook, error) {
	ingest, err := freeAddr()
	if err != nil {
		return nil, err
	}
	report, err := freeAddr()
	if err != nil {
		return nil, err
	}
	args := append([]string{"serve", "--data", data, "--ingest-addr", ingest, "--report-addr", report,
		"--check-schedule", "off", "--nightly-schedule", "off"}, flags...)
	p, err := b.start(ctx, b.daybook, args...)
	if err != nil {
		return nil, err
	}
	if err := waitReady(ctx, "http://"+report+"/readyz"); err != nil {
		return nil, p.stop(err)
	}
	return &daybook{process: p, ingest: "http://" + ingest, report: "http://" + report}, nil
}

// childCommand is the first argument of this binary when it is started as one
// of the small servers, whose name is the second.
const childCommand = "child"

// child starts one of the small servers and waits until it is ready; it
// listens on the address that it is given as the flag -addr, and answers 200
// to GET /readyz. It ends at SIGTERM.
func (b *bench) child(ctx context.Context, name string, args ...string) (p *process, url string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	p, err = b.start(ctx, self, append([]string{childCommand, name, "-addr", addr}, args...)...)
	if err != nil {
		return nil, "", err
	}
	url = "http://" + addr
	if err := waitReady(ctx, url+"/readyz"); err != nil {
		return nil, "", p.stop(err)
	}
	return p, url, nil
}
