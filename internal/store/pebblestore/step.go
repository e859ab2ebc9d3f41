package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// step is a store.Step. Nothing of it is in the store before Commit.
type step struct {
	s *Store
	// sites are those that the step has to itself, sorted.
	sites []string
	// events are what was inserted, and fresh those of them that are new, by
	// the order of their IDs. siteNames are the sites that staged has the
	// ranks of.
	events    []store.Event
	fresh     []staged
	siteNames []string
	inserted  bool
	// rest holds all else. Only this has an index: what a step wrote there it
	// reads again, and an index of the events would cost more than all the
	// rest of the step.
	rest *pebble.Batch
}

// Begin is part of store.Store.
func (s *Store) Begin() store.Step {
	return &step{s: s, rest: s.db.NewIndexedBatch()}
}

// take takes those of the sites, which are sorted and distinct, that the step
// does not have. A step takes sites only once: taking more while it has some
// could wait for a step that waits for those.
func (t *step) take(ctx context.Context, sites []string) error {
	missing := slices.DeleteFunc(sites, func(site string) bool {
		_, has := slices.BinarySearch(t.sites, site)
		return has
	})
	if len(missing) == 0 {
		return ctx.Err()
	}
	if len(t.sites) > 0 {
		return fmt.Errorf("step has no event of site %q and cannot write its rollup", missing[0])
	}
	if err := t.s.sites.take(ctx, missing...); err != nil {
		return err
	}
	t.sites = missing
	return nil
}

// Load is part of store.Step.
func (t *step) Load(ctx context.Context, keys []store.DayKey) (map[store.DayKey]*rollup.Day, map[store.DayKey]*store.DamagedError, error) {
	days := make(map[store.DayKey]*rollup.Day, len(keys))
	damaged := make(map[store.DayKey]*store.DamagedError)
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		day, err := loadDay(t.rest, key)
		var damage *store.DamagedError
		switch {
		case err == nil:
			days[key] = day
		case errors.As(err, &damage):
			damaged[key] = damage
		case !errors.Is(err, store.ErrNotFound):
			return nil, nil, err
		}
	}
	return days, damaged, nil
}

// Swap is part of store.Step. In this store a conflict means that the day was
// loaded before the step had its site.
func (t *step) Swap(ctx context.Context, days []*rollup.Day) (conflicts []store.DayKey, err error) {
	sites := make([]string, len(days))
	for i, day := range days {
		sites[i] = day.Site
	}
	slices.Sort(sites)
	if err := t.take(ctx, slices.Compact(sites)); err != nil {
		return nil, err
	}
	buf, _ := t.s.encoded.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	defer t.s.encoded.Put(buf)
	for _, day := range days {
		*buf, err = swapDay(t.rest, t.rest, day, *buf)
		if errors.Is(err, store.ErrConflict) {
			conflicts = append(conflicts, store.KeyOf(day))
		} else if err != nil {
			return conflicts, err
		}
	}
	return conflicts, nil
}

// DeadLetter is part of store.Step.
func (t *step) DeadLetter(ctx context.Context, letters []store.DeadLetter) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range letters {
		letter := &letters[i]
		key := deadLetterKey(letter.Key())
		err := get(t.rest, key, func([]byte) error { return nil })
		if errors.Is(err, store.ErrNotFound) {
			err = t.rest.Set(key, appendDeadLetter(nil, letter), nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Commit is part of store.Step.
func (t *step) Commit(ctx context.Context, checkpoint store.Checkpoint) error {
	defer t.Discard()
	if err := t.s.streams.take(ctx, checkpoint.Stream); err != nil {
		return err
	}
	defer t.s.streams.give(checkpoint.Stream)

	empty := len(t.fresh) == 0 && t.rest.Empty()
	stored, err := t.s.checkpoint(checkpoint.Stream)
	if err != nil {
		return err
	}
	ahead := checkpoint.Position.Compare(stored.Position)
	if ahead >= 0 {
		if checkpoint.AsOf.Before(stored.AsOf) {
			checkpoint.AsOf = stored.AsOf
		}
		if err := t.rest.Set(checkpointKey(checkpoint.Stream), appendCheckpoint(nil, checkpoint), nil); err != nil {
			return err
		}
	}
	if len(t.fresh) == 0 && t.rest.Empty() {
		return nil
	}
	sync := pebble.Sync
	if empty && ahead == 0 {
		// Only the as-of time of an idle stream moves on. Losing that in a
		// power cut loses nothing that was promised, and a sync a second for
		// each stream would keep an idle disk busy.
		sync = pebble.NoSync
	}
	batch := t.rest
	if len(t.fresh) > 0 {
		if batch, err = t.batch(ctx); err != nil {
			return err
		}
		// Both are large, and writing takes its time.
		if err := t.rest.Close(); err != nil {
			return errors.Join(err, batch.Close())
		}
	}
	t.rest = nil
	return t.s.write(batch, sync)
}

// Discard is part of store.Step.
func (t *step) Discard() {
	// An error of closing a batch that is not written means nothing.
	if t.rest != nil {
		_ = t.rest.Close()
		t.rest = nil
	}
	t.s.sites.give(t.sites...)
	t.sites = nil
}
