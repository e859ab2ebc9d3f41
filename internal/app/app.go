// Package app wires the roles together: it is the one place that knows all
// backends and the order in which things start and stop. `serve` and the
// single roles are the same wiring with other parts.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/config"
	"github.com/daybook-analytics/daybook/internal/ingest"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/internal/retention"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/telemetry"
	"github.com/daybook-analytics/daybook/internal/tracker"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/internal/worker"
	"github.com/daybook-analytics/daybook/rollup"
)

// Config says what runs and how. A role that is nil does not run.
type Config struct {
	// Version is what the metrics say that runs.
	Version string

	Process config.Process
	Queue   config.Queue
	Store   config.Store
	Data    config.Data

	Ingest *config.Ingest
	Worker *config.Worker
	// WorkerHealth gives the worker a server of its own for health and metrics,
	// where no other role of the process has one.
	WorkerHealth *config.WorkerHealth
	Report       *config.Report
}

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

	metrics *telemetry.Metrics

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
	// Ingest touches no store. A report role of its own looks into the queue for
	// what happens now, if it is told where that is.
	needs := Needs{
		Queue: cfg.Ingest != nil || cfg.Worker != nil || cfg.Queue.Redis != "",
		Store: cfg.Worker != nil || cfg.Report != nil,
	}
	if err := a.open(ctx, needs); err != nil {
		return nil, errors.Join(err, a.close())
	}
	a.metrics.Backlog(a.queue, a.store)
	operators := a.operators(a.limits())
	rebuilds := []func() reconcile.Stats{operators.RebuildStats}
	if a.queue != nil && a.store != nil && (cfg.Queue.Redis == "" || cfg.Store.MongoDB == "") {
		// Operators' jobs end before the server stops, because what is asked
		// of it may take as long as they do.
		a.parts = append(a.parts, a.adminServer(operators), operators)
	}
	if cfg.Worker != nil {
		w := worker.New(a.queue, a.metrics.TimeSteps(a.store), worker.Options{
			Limits:    cfg.Worker.Limits(),
			Pace:      cfg.Worker.Pace,
			LeaseTime: cfg.Worker.LeaseTime,
			Parallel:  a.parallelSteps(),
			Stepped:   a.metrics.Stepped(),
		}, log)
		a.metrics.Worker(w.Stats)
		runner := reconcile.NewRunner(a.store, cfg.Worker.Limits(), log)
		rebuilds = append(rebuilds, runner.Stats)
		reconciler, err := reconcile.NewReconciler(runner, cfg.Worker.Schedule(), log)
		if err != nil {
			return nil, errors.Join(err, a.close())
		}
		if policy := cfg.Worker.Retention(); policy.Expires() {
			keeper := retention.New(a.queue, a.store, runner, cfg.Worker.Limits(), log)
			err := reconciler.Also(reconcile.KindRetention, cfg.Worker.Schedule().Retention, keeper.Nightly(policy))
			if err != nil {
				return nil, errors.Join(err, a.close())
			}
		}
		a.parts = append(a.parts, w, reconciler)
		if cfg.WorkerHealth != nil {
			rt := a.router("worker")
			a.workerServer = web.NewServer("worker", cfg.WorkerHealth.WorkerAddr, rt, a.ready, log)
			a.parts = append(a.parts, a.workerServer)
		}
	}
	if cfg.Report != nil {
		rt := a.router("report")
		repairs := reconcile.NewRepairs(a.store, a.limits(), log)
		rebuilds = append(rebuilds, repairs.Stats)
		opts := report.Options{
			RawScans:      cfg.Report.RawScans,
			RawScanEvents: cfg.Report.RawScanEvents,
			RawScanTime:   cfg.Report.RawScanTime,
			Repair:        repairs.Add,
			Scanned:       a.metrics.Scanned(),
		}
		if a.queue != nil {
			opts.Queue = a.queue
		}
		r := report.New(a.store, opts, log)
		r.Register(rt)
		a.metrics.Report(r.RawScans)
		admin.NewStatusPage(operators.Status).Register(rt, nil)
		a.reportServer = web.NewServer("report", cfg.Report.ReportAddr, rt, a.storeReady, log)
		a.parts = append(a.parts, repairs, r, a.reportServer)
	}
	if cfg.Ingest != nil {
		opts := ingest.Options{
			MaxBacklogEvents: cfg.Ingest.MaxBacklogEvents,
			MaxBacklogBytes:  cfg.Ingest.MaxBacklogBytes,
			Appended:         a.metrics.Appended(),
		}
		in := ingest.New(a.queue, opts, log)
		a.metrics.Ingest(in.Stats, opts)
		rt := a.router("ingest")
		in.Register(rt)
		tracker.Register(rt)
		a.ingestServer = web.NewServer("ingest", cfg.Ingest.IngestAddr, rt, a.queueReady, log)
		a.parts = append(a.parts, in, a.ingestServer)
	}
	if a.store != nil {
		a.metrics.Reconcile(rebuilds...)
	}
	return a, nil
}

// router makes the router of a role's server. Its requests are measured, and
// it has the metrics of the process.
func (a *App) router(role string) *web.Router {
	rt := web.NewObservedRouter(a.log, a.metrics.Requests(role))
	a.metrics.Register(rt, nil)
	return rt
}

// parallelSteps is the most steps of a worker at once. On the embedded store
// they are work for the processors, of which half are left to the other roles.
// On MongoDB they wait for the network most of the time.
func (a *App) parallelSteps() int {
	if a.cfg.Store.MongoDB != "" {
		return 0
	}
	return max(1, runtime.GOMAXPROCS(0)/2)
}

// limits are the bounds of the rollups that this process writes. Without a
// worker it knows none, and keeps as much as any worker may; the worker that
// writes the rollup next brings it within its own.
func (a *App) limits() rollup.Limits {
	if a.cfg.Worker != nil {
		return a.cfg.Worker.Limits()
	}
	return rollup.Limits{Keys: rollup.MaxKeys, Bytes: rollup.DefaultLimits.Bytes}
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
	for i := len(a.parts) - 1; i >= 0; i-- {
		err = errors.Join(err, a.parts[i].Stop(grace))
	}
	err = errors.Join(err, a.close())
	if err == nil {
		a.log.Info("stopped", "after", time.Since(begun).Round(time.Millisecond))
	}
	return err
}

// IngestAddr is the address on which events are taken; empty if they are not.
func (a *App) IngestAddr() string { return addrOf(a.ingestServer) }

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
