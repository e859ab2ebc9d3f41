package worker

import (
	"container/list"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// dayCache keeps the rollups that a stream wrote last, so that a busy day is
// not loaded again for each step. It needs no invalidation: a rollup that
// somebody else has written since has another rev, the swap says so, and it
// is loaded again. One goroutine uses it.
type dayCache struct {
	maxBytes, bytes int
	days            map[store.DayKey]*list.Element
	// used has the cachedDay of each, the one used last in front; those in
	// front that are not measured have been used since the last trim.
	used *list.List
}

type cachedDay struct {
	key      store.DayKey
	day      *rollup.Day
	bytes    int
	measured bool
}

func newDayCache(maxBytes int) *dayCache {
	return &dayCache{maxBytes: maxBytes, days: map[store.DayKey]*list.Element{}, used: list.New()}
}

// get gives a cached day or nil.
func (c *dayCache) get(key store.DayKey) *rollup.Day {
	at := c.days[key]
	if at == nil {
		return nil
	}
	c.used.MoveToFront(at)
	cached := at.Value.(*cachedDay)
	cached.measured = false // it may grow
	return cached.day
}

// put adds a day that is not there.
func (c *dayCache) put(key store.DayKey, day *rollup.Day) {
	c.days[key] = c.used.PushFront(&cachedDay{key: key, day: day})
}

// drop forgets a day.
func (c *dayCache) drop(key store.DayKey) {
	if at := c.days[key]; at != nil {
		c.bytes -= at.Value.(*cachedDay).bytes
		c.used.Remove(at)
		delete(c.days, key)
	}
}

func (c *dayCache) clear() {
	clear(c.days)
	c.used.Init()
	c.bytes = 0
}

// trim drops the days that were not used for the longest time until the rest
// fits. They must be written, or be in the step.
func (c *dayCache) trim() {
	for at := c.used.Front(); at != nil; at = at.Next() {
		cached := at.Value.(*cachedDay)
		if cached.measured {
			break
		}
		c.bytes -= cached.bytes
		cached.bytes, cached.measured = cached.day.MemorySize(), true
		c.bytes += cached.bytes
	}
	for c.bytes > c.maxBytes {
		c.drop(c.used.Back().Value.(*cachedDay).key)
	}
}
