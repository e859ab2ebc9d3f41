package redisq

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// settings are those that the queue's promises need, and what others cost.
var settings = []struct{ name, want, otherwise string }{
	{"appendonly", "yes", "a restart of Redis loses accepted events"},
	{"appendfsync", "always", "a power cut loses events of the last second or more that were accepted"},
	{"maxmemory-policy", "noeviction", "Redis may throw accepted events away when its memory is full"},
}

// warn logs settings of the servers that may lose accepted events.
func (q *Queue) warn(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, slow*q.timeout)
	defer cancel()
	check := func(ctx context.Context, server *redis.Client) error {
		for _, s := range settings {
			values, err := server.ConfigGet(ctx, s.name).Result()
			if err != nil {
				return err
			}
			if got := values[s.name]; got != s.want {
				q.logger.Warn("Redis setting may lose events", "server", server.Options().Addr,
					"setting", s.name, "value", got, "want", s.want, "otherwise", s.otherwise)
			}
		}
		return nil
	}
	var err error
	switch client := q.client.(type) {
	case *redis.ClusterClient:
		err = client.ForEachMaster(ctx, check)
	case *redis.Client:
		err = check(ctx, client)
	}
	if err != nil {
		q.logger.Warn("cannot see the settings of Redis: make sure that it runs with appendonly yes, appendfsync always and maxmemory-policy noeviction", "error", err)
	}
}
