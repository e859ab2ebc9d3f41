// Package ingest is the role that takes events over HTTP and puts them into
// the queue. It answers a request only after everything of it is durable
// there, and it touches no database.
//
// The way of an event: admit.go lets the request in, handler.go reads it,
// internal/event decodes it, describe.go finds out who its visitor is, of whom
// nothing is kept, commit.go writes it together with all that arrived meanwhile,
// and watch.go keeps an eye on the queue. What a request can make the server hold
// in memory is bounded at each step, and what is beyond is answered with 503
// at once.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/visitor"
	"github.com/daybook-analytics/daybook/internal/web"
)

// Options are the settings of the role. The zero value has the defaults.
type Options struct {
	// MaxPendingBytes is the most that may wait for being written; 0 is 64
	// MiB. A batch whose events are larger than that is never taken.
	MaxPendingBytes int64
	// Wait is how long a request waits for its write to be confirmed; 0 is
	// 0.9 s, so that even then the answer comes within a second. After that
	// its outcome is unknown.
	Wait time.Duration
	// MaxBacklogEvents and MaxBacklogBytes are the most that the queue may
	// hold; while it holds more, nothing is taken. 0 is no limit. They are
	// checked about once a second, so that they can be exceeded by what comes
	// in that time.
	MaxBacklogEvents, MaxBacklogBytes int64
	// Gate lets requests in; nil lets in everybody, to sites of which nothing
	// is set.
	Gate *access.Gate
	// Salts makes the IDs of visitors; nil makes none.
	Salts *visitor.Salts
	// Countries and DataCenters know addresses; nil knows none.
	Countries   *visitor.Countries
	DataCenters *visitor.DataCenters
	// CountryHeader is the header in which trusted proxies tell the country of
	// a client; empty is none.
	CountryHeader string
	// Appended, if set, is called after each write to the queue with the
	// number of its events and how long it took, whether it was confirmed or
	// not; never twice at once.
	Appended func(events int, took time.Duration)
}

const (
	defaultMaxPendingBytes = 64 << 20
	defaultWait            = 900 * time.Millisecond
)

// Ingest is the role. All methods are safe for concurrent use.
type Ingest struct {
	queue queue.Queue
	opts  Options
	log   *slog.Logger

	ids              *ids
	agents           *visitor.Agents
	committer        *committer
	one, many, image endpoint

	// streams are the names of those that events go to; nil until the queue
	// has told them.
	streams atomic.Pointer[[]string]
	// full tells that the queue holds more than it may.
	full     atomic.Bool
	stopping atomic.Bool

	watching   sync.WaitGroup
	watchCtx   context.Context
	stopWatch  context.CancelFunc
	lookOutage *outage

	accepted              atomic.Uint64
	rejected, unavailable *tally
}

// New makes the role. It takes events between Start and Stop.
func New(q queue.Queue, opts Options, log *slog.Logger) *Ingest {
	if opts.MaxPendingBytes == 0 {
		opts.MaxPendingBytes = defaultMaxPendingBytes
	}
	if opts.Wait == 0 {
		opts.Wait = defaultWait
	}
	in := &Ingest{
		queue:      q,
		opts:       opts,
		log:        log,
		ids:        newIDs(),
		agents:     visitor.NewAgents(),
		committer:  newCommitter(q, opts, &outage{what: "writing to the queue", log: log}),
		lookOutage: &outage{what: "looking at the queue", log: log},

		rejected:    newRejected(),
		unavailable: newUnavailable(),
	}
	in.watchCtx, in.stopWatch = context.WithCancel(context.Background())
	in.one = endpoint{limit: maxEventBody, media: eventMedia, decode: in.decodeOne, answer: answerOne}
	in.many = endpoint{limit: maxBatchBody, media: batchMedia, decode: in.decodeMany, answer: answerMany}
	in.image = endpoint{decode: in.decodeOne, answer: answerPixel}
	return in
}

// Register adds POST /event, POST /events and GET /pixel.gif to a router.
func (in *Ingest) Register(rt *web.Router) {
	rt.Handle("/event", web.Methods{http.MethodPost: in.handler(&in.one), http.MethodOptions: in.preflight})
	rt.Handle("/events", web.Methods{http.MethodPost: in.handler(&in.many), http.MethodOptions: in.preflight})
	rt.Handle("/pixel.gif", web.Methods{http.MethodGet: in.handler(&in.image), http.MethodHead: headOfPixel})
}

// Start begins to take events. While the queue cannot be reached it waits for
// it, and requests are answered with 503; any other fault of the queue is
// returned. It can be called once.
func (in *Ingest) Start() error {
	if err := in.look(in.watchCtx); err != nil && !errors.Is(err, queue.ErrUnavailable) {
		return fmt.Errorf("ingest: %w", err)
	}
	if err := in.committer.start(); err != nil {
		return err
	}
	in.watching.Go(in.watch)
	return nil
}

// Stop answers further requests with 503 and returns when everything that was
// taken is written, or breaks the writes off when ctx ends. It may be called
// again, and before Start.
func (in *Ingest) Stop(ctx context.Context) error {
	in.stopping.Store(true)
	in.stopWatch()
	err := in.committer.stop(ctx)
	in.watching.Wait()
	return err
}
