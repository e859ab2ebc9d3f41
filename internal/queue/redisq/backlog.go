package redisq

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/daybook-analytics/daybook/internal/queue"
)

// backlogScript looks at one stream. It runs in Redis because entries can have
// some MB, which need not travel.
//
// KEYS[1] is the stream. ARGV[1] is how many entries to look at; if it has
// more, half of them are looked at at either end.
// The result is the number of entries and, if there are any, the first and
// the last ID, how many were looked at, their events and the bytes of their
// lines.
const backlogScript = `
local n, sample = redis.call('XLEN', KEYS[1]), tonumber(ARGV[1])
if n == 0 then
	return {0}
end
local events, bytes = 0, 0
local function look(entries)
	for _, entry in ipairs(entries) do
		local fields = entry[2]
		for i = 1, #fields, 2 do
			if fields[i] == 'n' then
				events = events + (tonumber(fields[i + 1]) or 1)
			elseif fields[i] == 'e' then
				bytes = bytes + #fields[i + 1]
			end
		end
	end
	return entries
end
if n <= sample then
	local all = look(redis.call('XRANGE', KEYS[1], '-', '+'))
	return {n, all[1][1], all[n][1], n, events, bytes}
end
local half = math.ceil(sample / 2)
local oldest = look(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', half))
local newest = look(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', half))
return {n, oldest[1][1], newest[1][1], 2 * half, events, bytes}
`

// backlogSample is how many entries of a stream are looked at. Up to so many
// the backlog is exact.
const backlogSample = 8

// Backlog implements queue.Queue.
func (q *Queue) Backlog(ctx context.Context) ([]queue.Backlog, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	names := q.layout.Load().Names()
	pipeCtx, cancel := context.WithTimeout(ctx, slow*q.timeout)
	defer cancel()
	pipe := q.client.Pipeline()
	answers := make([]*redis.Cmd, len(names))
	for i, name := range names {
		answers[i] = pipe.Eval(pipeCtx, backlogScript, []string{q.keys.stream(name)}, backlogSample)
	}
	_, _ = pipe.Exec(pipeCtx) // the commands have the errors
	backlog := make([]queue.Backlog, len(names))
	for i, name := range names {
		answer, err := answers[i].Slice()
		if err != nil {
			return nil, wrap(ctx, err)
		}
		backlog[i], err = decodeBacklog(answer)
		if err != nil {
			return nil, fmt.Errorf("stream %s in Redis: %w", q.keys.stream(name), err)
		}
		backlog[i].Stream = name
	}
	return backlog, nil
}

// decodeBacklog reads the result of backlogScript, the types of which are
// fixed.
func decodeBacklog(answer []any) (b queue.Backlog, err error) {
	b.Entries = answer[0].(int64)
	if b.Entries == 0 {
		return b, nil
	}
	if b.Oldest, err = parseID(answer[1].(string)); err != nil {
		return queue.Backlog{}, err
	}
	if b.Newest, err = parseID(answer[2].(string)); err != nil {
		return queue.Backlog{}, err
	}
	// The others are taken to be like those that were looked at.
	looked := answer[3].(int64)
	b.Events = answer[4].(int64) * b.Entries / looked
	b.Bytes = answer[5].(int64) * b.Entries / looked
	return b, nil
}
