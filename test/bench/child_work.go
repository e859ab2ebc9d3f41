package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/worker"
	"github.com/daybook-analytics/daybook/rollup"
)

// queueOf is the queue in Redis at a URL, or the embedded one if that is empty.
func queueOf(redis string) config.Queue {
	return config.Queue{Redis: redis, RedisPrefix: "daybook", Streams: streams}
}

// runWorkers is the job of taking all events of a queue into an embedded store
// by workers in one process.
func runWorkers(args []string) (err error) {
	flags := flag.NewFlagSet("work", flag.ContinueOnError)
	data := flags.String("data", "", "directory of the store, and of the queue if it is embedded")
	redis := flags.String("redis", "", "URL of the queue; by default it is embedded")
	events := flags.Int("events", 0, "how many events the queue has")
	number := flags.Int("workers", 1, "number of workers")
	processors := flags.Int("processors", 0, "most processors to use; 0 is all")
	if err := flags.Parse(args); err != nil {
		return err
	}
	runtime.GOMAXPROCS(*processors)
	ctx := context.Background()
	log := slog.New(slog.DiscardHandler)
	q, err := app.OpenQueue(ctx, queueOf(*redis), config.Data{Data: *data}, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	st, err := openStore(ctx, *data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()

	gate := &gate{Queue: q, open: make(chan struct{})}
	workers := make([]*worker.Worker, *number)
	for i := range workers {
		workers[i] = worker.New(gate, st, worker.Options{ID: fmt.Sprint("worker-", i), Parallel: 1}, log)
		if err := workers[i].Start(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, workers[i].Stop(ctx)) }()
	}
	if err := awaitShared(ctx, q, st, *number); err != nil {
		return err
	}
	return measureJob(*events, func() error {
		close(gate.open)
		return awaitEvents(workers, *events)
	})
}

// gate is a queue that gives nothing until it is open: so workers share the
// streams before the clock starts, and not while they work.
type gate struct {
	worker.Queue
	open chan struct{}
}

// Read implements worker.Queue.
func (g *gate) Read(ctx context.Context, stream string, after rollup.EntryID, max, maxBytes int, wait time.Duration) ([]queue.Entry, error) {
	select {
	case <-g.open:
		return g.Queue.Read(ctx, stream, after, max, maxBytes, wait)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// awaitShared waits until each of the workers has as many streams as the others.
func awaitShared(ctx context.Context, q queue.Queue, st store.Store, workers int) error {
	layout, err := q.Layout(ctx)
	if err != nil {
		return err
	}
	names := layout.Names()
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		leases, err := st.Leases(ctx)
		if err != nil {
			return err
		}
		owners := map[string]string{}
		for _, lease := range leases {
			owners[lease.Name] = lease.Owner
		}
		held := map[string]int{}
		for _, name := range names {
			held[owners[worker.StreamLease(name)]]++
		}
		even := len(held) == workers && held[""] == 0
		for _, n := range held {
			even = even && n == len(names)/workers
		}
		if even {
			return nil
		}
		if time.Since(begun) > time.Minute {
			return fmt.Errorf("the workers did not share the streams evenly: %v", held)
		}
	}
}

// awaitEvents waits until workers have done so many events, each once.
func awaitEvents(workers []*worker.Worker, events int) error {
	var last worker.Stats
	for moved := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		var sum worker.Stats
		for _, w := range workers {
			stats := w.Stats()
			sum.Events += stats.Events
			sum.Failures += stats.Failures
			sum.Duplicates += stats.Duplicates
			sum.DeadLetters += stats.DeadLetters
			sum.Rebuilt += stats.Rebuilt
		}
		if sum != last {
			last, moved = sum, time.Now()
		}
		switch {
		case sum != worker.Stats{Events: sum.Events}, sum.Events > uint64(events), time.Since(moved) > patience:
			return fmt.Errorf("the workers were to do %d events, and have done %+v", events, sum)
		case sum.Events == uint64(events):
			return nil
		}
	}
}
