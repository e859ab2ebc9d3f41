package main

import (
	"context"
	"fmt"
)

// busySites are events of some sites, of which two in three are late by a day
// or two.
func busySites(events, sites int) *population {
	return &population{
		name: "busy", sites: sites, days: 3, end: yesterday().AddDate(0, 0, 1),
		events: events, users: 100_000, paths: 20_000,
	}
}

// The events of row 4.
const (
	wholeEvents = 1_000_000
	wholeSites  = 50
)

// rowWhole measures events from the request to the rollup, with the sender
// beside the server.
func rowWhole(ctx context.Context, b *bench) ([]result, error) {
	events := newDelivery(busySites(wholeEvents, wholeSites))
	ours := func(ctx context.Context) (perSecond float64, err error) {
		err = b.within(func(dir string) error {
			d, err := b.serve(ctx, dir)
			if err != nil {
				return err
			}
			perSecond, err = events.to(ctx, d, 0)
			return d.stop(err)
		})
		return perSecond, err
	}
	yardstick := func(ctx context.Context) (perSecond float64, err error) {
		err = b.within(func(dir string) error {
			w, err := b.job(ctx, "put", "-dir", dir)
			perSecond = w.perSecond()
			return err
		})
		return perSecond, err
	}
	c, err := b.compare(ctx, ours, yardstick)
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("serve, embedded: from request to rollup, %d events a request, %d sites", batchEvents, wholeSites)
	return []result{
		result{What: what, Unit: "events/s"}.against("the raw events alone put into Pebble, synced", c).
			goal(c.ratio.Median >= 0.6, "≥ 0.6 ×"),
		result{What: what, Unit: "events/s", Ours: c.ours}.
			goal(c.ours.Median >= 150_000, "≥ 150,000"),
	}, nil
}
