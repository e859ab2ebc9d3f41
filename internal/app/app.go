// Package app wires the roles together: it is the one place that knows all
// backends and the order in which things start and stop. `serve` and the
// single roles are the same wiring with other parts.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/config"
	"github.com/daybook-analytics/daybook/internal/limit"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/telemetry"
	"github.com/daybook-analytics/daybook/internal/visitor"
	"github.com/daybook-analytics/daybook/internal/web"
)

// Config says what runs and how. A role that is nil does not run.
type Config struct {
	// Version is what the metrics say that runs.
	Version string

	Process config.Process
	Queue   config.Queue
	Store   config.Store
	Data    config.Data
	Access  config.Access

	Ingest *config.Ingest
	Worker *config.Worker
	// WorkerHealth gives the worker a server of its own for health and metrics,
	// where no other role of the process has one.
	WorkerHealth *config.WorkerHealth
	Report       *config.Report
}

// defaultIngestPort is that of config.Ingest.
const defaultIngestPort = 3000

// part is something that runs. Stop blocks until it has ended, may be called
// twice, and before Start.
type part interface {
	Start() error
	Stop(ctx context.Context) error
}

// App is a process of Daybook.
type App struct {
	cfg Config
	log *slog.Logger

	queue queue.Queue
	store store.Store

	metrics  *telemetry.Metrics
	book     *access.Book
	salts    *visitor.Salts // nil where there is no store
	limiter  limit.Limiter
	rebuilds []func() reconcile.Stats

	// parts start in this order and stop in the reverse one. Operators can
	// look at it from the first to the last. The worker and the report server
	// come before ingest, so that what is accepted first can be counted and
	// read; at the end ingest stops accepting first.
	parts []part

	ingestServer, workerServer, reportServer *web.Server
}

// New opens the backends and checks the store's schema. ctx bounds that.
func New(ctx context.Context, cfg Config, log *slog.Logger) (*App, error) {
	a := &App{cfg: cfg, log: log, metrics: telemetry.NewMetrics(cfg.Version, log)}
	// A report role of its own looks into the queue for what happens now, if it
	// is told where that is. Ingest on its own can be told to do without a store.
	needs := Needs{
		Queue: cfg.Ingest != nil || cfg.Worker != nil || cfg.Queue.Redis != "",
		Store: cfg.Worker != nil || cfg.Report != nil || cfg.Store.MongoDB != "",
	}
	if err := a.open(ctx, needs); err != nil {
		return nil, errors.Join(err, a.close())
	}
	a.metrics.Backlog(a.queue, a.store)
	if err := a.add(ctx); err != nil {
		return nil, errors.Join(err, a.end(ctx))
	}
	return a, nil
}

// Run starts everything, waits for ctx to end, and stops in order: accept no
// more, finish what was accepted, close. It has the grace time for that.
func (a *App) Run(ctx context.Context) error {
	err := func() error {
		for _, p := range a.parts {
			if err := p.Start(); err != nil {
				return err
			}
		}
		a.log.Info("ready", "ingest", a.IngestAddr(), "report", a.ReportAddr())
		<-ctx.Done()
		a.log.Info("stopping")
		return nil
	}()

	grace, cancel := context.WithTimeout(context.Background(), a.cfg.Process.Grace)
	defer cancel()
	begun := time.Now()
	err = errors.Join(err, a.end(grace))
	if err == nil {
		a.log.Info("stopped", "after", time.Since(begun).Round(time.Millisecond))
	}
	return err
}

// end stops all parts, whether they were started or not, and closes the
// backends.
func (a *App) end(ctx context.Context) error {
	var err error
	for i := len(a.parts) - 1; i >= 0; i-- {
		err = errors.Join(err, a.parts[i].Stop(ctx))
	}
	return errors.Join(err, a.close())
}

// IngestAddr is the address on which events are taken; empty if they are not.
func (a *App) IngestAddr() string { return addrOf(a.ingestServer) }

// ingestPort is the port on which events are taken: here, or else the usual one
// of the process that takes them.
func (a *App) ingestPort() int {
	if addr, err := netip.ParseAddrPort(a.IngestAddr()); err == nil {
		return int(addr.Port())
	}
	return defaultIngestPort
}

// WorkerAddr is the address of a worker's own server; empty if it has none.
func (a *App) WorkerAddr() string { return addrOf(a.workerServer) }

// ReportAddr is the address on which queries are answered; empty if they are
// not.
func (a *App) ReportAddr() string { return addrOf(a.reportServer) }

func addrOf(s *web.Server) string {
	if s == nil {
		return ""
	}
	return s.Addr()
}

func (a *App) close() error {
	var err error
	if a.queue != nil {
		err = errors.Join(err, a.queue.Close())
	}
	if a.store != nil {
		err = errors.Join(err, a.store.Close())
	}
	return err
}

// queueReady tells whether the queue answers.
func (a *App) queueReady(ctx context.Context) error {
	if _, err := a.queue.Backlog(ctx); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	return nil
}

// storeReady tells whether the store answers.
func (a *App) storeReady(ctx context.Context) error {
	if _, err := a.store.SchemaVersion(ctx); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

func (a *App) ready(ctx context.Context) error {
	return errors.Join(a.queueReady(ctx), a.storeReady(ctx))
}
