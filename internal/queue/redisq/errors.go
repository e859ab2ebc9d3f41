package redisq

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/daybook-analytics/daybook/internal/queue"
)

// once is a command that is never sent again when its outcome is unknown.
type once struct{ redis.Cmder }

// NoRetry is asked by go-redis.
func (once) NoRetry() bool { return true }

// passing are the beginnings of answers that say that a server cannot do it
// just now. All other answers are permanent: of a user that may not, or of a
// key that is something else.
var passing = []string{
	"LOADING", "MASTERDOWN", "READONLY", "NOREPLICAS", // starting, or failing over
	"CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK",
	"OOM",               // memory is full, and nothing may be evicted
	"MISCONF",           // the disk is full or broken
	"BUSY", "UNBLOCKED", // a script runs, or an operator ended a wait
	"max number of clients reached",
}

// wrap makes an error of Redis one of the queue. ctx is the caller's.
func wrap(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("redis: %w", ctx.Err())
	}
	if _, answer := errors.AsType[redis.Error](err); answer {
		for _, prefix := range passing {
			if redis.HasErrorPrefix(err, prefix) {
				return fmt.Errorf("redis: %w: %w", queue.ErrUnavailable, err)
			}
		}
		return fmt.Errorf("redis: %w", err)
	}
	// No answer: the network, or a server that is away or stands still.
	return fmt.Errorf("redis: %w: %w", queue.ErrUnavailable, err)
}
