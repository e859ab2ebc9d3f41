package redisq

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/rollup"
)

// readStep is the most entries to ask for at once. Redis takes a number and
// no size, and an entry can have some MB, so it bounds what a read can bring
// beyond maxBytes. A step of small entries takes well under a millisecond.
const readStep = 16

// Read implements queue.Queue. A cancelled one returns within blockSlice.
func (q *Queue) Read(ctx context.Context, name string, after rollup.EntryID, max, maxBytes int, wait time.Duration) ([]queue.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	key, err := q.streamKey(ctx, name)
	if err != nil {
		return nil, err
	}
	messages, err := q.await(ctx, key, after, min(max, readStep), wait)
	if err != nil {
		return nil, err
	}
	var entries []queue.Entry
	size := 0
	for len(messages) > 0 {
		for _, message := range messages {
			entry, err := decode(key, message)
			if err != nil {
				return whole(entries, err)
			}
			size += len(entry.Lines)
			if len(entries) > 0 && size > maxBytes {
				return entries, nil
			}
			entries = append(entries, entry)
			after = entry.ID
		}
		// About as many as there is room for, if the next are like these.
		room := (maxBytes - size) / (size/len(entries) + 1)
		step := min(max-len(entries), readStep, room)
		if step <= 0 {
			return entries, nil
		}
		messages, err = q.xread(ctx, key, after, step, -1)
		if err != nil {
			return whole(entries, err)
		}
	}
	return entries, nil
}

// whole gives the entries that were read before an error, or the error if
// there are none. Who reads on meets it again.
func whole(entries []queue.Entry, err error) ([]queue.Entry, error) {
	if len(entries) > 0 {
		return entries, nil
	}
	return nil, err
}

// await gives the first entries after the position, and waits for one.
func (q *Queue) await(ctx context.Context, key string, after rollup.EntryID, count int, wait time.Duration) ([]redis.XMessage, error) {
	deadline := time.Now().Add(wait)
	for {
		block := time.Duration(-1)
		if left := time.Until(deadline); left > 0 {
			// To Redis a wait of 0 ms is for ever.
			block = max(time.Millisecond, min(left, blockSlice))
		}
		messages, err := q.xread(ctx, key, after, max(1, count), block)
		if err != nil || len(messages) > 0 || block < 0 {
			return messages, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// xread is one XREAD. A negative block does not wait.
func (q *Queue) xread(ctx context.Context, key string, after rollup.EntryID, count int, block time.Duration) ([]redis.XMessage, error) {
	readCtx, cancel := context.WithTimeout(ctx, max(0, block)+slow*q.timeout)
	defer cancel()
	streams, err := q.client.XRead(readCtx, &redis.XReadArgs{
		Streams: []string{key, formatID(after)},
		Count:   int64(count),
		Block:   block,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap(ctx, err)
	}
	return streams[0].Messages, nil
}

// decode makes an entry of what is in the stream.
func decode(key string, message redis.XMessage) (queue.Entry, error) {
	id, err := parseID(message.ID)
	if err != nil {
		return queue.Entry{}, fmt.Errorf("stream %s in Redis: %w", key, err)
	}
	lines, ok := message.Values[fieldLines].(string)
	if _, ours := message.Values[fieldEvents]; !ours || !ok || lines == "" {
		lines = strange(message.Values)
	}
	if !strings.HasSuffix(lines, "\n") {
		lines += "\n"
	}
	return queue.Entry{ID: id, Lines: lines, Events: strings.Count(lines, "\n")}, nil
}

// strange makes a line of an entry that is not of Daybook. It is no event, so
// whoever reads it puts it to the dead letters.
func strange(values map[string]any) string {
	var line strings.Builder
	for _, field := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&line, "%q %q ", field, values[field])
	}
	return line.String()
}

func formatID(id rollup.EntryID) string { return fmt.Sprintf("%d-%d", id.Ms, id.Seq) }

func parseID(s string) (rollup.EntryID, error) {
	ms, seq, _ := strings.Cut(s, "-")
	m, err1 := strconv.ParseUint(ms, 10, 64)
	n, err2 := strconv.ParseUint(seq, 10, 64)
	if err1 != nil || err2 != nil || m > rollup.MaxMs || n > rollup.MaxSeq {
		return rollup.EntryID{}, fmt.Errorf("entry %q has an ID beyond %d-%d, which Redis does not make by itself: remove the entry with XDEL, and the stream when it is empty",
			s, int64(rollup.MaxMs), int64(rollup.MaxSeq))
	}
	return rollup.EntryID{Ms: m, Seq: n}, nil
}

// Trim implements queue.Queue.
func (q *Queue) Trim(ctx context.Context, name string, through rollup.EntryID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key, err := q.streamKey(ctx, name)
	if err != nil {
		return err
	}
	trimCtx, cancel := context.WithTimeout(ctx, slow*q.timeout)
	defer cancel()
	through.Seq++ // MINID is the least that stays
	return wrap(ctx, q.client.XTrimMinID(trimCtx, key, formatID(through)).Err())
}
