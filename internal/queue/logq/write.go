package logq

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/rollup"
)

// Append implements queue.Queue. It is one atomic batch, synced: either all
// groups that it gives no error for are written, or none. Once it has begun
// to write, ctx cannot stop it.
func (q *Queue) Append(ctx context.Context, groups []queue.Group) []error {
	errs := make([]error, len(groups))
	q.writing.Lock()
	defer q.writing.Unlock()
	heads, err := q.append(ctx, groups, errs)
	if err != nil {
		for i := range errs {
			if errs[i] == nil {
				errs[i] = err
			}
		}
		return errs
	}

	q.mu.Lock()
	for s, h := range heads {
		if s.oldest == (rollup.EntryID{}) {
			s.oldest = h.first
		}
		s.head = h.head
		close(s.grown)
		s.grown = make(chan struct{})
	}
	q.mu.Unlock()
	for _, err := range errs {
		if err != nil {
			return errs
		}
	}
	return nil
}

// newHead is what an append makes of a stream.
type newHead struct {
	head
	// first is the ID of the append's first entry in the stream.
	first rollup.EntryID
}

// append writes the groups that can be written, puts the errors of the others
// into errs, and gives the new heads. Its error is one of all groups.
func (q *Queue) append(ctx context.Context, groups []queue.Group, errs []error) (map[*stream]newHead, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := q.room(); err != nil {
		return nil, err
	}
	now := uint64(max(1, q.now().UnixMilli()))
	heads := map[*stream]newHead{}
	size := 0
	for _, g := range groups {
		size += maxEntryExtra + len(g.Lines)
	}
	batch := q.db.NewBatchWithSize(size)
	for i, g := range groups {
		s, err := q.stream(g.Stream)
		if err != nil {
			errs[i] = err
			continue
		}
		h, ok := heads[s]
		if !ok {
			h.head = s.head
		}
		e := entry{before: h.counts, events: uint64(g.Events), lines: g.Lines}
		h.id = nextID(h.id, now)
		h.counts = h.plus(g.Events, len(g.Lines))
		if !ok {
			h.first = h.id
		}
		heads[s] = h
		if err := setEntry(batch, entryKey(s.id, h.id), e); err != nil {
			return nil, err
		}
	}
	for s, h := range heads {
		if err := batch.Set(headKey(s.id), h.append(nil), nil); err != nil {
			return nil, err
		}
	}
	return heads, q.commit(batch, pebble.Sync)
}

// setEntry writes an entry into the batch's own memory.
func setEntry(batch *pebble.Batch, key []byte, e entry) error {
	front := e.appendFront(make([]byte, 0, maxFront))
	op := batch.SetDeferred(len(key), len(front)+len(e.lines))
	copy(op.Key, key)
	copy(op.Value[copy(op.Value, front):], e.lines)
	return op.Finish()
}

// nextID gives the ID that follows last at the time now. It goes on from last
// when the clock stands still or goes back.
func nextID(last rollup.EntryID, now uint64) rollup.EntryID {
	switch {
	case now > last.Ms:
		return rollup.EntryID{Ms: now}
	case last.Seq < rollup.MaxSeq:
		return rollup.EntryID{Ms: last.Ms, Seq: last.Seq + 1}
	default:
		return rollup.EntryID{Ms: last.Ms + 1}
	}
}

// room tells whether the disk has room for a write.
func (q *Queue) room() error {
	if err := q.db.Room(); err != nil {
		return fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
	}
	return nil
}

// Trim implements queue.Queue. It is not synced: after a power cut entries may
// be there again, and go with the next trim of their stream, which begins at
// its first entry.
func (q *Queue) Trim(ctx context.Context, name string, through rollup.EntryID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s, err := q.stream(name)
	if err != nil {
		return err
	}
	q.writing.Lock()
	defer q.writing.Unlock()
	if through.Compare(s.head.id) > 0 {
		through = s.head.id
	}
	if through.Compare(s.trimmed) <= 0 {
		return nil
	}
	// The range begins where the last one ended: many that overlap would make
	// reading slow until they are compacted.
	batch := q.db.NewBatch()
	if err := batch.DeleteRange(keyBehind(s.id, s.trimmed), keyBehind(s.id, through), nil); err != nil {
		return err
	}
	if err := q.commit(batch, pebble.NoSync); err != nil {
		return err
	}
	oldest, before, err := q.firstAfter(s, through, s.head)
	if err != nil {
		return fmt.Errorf("stream %s of the queue in %s: %w", name, q.dir, err)
	}
	q.mu.Lock()
	s.trimmed, s.oldest, s.before = through, oldest, before
	q.mu.Unlock()
	return nil
}

// commit writes a batch and closes it. The caller holds q.writing.
func (q *Queue) commit(batch *pebble.Batch, opts *pebble.WriteOptions) error {
	defer batch.Close()
	if err := batch.Commit(opts); err != nil {
		return fmt.Errorf("writing to the queue in %s: %w", q.dir, err)
	}
	return nil
}
