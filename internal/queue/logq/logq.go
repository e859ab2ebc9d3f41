// Package logq is the embedded queue: a durable log on the local disk, kept in
// a Pebble store of its own. Keys and values are described in
// docs/format/queue.md.
//
// # What a reader may see
//
// A reader sees an entry only when it is on the disk. Pebble shows a batch as
// soon as it is in memory, before the sync; were it read then, a power cut
// could take the entry away after a worker had moved its mark past it, the ID
// could be given to another entry, and that one would be taken for counted.
// So reads end at the head of their stream (type stream), which moves only
// after the sync.
//
// # When the disk is full or fails
//
// An append is refused while the disk has no room. When the log cannot be
// written all the same the process ends; package pebbledb says why.
package logq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/daybook-analytics/daybook/internal/pebbledb"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/rollup"
)

// Options are the settings of a Queue. The zero value has the defaults.
type Options struct {
	// Streams is the number of streams of the first epoch when the log is
	// new, from 1 to queue.MaxStreams; 0 is DefaultStreams.
	Streams int
	// Logger gets what Pebble has to say; nil is slog.Default().
	Logger *slog.Logger
	// FS is the file system; nil is that of the operating system.
	FS vfs.FS

	// now is the clock; nil is time.Now.
	now func() time.Time
}

// DefaultStreams is the number of streams of a new log. In one process more
// would not make it faster.
const DefaultStreams = 4

// Sizes of the Pebble store. Entries are trimmed within seconds of their
// coming; one that is trimmed while it still is in the memtable is never
// written anywhere but in the log. Pebble holds up to two memtables and
// recycles one, so that the store stays below 3*memTableSize + cacheSize.
const (
	memTableSize = 8 << 20
	cacheSize    = 8 << 20
)

// Queue is the embedded queue. It implements queue.Queue.
type Queue struct {
	db     *pebbledb.DB
	dir    string
	now    func() time.Time
	layout atomic.Pointer[queue.Layout]

	// writing is held during every write, up to and including its sync. One
	// at a time is enough, because ingest gathers what waits into one append,
	// and it keeps IDs, log and heads in one order.
	writing sync.Mutex

	// mu protects streams and all that they hold. Only who holds writing
	// changes them.
	mu      sync.Mutex
	streams map[string]*stream
}

var _ queue.Queue = (*Queue)(nil)

// stream is what is known of one stream. Its fields are protected by Queue.mu.
type stream struct {
	id streamID
	// head is the newest entry on the disk.
	head head
	// oldest is the ID of the first entry that is not trimmed, and before the
	// counts of all entries before it. When there is none, oldest is zero and
	// before equals head.counts.
	oldest rollup.EntryID
	before counts
	// trimmed is how far this process has trimmed.
	trimmed rollup.EntryID
	// grown is closed, and replaced, when head moves.
	grown chan struct{}
}

// Open opens the log in the directory dir, which is made if it is not there.
// The directory belongs to the queue alone, and to one process at a time.
func Open(dir string, opts Options) (*Queue, error) {
	if opts.Streams == 0 {
		opts.Streams = DefaultStreams
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.now == nil {
		opts.now = time.Now
	}
	cache := pebble.NewCache(cacheSize)
	defer cache.Unref()
	pebbleOpts := &pebble.Options{
		FS:                         opts.FS,
		Cache:                      cache,
		MemTableSize:               memTableSize,
		MaxOpenFiles:               256,
		CompactionConcurrencyRange: func() (int, int) { return 1, 1 },
		// Most of what is flushed is trimmed before it would be compacted.
		L0CompactionThreshold: 8,
		L0StopWritesThreshold: 40,
	}
	// Lines shrink to a third at next to no cost, if they are written at all.
	pebbleOpts.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionFastest })

	db, err := pebbledb.Open("queue", dir, pebbleOpts, opts.Logger)
	if err != nil {
		return nil, err
	}
	q := &Queue{db: db, dir: dir, now: opts.now, streams: map[string]*stream{}}
	if err := q.load(opts.Streams); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the queue in %s: %w", dir, err), db.Close())
	}
	return q, nil
}

// load reads the layout and the streams, or writes the layout of a new log.
func (q *Queue) load(streams int) error {
	layout, err := q.loadLayout()
	if errors.Is(err, pebble.ErrNotFound) {
		_, err := q.OpenEpoch(context.Background(), streams)
		return err
	}
	if err != nil {
		return err
	}
	q.layout.Store(&layout)
	for _, epoch := range layout.Epochs {
		for i := range epoch.Streams {
			id := streamID{epoch: uint32(epoch.Number), stream: uint32(i)}
			s, err := q.loadStream(id)
			if err != nil {
				return fmt.Errorf("stream %s: %w", epoch.StreamName(i), err)
			}
			q.streams[epoch.StreamName(i)] = s
		}
	}
	return nil
}

func (q *Queue) loadLayout() (queue.Layout, error) {
	value, closer, err := q.db.Get(layoutKey)
	if err != nil {
		return queue.Layout{}, err
	}
	defer closer.Close()
	return decodeLayout(value)
}

func (q *Queue) loadStream(id streamID) (*stream, error) {
	s := &stream{id: id, grown: make(chan struct{})}
	value, closer, err := q.db.Get(headKey(id))
	if errors.Is(err, pebble.ErrNotFound) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	if s.head, err = decodeHead(value); err != nil {
		return nil, err
	}
	s.oldest, s.before, err = q.firstAfter(s, rollup.EntryID{}, s.head)
	return s, err
}

// firstAfter gives the ID of the first entry of a stream after the given one,
// and the counts of all entries before it; if there is none, zero and the
// counts of the head.
func (q *Queue) firstAfter(s *stream, after rollup.EntryID, end head) (rollup.EntryID, counts, error) {
	iter, err := q.iter(s.id, after, end.id)
	if err != nil {
		return rollup.EntryID{}, counts{}, err
	}
	defer iter.Close()
	if !iter.First() {
		return rollup.EntryID{}, end.counts, iter.Error()
	}
	value, err := iter.ValueAndErr()
	if err != nil {
		return rollup.EntryID{}, counts{}, err
	}
	e, err := decodeEntry(value)
	return entryID(iter.Key()), e.before, err
}

// iter makes an iterator over the entries of a stream that follow after, up
// to and including through.
func (q *Queue) iter(id streamID, after, through rollup.EntryID) (*pebble.Iterator, error) {
	return q.db.NewIter(&pebble.IterOptions{
		LowerBound: keyBehind(id, after),
		UpperBound: keyBehind(id, through),
	})
}

// Layout implements queue.Queue. It reads memory only.
func (q *Queue) Layout(context.Context) (queue.Layout, error) { return *q.layout.Load(), nil }

// OpenEpoch implements queue.Queue.
func (q *Queue) OpenEpoch(ctx context.Context, streams int) (queue.Epoch, error) {
	if streams < 1 || streams > queue.MaxStreams {
		return queue.Epoch{}, fmt.Errorf("%d streams: allowed are 1 to %d", streams, queue.MaxStreams)
	}
	if err := ctx.Err(); err != nil {
		return queue.Epoch{}, err
	}
	q.writing.Lock()
	defer q.writing.Unlock()
	var layout queue.Layout
	if old := q.layout.Load(); old != nil {
		layout.Epochs = append(layout.Epochs, old.Epochs...)
	}
	epoch := queue.Epoch{Number: len(layout.Epochs) + 1, Streams: streams}
	layout.Epochs = append(layout.Epochs, epoch)

	if err := q.room(); err != nil {
		return queue.Epoch{}, err
	}
	batch := q.db.NewBatch()
	if err := batch.Set(layoutKey, encodeLayout(layout), nil); err != nil {
		return queue.Epoch{}, err
	}
	if err := q.commit(batch, pebble.Sync); err != nil {
		return queue.Epoch{}, err
	}
	q.mu.Lock()
	for i := range streams {
		q.streams[epoch.StreamName(i)] = &stream{
			id:    streamID{epoch: uint32(epoch.Number), stream: uint32(i)},
			grown: make(chan struct{}),
		}
	}
	q.mu.Unlock()
	q.layout.Store(&layout)
	return epoch, nil
}

// stream finds a stream by its name.
func (q *Queue) stream(name string) (*stream, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s := q.streams[name]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("queue in %s has no stream %q", q.dir, name)
}

// Backlog implements queue.Queue. It reads memory only.
func (q *Queue) Backlog(context.Context) ([]queue.Backlog, error) {
	names := q.layout.Load().Names()
	backlog := make([]queue.Backlog, len(names))
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, name := range names {
		s := q.streams[name]
		backlog[i] = queue.Backlog{
			Stream:  name,
			Entries: int64(s.head.entries - s.before.entries),
			Events:  int64(s.head.events - s.before.events),
			Bytes:   int64(s.head.bytes - s.before.bytes),
			Oldest:  s.oldest,
		}
		if backlog[i].Entries > 0 {
			backlog[i].Newest = s.head.id
		}
	}
	return backlog, nil
}

// Close implements queue.Queue.
func (q *Queue) Close() error { return q.db.Close() }
