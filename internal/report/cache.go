package report

import (
	"container/list"
	"context"
	"sync"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// lru keeps values as long as their sizes, in bytes, are at most a bound
// together; then the least recently used ones go. It is safe for concurrent
// use.
type lru[K comparable, V any] struct {
	most int

	mu    sync.Mutex
	size  int                 // protected by mu
	items map[K]*list.Element // of *item[K, V]; protected by mu
	order list.List           // the most recently used one first; protected by mu
}

type item[K comparable, V any] struct {
	key   K
	value V
	size  int
}

func newLRU[K comparable, V any](most int) *lru[K, V] {
	return &lru[K, V]{most: most, items: make(map[K]*list.Element)}
}

func (c *lru[K, V]) get(key K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.items[key]
	if e == nil {
		var none V
		return none, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*item[K, V]).value, true
}

// put keeps a value, in place of the one that the key had.
func (c *lru[K, V]) put(key K, value V, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.items[key])
	if size > c.most {
		return
	}
	for c.size+size > c.most {
		c.remove(c.order.Back())
	}
	c.items[key] = c.order.PushFront(&item[K, V]{key, value, size})
	c.size += size
}

// remove takes a value out; nil is none. mu is held.
func (c *lru[K, V]) remove(e *list.Element) {
	if e == nil {
		return
	}
	it := c.order.Remove(e).(*item[K, V])
	delete(c.items, it.key)
	c.size -= it.size
}

// rollupCache keeps decoded rollups with those of their fields that were asked
// for: a year of one table is small where a year of everything is not. What it
// gives is shared: it may be read and merged from, and must never be changed.
type rollupCache struct {
	lru *lru[store.DayKey, kept]
}

// kept is a rollup in the cache.
type kept struct {
	// version tells the writes of the rollup apart: the rev of a day, and what
	// its parts make of a month.
	version uint64
	day     *rollup.Day
	have    rollup.Fields
}

func newRollupCache(bytes int) *rollupCache {
	return &rollupCache{lru: newLRU[store.DayKey, kept](bytes)}
}

// get gives a rollup with the fields, if it is here in this version with all
// of them.
func (c *rollupCache) get(key store.DayKey, version uint64, need rollup.Fields) (*rollup.Day, bool) {
	k, ok := c.lru.get(key)
	if !ok || k.version != version || need&^k.have != 0 {
		return nil, false
	}
	return only(k.day, need), true
}

// put keeps a rollup of which the fields were read, together with those that
// were read before, and gives it with the fields.
func (c *rollupCache) put(day *rollup.Day, version uint64, fields rollup.Fields) *rollup.Day {
	readOnly(day)
	if fields&rollup.PagesField != 0 {
		fields |= rollup.VisitsField
	}
	key, whole, have := store.KeyOf(day), only(day, fields), fields
	if old, ok := c.lru.get(key); ok && old.version == version {
		copyFields(whole, old.day, old.have&^fields)
		have |= old.have
	}
	c.lru.put(key, kept{version, whole, have}, whole.MemorySize())
	return only(day, fields)
}

// readOnly makes a day fit to be read by several goroutines at once. A sketch
// that has told its estimate once is not changed by telling it again.
func readOnly(day *rollup.Day) {
	day.Users.Estimate()
	day.Visits.Close()
}

// only gives a rollup with no more than the fields. It shares them with the
// other one, which is readOnly.
func only(day *rollup.Day, need rollup.Fields) *rollup.Day {
	thin := &rollup.Day{
		Site: day.Site, Zone: day.Zone, Date: day.Date, Rev: day.Rev,
		Events: day.Events, Views: day.Views, HourEvents: day.HourEvents, HourViews: day.HourViews,
		Users: day.Users,
	}
	thin.Only(need)
	copyFields(thin, day, need)
	return thin
}

// copyFields makes fields of a day those of another one, and shares them.
func copyFields(to, from *rollup.Day, fields rollup.Fields) {
	for dim := range to.Tables {
		if fields&rollup.TableField(rollup.Dimension(dim)) != 0 {
			to.Tables[dim] = from.Tables[dim]
		}
	}
	if fields&rollup.HourUsersField != 0 {
		to.HourUsers = from.HourUsers
	}
	switch {
	case fields&rollup.PagesField != 0:
		to.Visits = from.Visits
	case fields&rollup.VisitsField != 0:
		to.Visits = from.Visits.WithoutPages()
	}
}

// turns lets those who want the same at the same time get it one after the
// other: the first one reads it and puts it where the others then find it.
type turns[K comparable] struct {
	mu   sync.Mutex
	held map[K]*turn // protected by mu
}

type turn struct {
	// taken holds a value while somebody has the turn.
	taken chan struct{}
	// users counts those who have it or wait for it; protected by turns.mu.
	users int
}

func newTurns[K comparable]() *turns[K] { return &turns[K]{held: make(map[K]*turn)} }

// take waits for the turn. Unless there is an error it must be given back by
// the function.
func (t *turns[K]) take(ctx context.Context, key K) (giveBack func(), err error) {
	t.mu.Lock()
	h := t.held[key]
	if h == nil {
		h = &turn{taken: make(chan struct{}, 1)}
		t.held[key] = h
	}
	h.users++
	t.mu.Unlock()

	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if h.users--; h.users == 0 {
			delete(t.held, key)
		}
	}
	select {
	case h.taken <- struct{}{}:
		return func() { <-h.taken; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
