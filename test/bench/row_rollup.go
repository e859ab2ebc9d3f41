package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strconv"

	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
)

// rowRollup measures what rollups cost the processors beside the raw events, of
// the same queue: a worker against inserts alone.
func rowRollup(ctx context.Context, b *bench) (results []result, err error) {
	events := busySites(1_000_000, 50)
	err = b.within(func(full string) error {
		if err := fillQueue(ctx, full, events); err != nil {
			return err
		}
		cost := func(job string) side {
			return func(ctx context.Context) (micros float64, err error) {
				err = b.within(func(dir string) error {
					if err := os.CopyFS(dir, os.DirFS(full)); err != nil {
						return err
					}
					w, err := b.job(ctx, job, "-data", dir, "-events", strconv.Itoa(events.events))
					micros = w.cpu()
					return err
				})
				return micros, err
			}
		}
		c, err := b.compare(ctx, cost("work"), cost("insert"))
		if err != nil {
			return err
		}
		results = append(results, result{What: "the worker, from queue to rollup, embedded", Unit: "µs of CPU an event"}.
			against("the same without rollups", c).
			goal(c.ratio.Median <= 1.25, "≤ 1.25 ×"))
		return nil
	})
	return results, err
}

// fillQueue puts events into the embedded queue of a directory.
func fillQueue(ctx context.Context, data string, events *population) error {
	q, err := app.OpenQueue(ctx, queueOf(""), config.Data{Data: data}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return errors.Join(enqueue(ctx, q, events), q.Close())
}
