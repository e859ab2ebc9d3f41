package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// rowMemory measures what `daybook serve` takes of the memory while it counts
// events of very many sites.
func rowMemory(ctx context.Context, b *bench) (results []result, err error) {
	const sites, most = 10_000, 400
	events := newDelivery(busySites(2_000_000, sites))
	err = b.within(func(dir string) error {
		d, err := b.serve(ctx, dir)
		if err != nil {
			return err
		}
		samples, err := d.memoryDuring(ctx, func(ctx context.Context) error {
			if err := events.send(ctx, d.ingest); err != nil {
				return err
			}
			return d.awaitWorked(ctx, events.events)
		})
		if err != nil {
			return d.stop(err)
		}
		peak, err := d.peakMemory()
		if err := d.stop(errors.Join(err, events.verify(ctx, d, events.events))); err != nil {
			return err
		}
		half := len(samples) / 2
		first, second := spreadOf(samples[:half]).Most, spreadOf(samples[half:]).Most
		what := fmt.Sprintf("serve, embedded, counts events of %d sites", sites)
		results = []result{
			result{What: what + ": most memory", Unit: "MiB", Ours: once(peak)}.goal(peak <= most, "≤ %d", most),
			result{What: what + ": most memory in the second half", Unit: "MiB"}.
				against("in the first half", comparison{once(second), once(first), once(second / first)}),
		}
		return nil
	})
	return results, err
}

// once is the figure of a single run.
func once(figure float64) spread { return spreadOf([]float64{figure}) }

// memoryDuring gives what the process has in memory while fn runs, in MiB, at
// regular times.
func (p *process) memoryDuring(ctx context.Context, fn func(context.Context) error) (samples []float64, err error) {
	const every = 250 * time.Millisecond
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { done <- fn(ctx) }()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			mib, err := p.memory()
			if err != nil {
				cancel()
				return nil, errors.Join(err, <-done)
			}
			samples = append(samples, mib)
		case err := <-done:
			if err == nil && len(samples) < 2 {
				err = errors.New("it was over before the memory could be looked at twice")
			}
			return samples, err
		}
	}
}

// memory is what the process, which runs, has in memory, in MiB.
func (p *process) memory() (mib float64, err error) {
	var kib float64
	_, err = fmt.Sscan(fieldOf(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid), "VmRSS"), &kib)
	return kib / 1024, err
}
