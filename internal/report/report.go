// Package report answers what was counted: GET /stats, from the rollups, and
// from the raw events for a day whose rollup is missing or damaged.
package report

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/web"
)

// Store is the part of a store that answers are read from.
type Store interface {
	store.Days
	store.Events
	Checkpoints(ctx context.Context) (map[string]store.Checkpoint, error)
}

// Options bound the raw scans, which are the only part of an answer whose
// cost grows with the number of events. Zero values are the defaults.
type Options struct {
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
}

// requestTime is the most that one answer takes. It is longer than any raw
// scan, and shorter than the server's limit for writing the answer.
const requestTime = 55 * time.Second

// Report is the role that answers queries. It is safe for concurrent use, and
// leaves nothing running behind the requests that it serves.
type Report struct {
	store Store
	scans *scans
	asOf  asOf
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
	return &Report{
		store: st,
		scans: newScans(st, opts, log),
		asOf:  asOf{store: st},
	}
}

// Register adds the role's paths to a router.
func (r *Report) Register(rt *web.Router) {
	rt.Handle("/stats", web.Methods{http.MethodGet: r.stats})
}

// RawScans tells of the raw scans so far.
func (r *Report) RawScans() ScanStats { return r.scans.stats() }

// Stats is the answer of GET /stats; docs/api-report.md has the meaning of its
// fields.
type Stats struct {
	Site          string      `json:"site_id"`
	Date          string      `json:"date,omitempty"`
	From          string      `json:"from,omitempty"`
	To            string      `json:"to,omitempty"`
	TotalViews    uint64      `json:"total_views"`
	UniqueUsers   uint64      `json:"unique_users"`
	TopPaths      []PathViews `json:"top_paths"`
	TotalEvents   uint64      `json:"total_events"`
	TopPathsExact bool        `json:"top_paths_exact"`
	Source        string      `json:"source"`
	// AsOf is nil when the store has no checkpoint yet.
	AsOf *string `json:"as_of"`
}

// PathViews is one row of the top paths.
type PathViews struct {
	Path  string `json:"path"`
	Views uint64 `json:"views"`
	// ViewsError is how far Views may be too high.
	ViewsError uint64 `json:"views_error,omitempty"`
}

// Values of Stats.Source.
const (
	sourceRollup = "rollup"
	sourceRaw    = "raw"
	sourceMixed  = "mixed"
)

func (r *Report) stats(w http.ResponseWriter, req *http.Request) error {
	q, err := parseQuery(req.URL.RawQuery)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(req.Context(), requestTime)
	defer cancel()

	// Before the numbers are read, so that they hold all that it promises.
	asOf, err := r.asOf.get(ctx)
	if err != nil {
		return err
	}
	sum, err := r.read(ctx, q)
	if err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, sum.stats(q, asOf))
	return nil
}
