// Package pebbledb is what the embedded queue and the embedded store need of
// Pebble (github.com/cockroachdb/pebble/v2) and share: how a database is
// opened, and what happens when its disk is full or fails. What they keep in
// it, and how they tune it, is their own.
//
// # When the disk is full or fails
//
// Pebble cannot go on after a failed write of its log or manifest: what the
// failed sync left on the disk is not known, and only opening the database
// again finds out (https://lwn.net/Articles/752063). So there are two lines of
// defence.
//
// A writer asks Room first, and refuses its caller while less than
// MinFreeBytes are free. Reading goes on, and writing does as soon as there is
// room again.
//
// When the log, the manifest or the directory cannot be written all the same,
// the process says in one line of the log what to do, and exits with status 1.
// Whoever supervises it starts it again; everything that was acknowledged is on
// the disk. To go on for reading alone was tried and given up: a queue that
// takes nothing until somebody notices is worse than a restart.
package pebbledb

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// format is the version of Pebble's own files. It is raised on purpose and
// not with the library, since an older program cannot open a newer format.
const format = pebble.FormatValueSeparation

// DB is an open database.
type DB struct {
	*pebble.DB
	what, dir string
	fs        vfs.FS
}

// Open opens the database in a directory, which it makes when it is not there.
// The directory belongs to one process at a time. what names the database in
// errors and in the log: "queue", "store". log gets what Pebble has to say.
//
// The options are the caller's but for FormatMajorVersion, Lock, Logger and
// EventListener, which Open sets, and for FS, which it wraps; a nil FS is the
// operating system's. They must not be used again.
func Open(what, dir string, options *pebble.Options, log *slog.Logger) (*DB, error) {
	fs := options.FS
	if fs == nil {
		fs = vfs.Default
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the %s: %w", what, err)
	}
	lock, err := pebble.LockDirectory(dir, fs)
	if err != nil {
		return nil, lockError(what, dir, err)
	}
	// pebble.Open takes a reference of its own to the lock.
	defer lock.Close()

	l := logger{log: log.With(what, dir), what: what}
	options.FormatMajorVersion = format
	options.Lock = lock
	options.Logger = l
	options.EventListener = l.events()
	options.FS = carefulFS{FS: fs, end: l.end}
	options.WithFSDefaults() // a watch over slow disks
	db, err := pebble.Open(dir, options)
	if err != nil {
		return nil, fmt.Errorf("opening the %s in %s: %w", what, dir, err)
	}
	return &DB{DB: db, what: what, dir: dir, fs: fs}, nil
}

// lockError says why the lock of a directory could not be taken. Besides
// being held it can fail as any file can, and where a file system has no
// locks.
func lockError(what, dir string, err error) error {
	var path *os.PathError
	var number syscall.Errno
	if errors.As(err, &path) || errors.As(err, &number) && number != syscall.EAGAIN && number != syscall.EACCES {
		return fmt.Errorf("locking the %s in %s: %w", what, dir, err)
	}
	return fmt.Errorf("the %s in %s is in use by another daybook: stop that one or choose another directory", what, dir)
}

// Close closes the database and gives the directory free. No other method may
// be running.
func (db *DB) Close() error {
	if err := db.DB.Close(); err != nil {
		return fmt.Errorf("closing the %s in %s: %w", db.what, db.dir, err)
	}
	return nil
}

// MinFreeBytes is what must be free on the disk for a write to be accepted:
// enough for what is in memory to be flushed, and for small compactions.
const MinFreeBytes = 256 << 20

// Room tells by an error that the disk has no room for a write: less than
// MinFreeBytes are free. It costs a system call, so that it can be asked before
// every write. A disk that cannot tell what is free is taken to have room.
func (db *DB) Room() error {
	usage, err := db.fs.GetDiskUsage(db.dir)
	if err == nil && usage.AvailBytes < MinFreeBytes {
		return fmt.Errorf("the disk of %s has %d MiB free, and %d MiB must stay free: make room there",
			db.dir, usage.AvailBytes>>20, MinFreeBytes>>20)
	}
	return nil
}
