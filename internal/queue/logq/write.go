package logq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/rollup"
)

// minFree is how many bytes of the disk must be free for an append. It leaves
// room for what is in memory, for compactions, and for the store next to it
// to work off what is queued.
const minFree = 256 << 20

// spaceInterval is how often the free space is looked at.
const spaceInterval = time.Second

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
	if err := q.checkSpace(); err != nil {
		return nil, err
	}
	now := uint64(max(1, q.now().UnixMilli()))
	heads := map[*stream]newHead{}
	batch := q.db.NewBatch()
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
		if err := batch.Set(entryKey(s.id, h.id), e.append(make([]byte, 0, len(g.Lines)+32)), nil); err != nil {
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

// checkSpace tells whether the disk has room for an append.
func (q *Queue) checkSpace() error {
	if now := time.Now(); now.Sub(q.space.checked) >= spaceInterval {
		q.space.checked, q.space.err = now, nil
		// A file system that cannot tell is taken to have room.
		if usage, err := q.fs.GetDiskUsage(q.dir); err == nil && usage.AvailBytes < minFree {
			q.space.err = fmt.Errorf("%w: the disk of %s has %d MiB free, and %d MiB must stay free: make room there",
				queue.ErrUnavailable, q.dir, usage.AvailBytes>>20, minFree>>20)
		}
	}
	return q.space.err
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

// commit writes a batch. The caller holds q.writing. After its first error
// nothing is written any more: see the package comment.
func (q *Queue) commit(batch *pebble.Batch, opts *pebble.WriteOptions) (err error) {
	if err := q.failure.Load(); err != nil {
		return *err
	}
	defer func() {
		if p := recover(); p != nil {
			q.wedged = true
			q.fail(fmt.Errorf("writing the log: %v", p))
			err = *q.failure.Load()
		}
	}()
	if err := batch.Commit(opts); err != nil {
		q.fail(err)
	}
	// Pebble reports most errors to its logger alone.
	if err := q.failure.Load(); err != nil {
		return *err
	}
	return batch.Close()
}

// fail keeps the first error after which nothing can be written.
func (q *Queue) fail(err error) {
	err = fmt.Errorf("%w: the log in %s failed and takes nothing until a restart: %w", queue.ErrUnavailable, q.dir, err)
	q.failure.CompareAndSwap(nil, &err)
}

// pebbleLogger passes on what Pebble logs.
type pebbleLogger struct {
	to   *slog.Logger
	fail func(error)
}

// Infof implements pebble.Logger.
func (l *pebbleLogger) Infof(format string, args ...any) {
	if l.to.Enabled(context.Background(), slog.LevelDebug) {
		l.to.Debug(fmt.Sprintf(format, args...))
	}
}

// Errorf implements pebble.Logger.
func (l *pebbleLogger) Errorf(format string, args ...any) {
	l.to.Error(fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger. It returns, where Pebble expects that the
// process ends: nothing is written after it.
func (l *pebbleLogger) Fatalf(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	l.to.Error(message)
	l.fail(errors.New(message))
}
