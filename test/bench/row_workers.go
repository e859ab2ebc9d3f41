package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
)

// rowWorkers measures how much faster two workers of one process are than one,
// from Redis into the embedded store, and how fast one is on one core.
func rowWorkers(ctx context.Context, b *bench) ([]result, error) {
	events := busySites(500_000, 50)
	work := func(args ...string) side {
		return func(ctx context.Context) (perSecond float64, err error) {
			err = b.within(func(dir string) error {
				w, redis, err := b.workFromRedis(ctx, dir, events, args...)
				if err != nil {
					return err
				}
				perSecond = w.perSecond()
				b.progress("  %s: %.1f s, CPU an event %.2f µs, of redis-server %.2f µs",
					strings.Join(args, " "), w.Seconds, w.cpu(), redis/float64(w.Events)*1e6)
				return nil
			})
			return perSecond, err
		}
	}
	two, err := b.compare(ctx, work("-workers", "2"), work("-workers", "1"))
	if err != nil {
		return nil, err
	}
	core, err := b.repeat(ctx, work("-workers", "1", "-processors", "1"))
	if err != nil {
		return nil, err
	}
	return []result{
		result{What: "two workers, from Redis to rollup", Unit: "events/s"}.against("one worker", two),
		{What: "one worker on one core, from Redis to rollup", Unit: "events/s", Ours: core},
	}, nil
}

// workFromRedis lets workers take events from a Redis of their own, whose data
// is in a directory as theirs is. redis is the processor time that the server
// has taken meanwhile, in seconds.
func (b *bench) workFromRedis(ctx context.Context, dir string, events *population, args ...string) (w work, redis float64, err error) {
	in := *b
	in.dir = dir
	// Rewriting its file would come in between.
	server, err := in.startRedis(ctx, append(durable[:len(durable):len(durable)], "--auto-aof-rewrite-percentage", "0")...)
	if err != nil {
		return w, 0, err
	}
	defer func() { err = server.stop(err) }()
	url := "redis://" + server.addr
	q, err := app.OpenQueue(ctx, queueOf(url), config.Data{}, slog.New(slog.DiscardHandler))
	if err != nil {
		return w, 0, err
	}
	if err := errors.Join(enqueue(ctx, q, events), q.Close()); err != nil {
		return w, 0, err
	}
	before, err := server.processorTime(ctx)
	if err != nil {
		return w, 0, err
	}
	w, err = b.job(ctx, "work", append([]string{"-data", dir, "-redis", url, "-events", strconv.Itoa(events.events)}, args...)...)
	if err != nil {
		return w, 0, err
	}
	after, err := server.processorTime(ctx)
	return w, after - before, err
}

// processorTime is what the server has taken of the processors so far, in
// seconds.
func (s *redisServer) processorTime(ctx context.Context) (sum float64, err error) {
	info, err := s.client.Info(ctx, "cpu").Result()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(info) {
		for _, name := range []string{"used_cpu_user:", "used_cpu_sys:"} {
			if value, ok := strings.CutPrefix(line, name); ok {
				seconds, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
				if err != nil {
					return 0, fmt.Errorf("redis-server says %s%s: %w", name, value, err)
				}
				sum += seconds
			}
		}
	}
	return sum, nil
}
