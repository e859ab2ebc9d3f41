package main

import (
	"context"
	"errors"

	"github.com/daybook-analytics/daybook/internal/queue"
)

// enqueue appends the events of a population to a queue, as ingest does:
// batchEvents to an entry, each in the stream of its site.
func enqueue(ctx context.Context, q queue.Queue, p *population) error {
	layout, err := q.Layout(ctx)
	if err != nil {
		return err
	}
	epoch := layout.Epochs[len(layout.Epochs)-1]
	groups := make([]queue.Group, epoch.Streams)
	for i := range groups {
		groups[i].Stream = epoch.StreamName(i)
	}
	flush := func(g *queue.Group) error {
		err := errors.Join(q.Append(ctx, []queue.Group{*g})...)
		g.Lines, g.Events = g.Lines[:0], 0
		return err
	}
	for e := range p.live() {
		g := &groups[queue.Partition(e.Site, len(groups))]
		g.Lines = append(e.AppendLine(g.Lines), '\n')
		if g.Events++; g.Events == batchEvents {
			if err := flush(g); err != nil {
				return err
			}
		}
	}
	for i := range groups {
		if groups[i].Events > 0 {
			if err := flush(&groups[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
