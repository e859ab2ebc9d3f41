package pebblestore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/daybook-analytics/daybook/internal/store"
)

// records has all records, since every step of a worker asks for those of some
// sites, and the others are few. The store is read when it is opened, and
// written before they change.
type records struct {
	// writing is held from looking at a record to having written it.
	writing sync.Mutex

	mu  sync.RWMutex // protects all
	all map[recordName]store.Record
}

type recordName struct {
	kind store.RecordKind
	name string
}

// get gives a record, of rev 0 when there is none. Its Body is a copy.
func (r *records) get(kind store.RecordKind, name string) store.Record {
	r.mu.RLock()
	defer r.mu.RUnlock()
	record := r.all[recordName{kind, name}]
	record.Body = bytes.Clone(record.Body)
	return record
}

// put takes in what was written.
func (r *records) put(kind store.RecordKind, record store.Record) {
	record.Body = bytes.Clone(record.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[recordName{kind, record.Name}] = record
}

// recordLetter gives the first byte of the keys of a kind.
func recordLetter(kind store.RecordKind) byte {
	switch kind {
	case store.SiteKind:
		return keySite
	case store.KeyKind:
		return keyAccess
	case store.SaltKind:
		return keySalt
	}
	panic("there are no records of the kind " + kind)
}

func recordKey(kind store.RecordKind, name string) []byte {
	return append([]byte{recordLetter(kind)}, name...)
}

func (s *Store) decodeRecord(kind store.RecordKind, key, value []byte) (store.Record, error) {
	name := string(key[1:])
	if len(value) < revLen {
		return store.Record{}, fmt.Errorf("the record of %s %q in %s is damaged: it has %d bytes where at least %d belong; restore the directory from a backup",
			kind, name, s.dir, len(value), revLen)
	}
	return store.Record{Name: name, Rev: binary.BigEndian.Uint64(value), Body: bytes.Clone(value[revLen:])}, nil
}

// readRecords reads all records, before anybody else has the store.
func (s *Store) readRecords() error {
	s.records.all = make(map[recordName]store.Record)
	for _, kind := range store.RecordKinds {
		lower := recordKey(kind, "")
		err := s.scan(context.Background(), lower, end(lower), func(key, value []byte) error {
			record, err := s.decodeRecord(kind, key, value)
			s.records.put(kind, record)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Records is part of store.Store.
func (s *Store) Records(ctx context.Context, kind store.RecordKind, names []string) (map[string]store.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found := make(map[string]store.Record)
	for _, name := range names {
		if record := s.records.get(kind, name); record.Rev > 0 {
			found[name] = record
		}
	}
	return found, nil
}

// RecordsAfter is part of store.Store. What is in memory has no order.
func (s *Store) RecordsAfter(ctx context.Context, kind store.RecordKind, after string, limit int) ([]store.Record, error) {
	lower, upper := recordKey(kind, after), end(recordKey(kind, ""))
	if after != "" {
		lower = append(lower, 0) // the first key behind it
	}
	var list []store.Record
	enough := errors.New("enough")
	err := s.scan(ctx, lower, upper, func(key, value []byte) error {
		if len(list) >= limit {
			return enough
		}
		record, err := s.decodeRecord(kind, key, value)
		list = append(list, record)
		return err
	})
	if err != nil && !errors.Is(err, enough) {
		return nil, err
	}
	return list, nil
}

// SwapRecord is part of store.Store.
func (s *Store) SwapRecord(ctx context.Context, kind store.RecordKind, record *store.Record) error {
	if err := record.Validate(kind); err != nil {
		return err
	}
	s.records.writing.Lock()
	defer s.records.writing.Unlock()
	if err := s.checkRecordRev(ctx, kind, record); err != nil {
		return err
	}
	rev := store.NextRev(record.Rev)
	value := binary.BigEndian.AppendUint64(nil, rev)
	if err := s.set(recordKey(kind, record.Name), append(value, record.Body...), pebble.Sync); err != nil {
		return err
	}
	record.Rev = rev
	s.records.put(kind, *record)
	return nil
}

// DropRecord is part of store.Store.
func (s *Store) DropRecord(ctx context.Context, kind store.RecordKind, record store.Record) error {
	if err := s.dropRecord(ctx, kind, record); err != nil || kind != store.SaltKind {
		return err
	}
	// Not while others wait for their records: it may rewrite large tables,
	// which have the salts among others.
	salts := recordKey(kind, "")
	return s.purgeRange(ctx, salts, end(salts))
}

func (s *Store) dropRecord(ctx context.Context, kind store.RecordKind, record store.Record) error {
	s.records.writing.Lock()
	defer s.records.writing.Unlock()
	if err := s.checkRecordRev(ctx, kind, &record); err != nil {
		return err
	}
	if record.Rev == 0 {
		return fmt.Errorf("%s %s has no record to drop: %w", kind, record.Name, store.ErrConflict)
	}
	batch := s.db.NewBatch()
	if err := batch.Delete(recordKey(kind, record.Name), nil); err != nil {
		return errors.Join(err, batch.Close())
	}
	if err := s.write(batch, pebble.Sync); err != nil {
		return err
	}
	s.records.mu.Lock()
	defer s.records.mu.Unlock()
	delete(s.records.all, recordName{kind, record.Name})
	return nil
}

// checkRecordRev tells by store.ErrConflict that the record has another rev
// now; one that is not there has rev 0. The caller holds writing.
func (s *Store) checkRecordRev(ctx context.Context, kind store.RecordKind, record *store.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if now := s.records.get(kind, record.Name); now.Rev != record.Rev {
		return fmt.Errorf("the record of %s %s has rev %d and not %d: %w", kind, record.Name, now.Rev, record.Rev, store.ErrConflict)
	}
	return nil
}
