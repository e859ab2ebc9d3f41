package pebblestore

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/daybook-analytics/daybook/internal/store"
)

// siteRecords has all records of sites, since every step of a worker asks for
// some. The store is read when it is opened, and written before they change.
type siteRecords struct {
	// writing is held from looking at a record to having written it.
	writing sync.Mutex

	mu     sync.RWMutex // protects bySite
	bySite map[string]store.SiteRecord
}

// get gives a record, of rev 0 when there is none. Its Body is a copy.
func (r *siteRecords) get(site string) store.SiteRecord {
	r.mu.RLock()
	defer r.mu.RUnlock()
	record := r.bySite[site]
	record.Body = bytes.Clone(record.Body)
	return record
}

// put takes in what was written.
func (r *siteRecords) put(record store.SiteRecord) {
	record.Body = bytes.Clone(record.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bySite[record.Site] = record
}

func siteKey(site string) []byte { return append([]byte{keySite}, site...) }

// readSiteRecords reads all records, before anybody else has the store.
func (s *Store) readSiteRecords() error {
	s.records.bySite = make(map[string]store.SiteRecord)
	return s.scan(context.Background(), []byte{keySite}, []byte{keySite + 1}, func(key, value []byte) error {
		site := string(key[1:])
		if len(value) < revLen {
			return fmt.Errorf("the record of site %q in %s is damaged: it has %d bytes where at least %d belong; restore the directory from a backup", site, s.dir, len(value), revLen)
		}
		s.records.put(store.SiteRecord{Site: site, Rev: binary.BigEndian.Uint64(value), Body: value[revLen:]})
		return nil
	})
}

// SiteRecords is part of store.Store.
func (s *Store) SiteRecords(ctx context.Context, sites []string) (map[string]store.SiteRecord, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	records := make(map[string]store.SiteRecord)
	for _, site := range sites {
		if record := s.records.get(site); record.Rev > 0 {
			records[site] = record
		}
	}
	return records, nil
}

// SiteRecordsAfter is part of store.Store.
func (s *Store) SiteRecordsAfter(ctx context.Context, after string, limit int) ([]store.SiteRecord, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.records.mu.RLock()
	sites := slices.Sorted(maps.Keys(s.records.bySite))
	s.records.mu.RUnlock()
	var records []store.SiteRecord
	for _, site := range sites {
		if len(records) == limit {
			break
		}
		// One that was dropped meanwhile is left out.
		if record := s.records.get(site); site > after && record.Rev > 0 {
			records = append(records, record)
		}
	}
	return records, nil
}

// SwapSiteRecord is part of store.Store.
func (s *Store) SwapSiteRecord(ctx context.Context, record *store.SiteRecord) error {
	if err := record.Validate(); err != nil {
		return err
	}
	s.records.writing.Lock()
	defer s.records.writing.Unlock()
	if err := s.checkSiteRev(ctx, record); err != nil {
		return err
	}
	value := binary.BigEndian.AppendUint64(nil, record.Rev+1)
	if err := s.set(siteKey(record.Site), append(value, record.Body...), pebble.Sync); err != nil {
		return err
	}
	record.Rev++
	s.records.put(*record)
	return nil
}

// DropSiteRecord is part of store.Store.
func (s *Store) DropSiteRecord(ctx context.Context, record store.SiteRecord) error {
	s.records.writing.Lock()
	defer s.records.writing.Unlock()
	if err := s.checkSiteRev(ctx, &record); err != nil {
		return err
	}
	if record.Rev == 0 {
		return fmt.Errorf("site %s has no record to drop: %w", record.Site, store.ErrConflict)
	}
	batch := s.db.NewBatch()
	if err := batch.Delete(siteKey(record.Site), nil); err != nil {
		return err
	}
	if err := s.write(batch, pebble.Sync); err != nil {
		return err
	}
	s.records.mu.Lock()
	defer s.records.mu.Unlock()
	delete(s.records.bySite, record.Site)
	return nil
}

// checkSiteRev tells by store.ErrConflict that the record has another rev now;
// one that is not there has rev 0. The caller holds writing.
func (s *Store) checkSiteRev(ctx context.Context, record *store.SiteRecord) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if now := s.records.get(record.Site); now.Rev != record.Rev {
		return fmt.Errorf("the record of site %s has rev %d and not %d: %w", record.Site, now.Rev, record.Rev, store.ErrConflict)
	}
	return nil
}
