package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/internal/worker"
)

// Stream tells how one stream stands.
type Stream struct {
	Epoch int    `json:"epoch"`
	Name  string `json:"stream"`
	// Entries, Events and Bytes are what is in the queue, as queue.Backlog
	// has it; zero when all of that is done and only not trimmed yet.
	Entries int64 `json:"entries"`
	Events  int64 `json:"events"`
	Bytes   int64 `json:"bytes"`
	// OldestSeconds is the age of the oldest entry; 0 when there is none.
	OldestSeconds float64 `json:"oldest_seconds"`
	// Checkpoint is the last position that is done; empty when there is none.
	Checkpoint string `json:"checkpoint"`
	// AsOf is the time up to which all that was accepted is done; zero when
	// no worker has looked at the stream yet.
	AsOf time.Time `json:"as_of,omitzero"`
	// Owner is the worker that has the stream; empty when it is free.
	Owner string `json:"owner"`
}

// Streams is part of Actions.
func (a *Admin) Streams(ctx context.Context) ([]Stream, error) {
	layout, err := a.queue.Layout(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the streams' layout: %w", err)
	}
	backlogs, err := a.queue.Backlog(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the backlog: %w", err)
	}
	checkpoints, err := a.store.Checkpoints(ctx)
	if err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	leases, err := a.store.Leases(ctx)
	if err != nil {
		return nil, fmt.Errorf("read leases: %w", err)
	}
	backlogOf := make(map[string]queue.Backlog, len(backlogs))
	for _, b := range backlogs {
		backlogOf[b.Stream] = b
	}
	owners := make(map[string]string, len(leases))
	for _, l := range leases {
		owners[l.Name] = l.Owner
	}

	now := time.Now()
	var streams []Stream
	for _, epoch := range layout.Epochs {
		for i := range epoch.Streams {
			name := epoch.StreamName(i)
			backlog, checkpoint := backlogOf[name], checkpoints[name]
			if checkpoint.Position.Entry.Compare(backlog.Newest) >= 0 {
				backlog = queue.Backlog{}
			}
			s := Stream{
				Epoch: epoch.Number, Name: name,
				Entries: backlog.Entries, Events: backlog.Events, Bytes: backlog.Bytes,
				AsOf: checkpoint.AsOf, Owner: owners[worker.StreamLease(name)],
			}
			if backlog.Entries > 0 {
				age := now.Sub(time.UnixMilli(int64(backlog.Oldest.Ms)))
				s.OldestSeconds = max(0, age.Seconds())
			}
			if !checkpoint.Position.IsZero() {
				s.Checkpoint = checkpoint.Position.String()
			}
			streams = append(streams, s)
		}
	}
	return streams, nil
}

// streamsOfStore lists what the store knows of streams.
func (a *Admin) streamsOfStore(ctx context.Context) ([]Stream, error) {
	checkpoints, err := a.store.Checkpoints(ctx)
	if err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	var streams []Stream
	for name, c := range checkpoints {
		streams = append(streams, Stream{Name: name, Checkpoint: c.Position.String(), AsOf: c.AsOf})
	}
	slices.SortFunc(streams, func(a, b Stream) int { return cmp.Compare(a.Name, b.Name) })
	return streams, nil
}

// RaiseStreams is part of Actions. That the number only ever rises makes it
// safe to ask again when the outcome is unknown: a second epoch with as many
// streams would be of no use and stay for ever.
func (a *Admin) RaiseStreams(ctx context.Context, streams int) (queue.Epoch, error) {
	layout, err := a.queue.Layout(ctx)
	if err != nil {
		return queue.Epoch{}, fmt.Errorf("read the streams' layout: %w", err)
	}
	newest := layout.Epochs[len(layout.Epochs)-1]
	if streams <= newest.Streams || streams > queue.MaxStreams {
		return queue.Epoch{}, &web.Error{
			Status: http.StatusUnprocessableEntity,
			Message: fmt.Sprintf("%d streams: there are %d now, and the number can only be raised, to %d at most",
				streams, newest.Streams, queue.MaxStreams),
		}
	}
	return a.queue.OpenEpoch(ctx, streams)
}
