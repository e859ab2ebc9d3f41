package faults

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
	"github.com/daybook-analytics/daybook/internal/ingest"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/internal/worker"
)

// TestBackPressure fills the queue while no worker runs. Beyond its limit
// nothing is taken, every request is answered all the same, and when a worker
// comes all goes on by itself.
func TestBackPressure(t *testing.T) {
	for queueName, newQueue := range map[string]func(t *testing.T) config.Queue{
		"embedded": func(*testing.T) config.Queue { return config.Queue{Streams: 2} },
		"redis":    redis,
	} {
		for limitName, limit := range map[string]ingest.Options{
			"events": {MaxBacklogEvents: 300},
			"bytes":  {MaxBacklogBytes: 30_000},
		} {
			t.Run(queueName+" "+limitName, func(t *testing.T) {
				t.Parallel()
				fillAndDrain(t, newQueue(t), limit)
			})
		}
	}
}

// part is a role or a server.
type part interface {
	Start() error
	Stop(context.Context) error
}

// begin starts a part that is stopped at the end of the test.
func begin(t *testing.T, p part) {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func fillAndDrain(t *testing.T, cfg config.Queue, limit ingest.Options) {
	// All roles share one embedded store and perhaps queue, and the worker
	// comes later, so this puts them together itself.
	log, data := newLog(t), config.Data{Data: t.TempDir()}
	logger := slog.New(log)
	q, err := app.OpenQueue(t.Context(), cfg, data, logger)
	if err != nil {
		t.Fatal(err)
	}
	st, err := app.OpenStore(t.Context(), config.Store{}, data, logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := st.Migrate(t.Context(), func(int, string) {}); err != nil {
		t.Fatal(err)
	}
	rt := web.NewRouter(logger)
	in := ingest.New(q, limit, logger)
	in.Register(rt)
	report.New(st, report.Options{}, logger).Register(rt)
	server := web.NewServer("test", "127.0.0.1:0", rt, nil, logger)
	begin(t, in)
	begin(t, server)
	url := "http://" + server.Addr()
	load := newLoad(t, &roles{ingest: url, report: url})

	rng, n := random(200), 0
	var left [][]event // not acknowledged
	send := func() (taken bool) {
		var batch []event
		for range 10 {
			n++
			batch = append(batch, newEvent(rng, fmt.Sprint(n)))
		}
		if taken = load.send(batch); !taken {
			left = append(left, batch)
		}
		return taken
	}
	for deadline := time.Now().Add(noHang); log.count("the queue holds more than it may, no events are taken: are the workers running?") == 0; send() {
		if time.Now().After(deadline) {
			t.Fatal("the queue takes ever more")
		}
	}
	full := backlog(t, q)
	if full.Events <= limit.MaxBacklogEvents || full.Bytes <= limit.MaxBacklogBytes {
		t.Errorf("the queue is full with %d events, %d bytes", full.Events, full.Bytes)
	}
	for range 100 {
		if send() {
			t.Error("events were taken while the queue was full")
		}
	}
	if now := backlog(t, q); now != full {
		t.Errorf("the queue went on from %+v to %+v", full, now)
	}

	begin(t, worker.New(q, st, worker.Options{Pace: 50 * time.Millisecond}, logger))
	for _, batch := range left {
		load.sendUntilTaken(batch)
	}
	load.check()
	load.print()
}

// backlog sums up what the streams hold.
func backlog(t *testing.T, q queue.Queue) (sum queue.Backlog) {
	t.Helper()
	streams, err := q.Backlog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range streams {
		sum.Entries += b.Entries
		sum.Events += b.Events
		sum.Bytes += b.Bytes
	}
	return sum
}
