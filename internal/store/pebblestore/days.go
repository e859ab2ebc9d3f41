package pebblestore

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// revLen is the length of the rev before the encoded rollup. It stands apart
// so that the rev of a damaged rollup can be read.
const revLen = 8

// storedRev reads the rev of a stored rollup; that of a value which is too
// short to have one is 0.
func storedRev(value []byte) uint64 {
	if len(value) < revLen {
		return 0
	}
	return binary.BigEndian.Uint64(value)
}

// decodeDay reads fields of a stored rollup. Its error is always a *store.DamagedError.
func decodeDay(key store.DayKey, value []byte, fields rollup.Fields) (*rollup.Day, error) {
	rev := storedRev(value)
	damaged := func(err error) error { return &store.DamagedError{Key: key, Rev: rev, Err: err} }
	if len(value) < revLen {
		return nil, damaged(fmt.Errorf("value of %d bytes is cut off", len(value)))
	}
	d := new(rollup.Day)
	if err := d.UnmarshalFields(value[revLen:], fields); err != nil {
		return nil, damaged(err)
	}
	if store.KeyOf(d) != key || d.Rev != rev {
		return nil, damaged(fmt.Errorf("holds rev %d of %s where rev %d of %s belongs", d.Rev, store.KeyOf(d), rev, key))
	}
	return d, nil
}

// loadDay reads one rollup; its error is store.ErrNotFound, a
// *store.DamagedError, or one of reading.
func loadDay(r pebble.Reader, key store.DayKey) (day *rollup.Day, err error) {
	err = get(r, appendRollupKey(nil, key), func(value []byte) error {
		day, err = decodeDay(key, value, rollup.AllFields)
		return err
	})
	return day, err
}

// swapDay writes the day, its head and its new Rev to batch, if the one that r
// gives has the Rev that it has now; else it returns store.ErrConflict. It
// needs the site to itself. buf is a buffer for reuse.
func swapDay(r pebble.Reader, batch *pebble.Batch, day *rollup.Day, buf []byte) ([]byte, error) {
	key := store.KeyOf(day)
	buf = appendRollupKey(buf[:0], key)
	keyLen := len(buf)
	var rev uint64
	err := get(r, buf, func(value []byte) error {
		rev = storedRev(value)
		return nil
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return buf, err
	}
	if rev != day.Rev {
		return buf, fmt.Errorf("rollup %s has rev %d and not %d: %w", key, rev, day.Rev, store.ErrConflict)
	}
	day.Rev = store.NextRev(rev)
	buf = binary.BigEndian.AppendUint64(buf, day.Rev)
	encoded, err := day.AppendBinary(buf)
	if err != nil {
		day.Rev = rev
		return buf, err
	}
	head := store.Head{Date: day.Date, Rev: day.Rev, Events: day.Events, Views: day.Views}
	return encoded, cmp.Or(batch.Set(encoded[:keyLen], encoded[keyLen:], nil), setHead(batch, key, head))
}

// Day is part of store.Store.
func (s *Store) Day(ctx context.Context, key store.DayKey) (*rollup.Day, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return loadDay(s.db, key)
}

// SiteDays is part of store.Store.
func (s *Store) SiteDays(ctx context.Context, site, zone, from, to string, fields rollup.Fields, fn func(*rollup.Day, *store.DamagedError) error) error {
	prefix := appendRollups(nil, site, zone)
	lower, upper := dateBounds(prefix, from, to)
	return s.scan(ctx, lower, upper, func(key, value []byte) error {
		date, _, ok := readString(key[len(prefix):])
		if !ok {
			return fmt.Errorf("the store has a rollup of site %q with the key %x, which has no date", site, key)
		}
		day, err := decodeDay(store.DayKey{Site: site, Zone: zone, Date: date}, value, fields)
		var damaged *store.DamagedError
		errors.As(err, &damaged)
		return fn(day, damaged)
	})
}

// dateBounds gives the bounds of the keys that go on from prefix with a date
// from <= date <= to, where an empty one is no bound.
func dateBounds(prefix []byte, from, to string) (lower, upper []byte) {
	lower, upper = prefix, end(prefix)
	if from != "" {
		lower = appendString(prefix[:len(prefix):len(prefix)], from)
	}
	if to != "" {
		upper = end(appendString(prefix[:len(prefix):len(prefix)], to))
	}
	return lower, upper
}

// SwapDay is part of store.Store.
func (s *Store) SwapDay(ctx context.Context, day *rollup.Day) error {
	if err := s.sites.take(ctx, day.Site); err != nil {
		return err
	}
	defer s.sites.give(day.Site)
	batch := s.db.NewBatch()
	rev := day.Rev
	if _, err := swapDay(s.db, batch, day, nil); err != nil {
		return errors.Join(err, batch.Close())
	}
	if err := s.write(batch, pebble.Sync); err != nil {
		day.Rev = rev
		return err
	}
	return nil
}
