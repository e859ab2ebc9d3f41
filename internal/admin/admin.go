// Package admin is what operators do with an installation: look after its
// dead letters and its streams, verify and rebuild its rollups, set up sites
// and keys, see how it stands.
//
// Admin does it on a queue and a store. The embedded ones belong to one
// process, so that process offers the same on a unix socket in its data
// directory (socket.go, http.go, rest.go), and Client asks there. The socket's
// mode says who may use it, and no reverse proxy can give it away by mistake.
// Most of it is on the port of the report role too, behind a guard
// (entrance.go).
package admin

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/retention"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/transfer"
	"github.com/daybook-analytics/daybook/rollup"
)

// Actions is what operators do. It is safe for concurrent use, also with the
// roles at work and from several processes.
type Actions interface {
	// DeadLetters gives up to limit dead letters, 1 to MaxLetters, in the
	// order of their keys, starting behind the key after ("" for the first).
	DeadLetters(ctx context.Context, after string, limit int) ([]Letter, error)
	// DeadLetter gives one dead letter, or store.ErrNotFound.
	DeadLetter(ctx context.Context, key string) (Letter, error)
	// Replay puts the lines of dead letters into the queue again and deletes
	// the letters. After an error it tells what was replayed before.
	Replay(ctx context.Context, keys []string) (Replayed, error)
	// Purge deletes dead letters for good, and tells how many there were.
	Purge(ctx context.Context, keys []string) (purged int, err error)

	// Streams lists all streams, those of older epochs first.
	Streams(ctx context.Context) ([]Stream, error)
	// RaiseStreams opens an epoch with more streams than the newest one has,
	// at most queue.MaxStreams.
	RaiseStreams(ctx context.Context, streams int) (queue.Epoch, error)

	// StartRebuild begins a rebuild job and gives its record; the job goes on
	// behind it, in the process that has the store.
	StartRebuild(ctx context.Context, rebuild Rebuild) (*reconcile.Job, error)
	// ResumeRebuild goes on with a job that was stopped, failed, or has lost
	// its process, with so many days at a time (0 is the default).
	ResumeRebuild(ctx context.Context, id string, parallel int) (*reconcile.Job, error)
	// CancelRebuild ends a job for good. The days that it has rebuilt stay so.
	CancelRebuild(ctx context.Context, id string) (*reconcile.Job, error)
	// Rebuild gives the record of a job, also that of a reconciliation, or
	// store.ErrNotFound.
	Rebuild(ctx context.Context, id string) (*reconcile.Job, error)
	// Rebuilds lists up to limit jobs that rebuild days or change time zones, 1
	// to MaxJobs, newest first.
	Rebuilds(ctx context.Context, limit int) ([]*reconcile.Job, error)
	// Reconciliations lists up to limit runs of the scheduled reconciliation
	// and of retention, 1 to MaxJobs, newest first.
	Reconciliations(ctx context.Context, limit int) ([]*reconcile.Job, error)

	// Verify compares the rollups of a range with their raw events and calls
	// fn for each day, in the order of sites and dates. It only reads. An
	// error of fn ends it and is returned. A site of which there is nothing
	// at all is store.ErrNotFound.
	Verify(ctx context.Context, days reconcile.Range, fn func(Verified) error) error

	// Export writes raw events or rollups to out, and tells what that has.
	// After an error what is written is not whole. A site of which there is
	// nothing at all is store.ErrNotFound.
	Export(ctx context.Context, spec transfer.Spec, out io.Writer) (transfer.Exported, error)
	// ImportRollups writes the rollups of an export, as NDJSON, of days of
	// which the raw events are not all kept any more (transfer.Import). After
	// an error a part may be written; doing all of it again does no harm.
	ImportRollups(ctx context.Context, in io.Reader) (transfer.Imported, error)

	// Expire removes the raw events that are older than they are to be kept,
	// after it has made sure that their rollups are right, or only tells what
	// it would remove.
	Expire(ctx context.Context, expiry Expiry) (*Expired, error)
	// Erase erases a user, days or all of a site. After an error nothing was
	// erased; what goes wrong later is in the receipt.
	Erase(ctx context.Context, erasure retention.Erasure) (*retention.Receipt, error)

	// Sites lists all sites that have raw events, rollups or settings.
	Sites(ctx context.Context) ([]Site, error)
	// Site tells of one site that Sites lists, or gives store.ErrNotFound.
	Site(ctx context.Context, name string) (*Site, error)
	// SetTimezone begins a job that changes the time zone of a site, or goes on
	// with one that did not come to its end, and gives its record. It gives nil
	// where there is nothing to change.
	SetTimezone(ctx context.Context, name string, to Timezone) (*reconcile.Job, error)
	// AddSite adds a site by its name, with what is to be set of it.
	AddSite(ctx context.Context, name string, change SiteChange) (*Site, error)
	// ChangeSite changes what is set of a site, or gives store.ErrNotFound for
	// one that was not added and has no data.
	ChangeSite(ctx context.Context, name string, change SiteChange) (*Site, error)
	// RemoveSite revokes the keys of a site and takes away what is set of it,
	// but for its time zones. Its data stays. After an error a part may be
	// done; it can be done again.
	RemoveSite(ctx context.Context, name string) (*RemovedSite, error)

	// CreateKey makes a key, of a site that was added or has data.
	CreateKey(ctx context.Context, key NewKey) (*CreatedKey, error)
	// Keys lists all keys, or those that are good for a site, revoked ones too,
	// in the order of their IDs.
	Keys(ctx context.Context, site string) ([]Key, error)
	// RevokeKey revokes the key with an ID, or of a token, or of the beginning
	// of one, or gives store.ErrNotFound. One that is revoked stays so.
	RevokeKey(ctx context.Context, id string) (*Key, error)

	// Status tells how everything stands.
	Status(ctx context.Context) (*Status, error)
}

// Options are an Admin's settings.
type Options struct {
	// Limits bounds the rollups that are written; zero is the default.
	Limits rollup.Limits
	// Alone tells that no other process has the store.
	Alone bool
	// Retention says for how long raw events are kept; zero is for ever.
	Retention retention.Policy
	// Changed, if set, is called after keys or settings of sites were changed.
	Changed func()
}

// Admin is Actions on a queue and a store. Jobs that it starts run in it until
// Stop, which may be called at any time, and again.
type Admin struct {
	queue queue.Queue
	store store.Store
	alone bool
	// changed is called after keys or settings of sites were changed.
	changed func()

	runner *reconcile.Runner
	keeper *retention.Keeper
	policy retention.Policy
	sites  *site.Directory
	keys   *access.Keys
	log    *slog.Logger
	// ctx ends what runs, cancel ends ctx.
	ctx    context.Context
	cancel context.CancelFunc
	jobs   sync.WaitGroup

	mu      sync.Mutex
	stopped bool                          // protected by mu
	running map[string]context.CancelFunc // the jobs that run here; protected by mu
}

var _ Actions = (*Admin)(nil)

// New makes an Admin. Looking at dead letters and purging them, and all that is
// about rollups needs no queue, raising the number of streams no store; what is
// not needed may be nil.
func New(q queue.Queue, st store.Store, opts Options, log *slog.Logger) *Admin {
	if opts.Limits == (rollup.Limits{}) {
		opts.Limits = rollup.DefaultLimits
	}
	if opts.Changed == nil {
		opts.Changed = func() {}
	}
	a := &Admin{queue: q, store: st, alone: opts.Alone, policy: opts.Retention, changed: opts.Changed, log: log, running: make(map[string]context.CancelFunc)}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	if st != nil {
		a.sites = site.NewDirectory(st, 0)
		a.keys = access.NewKeys(st)
		a.runner = reconcile.NewRunner(st, opts.Limits, log)
		a.keeper = retention.New(q, st, a.runner, opts.Limits, log)
	}
	return a
}

// RebuildStats counts what jobs that ran here have found and done.
func (a *Admin) RebuildStats() reconcile.Stats {
	if a.runner == nil {
		return reconcile.Stats{}
	}
	return a.runner.Stats()
}

// Start is there so that an Admin is a part of a process like any other.
func (a *Admin) Start() error { return nil }

// Stop ends the jobs that run here, so that they can be resumed, and what is
// being verified, and returns when all jobs have ended.
func (a *Admin) Stop(ctx context.Context) error {
	a.mu.Lock()
	a.stopped = true
	a.mu.Unlock()
	a.cancel()
	ended := make(chan struct{})
	go func() {
		a.jobs.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("rebuild jobs did not end: %w", ctx.Err())
	}
}
