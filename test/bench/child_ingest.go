package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
	"github.com/daybook-analytics/daybook/internal/ingest"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/telemetry"
	"github.com/daybook-analytics/daybook/internal/web"
)

// trimEvery is how often runIngest trims: as often as a worker does that is not
// behind.
const trimEvery = 200 * time.Millisecond

// runIngest is the ingest role alone on the embedded log, put together as
// internal/app does it. There is no worker: what is in the log is only counted
// and then trimmed, so that the log does not grow. GET /queued tells how many
// events were in the log.
func runIngest(args []string) (err error) {
	flags := flag.NewFlagSet("ingest", flag.ContinueOnError)
	addr := flags.String("addr", "", "address to listen on")
	data := flags.String("data", "", "directory of the log")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := telemetry.NewLogger(os.Stderr, slog.LevelWarn, false)
	q, err := app.OpenQueue(ctx, config.Queue{Streams: streams}, config.Data{Data: *data}, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()

	metrics := telemetry.NewMetrics("bench", log)
	opts := ingest.Options{Appended: metrics.Appended()}
	in := ingest.New(q, opts, log)
	metrics.Ingest(in.Stats, opts)
	rt := web.NewObservedRouter(log, metrics.Requests("ingest"))
	in.Register(rt)
	counted := &trimmed{queue: q}
	rt.Handle("/queued", web.Methods{http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
		n, err := counted.trim(r.Context())
		if err == nil {
			_, err = fmt.Fprint(w, n)
		}
		return err
	}})
	server := web.NewServer("ingest", *addr, rt, nil, log)
	defer func() { err = errors.Join(err, server.Stop(context.Background()), in.Stop(context.Background())) }()
	if err := errors.Join(in.Start(), server.Start()); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(trimEvery):
			if _, err := counted.trim(context.Background()); err != nil {
				return err
			}
		}
	}
}

// streams is how many streams a queue has that nobody has set otherwise.
const streams = 4

// trimmed counts what it trims off an embedded queue. Its method is safe for
// concurrent use.
type trimmed struct {
	queue  queue.Queue
	mu     sync.Mutex
	events int64
}

// trim removes what is in the queue, and gives the number of events that it has
// removed in all.
func (t *trimmed) trim(ctx context.Context) (int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	backlog, err := t.queue.Backlog(ctx)
	if err != nil {
		return 0, err
	}
	for _, b := range backlog {
		if b.Entries == 0 {
			continue
		}
		if err := t.queue.Trim(ctx, b.Stream, b.Newest); err != nil {
			return 0, err
		}
		t.events += b.Events // up to Newest; what has come since is counted next time
	}
	return t.events, nil
}
