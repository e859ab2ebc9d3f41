package pebblestore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/store"
)

func keptKey(site string) []byte { return append([]byte{keyKept}, site...) }

// KeptSince is part of store.Store.
func (s *Store) KeptSince(ctx context.Context, site string) (date string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	err = get(s.db, keptKey(site), func(value []byte) error {
		date = string(value)
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return date, err
}

// raiseKept makes KeptSince at least the date, durably.
func (s *Store) raiseKept(ctx context.Context, site, date string) error {
	if err := s.sites.take(ctx, site); err != nil {
		return err
	}
	defer s.sites.give(site)
	kept, err := s.KeptSince(ctx, site)
	if err != nil || kept >= date {
		return err
	}
	return s.set(keptKey(site), []byte(date), pebble.Sync)
}

// Expire is part of store.Store. What it removes disappears from the disk with
// the compactions to come.
func (s *Store) Expire(ctx context.Context, site, before string) (removed int64, err error) {
	if before == "" {
		return 0, errors.New("no date is given before which events are to go")
	}
	if err := s.raiseKept(ctx, site, before); err != nil {
		return 0, err
	}
	sweep := s.newSweep(site, before, "")
	err = sweep.run(ctx)
	return sweep.total(), err
}

// EraseUser is part of store.Store.
func (s *Store) EraseUser(ctx context.Context, site, user, before string) (removed map[string]int64, err error) {
	if user == "" {
		return nil, errors.New("no user is given whose events are to be erased")
	}
	sweep := s.newSweep(site, before, user)
	if err := sweep.run(ctx); err != nil {
		return sweep.removed, err
	}
	return sweep.removed, s.purge(ctx, site, before)
}

// beyondDates stands for KeptSince while a whole site is being erased: none of
// its dates is whole.
const beyondDates = "9999-12-31"

// EraseDays is part of store.Store.
func (s *Store) EraseDays(ctx context.Context, site, before string) (events, rollups int64, err error) {
	kept := before
	if before == "" {
		kept = beyondDates
	}
	if err := s.raiseKept(ctx, site, kept); err != nil {
		return 0, 0, err
	}
	sweep := s.newSweep(site, before, "")
	if err := sweep.run(ctx); err != nil {
		return sweep.total(), 0, err
	}
	// The rollups go together with the events that have come meanwhile, so
	// that the next step finds neither.
	if err := sweep.rest(ctx, func(batch *pebble.Batch) (err error) {
		rollups, err = s.eraseRollups(ctx, batch, site, before)
		return err
	}); err != nil {
		return sweep.total(), 0, err
	}
	return sweep.total(), rollups, s.purge(ctx, site, before)
}

// eraseRollups puts into the batch the removal of the rollups of a site before
// a date, of the months that they were part of and, when the date is "", of
// all else that is known of the site. It tells how many rollups of days there
// are.
func (s *Store) eraseRollups(ctx context.Context, batch *pebble.Batch, site, before string) (rollups int64, err error) {
	// The zone comes before the date in these keys, so that there is no range
	// of them that a date bounds.
	remove := func(kind byte, before string, fn func(stored []byte, key store.DayKey) error) error {
		prefix := appendSite(nil, kind, site)
		return s.scan(ctx, prefix, end(prefix), func(stored, _ []byte) error {
			zone, rest, ok1 := readString(stored[len(prefix):])
			date, _, ok2 := readString(rest)
			if !ok1 || !ok2 {
				return fmt.Errorf("the store has the key %x of site %q, which has no zone or date", stored, site)
			}
			if before != "" && date >= before {
				return nil
			}
			return fn(stored, store.DayKey{Site: site, Zone: zone, Date: date})
		})
	}
	err = remove(keyHead, before, func(stored []byte, key store.DayKey) error {
		rollups++
		return cmp.Or(batch.Delete(stored, nil), batch.Delete(appendRollupKey(nil, key), nil))
	})
	if err != nil {
		return 0, err
	}
	err = remove(keyMonth, store.MonthsBefore(before), func(stored []byte, _ store.DayKey) error {
		return batch.Delete(stored, nil)
	})
	if err != nil || before != "" {
		return rollups, err
	}
	ids := appendSite(nil, keyEventID, site)
	return rollups, cmp.Or(batch.DeleteRange(ids, end(ids), nil), batch.Delete(keptKey(site), nil))
}

// DropRollups is part of store.Store.
func (s *Store) DropRollups(ctx context.Context, site, zone string) error {
	if err := s.sites.take(ctx, site); err != nil {
		return err
	}
	defer s.sites.give(site)
	batch := s.db.NewBatch()
	for _, prefix := range [][]byte{
		appendRollups(nil, site, zone),
		appendZone(nil, keyHead, site, zone),
		appendZone(nil, keyMonth, site, zone),
	} {
		if err := batch.DeleteRange(prefix, end(prefix), nil); err != nil {
			return errors.Join(err, batch.Close())
		}
	}
	return s.write(batch, pebble.Sync)
}

// boundsBefore gives the bounds of the keys of a site that go on with a date
// before the given one; "" is no bound.
func boundsBefore(kind byte, site, before string) (lower, upper []byte) {
	lower = appendSite(nil, kind, site)
	if before == "" {
		return lower, end(lower)
	}
	return lower, appendString(bytes.Clone(lower), before)
}

// purge takes off the disk what was erased of a site, and dead letters that
// were deleted before. Pebble keeps a deleted value until a compaction comes
// by, which for a quiet site may be never.
func (s *Store) purge(ctx context.Context, site, before string) error {
	for _, kind := range []byte{keyEvent, keyEventID, keyRollup, keyZonedRollup, keyHead, keyMonth, keyDeadLetter} {
		lower, upper := boundsBefore(kind, site, before)
		switch kind {
		case keyEventID, keyZonedRollup, keyHead, keyMonth: // do not go on with a date
			upper = end(appendSite(nil, kind, site))
		case keyDeadLetter: // has no site either
			lower, upper = []byte{kind}, []byte{kind + 1}
		}
		if err := s.purgeRange(ctx, lower, upper); err != nil {
			return err
		}
	}
	return nil
}

// purgeRange takes off the disk what was deleted with lower <= key < upper.
func (s *Store) purgeRange(ctx context.Context, lower, upper []byte) error {
	if err := s.db.Compact(ctx, lower, upper, false); err != nil {
		return fmt.Errorf("taking what was erased off the disk of %s: %w", s.dir, err)
	}
	return nil
}

// sweepBatch is how many raw events a sweep goes through in one batch, and so
// for how long, about ten milliseconds, a step of the site may wait for it.
const sweepBatch = 5_000

// sweep removes raw events of a site with their IDs, batch by batch. It has
// the site to itself for each of them, since a step must not insert an event
// into a range that is being deleted.
type sweep struct {
	s            *Store
	site         string
	lower, upper []byte
	// user is whose events are removed; "" is everybody's.
	user string
	// removed counts the removed events by their dates.
	removed map[string]int64
}

func (s *Store) newSweep(site, before, user string) *sweep {
	w := &sweep{s: s, site: site, user: user, removed: map[string]int64{}}
	w.lower, w.upper = boundsBefore(keyEvent, site, before)
	return w
}

func (w *sweep) total() (n int64) {
	for _, removed := range w.removed {
		n += removed
	}
	return n
}

// run goes through the events once. Between two batches it rests for as long
// as the last one took: whoever waits for the site gets it then.
func (w *sweep) run(ctx context.Context) error {
	for from := w.lower; ; {
		began := time.Now()
		next, err := w.batch(ctx, from, w.s.sweepBatch, nil)
		if err != nil || next == nil {
			return err
		}
		from = next
		select {
		case <-time.After(time.Since(began)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// rest removes, after run, all that has come meanwhile, and what else is put
// into the same batch.
func (w *sweep) rest(ctx context.Context, also func(*pebble.Batch) error) error {
	_, err := w.batch(ctx, w.lower, 0, also)
	return err
}

// batch removes what is to go of the events from a key on. It goes through
// limit of them, 0 is no limit, and gives the key where the next batch begins;
// nil is the end. The function also, if any, adds to the batch.
func (w *sweep) batch(ctx context.Context, from []byte, limit int, also func(*pebble.Batch) error) (next []byte, err error) {
	if err := w.s.sites.take(ctx, w.site); err != nil {
		return nil, err
	}
	defer w.s.sites.give(w.site)
	batch := w.s.db.NewBatch()
	counts, next, err := w.collect(ctx, batch, from, limit)
	if err == nil && also != nil {
		err = also(batch)
	}
	if err != nil || batch.Empty() {
		return next, errors.Join(err, batch.Close())
	}
	err = w.s.write(batch, pebble.Sync)
	for date, n := range counts {
		if err != nil {
			n = 0 // but the date may be touched
		}
		w.removed[date] += n
	}
	return next, err
}

// collect puts the removal of events from a key on into the batch, and counts
// them by their dates.
func (w *sweep) collect(ctx context.Context, batch *pebble.Batch, from []byte, limit int) (counts map[string]int64, next []byte, err error) {
	it, err := w.s.iterate(ctx, from, w.upper)
	if err != nil {
		return nil, nil, err
	}
	defer closeInto(&err, it)
	counts = map[string]int64{}
	var date string
	var day, id []byte // day is the beginning of the keys of that date
	seen := 0
	for ok := it.First(); ok; ok = it.Next() {
		if limit > 0 && seen == limit {
			next = bytes.Clone(it.Key())
			break
		}
		seen++
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if day == nil || !bytes.HasPrefix(it.Key(), day) {
			if date, _, ok = readString(it.Key()[len(w.lower):]); !ok {
				return nil, nil, fmt.Errorf("the store has a raw event with the key %x, which has no date", it.Key())
			}
			day = appendString(append(day[:0], w.lower...), date)
		}
		line, err := it.ValueAndErr()
		if err != nil {
			return nil, nil, err
		}
		e, err := event.ParseLine(string(line))
		if w.user != "" {
			if err != nil {
				return nil, nil, fmt.Errorf("whose raw event %x is cannot be told, it is damaged: %w", it.Key(), err)
			}
			if e.User != w.user {
				continue
			}
			if err := batch.Delete(it.Key(), nil); err != nil {
				return nil, nil, err
			}
		}
		counts[date]++
		// A damaged event goes all the same. Its ID is not known and stays:
		// whoever sends that again is told of a duplicate.
		if err == nil {
			id = appendString(appendSite(id[:0], keyEventID, w.site), e.ID)
			if err := batch.Delete(id, nil); err != nil {
				return nil, nil, err
			}
		}
	}
	if w.user == "" && seen > 0 {
		to := next
		if to == nil {
			to = w.upper
		}
		if err := batch.DeleteRange(from, to, nil); err != nil {
			return nil, nil, err
		}
	}
	return counts, next, nil
}
