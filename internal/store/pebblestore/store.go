// Package pebblestore is the embedded store: Pebble on a local disk, for one
// machine and without set-up.
//
// # One step, one batch
//
// A worker's step keeps everything back in one batch of Pebble, which Commit
// writes with one sync: after a power cut a step is wholly there or not at
// all. What a step was told while it was under way stays true until its end
// because it has its sites to itself from Insert on (busySet); one process
// holds the directory, so locks in memory are enough. Whoever changes the
// rollup of a site takes the site, whoever writes the checkpoint of a stream
// takes the stream.
//
// # When the disk is full or fails
//
// A write is refused while the disk has no room. When the log cannot be
// written all the same the process ends; package pebbledb says why.
//
// The keys and values are described in docs/format/pebble.md.
package pebblestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/daybook-analytics/daybook/internal/pebbledb"
	"github.com/daybook-analytics/daybook/internal/store"
)

// Store is a store in a directory. It implements store.Store.
type Store struct {
	db  *pebbledb.DB
	dir string

	// sites are those that a step or SwapDay has to itself, streams those
	// whose checkpoint is being written.
	sites, streams busySet
	leases         leases
	records        records
	// deletion is held while dead letters are deleted, migration while
	// migrating, jobs from reading a job to writing it.
	deletion, migration, jobs sync.Mutex
	// encoded has *[]byte, in which steps encode rollups.
	encoded sync.Pool
	// sweepBatch is the constant of that name; a test has smaller batches.
	sweepBatch int
}

var _ store.Store = (*Store)(nil)

// Close releases the directory. No other method may be running, and every
// step must have ended.
func (s *Store) Close() error { return s.db.Close() }

// write applies a batch, closes it, and returns when it is durable, or with
// pebble.NoSync when it is visible.
func (s *Store) write(batch *pebble.Batch, opts *pebble.WriteOptions) error {
	defer batch.Close()
	if err := s.db.Room(); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if err := batch.Commit(opts); err != nil {
		return fmt.Errorf("writing to the store in %s: %w", s.dir, err)
	}
	return nil
}

// set writes one key.
func (s *Store) set(key, value []byte, opts *pebble.WriteOptions) error {
	batch := s.db.NewBatch()
	if err := batch.Set(key, value, nil); err != nil {
		return err
	}
	return s.write(batch, opts)
}

// get calls fn with the value of a key, which is valid only during the call,
// or returns store.ErrNotFound.
func get(r pebble.Reader, key []byte, fn func(value []byte) error) error {
	value, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return store.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("reading from the store: %w", err)
	}
	return errors.Join(fn(value), closer.Close())
}

// scan calls fn for each key with lower <= key < upper. Key and value are
// valid only during the call.
func (s *Store) scan(ctx context.Context, lower, upper []byte, fn func(key, value []byte) error) (err error) {
	it, err := s.iterate(ctx, lower, upper)
	if err != nil {
		return err
	}
	defer closeInto(&err, it)
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := fn(it.Key(), value); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) iterate(ctx context.Context, lower, upper []byte) (*pebble.Iterator, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, fmt.Errorf("reading from the store: %w", err)
	}
	return it, nil
}

// closeInto closes an iterator, whose own error is one of reading, and joins
// that to the error that is returned.
func closeInto(err *error, it io.Closer) {
	if closeErr := it.Close(); closeErr != nil {
		*err = errors.Join(*err, fmt.Errorf("reading from the store: %w", closeErr))
	}
}

// SchemaVersion is part of store.Store.
func (s *Store) SchemaVersion(ctx context.Context) (version int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	err = get(s.db, []byte{keySchema}, func(value []byte) error {
		if len(value) != 8 {
			return fmt.Errorf("the schema version in %s has %d bytes where 8 belong: restore the directory from a backup", s.dir, len(value))
		}
		version = int(binary.BigEndian.Uint64(value))
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	return version, err
}
