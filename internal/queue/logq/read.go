package logq

import (
	"context"
	"fmt"
	"time"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/rollup"
)

// Read implements queue.Queue.
func (q *Queue) Read(ctx context.Context, name string, after rollup.EntryID, max, maxBytes int, wait time.Duration) ([]queue.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, err := q.stream(name)
	if err != nil {
		return nil, err
	}
	var timeout <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		timeout = timer.C
	}
	for {
		q.mu.Lock()
		end, grown := s.head.id, s.grown
		q.mu.Unlock()
		if after.Compare(end) < 0 {
			entries, err := q.scan(s.id, after, end, max, maxBytes)
			if err != nil {
				return nil, fmt.Errorf("stream %s of the queue in %s: %w", name, q.dir, err)
			}
			if len(entries) > 0 {
				return entries, nil
			}
		}
		if wait <= 0 {
			return nil, nil
		}
		select {
		case <-grown:
		case <-timeout:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// scan gives entries that follow after, none beyond end, within the limits of
// Read.
func (q *Queue) scan(id streamID, after, end rollup.EntryID, max, maxBytes int) (entries []queue.Entry, err error) {
	iter, err := q.iter(id, after, end)
	if err != nil {
		return nil, err
	}
	defer iter.Close()
	size := 0
	for ok := iter.First(); ok; ok = iter.Next() {
		value, err := iter.ValueAndErr()
		if err != nil {
			return nil, err
		}
		e, err := decodeEntry(value)
		if err != nil {
			return nil, err
		}
		size += len(e.lines)
		if len(entries) > 0 && size > maxBytes {
			break
		}
		entries = append(entries, queue.Entry{
			ID:     entryID(iter.Key()),
			Lines:  string(e.lines),
			Events: int(e.events),
		})
		if len(entries) >= max {
			break
		}
	}
	return entries, iter.Error()
}
