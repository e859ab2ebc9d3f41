package reconcile

import (
	"context"
	"fmt"

	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// tally counts a day's raw events, and goes on counting where it was: after
// the first time its cost grows with the events that came since.
type tally struct {
	marks rollup.Marks
	// As in a rollup, events and views have none of bots.
	events, views, bots uint64
}

// tallies compare the totals of rollups with counts of their raw events. That
// is much less than CheckDay does, and enough to notice that something was
// lost or counted twice. One goroutine uses them.
type tallies struct {
	store Store
	days  map[store.DayKey]*tally
}

func newTallies(st Store) *tallies {
	return &tallies{store: st, days: map[store.DayKey]*tally{}}
}

// forget drops the tallies of all days that keep does not want.
func (t *tallies) forget(keep func(store.DayKey) bool) {
	for key := range t.days {
		if !keep(key) {
			delete(t.days, key)
		}
	}
}

// right tells whether the rollup's totals are those of the raw events; also
// of a day that nobody can check because raw events are gone.
func (t *tallies) right(ctx context.Context, key store.DayKey) (bool, error) {
	count := t.days[key]
	if count == nil {
		count = &tally{marks: rollup.Marks{}}
		t.days[key] = count
	}
	for {
		stored, rev, damage, err := load(ctx, t.store, key)
		if err != nil || damage != nil {
			return false, err
		}
		// As in examine: first the rollup, then the checkpoints, the zones and
		// the raw events, then whether those are kept.
		checkpoints, err := t.store.Checkpoints(ctx)
		if err != nil {
			return false, fmt.Errorf("check %s: read checkpoints: %w", key, err)
		}
		target := store.CheckpointMarks(checkpoints)
		zones, err := zonesOf(ctx, t.store, key.Site)
		if err != nil {
			return false, fmt.Errorf("check %s: %w", key, err)
		}
		if stored == nil {
			stored = store.NewDay(key)
		}
		target = target.Join(stored.Marks)
		if err := count.add(ctx, t.store, key, zones, target); err != nil {
			return false, fmt.Errorf("check %s: count raw events: %w", key, err)
		}
		kept, err := t.store.KeptSince(ctx, key.Site)
		if err != nil {
			return false, fmt.Errorf("check %s: %w", key, err)
		}
		if !site.Whole(key, zones, kept) || stored.Events == count.events && stored.Views == count.views && stored.Bots() == count.bots {
			return true, nil
		}
		_, now, _, err := load(ctx, t.store, key)
		if err != nil {
			return false, err
		}
		if now == rev {
			// The tally may be what is wrong, for raw events can be erased.
			delete(t.days, key)
			return false, nil
		}
	}
}

// add counts the raw events beyond the marks and up to the target.
func (c *tally) add(ctx context.Context, events store.Events, key store.DayKey, zones []string, target rollup.Marks) error {
	return site.EachEvent(ctx, events, key, zones, c.marks.Join(nil), target, func(e *store.Event) error {
		c.marks.Advance(e.Stream, e.Position)
		if e.Values[rollup.Bot] != "" {
			c.bots++
			return nil
		}
		c.events++
		if e.Type() == rollup.PageView {
			c.views++
		}
		return nil
	})
}
