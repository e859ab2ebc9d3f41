package redisq

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/daybook-analytics/daybook/internal/queue"
)

// Fields of an entry. The number of events is for people and for Backlog;
// Read counts the lines.
const (
	fieldEvents = "n"
	fieldLines  = "e"
)

// Append implements queue.Queue. It is one pipeline, on a Cluster one to each
// server, and gives up after about a second, more for large groups. Cancelling
// ctx does not shorten that.
func (q *Queue) Append(ctx context.Context, groups []queue.Group) []error {
	errs := make([]error, len(groups))
	size := 0
	for _, g := range groups {
		size += len(g.Lines)
	}
	pipeCtx, cancel := context.WithTimeout(ctx, q.timeout+perMiB*time.Duration(size>>20))
	defer cancel()
	pipe := q.client.Pipeline()
	adds := make([]*redis.StringCmd, len(groups))
	for i, g := range groups {
		if errs[i] = ctx.Err(); errs[i] != nil {
			continue
		}
		key, err := q.streamKey(ctx, g.Stream)
		if err != nil {
			errs[i] = err
			continue
		}
		adds[i] = redis.NewStringCmd(pipeCtx, "xadd", key, "*", fieldEvents, g.Events, fieldLines, g.Lines)
		_ = pipe.Process(pipeCtx, once{adds[i]})
	}
	_, _ = pipe.Exec(pipeCtx) // the commands have the errors
	failed := false
	for i, add := range adds {
		if add != nil {
			errs[i] = wrap(ctx, add.Err())
		}
		failed = failed || errs[i] != nil
	}
	if !failed {
		return nil
	}
	return errs
}
