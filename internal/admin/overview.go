package admin

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/web"
)

// overviewAge is how long a status stays as it was read, so that pages that ask
// again and again do not keep the queue and the store busy.
const overviewAge = 2 * time.Second

// someWorker stands for the name of the worker that has a stream.
const someWorker = "a worker"

// Overview tells how everything stands to all who ask on a port. It is safe for
// concurrent use.
type Overview struct {
	read func(context.Context) (*Status, error)

	mu      sync.Mutex
	at      time.Time // of last; zero: never
	last    *Status   // never changes
	reading *reading  // nil when nobody reads
}

// reading is a status that is being read, by the first who asked, for all who
// wait for it.
type reading struct {
	done   chan struct{} // closed when the others are set
	status *Status
	err    error
	// left tells that who reads has not waited for the end: the error says
	// nothing to others.
	left bool
}

// NewOverview makes the overview of what read gives.
func NewOverview(read func(context.Context) (*Status, error)) *Overview {
	return &Overview{read: read}
}

// Register adds GET /status to a router, behind a guard. It names no site, no
// machine and no person: whoever may ask for the statistics of all sites can
// look at it.
func (o *Overview) Register(rt *web.Router, guard web.Guard) {
	rt.Handle("/status", web.Methods{http.MethodGet: guard.Before(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Cache-Control", "no-store")
		status, err := o.Status(r.Context())
		if err != nil {
			return err
		}
		return answer(w, http.StatusOK, nameless(status), nil)
	})})
}

// Status gives the status, with all names, as it was within the last two
// seconds. It must not be changed. Who asks while it is being read waits for
// that, also for its error, so that nobody waits for the store in a row.
func (o *Overview) Status(ctx context.Context) (*Status, error) {
	for {
		o.mu.Lock()
		if !o.at.IsZero() && time.Since(o.at) < overviewAge {
			defer o.mu.Unlock()
			return o.last, nil
		}
		others := o.reading
		if others == nil {
			mine := &reading{done: make(chan struct{}), left: true}
			o.reading = mine
			o.mu.Unlock()
			return o.readFor(ctx, mine)
		}
		o.mu.Unlock()
		select {
		case <-others.done:
			if !others.left {
				return others.status, others.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// readFor reads the status for all who wait for r.
func (o *Overview) readFor(ctx context.Context, r *reading) (*Status, error) {
	defer func() { // also after a panic, which leaves the others to read
		o.mu.Lock()
		defer o.mu.Unlock()
		if !r.left && r.err == nil {
			o.at, o.last = time.Now(), r.status
		}
		o.reading = nil
		close(r.done)
	}()
	r.status, r.err = o.read(ctx)
	r.left = r.err != nil && ctx.Err() != nil
	return r.status, r.err
}

// nameless gives a status without the names in it.
func nameless(s *Status) *Status {
	n := *s
	n.Streams = slices.Clone(s.Streams)
	for i := range n.Streams {
		if n.Streams[i].Owner != "" {
			n.Streams[i].Owner = someWorker
		}
	}
	n.Running = make([]*reconcile.Job, len(s.Running))
	for i, job := range s.Running {
		n.Running[i] = namelessJob(job)
	}
	for _, last := range []**reconcile.Job{&n.LastRebuild, &n.LastCheck, &n.LastNightly} {
		if *last != nil {
			*last = namelessJob(*last)
		}
	}
	return &n
}

// namelessJob gives of a job what is known to name nobody.
func namelessJob(j *reconcile.Job) *reconcile.Job {
	return &reconcile.Job{
		ID: j.ID, Kind: j.Kind, State: j.State, Created: j.Created, Updated: j.Updated, Seconds: j.Seconds,
		Spec: reconcile.Spec{
			Range:  reconcile.Range{From: j.Spec.From, To: j.Spec.To},
			DryRun: j.Spec.DryRun, Force: j.Spec.Force, Exact: j.Spec.Exact, Sample: j.Spec.Sample,
		},
		Days: j.Days, Population: j.Population, Finished: j.Finished, Events: j.Events,
		Faulty: j.Faulty, Rebuilt: j.Rebuilt, Refused: j.Refused, Partial: j.Partial, Unreadable: j.Unreadable,
		TakenOver: j.TakenOver, Months: j.Months,
	}
}
