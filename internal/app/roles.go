package app

import (
	"context"
	"net/http"
	"runtime"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/dashboard"
	"github.com/daybook-analytics/daybook/internal/ingest"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/internal/retention"
	"github.com/daybook-analytics/daybook/internal/tracker"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/internal/worker"
	"github.com/daybook-analytics/daybook/rollup"
)

// add adds the parts of all roles that run.
func (a *App) add(ctx context.Context) error {
	if a.cfg.Ingest != nil || a.cfg.Report != nil {
		if err := a.openAccess(ctx); err != nil {
			return err
		}
	}
	operators := a.operators(a.limits())
	a.rebuilds = append(a.rebuilds, operators.RebuildStats)
	if a.queue != nil && a.store != nil && (a.cfg.Queue.Redis == "" || a.cfg.Store.MongoDB == "") {
		// Operators' jobs end before the server stops, because what is asked
		// of it may take as long as they do.
		a.parts = append(a.parts, a.adminServer(operators))
	}
	a.parts = append(a.parts, operators)
	if a.cfg.Worker != nil {
		if err := a.addWorker(); err != nil {
			return err
		}
	}
	if a.cfg.Report != nil {
		if err := a.addReport(operators); err != nil {
			return err
		}
	}
	if a.cfg.Ingest != nil {
		if err := a.addIngest(); err != nil {
			return err
		}
	}
	if a.cfg.Worker != nil || a.cfg.Report != nil {
		a.metrics.Reconcile(a.rebuilds...)
	}
	return nil
}

// addWorker adds the role that moves events from the queue into the store.
func (a *App) addWorker() error {
	cfg := a.cfg.Worker
	w := worker.New(a.queue, a.metrics.TimeSteps(a.store), worker.Options{
		Limits:    cfg.Limits(),
		Pace:      cfg.Pace,
		LeaseTime: cfg.LeaseTime,
		Parallel:  a.parallelSteps(),
		Stepped:   a.metrics.Stepped(),
	}, a.log)
	a.metrics.Worker(w.Stats)
	runner := reconcile.NewRunner(a.store, cfg.Limits(), a.log)
	a.rebuilds = append(a.rebuilds, runner.Stats)
	reconciler, err := reconcile.NewReconciler(runner, cfg.Schedule(), a.log)
	if err != nil {
		return err
	}
	// Also without a policy, since sites may say themselves for how long their
	// raw events are kept.
	keeper := retention.New(a.queue, a.store, runner, cfg.Limits(), a.log)
	err = reconciler.Also(reconcile.KindRetention, cfg.Schedule().Retention, keeper.Nightly(cfg.Retention()))
	if err != nil {
		return err
	}
	a.parts = append(a.parts, w, reconciler)
	if a.cfg.WorkerHealth != nil {
		// It is a port for operators, and has no keys.
		rt := a.router("worker", nil)
		a.workerServer = web.NewServer("worker", a.cfg.WorkerHealth.WorkerAddr, rt, a.ready, a.log)
		a.parts = append(a.parts, a.workerServer)
	}
	return nil
}

// addReport adds the role that answers queries, with the dashboard, and what
// operators may do from afar.
func (a *App) addReport(operators *admin.Admin) error {
	cfg := a.cfg.Report
	gate, err := a.gate(access.Read, "--report-addr", cfg.ReportAddr)
	if err != nil {
		return err
	}
	repairs := reconcile.NewRepairs(a.store, a.limits(), a.log)
	a.rebuilds = append(a.rebuilds, repairs.Stats)
	opts := report.Options{
		Gate:          gate,
		RawScans:      cfg.RawScans,
		RawScanEvents: cfg.RawScanEvents,
		RawScanTime:   cfg.RawScanTime,
		Repair:        repairs.Add,
		Scanned:       a.metrics.Scanned(),
	}
	if a.queue != nil {
		opts.Queue = a.queue
	}
	r := report.New(a.store, opts, a.log)
	a.metrics.Report(r.RawScans)
	rt := a.router("report", gate.AdmitOverview)
	r.Register(rt)
	dashboard.Register(rt, dashboard.Sessions{
		Gate: gate, Version: a.cfg.Version, IngestURL: cfg.IngestURL, IngestPort: a.ingestPort,
	})
	overview := admin.NewOverview(operators.Status)
	overview.Register(rt, gate.AdmitOverview)
	operators.RegisterGuarded(rt, overview, func(w http.ResponseWriter, r *http.Request) (string, error) {
		pass, err := gate.AdmitAdmin(w, r)
		if err != nil {
			return "", err
		}
		return "key " + pass.Key.ID, nil
	})
	server, err := a.listen("report", cfg.ReportAddr, rt, a.storeReady)
	if err != nil {
		return err
	}
	a.reportServer = server
	a.parts = append(a.parts, repairs, r, server)
	return nil
}

// addIngest adds the role that takes events.
func (a *App) addIngest() error {
	cfg := a.cfg.Ingest
	gate, err := a.gate(access.Ingest, "--ingest-addr", cfg.IngestAddr)
	if err != nil {
		return err
	}
	opts := ingest.Options{
		MaxBacklogEvents: cfg.MaxBacklogEvents,
		MaxBacklogBytes:  cfg.MaxBacklogBytes,
		Appended:         a.metrics.Appended(),
		Gate:             gate,
	}
	if err := a.openVisitors(&opts); err != nil {
		return err
	}
	in := ingest.New(a.queue, opts, a.log)
	a.metrics.Ingest(in.Stats, opts)
	rt := a.router("ingest", gate.AdmitOverview)
	in.Register(rt)
	tracker.Register(rt)
	server, err := a.listen("ingest", cfg.IngestAddr, rt, a.queueReady)
	if err != nil {
		return err
	}
	a.ingestServer = server
	a.parts = append(a.parts, in, server)
	return nil
}

// router makes the router of a role's server. Its requests are measured, and
// it has the metrics of the process, behind a guard.
func (a *App) router(role string, guard web.Guard) *web.Router {
	rt := web.NewObservedRouter(a.log, a.metrics.Requests(role))
	a.metrics.Register(rt, guard)
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
