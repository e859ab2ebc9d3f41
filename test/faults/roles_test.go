package faults

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
	"github.com/daybook-analytics/daybook/internal/queue/redisq/redistest"
	"github.com/daybook-analytics/daybook/internal/store/mongostore"
	"github.com/daybook-analytics/daybook/internal/store/mongostore/mongotest"
)

// roles are all roles, running. On an embedded store they are one process,
// else one each. There is one worker: FerretDB's updates are not atomic.
type roles struct {
	ingest, report string // URLs
	log            *log
}

// startRoles runs the roles until the end of the test. They must end without
// an error then, and not before.
func startRoles(t *testing.T, queue config.Queue, store config.Store) *roles {
	t.Helper()
	ingest := &config.Ingest{IngestAddr: "127.0.0.1:0"}
	worker := &config.Worker{TableKeys: 2000, Pace: 50 * time.Millisecond, LeaseTime: 5 * time.Second}
	report := &config.Report{ReportAddr: "127.0.0.1:0", RawScans: 2, RawScanEvents: 1_000_000, RawScanTime: 10 * time.Second}
	base := app.Config{Process: config.Process{Grace: 20 * time.Second}, Queue: queue, Store: store}

	r := &roles{log: newLog(t)}
	if store.MongoDB == "" {
		base.Data.Data = t.TempDir()
		base.Worker, base.Report, base.Ingest = worker, report, ingest
		all := r.run(t, base)
		r.ingest, r.report = "http://"+all.IngestAddr(), "http://"+all.ReportAddr()
		return r
	}
	workerOnly, reportOnly, ingestOnly := base, base, base
	workerOnly.Worker, workerOnly.WorkerHealth = worker, &config.WorkerHealth{WorkerAddr: "127.0.0.1:0"}
	reportOnly.Report, ingestOnly.Ingest = report, ingest
	r.run(t, workerOnly)
	r.report = "http://" + r.run(t, reportOnly).ReportAddr()
	r.ingest = "http://" + r.run(t, ingestOnly).IngestAddr()
	return r
}

// run runs one process.
func (r *roles) run(t *testing.T, cfg app.Config) *app.App {
	t.Helper()
	a, err := app.New(t.Context(), cfg, slog.New(r.log))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		select {
		case err := <-ended:
			t.Errorf("a process ended before it was told to: %v", err)
			return
		default:
		}
		stop()
		if err := <-ended; err != nil {
			t.Errorf("at the end: %v", err)
		}
	})
	eventually(t, "it listens", func() bool {
		return (cfg.Ingest == nil || a.IngestAddr() != "") && (cfg.Report == nil || a.ReportAddr() != "")
	})
	return a
}

func redis(t *testing.T) config.Queue {
	return config.Queue{Redis: redistest.Start(t), RedisPrefix: redistest.Prefix(), Streams: 2}
}

// mongodb gives an empty database of the test's own with the schema.
func mongodb(t *testing.T) config.Store {
	t.Helper()
	uri := mongotest.Start(t)
	st, err := mongostore.Open(t.Context(), uri, mongostore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Migrate(t.Context(), func(int, string) {}); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return config.Store{MongoDB: uri}
}

// log keeps the warnings and errors, and shows them when the test failed.
type log struct {
	slog.Handler
	mu     sync.Mutex // protects what follows
	text   bytes.Buffer
	counts map[string]int
}

func newLog(t *testing.T) *log {
	l := &log{counts: map[string]int{}}
	l.Handler = slog.NewTextHandler(&l.text, &slog.HandlerOptions{Level: slog.LevelWarn})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of the roles:\n%s", &l.text)
		}
	})
	return l
}

func (l *log) Handle(ctx context.Context, record slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[record.Message]++
	return l.Handler.Handle(ctx, record)
}

// count tells how often a message was logged.
func (l *log) count(message string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[message]
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for this: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
