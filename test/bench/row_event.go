package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"

	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
)

// target is a server that takes events.
type target struct {
	url string
	// sent is how many events the server has accepted so far.
	sent int
	// verify makes sure that all events sent so far have come out behind the
	// server; nil for one that keeps nothing.
	verify func(ctx context.Context, sent int) error
}

// requests are what is sent to a target.
type requests struct {
	whole  [][]byte
	events int    // of each request
	answer string // to each request
}

// pageViews are the events of a site's visitors today.
func pageViews(n int) *population {
	return &population{
		name: "views", sites: 10, days: 1, end: yesterday().AddDate(0, 0, 1), events: n, users: 10_000, paths: 1000,
	}
}

// singleEvents are requests of POST /event.
func singleEvents(p *population) requests {
	var bodies [][]byte
	for e := range p.live() {
		bodies = append(bodies, bytes.TrimSpace(appendJSON(nil, e)))
	}
	return requests{whole: posts("/event", "application/json", bodies), events: 1, answer: accepted}
}

// sending is a side that sends requests to a target, in events a second. An
// event that is accepted and does not come out is an error.
func (b *bench) sending(to *target, what requests, connections int) side {
	return func(ctx context.Context) (float64, error) {
		l := load{url: to.url, connections: connections, requests: what.whole, answer: what.answer}
		perSecond, answered, err := l.run(ctx, b.span)
		if err != nil {
			return 0, err
		}
		to.sent += answered * what.events
		if to.verify != nil {
			err = to.verify(ctx, to.sent)
		}
		return perSecond * float64(what.events), err
	}
}

// same is an error if the events that have come out are not those sent.
func same(out, sent int) error {
	if out != sent {
		return fmt.Errorf("%d events were accepted, and %d have come out", sent, out)
	}
	return nil
}

// startIngest starts the ingest role alone on an embedded log.
func (b *bench) startIngest(ctx context.Context) (*process, *target, error) {
	dir, err := os.MkdirTemp(b.dir, "ingest-")
	if err != nil {
		return nil, nil, err
	}
	p, url, err := b.child(ctx, "ingest", "-data", dir)
	return p, &target{url: url, verify: func(ctx context.Context, sent int) error {
		body, err := get(ctx, url+"/queued")
		if err != nil {
			return err
		}
		queued, err := strconv.Atoi(string(body))
		return errors.Join(err, same(queued, sent))
	}}, err
}

// rowEvent measures one event a request into the embedded log: the ingest role
// alone, and `daybook serve`, whose worker counts the events at the same time.
func rowEvent(ctx context.Context, b *bench) (results []result, err error) {
	bareServer, url, err := b.child(ctx, "bare")
	if err != nil {
		return nil, err
	}
	defer func() { err = bareServer.stop(err) }()
	bare := &target{url: url}
	alone, ingest, err := b.startIngest(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = alone.stop(err) }()
	dir, err := os.MkdirTemp(b.dir, "serve-")
	if err != nil {
		return nil, err
	}
	all, err := b.serve(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = all.stop(err) }()
	views := pageViews(4096)
	serve := &target{url: all.ingest, verify: func(ctx context.Context, sent int) error {
		if err := all.awaitWorked(ctx, sent); err != nil {
			return err
		}
		return (&delivery{population: views}).verify(ctx, all, sent)
	}}

	single := singleEvents(views)
	for _, variant := range []struct {
		what        string
		ours        *target
		connections int
		goal        float64 // none if 0
	}{
		{"ingest alone", ingest, 32, 0.6},
		{"ingest alone", ingest, 256, 0.75},
		{"serve, its worker beside it", serve, 256, 0},
	} {
		c, err := b.compare(ctx, b.sending(variant.ours, single, variant.connections), b.sending(bare, single, variant.connections))
		if err != nil {
			return nil, fmt.Errorf("%s, %d connections: %w", variant.what, variant.connections, err)
		}
		r := result{What: fmt.Sprintf("POST /event, %s, %d connections", variant.what, variant.connections), Unit: "requests/s"}.
			against("bare net/http handler", c)
		if variant.goal > 0 {
			r = r.goal(c.ratio.Median >= variant.goal, "≥ %.2f ×", variant.goal)
		}
		results = append(results, r)
	}
	return results, nil
}

// rowEventRedis measures one event a request into Redis, `daybook ingest` with
// a Redis that syncs every write against one that keeps all in memory.
func rowEventRedis(ctx context.Context, b *bench) (results []result, err error) {
	synced, err := b.startRedis(ctx, durable...)
	if err != nil {
		return nil, err
	}
	defer func() { err = synced.stop(err) }()
	redisURL := "redis://" + synced.addr
	q, err := app.OpenQueue(ctx, config.Queue{Redis: redisURL, RedisPrefix: "daybook", Streams: streams}, config.Data{}, slog.Default())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	ingest, err := b.start(ctx, b.daybook, "ingest", "--redis", redisURL, "--ingest-addr", addr)
	if err != nil {
		return nil, err
	}
	defer func() { err = ingest.stop(err) }()
	url := "http://" + addr
	if err := waitReady(ctx, url+"/readyz"); err != nil {
		return nil, err
	}
	drained := &drained{queue: q}
	ours := &target{url: url, verify: func(ctx context.Context, sent int) error {
		out, err := drained.drain(ctx)
		return errors.Join(err, same(out, sent))
	}}

	inMemory, err := b.startRedis(ctx, "--appendonly", "no")
	if err != nil {
		return nil, err
	}
	defer func() { err = inMemory.stop(err) }()
	xadd, url, err := b.child(ctx, "xadd", "-redis", inMemory.addr)
	if err != nil {
		return nil, err
	}
	defer func() { err = xadd.stop(err) }()
	added := 0
	yardstick := &target{url: url, verify: func(ctx context.Context, sent int) error {
		pipe := inMemory.client.TxPipeline()
		length := pipe.XLen(ctx, xaddStream)
		pipe.Del(ctx, xaddStream)
		_, err := pipe.Exec(ctx)
		added += int(length.Val())
		return errors.Join(err, same(added, sent))
	}}

	single := singleEvents(pageViews(4096))
	for _, variant := range []struct {
		connections int
		goal        float64
	}{{32, 1.2}, {256, 1.7}} {
		c, err := b.compare(ctx, b.sending(ours, single, variant.connections), b.sending(yardstick, single, variant.connections))
		if err != nil {
			return nil, fmt.Errorf("%d connections: %w", variant.connections, err)
		}
		results = append(results, result{What: fmt.Sprintf("POST /event, ingest into synced Redis, %d connections", variant.connections), Unit: "requests/s"}.
			against("net/http handler with an XADD per request, no fsync", c).
			goal(c.ratio.Median >= variant.goal, "≥ %.1f ×", variant.goal))
	}
	return results, nil
}
