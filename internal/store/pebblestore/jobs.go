package pebblestore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/daybook-analytics/daybook/internal/store"
)

func jobKey(id string) []byte { return append([]byte{keyJob}, id...) }

func readJob(id string, value []byte) (store.Job, error) {
	if len(value) < revLen {
		return store.Job{}, fmt.Errorf("the job %q is damaged: it has %d bytes where at least %d belong", id, len(value), revLen)
	}
	return store.Job{ID: id, Rev: binary.BigEndian.Uint64(value), Body: bytes.Clone(value[revLen:])}, nil
}

// Job is part of store.Store.
func (s *Store) Job(ctx context.Context, id string) (job store.Job, err error) {
	if err := ctx.Err(); err != nil {
		return store.Job{}, err
	}
	err = get(s.db, jobKey(id), func(value []byte) (err error) {
		job, err = readJob(id, value)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("job %q: %w", id, err)
	}
	return job, err
}

// Jobs is part of store.Store.
func (s *Store) Jobs(ctx context.Context, before string, limit int) (jobs []store.Job, err error) {
	upper := []byte{keyJob + 1}
	if before != "" {
		upper = jobKey(before)
	}
	it, err := s.iterate(ctx, []byte{keyJob}, upper)
	if err != nil {
		return nil, err
	}
	defer closeInto(&err, it)
	for ok := it.Last(); ok && len(jobs) < limit; ok = it.Prev() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		job, err := readJob(string(it.Key()[1:]), value)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, job)
	}
	return jobs, nil
}

// SwapJob is part of store.Store.
func (s *Store) SwapJob(ctx context.Context, job *store.Job) error {
	if err := job.Validate(); err != nil {
		return err
	}
	s.jobs.Lock()
	defer s.jobs.Unlock()
	stored, err := s.Job(ctx, job.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if stored.Rev != job.Rev {
		return fmt.Errorf("job %q has rev %d and not %d: %w", job.ID, stored.Rev, job.Rev, store.ErrConflict)
	}
	value := binary.BigEndian.AppendUint64(nil, job.Rev+1)
	if err := s.set(jobKey(job.ID), append(value, job.Body...), pebble.Sync); err != nil {
		return err
	}
	job.Rev++
	return nil
}

// DropJob is part of store.Store.
func (s *Store) DropJob(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.jobs.Lock()
	defer s.jobs.Unlock()
	batch := s.db.NewBatch()
	if err := batch.Delete(jobKey(id), nil); err != nil {
		return err
	}
	return s.write(batch, pebble.Sync)
}
