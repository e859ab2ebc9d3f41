package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strconv"

	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
)

// pageViews are what the visitors of some sites do today.
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
	const against = "bare net/http handler"
	p, url, err := b.child(ctx, "bare")
	if err != nil {
		return nil, err
	}
	defer func() { err = p.stop(err) }()
	bare := &target{url: url}
	views := pageViews(4096)
	single := singleEvents(views)

	alone, ingest, err := b.startIngest(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = alone.stop(err) }()
	results, err = b.compareSingle(ctx, "ingest alone", ingest, against, bare, single, aim{32, 0.6}, aim{256, 0.75})
	if err != nil {
		return nil, err
	}

	dir, err := os.MkdirTemp(b.dir, "serve-")
	if err != nil {
		return nil, err
	}
	d, err := b.serve(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = d.stop(err) }()
	serve := &target{url: d.ingest, verify: func(ctx context.Context, sent int) error {
		if err := d.awaitWorked(ctx, sent); err != nil {
			return err
		}
		return (&delivery{population: views}).verify(ctx, d, sent)
	}}
	counted, err := b.compareSingle(ctx, "serve with its worker beside it", serve, against, bare, single, aim{connections: 256})
	return append(results, counted...), err
}

// rowEventRedis measures one event a request into Redis: `daybook ingest` into
// one that syncs every write, against a handler that makes an XADD of each
// request into one that keeps all in memory.
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
	ingest, err := b.start(ctx, b.daybook, "ingest", "--auth", "none", "--redis", redisURL, "--ingest-addr", addr)
	if err != nil {
		return nil, err
	}
	defer func() { err = ingest.stop(err) }()
	if err := waitReady(ctx, "http://"+addr+"/readyz"); err != nil {
		return nil, err
	}
	out := drained{queue: q}
	ours := &target{url: "http://" + addr, verify: func(ctx context.Context, sent int) error {
		events, err := out.drain(ctx)
		return errors.Join(err, same(events, sent))
	}}

	inMemory, err := b.startRedis(ctx, "--appendonly", "no")
	if err != nil {
		return nil, err
	}
	defer func() { err = inMemory.stop(err) }()
	p, url, err := b.child(ctx, "xadd", "-redis", inMemory.addr)
	if err != nil {
		return nil, err
	}
	defer func() { err = p.stop(err) }()
	added := 0
	xadd := &target{url: url, verify: func(ctx context.Context, sent int) error {
		pipe := inMemory.client.TxPipeline()
		length := pipe.XLen(ctx, xaddStream)
		pipe.Del(ctx, xaddStream)
		_, err := pipe.Exec(ctx)
		added += int(length.Val())
		return errors.Join(err, same(added, sent))
	}}
	return b.compareSingle(ctx, "ingest into Redis that syncs", ours, "net/http handler, an XADD each into Redis without a file", xadd,
		singleEvents(pageViews(4096)), aim{32, 1.2}, aim{256, 1.7})
}
