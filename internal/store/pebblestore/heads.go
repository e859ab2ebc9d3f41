package pebblestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/daybook-analytics/daybook/internal/store"
)

// headLen is the length of a head: rev, events and views.
const headLen = 3 * 8

// setHead writes the head of a rollup. Whoever writes or removes a rollup does
// the same to its head in the same batch, so that each has the other.
func setHead(batch *pebble.Batch, key store.DayKey, head store.Head) error {
	value := make([]byte, 0, headLen)
	for _, n := range []uint64{head.Rev, head.Events, head.Views} {
		value = binary.BigEndian.AppendUint64(value, n)
	}
	return batch.Set(dayKey(keyHead, key), value, nil)
}

// DayHeads is part of store.Store.
func (s *Store) DayHeads(ctx context.Context, site, zone, from, to string) (heads []store.Head, err error) {
	prefix := appendZone(nil, keyHead, site, zone)
	lower, upper := dateBounds(prefix, from, to)
	err = s.scan(ctx, lower, upper, func(key, value []byte) error {
		date, _, ok := readString(key[len(prefix):])
		if !ok || len(value) != headLen {
			return fmt.Errorf("the store has a head of a rollup of site %q that is damaged, with the key %x: restore the directory %s from a backup", site, key, s.dir)
		}
		heads = append(heads, store.Head{
			Date:   date,
			Rev:    binary.BigEndian.Uint64(value),
			Events: binary.BigEndian.Uint64(value[8:]),
			Views:  binary.BigEndian.Uint64(value[16:]),
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return heads, nil
}

// writeHeads gives every rollup a head that versions of this program wrote
// before there were any, all of them of the zone "". What a rollup counted is
// in its head only if it can be read.
func (s *Store) writeHeads(ctx context.Context) error {
	batch := s.db.NewBatch()
	err := s.scan(ctx, []byte{keyRollup}, []byte{keyRollup + 1}, func(stored, value []byte) error {
		site, rest, ok1 := readString(stored[1:])
		date, _, ok2 := readString(rest)
		if !ok1 || !ok2 {
			return fmt.Errorf("the store has a rollup with the key %x, which has no site or date", stored)
		}
		key := store.DayKey{Site: site, Date: date}
		head := store.Head{Date: date, Rev: storedRev(value)}
		if day, err := decodeDay(key, value, 0); err == nil {
			head.Events, head.Views = day.Events, day.Views
		}
		return setHead(batch, key, head)
	})
	if err != nil {
		return errors.Join(err, batch.Close())
	}
	return s.write(batch, pebble.Sync)
}
