package report

import (
	"context"
	"strings"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// tail is what the queue has of a site beyond the checkpoints.
type tail struct {
	events []store.Event
	// asOf is the time up to which all that was accepted is there, or in the
	// raw events up to the checkpoints.
	asOf time.Time
	// complete tells that it was not too much to be read.
	complete bool
}

// tail reads what the queue has of a site. Without a queue, or while it is
// away, there is none, and an answer ends with the checkpoints.
func (l *live) tail(ctx context.Context, site string, checkpoints map[string]store.Checkpoint) *tail {
	if l.queue == nil {
		return nil
	}
	t, err := l.readTail(ctx, site, checkpoints)
	if err != nil {
		if !l.away.Swap(true) {
			l.log.Warn("the queue cannot be read: realtime answers end with what is in the store", "error", err)
		}
		return nil
	}
	if l.away.Swap(false) {
		l.log.Info("the queue can be read again")
	}
	return t
}

func (l *live) readTail(ctx context.Context, site string, checkpoints map[string]store.Checkpoint) (*tail, error) {
	layout, err := l.queue.Layout(ctx)
	if err != nil {
		return nil, err
	}
	t := &tail{asOf: l.now(), complete: true}
	budget := tailBytes
	for _, epoch := range layout.Epochs {
		name := epoch.StreamName(queue.Partition(site, epoch.Streams))
		if err := t.read(ctx, l.queue, site, name, checkpoints[name], &budget); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// read reads one stream beyond its checkpoint, as far as the budget of bytes
// goes.
func (t *tail) read(ctx context.Context, q Queue, site, stream string, from store.Checkpoint, budget *int) error {
	after, asOf := from.Position.Entry, from.AsOf
	for {
		entries, err := q.Read(ctx, stream, after, tailEntries, max(1, *budget), 0)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return nil
		}
		if *budget <= 0 {
			// There is more than may be read.
			t.complete = false
			if asOf.Before(t.asOf) {
				t.asOf = asOf
			}
			return nil
		}
		for _, entry := range entries {
			t.add(site, stream, entry)
			*budget -= len(entry.Lines)
			after, asOf = entry.ID, time.UnixMilli(int64(entry.ID.Ms))
		}
	}
}

// add takes the events of the site out of an entry. Lines that are no events
// are left to the worker.
func (t *tail) add(site, stream string, entry queue.Entry) {
	p := rollup.Position{Entry: entry.ID}
	for line := range strings.Lines(entry.Lines) {
		line = strings.TrimSuffix(line, "\n")
		// Most are of other sites.
		if strings.Contains(line, "\t"+site+"\t") {
			if e, err := event.ParseLine(line); err == nil && e.Site == site {
				t.events = append(t.events, store.Event{Event: e, Stream: stream, Position: p})
			}
		}
		p.Line++
	}
}
