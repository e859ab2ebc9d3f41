package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/rollup"
)

// redisServer is a running redis-server.
type redisServer struct {
	*process
	addr   string // host and port
	client *redis.Client
}

// durable are the settings of Redis that Daybook asks for.
var durable = []string{"--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"}

// startRedis starts a redis-server with the settings, which makes no snapshots,
// and waits until it answers.
func (b *bench) startRedis(ctx context.Context, settings ...string) (*redisServer, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("install redis-server: %w", err)
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, "redis-")
	if err != nil {
		return nil, err
	}
	p, err := b.start(ctx, path, append([]string{"--bind", host, "--port", port, "--dir", dir, "--save", "", "--loglevel", "warning"}, settings...)...)
	if err != nil {
		return nil, err
	}
	s := &redisServer{process: p, addr: addr, client: redis.NewClient(&redis.Options{Addr: addr})}
	for range 1000 {
		if err = s.client.Ping(ctx).Err(); err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, s.stop(fmt.Errorf("redis-server does not answer: %w", err))
}

func (s *redisServer) stop(err error) error {
	return s.process.stop(errors.Join(err, s.client.Close()))
}

// drained counts the events that it takes off a queue in Redis.
type drained struct {
	queue  queue.Queue
	events int
}

// drain removes all that is in the queue, and gives the number of events that
// it has removed in all.
func (d *drained) drain(ctx context.Context) (int, error) {
	layout, err := d.queue.Layout(ctx)
	if err != nil {
		return 0, err
	}
	for _, stream := range layout.Names() {
		var last rollup.EntryID
		for {
			entries, err := d.queue.Read(ctx, stream, last, 1000, 8<<20, 0)
			if err != nil {
				return 0, err
			}
			if len(entries) == 0 {
				break
			}
			for _, entry := range entries {
				d.events += entry.Events
			}
			last = entries[len(entries)-1].ID
		}
		if err := d.queue.Trim(ctx, stream, last); err != nil {
			return 0, err
		}
	}
	return d.events, nil
}
