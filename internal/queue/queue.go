// Package queue is the contract of the queue between ingest and workers.
//
// A queue is a set of streams, each an append-only sequence of entries. An
// entry holds events, one per line (internal/event), and gets an ID greater
// than every earlier one of its stream, even of entries that are trimmed.
// Streams are read by position: reading takes nothing away, gives no entry to
// anybody, and any number of readers may read the same stream. That is what
// the exactly-once protocol needs (docs/architecture.md): delivery through
// consumer groups would let a zombie take entries and leave holes that the
// marks of a rollup cannot see.
//
// There are two backends, logq (embedded, on local disk) and redisq (Redis
// Streams); package queuetest is the conformance suite that both pass.
package queue

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/daybook-analytics/daybook/rollup"
)

// Queue is a set of streams. All methods are safe for concurrent use. Errors
// that wrap ErrUnavailable may go away by themselves. A stream that is not in
// the layout is an error of its group, or of the call.
type Queue interface {
	// Layout tells which streams there are. It is cheap enough to ask before
	// every append: an epoch that another process opened is in it within
	// about a second. The caller must not change what it gets.
	Layout(ctx context.Context) (Layout, error)

	// OpenEpoch adds an epoch with 1 to MaxStreams streams, to which events
	// go from then on. The streams of the older ones stay, to be drained.
	// After an error that wraps ErrUnavailable the epoch may be there all the
	// same; look at the layout.
	OpenEpoch(ctx context.Context, streams int) (Epoch, error)

	// Append writes each group as one entry of its stream and returns when
	// all are durable as the backend is configured. It returns nil when every
	// group is written, else one error per group, nil for those that are. A
	// group with an error may be written all the same (its outcome is
	// unknown); Append itself never tries again, so that it is written at
	// most once. After a nil it keeps no reference to the groups' lines.
	Append(ctx context.Context, groups []Group) []error

	// Read gives entries of a stream that follow after, in order and without
	// a gap, as many as there are up to max entries and about maxBytes of
	// lines, at least one. When there is none it waits for one, up to wait,
	// and then gives none and no error.
	Read(ctx context.Context, stream string, after rollup.EntryID, max, maxBytes int, wait time.Duration) ([]Entry, error)

	// Trim removes the entries of a stream up to and including through. The
	// caller has made sure that nobody needs them any more.
	Trim(ctx context.Context, stream string, through rollup.EntryID) error

	// Backlog tells what each stream of the layout holds.
	Backlog(ctx context.Context) ([]Backlog, error)

	// Close releases what the queue holds. No other method may be running.
	Close() error
}

// ErrUnavailable is wrapped by errors that say that the queue cannot be
// reached or cannot take more just now.
var ErrUnavailable = errors.New("queue unavailable")

// Group is what becomes one entry.
type Group struct {
	Stream string
	// Lines are events, one per line, each ended by a newline.
	Lines []byte
	// Events is the number of lines.
	Events int
}

// Entry is one entry of a stream.
type Entry struct {
	ID rollup.EntryID
	// Lines are the events as the group had them.
	Lines  string
	Events int
}

// Backlog is what a stream holds, trimmed entries not counted.
type Backlog struct {
	Stream  string
	Entries int64
	// Events and Bytes are exact on the embedded queue; on Redis they are an
	// estimate from the number of entries and samples of them.
	Events, Bytes int64
	// Oldest and Newest are the IDs of the first and the last entry; zero
	// when there is none.
	Oldest, Newest rollup.EntryID
}

// Layout tells which streams a queue has. Streams belong to epochs: events go
// to the streams of the newest one, while those of older ones only drain.
type Layout struct {
	// Epochs are in the order in which they were opened; there is at least
	// one.
	Epochs []Epoch
}

// Epoch is a number of streams among which sites are spread.
type Epoch struct {
	// Number counts the epochs from 1.
	Number int
	// Streams is how many streams it has.
	Streams int
}

// MaxStreams is the most streams of one epoch.
const MaxStreams = 256

// StreamName names stream i (from 0) of the epoch, for instance "1:0".
func (e Epoch) StreamName(i int) string { return fmt.Sprintf("%d:%d", e.Number, i) }

// Names lists all streams, those of older epochs first.
func (l Layout) Names() []string {
	var names []string
	for _, e := range l.Epochs {
		for i := range e.Streams {
			names = append(names, e.StreamName(i))
		}
	}
	return names
}

// Partition tells to which of n streams a site's events go. It spreads sites
// evenly and never changes, but nothing depends on it: two streams that carry
// one site's events are as right as one.
func Partition(site string, n int) int {
	h := fnv.New32a()
	h.Write([]byte(site))
	return int(h.Sum32() % uint32(n))
}
