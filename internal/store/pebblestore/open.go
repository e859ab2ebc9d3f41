package pebblestore

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
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

// format is the version of Pebble's own files. It is raised on purpose and
// not with the library, since an older program cannot open a newer format.
const format = pebble.FormatValueSeparation

// Open opens the store in a directory, which it makes when it is not there.
// An empty directory is a store of schema version 0.
func Open(dir string, opts Options) (*Store, error) {
	fs := opts.FS
	if fs == nil {
		fs = vfs.Default
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.CacheBytes == 0 {
		opts.CacheBytes = DefaultCacheBytes
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the store's directory: %w", err)
	}
	lock, err := pebble.LockDirectory(dir, fs)
	if err != nil {
		return nil, lockError(dir, err)
	}
	// Open takes a reference of its own to the lock.
	defer lock.Close()

	options := pebbleOptions(opts)
	options.Lock = lock
	db, err := pebble.Open(dir, options)
	if err != nil {
		return nil, fmt.Errorf("opening the store in %s: %w", dir, err)
	}
	return &Store{db: db, fs: fs, dir: dir}, nil
}

// lockError says why the lock of a directory could not be taken. Besides
// being held it can fail as any file can.
func lockError(dir string, err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("opening the store in %s: %w", dir, err)
	}
	return fmt.Errorf("the store in %s is in use by another daybook: stop that one or choose another directory (%w)", dir, err)
}

// pebbleOptions are chosen for steps of some thousand events (two keys an
// event) and rollups that are written again and again, in bounded memory.
func pebbleOptions(opts Options) *pebble.Options {
	logger := pebbleLogger{log: opts.Logger}
	o := &pebble.Options{
		FS:                 opts.FS, // nil: with a watch over slow disks
		FormatMajorVersion: format,
		CacheSize:          opts.CacheBytes,
		Logger:             logger,
		EventListener:      logger.events(),

		// A rollup that is written again while the last one is in the same
		// memtable costs no flush; two memtables are 64 MiB of the cache.
		MemTableSize:                32 << 20,
		MemTableStopWritesThreshold: 2,
		// Flushes every second or so under full load: let some gather before
		// they are compacted, and do not stop writing for a burst of them.
		L0CompactionThreshold: 4,
		L0StopWritesThreshold: 24,
		LBaseMaxBytes:         64 << 20,
		MaxOpenFiles:          500,
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

// pebbleLogger passes on what Pebble logs.
type pebbleLogger struct{ log *slog.Logger }

func (l pebbleLogger) Infof(format string, args ...any) {
	l.log.Debug("pebble: " + fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Error("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf ends the process; see the package comment for why.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	reason := fmt.Errorf(format, args...)
	hint := "start again; nothing that was acknowledged is lost"
	for _, arg := range args {
		if err, ok := arg.(error); ok && errors.Is(err, syscall.ENOSPC) {
			hint = "make room on the disk and start again; nothing that was acknowledged is lost"
		}
	}
	l.log.Error("the store cannot go on and the process ends: "+hint, "err", reason)
	os.Exit(1)
}

// events tells what an operator should know, and leaves out the rest.
func (l pebbleLogger) events() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) { l.log.Error("pebble: flush or compaction failed", "err", err) },
		// Without this Pebble ends the process. The read that found it returns
		// the error, and everything else can still be read.
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			l.log.Error("pebble: a file of the store is damaged", "path", info.Path, "err", info.Details)
		},
		DiskSlow: func(info pebble.DiskSlowInfo) { l.log.Warn("pebble: the disk is slow", "what", info.String()) },
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			l.log.Info("pebble: writing waits for flushes and compactions", "reason", info.Reason)
		},
	}
}
