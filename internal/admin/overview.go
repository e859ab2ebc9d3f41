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

// overviewAge is how long an Overview stays as it was read, so that whoever
// reaches it cannot keep the queue and the store busy.
const overviewAge = 2 * time.Second

// someWorker stands for the name of the worker that has a stream.
const someWorker = "a worker"

// Overview tells how everything stands, but names no site, no machine and no
// person: whoever may ask for the statistics of all sites can look at it.
type Overview struct {
	status func(context.Context) (*Status, error)

	// mu is held while the status is read, so that requests that come together
	// read it once.
	mu   sync.Mutex
	read time.Time // zero: never
	last *Status   // never changes
}

// NewOverview makes the overview of what status gives.
func NewOverview(status func(context.Context) (*Status, error)) *Overview {
	return &Overview{status: status}
}

// Register adds GET /status to a router, behind a guard.
func (o *Overview) Register(rt *web.Router, guard web.Guard) {
	rt.Handle("/status", web.Methods{http.MethodGet: guard.Before(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Cache-Control", "no-store")
		status, err := o.get(r.Context())
		return answer(w, http.StatusOK, status, err)
	})})
}

func (o *Overview) get(ctx context.Context) (*Status, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.read.IsZero() && time.Since(o.read) < overviewAge {
		return o.last, nil
	}
	status, err := o.status(ctx)
	if err != nil {
		return nil, err
	}
	o.read, o.last = time.Now(), nameless(status)
	return o.last, nil
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
