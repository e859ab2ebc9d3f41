// Package report answers what was counted: from the rollups, and from the raw
// events for a day whose rollup is missing or damaged, and for what no rollup
// can answer.
//
// A question takes this way (handler.go): its parameters are parsed (query.go)
// and its period found by the clock of its site (span.go); the heads of the
// rollups, which are cheap to read, give the ETag (etag.go), by which an answer
// that is still the same is known; else what the endpoint needs is read, of
// months where they may stand for their days (read.go, cache.go), and the
// endpoint makes the answer of it. Each endpoint has a file of its own.
package report

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/web"
)

// Store is the part of a store that answers are read from.
type Store interface {
	store.Days
	store.Events
	store.Records
	store.Jobs
	KeptSince(ctx context.Context, site string) (string, error)
	Sites(ctx context.Context, after string, limit int) ([]string, error)
	Checkpoints(ctx context.Context) (map[string]store.Checkpoint, error)
}

// Options are the settings of the role. They bound the raw scans, which are the
// only part of an answer whose cost grows with the number of events. Zero
// values are the defaults.
type Options struct {
	// Gate says who may ask, and about which site; nil lets everybody ask
	// everything.
	Gate *access.Gate
	// RawScans is the most scans at once; 2 by default.
	RawScans int
	// RawScanEvents is the most events that one scan reads, 5 million by
	// default.
	RawScanEvents int
	// RawScanTime is the most time that one scan takes, 10 s by default.
	RawScanTime time.Duration
	// Scanned, if set, is called after each scan with how long it read,
	// however it ended; by several goroutines at once.
	Scanned func(took time.Duration)
	// Repair, if set, is told of days whose rollup is missing or damaged, so
	// that it can be restored. It must return at once; it is called by several
	// goroutines at once.
	Repair func(store.DayKey)
	// CacheBytes is about how much memory decoded rollups and answers are kept
	// in; 64 MiB by default.
	CacheBytes int
	// Queue, if set, is where realtime answers find what is not in the store
	// yet. It is only read.
	Queue Queue
	// Now is the clock that says which day it is; time.Now by default.
	Now func() time.Time
}

// settingsAge is how long the settings of a site that were read are good for.
const settingsAge = time.Second

// Report is the role that answers queries. It is safe for concurrent use, and
// but for jobs leaves nothing running behind the requests that it serves.
type Report struct {
	store Store
	opts  Options
	log   *slog.Logger
	sites *site.Directory
	scans *scans
	asOf  *asOf
	live  *live
	jobs  *jobs

	rollups *rollupCache
	// reading lets one request after the other read the rollups of a month.
	reading *turns[store.DayKey]
	// answers keeps the bodies of answers by their ETags.
	answers *lru[string, []byte]
}

// New makes the role on a store.
func New(st Store, opts Options, log *slog.Logger) *Report {
	if opts.RawScans == 0 {
		opts.RawScans = 2
	}
	if opts.RawScanEvents == 0 {
		opts.RawScanEvents = 5_000_000
	}
	if opts.RawScanTime == 0 {
		opts.RawScanTime = 10 * time.Second
	}
	if opts.Repair == nil {
		opts.Repair = func(store.DayKey) {}
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.CacheBytes == 0 {
		opts.CacheBytes = 64 << 20
	}
	r := &Report{
		store: st,
		opts:  opts,
		log:   log,
		sites: site.NewDirectory(st, settingsAge),
		scans: newScans(st, opts, log),
		asOf:  &asOf{store: st},
		live:  newLive(st, opts, log),

		rollups: newRollupCache(opts.CacheBytes * 7 / 8),
		reading: newTurns[store.DayKey](),
		answers: newLRU[string, []byte](opts.CacheBytes / 8),
	}
	r.jobs = newJobs(r, log)
	return r
}

// Start begins to answer questions with async=true, in the background. All
// others are answered without it.
func (r *Report) Start() error { return r.jobs.Start() }

// Stop breaks off what Start began, and returns when it has ended or ctx has.
// It may be called at any time, and again.
func (r *Report) Stop(ctx context.Context) error { return r.jobs.Stop(ctx) }

// Register adds the role's paths to a router. All but the description of them
// are behind the gate.
func (r *Report) Register(rt *web.Router) {
	for _, e := range endpoints {
		rt.Handle(e.path, web.Methods{http.MethodGet: r.handler(e)})
	}
	rt.Handle(batchPath, web.Methods{http.MethodPost: r.admitted(r.batch)})
	rt.Handle(openAPIPath, web.Methods{http.MethodGet: serveOpenAPI})
	rt.Handle(jobsPath+"{id}", web.Methods{http.MethodGet: r.admitted(r.jobs.show)})
}

// RawScans tells of the raw scans so far.
func (r *Report) RawScans() ScanStats { return r.scans.stats() }
