// Package admin is what operators do with an installation: look after its
// dead letters and its streams.
//
// Admin does it on a queue and a store. The embedded ones belong to one
// process, so that process offers the same on a unix socket in its data
// directory (socket.go, handlers.go), and Client asks there. It is not on a
// TCP port: the socket's mode says who may use it, and no reverse proxy can
// give it away by mistake.
package admin

import (
	"context"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/store"
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
}

// Admin is Actions on a queue and a store.
type Admin struct {
	queue queue.Queue
	store store.Store
}

var _ Actions = (*Admin)(nil)

// New makes an Admin. Looking at dead letters and purging them needs no queue,
// raising the number of streams no store; what is not needed may be nil.
func New(q queue.Queue, st store.Store) *Admin { return &Admin{queue: q, store: st} }
