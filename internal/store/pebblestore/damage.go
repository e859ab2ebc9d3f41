package pebblestore

import (
	"cmp"
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/daybook-analytics/daybook/internal/store"
)

// Damage changes the stored bytes of a rollup as a fault would, whoever is at
// work on it: change gets them, and what it gives is stored; nil removes the
// rollup. It is for tests of how such a thing is found and mended.
func (s *Store) Damage(ctx context.Context, key store.DayKey, change func([]byte) []byte) error {
	if err := s.sites.take(ctx, key.Site); err != nil {
		return err
	}
	defer s.sites.give(key.Site)
	stored := appendRollupKey(nil, key)
	var damaged []byte
	if err := get(s.db, stored, func(value []byte) error {
		damaged = change(append([]byte(nil), value...))
		return nil
	}); err != nil {
		return err
	}
	batch := s.db.NewBatch()
	if damaged == nil {
		// What takes a whole rollup away takes its head too.
		head := dayKey(keyHead, key)
		if err := cmp.Or(batch.Delete(stored, nil), batch.Delete(head, nil)); err != nil {
			return err
		}
	} else if err := batch.Set(stored, damaged, nil); err != nil {
		return err
	}
	return s.write(batch, pebble.Sync)
}
