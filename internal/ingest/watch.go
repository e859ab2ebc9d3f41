package ingest

import (
	"context"
	"log/slog"
	"time"

	"github.com/daybook-analytics/daybook/internal/queue"
)

const (
	// watchInterval is how often the queue is looked at.
	watchInterval = time.Second
	lookTimeout   = 5 * time.Second
)

// watch looks at the queue until Stop.
func (in *Ingest) watch() {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-in.watchCtx.Done():
			return
		case <-ticker.C:
			// The error is noted there; the next look may find better.
			_ = in.look(in.watchCtx)
		}
	}
}

// look learns from the queue which streams events go to, and whether it holds
// more than it may. When the queue does not tell, what is known stays.
func (in *Ingest) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	err := in.lookStreams(ctx)
	if err == nil {
		err = in.lookBacklog(ctx)
	}
	in.lookOutage.note(err)
	return err
}

func (in *Ingest) lookStreams(ctx context.Context) error {
	layout, err := in.queue.Layout(ctx)
	if err != nil {
		return err
	}
	newest := layout.Epochs[len(layout.Epochs)-1]
	names := queue.Layout{Epochs: []queue.Epoch{newest}}.Names()
	in.streams.Store(&names)
	return nil
}

func (in *Ingest) lookBacklog(ctx context.Context) error {
	if in.opts.MaxBacklogEvents == 0 && in.opts.MaxBacklogBytes == 0 {
		return nil
	}
	backlog, err := in.queue.Backlog(ctx)
	if err != nil {
		return err
	}
	var events, bytes int64
	for _, b := range backlog {
		events += b.Events
		bytes += b.Bytes
	}
	beyond := func(n, limit int64) bool { return limit > 0 && n > limit }
	full := beyond(events, in.opts.MaxBacklogEvents) || beyond(bytes, in.opts.MaxBacklogBytes)
	if was := in.full.Swap(full); was != full {
		message := "the queue has room again, events are taken"
		if full {
			message = "the queue holds more than it may, no events are taken: are the workers running?"
		}
		in.log.Warn(message, "events", events, "max_events", in.opts.MaxBacklogEvents,
			"bytes", bytes, "max_bytes", in.opts.MaxBacklogBytes)
	}
	return nil
}

// outage logs when something begins to fail and when it works again, and no
// failure between. It is used by one goroutine at a time.
type outage struct {
	what  string
	log   *slog.Logger
	since time.Time // zero while it works
}

func (o *outage) note(err error) {
	switch {
	case err != nil && o.since.IsZero():
		o.since = time.Now()
		o.log.Error(o.what+" fails", "error", err)
	case err == nil && !o.since.IsZero():
		o.log.Info(o.what+" works again", "after", time.Since(o.since).Round(time.Millisecond))
		o.since = time.Time{}
	}
}
