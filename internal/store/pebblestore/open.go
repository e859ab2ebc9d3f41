package pebblestore

import (
	"errors"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/daybook-analytics/daybook/internal/pebbledb"
)

// Options are what may be chosen of a store; the zero value is good.
type Options struct {
	// FS is the file system; nil is the operating system's.
	FS vfs.FS
	// Logger gets what Pebble has to say; nil is slog.Default.
	Logger *slog.Logger
	// CacheBytes bounds the memory for cached blocks and memtables together;
	// 0 is DefaultCacheBytes.
	CacheBytes int64
}

// DefaultCacheBytes is the default of Options.CacheBytes.
const DefaultCacheBytes = 96 << 20

// Open opens the store in a directory, which it makes when it is not there.
// An empty directory is a store of schema version 0.
func Open(dir string, opts Options) (*Store, error) {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.CacheBytes == 0 {
		opts.CacheBytes = DefaultCacheBytes
	}
	db, err := pebbledb.Open("store", dir, pebbleOptions(opts), opts.Logger)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, dir: dir, sweepBatch: sweepBatch}
	if err := s.readRecords(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// logDeleter deletes the files that Pebble does not need any more, logs too.
// With its own cleaner Pebble would keep three logs to write over them, and in
// them what stood behind the end of what is written now, until the store is
// opened again. A cleaner that says, by a method which only Pebble's archive
// has, that it needs the contents of files gets all of them.
//
// What that would save, a file that grows being dearer to sync, is not to be
// measured here, with steps of 1, 100 or 1,000 events. The queue, which syncs
// more and has nothing to destroy, keeps its logs.
type logDeleter struct {
	pebble.DeleteCleaner
	needsContents // its other methods are deeper than those of DeleteCleaner
}

type needsContents struct{ pebble.ArchiveCleaner }

// pebbleOptions are chosen for steps of some thousand events (two keys an
// event) and rollups that are written again and again, in bounded memory.
func pebbleOptions(opts Options) *pebble.Options {
	o := &pebble.Options{
		FS:        opts.FS,
		CacheSize: opts.CacheBytes,

		// The batch of a step under full load is larger than half of this, and
		// so is sorted and flushed as it is, which is cheaper than to insert
		// its keys one by one. Two memtables are 32 MiB of the cache. A batch
		// stays in memory until it is flushed, so that the next one waits.
		MemTableSize:                16 << 20,
		MemTableStopWritesThreshold: 2,
		// Then there is a flush for each step: let some gather before they are
		// compacted, and do not stop writing for a burst of them.
		L0CompactionThreshold: 10,
		L0StopWritesThreshold: 40,
		LBaseMaxBytes:         64 << 20,
		MaxOpenFiles:          500,
		// Neither erased events nor salts may outlive their removal in a log.
		Cleaner: logDeleter{},
		// A second compaction only when the first one falls behind.
		CompactionConcurrencyRange: func() (lower, upper int) { return 1, 2 },
	}
	o.TargetFileSizes[0] = 8 << 20
	for i := range o.Levels {
		// Every new event ID is looked up and is not there: the filters answer
		// that without a read. 10 bits a key let 1 % of the lookups through.
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		// Reading is scans and big rollups; and with one index block a table
		// a lookup searches one index instead of two.
		o.Levels[i].BlockSize = 16 << 10
		o.Levels[i].IndexBlockSize = 256 << 10
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionFastest })
	return o
}
