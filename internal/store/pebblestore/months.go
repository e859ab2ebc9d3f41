package pebblestore

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// Month is part of store.Store.
func (s *Store) Month(ctx context.Context, key store.DayKey, fields rollup.Fields) (*rollup.Day, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	month := new(rollup.Day)
	err := get(s.db, dayKey(keyMonth, key), func(value []byte) error {
		err := month.UnmarshalFields(value, fields)
		if err == nil && store.KeyOf(month) != key {
			err = fmt.Errorf("holds %s", store.KeyOf(month))
		}
		if err != nil {
			return &store.DamagedError{Key: key, Err: err}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return month, nil
}

// PutMonth is part of store.Store.
func (s *Store) PutMonth(ctx context.Context, month *rollup.Day) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	value, err := month.AppendBinary(nil)
	if err != nil {
		return err
	}
	// What is erased meanwhile must not come back.
	if err := s.sites.take(ctx, month.Site); err != nil {
		return err
	}
	defer s.sites.give(month.Site)
	key := dayKey(keyMonth, store.KeyOf(month))
	if len(month.Parts) > 0 {
		return s.set(key, value, pebble.Sync)
	}
	batch := s.db.NewBatch()
	if err := batch.Delete(key, nil); err != nil {
		return errors.Join(err, batch.Close())
	}
	return s.write(batch, pebble.Sync)
}
