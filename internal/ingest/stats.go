package ingest

import (
	"errors"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/web"
)

// Stats are counts since the process began.
type Stats struct {
	// Accepted counts the events that were confirmed to their sender.
	Accepted uint64
	// Rejected counts, by reason, the events that were refused for what they
	// are. A request that is refused as a whole counts as one.
	Rejected Counts
	// Unavailable counts, by reason, the requests that were well-formed as far
	// as they were read and could not be served, or not confirmed.
	Unavailable Counts
}

// Counts are counts by reason. Every reason that there is has one.
type Counts map[string]uint64

// Total is the sum.
func (c Counts) Total() (n uint64) {
	for _, count := range c {
		n += count
	}
	return n
}

// Stats gives the counts. docs/metrics.md has the reasons.
func (in *Ingest) Stats() Stats {
	return Stats{
		Accepted:    in.accepted.Load(),
		Rejected:    in.rejected.counts(),
		Unavailable: in.unavailable.counts(),
	}
}

// tally counts by reason. The reasons are fixed, so that it needs no lock and
// there are never more of them than can be watched.
type tally struct{ byReason map[string]*atomic.Uint64 }

// other is the reason that every tally has for what has no other.
const other = "other"

func newTally(reasons ...string) *tally {
	t := &tally{make(map[string]*atomic.Uint64, len(reasons)+1)}
	for _, reason := range append(reasons, other) {
		t.byReason[reason] = new(atomic.Uint64)
	}
	return t
}

func (t *tally) add(reason string) {
	count, ok := t.byReason[reason]
	if !ok {
		count = t.byReason[other]
	}
	count.Add(1)
}

func (t *tally) counts() Counts {
	counts := make(Counts, len(t.byReason))
	for reason, count := range t.byReason {
		counts[reason] = count.Load()
	}
	return counts
}

// Reasons to reject an event or a body. An event that is rejected for one of
// its fields has the name of that as the reason.
const (
	badEvent  = "event"      // no object, or too large
	badBody   = "body"       // no array of events
	badSyntax = "syntax"     // no JSON, no gzip, or not whole
	badMedia  = "media_type" // another Content-Type or Content-Encoding
	tooLarge  = "too_large"  // too many bytes, or events
	badKey    = "key"        // no key, or none for this
	badOrigin = "origin"     // a page that must not send events of the site
	overLimit = "limit"      // too many requests by one key or address
)

// Reasons for which a request is answered with 503, or with 500 if it is other.
const (
	isStopping    = "stopping"
	isBusy        = "busy"        // too much waits to be written
	isFull        = "backlog"     // the queue holds more than it may
	isUnconfirmed = "unconfirmed" // it may be written, or not
	isQueue       = "queue"       // the queue cannot be reached
	isUnread      = "store"       // keys and settings of sites could not be read yet
)

func newRejected() *tally {
	return newTally(slices.Concat(event.FieldNames(), event.VisitorFieldNames(), []string{badEvent, badBody, badSyntax, badMedia, tooLarge, badKey, badOrigin, overLimit})...)
}

func newUnavailable() *tally {
	return newTally(isStopping, isBusy, isFull, isUnconfirmed, isQueue, isUnread)
}

// refused counts a request that is answered with err.
func (in *Ingest) refused(err error) {
	if reason := reasonOf(err); reason != "" {
		in.rejected.add(reason)
		return
	}
	switch {
	case errors.Is(err, errStopping):
		in.unavailable.add(isStopping)
	case errors.Is(err, errBusy):
		in.unavailable.add(isBusy)
	case errors.Is(err, errBacklog):
		in.unavailable.add(isFull)
	case errors.Is(err, access.ErrUnread):
		in.unavailable.add(isUnread)
	case errors.As(err, new(*web.Error)):
		in.unavailable.add(isUnconfirmed)
	case errors.Is(err, queue.ErrUnavailable):
		in.unavailable.add(isQueue)
	default:
		in.unavailable.add(other)
	}
}

// reasonOf gives the reason for which an event or a whole request is rejected
// for what it is; empty if that is not why.
func reasonOf(err error) string {
	var (
		field  *event.FieldError
		answer *web.Error
	)
	switch {
	case errors.As(err, &field):
		return field.Field
	case errors.As(err, new(*event.SyntaxError)):
		return badSyntax
	case errors.As(err, new(*http.MaxBytesError)):
		return tooLarge
	case errors.As(err, new(*originError)):
		return badOrigin
	case !errors.As(err, &answer):
		return ""
	}
	switch answer.Status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return badSyntax
	case http.StatusUnauthorized, http.StatusForbidden:
		return badKey
	case http.StatusRequestEntityTooLarge:
		return tooLarge
	case http.StatusUnsupportedMediaType:
		return badMedia
	case http.StatusTooManyRequests:
		return overLimit
	}
	return ""
}
