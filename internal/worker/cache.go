package worker

import (
	"slices"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// dayCache keeps the rollups that a stream wrote last, so that a busy day is
// not loaded again for each step. It needs no invalidation: a rollup that
// somebody else has written since has another rev, the swap says so, and it
// is loaded again. One goroutine uses it.
type dayCache struct {
	maxBytes int
	days     map[store.DayKey]*cachedDay
	clock    uint64 // counts the trims; a day's age
}

type cachedDay struct {
	day  *rollup.Day
	used uint64
}

func newDayCache(maxBytes int) *dayCache {
	return &dayCache{maxBytes: maxBytes, days: map[store.DayKey]*cachedDay{}}
}

// get gives a cached day or nil.
func (c *dayCache) get(key store.DayKey) *rollup.Day {
	if d := c.days[key]; d != nil {
		d.used = c.clock
		return d.day
	}
	return nil
}

func (c *dayCache) put(key store.DayKey, day *rollup.Day) {
	c.days[key] = &cachedDay{day, c.clock}
}

func (c *dayCache) drop(key store.DayKey) { delete(c.days, key) }

func (c *dayCache) clear() { clear(c.days) }

// trim drops the days that were not used for the longest time until the rest
// fits. The rollups that it drops must be written, or be in the step.
func (c *dayCache) trim() {
	c.clock++
	total := 0
	for _, d := range c.days {
		total += d.day.MemorySize()
	}
	if total <= c.maxBytes {
		return
	}
	keys := make([]store.DayKey, 0, len(c.days))
	for key := range c.days {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b store.DayKey) int { return int(c.days[a].used) - int(c.days[b].used) })
	for _, key := range keys {
		if total <= c.maxBytes {
			return
		}
		total -= c.days[key].day.MemorySize()
		c.drop(key)
	}
}
