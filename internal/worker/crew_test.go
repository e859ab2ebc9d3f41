package worker

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/internal/store"
)

// TestCrew lets workers come, go and die at random, and then proves that they
// share the streams: each has exactly one owner, no worker has two more than
// another, and a dead one's are taken over within the lease time and three
// ticks.
func TestCrew(t *testing.T) {
	const ttl = 5 * time.Second
	rapid.Check(t, func(t *rapid.T) {
		c := simulation{t: t, leases: map[string]store.Lease{}, now: time.Unix(0, 0)}
		for i := range rapid.IntRange(1, 12).Draw(t, "streams") {
			c.streams = append(c.streams, fmt.Sprintf("1:%d", i))
		}
		c.join(ttl)
		for range rapid.IntRange(0, 40).Draw(t, "moves") {
			switch rapid.IntRange(0, 5).Draw(t, "move") {
			case 0:
				c.join(ttl)
			case 1:
				if len(c.crew) > 1 {
					c.crew = slices.Delete(c.crew, 0, 1) // kill -9
				}
			default:
				c.tick()
			}
		}
		for range int(ttl/leaseInterval) + 3 {
			c.tick()
		}
		owners := map[string]int{}
		for _, name := range c.streams {
			owner := c.leases[streamLease+name].Owner
			owners[owner]++
			for _, m := range c.crew {
				if m.held[name] != (m.crew.me == owner) {
					t.Errorf("stream %s is owned by %q, but %s thinks it holds it: %v", name, owner, m.crew.me, m.held[name])
				}
			}
		}
		for _, m := range c.crew {
			if n := owners[m.crew.me]; n < len(c.streams)/len(c.crew) || n > (len(c.streams)+len(c.crew)-1)/len(c.crew) {
				t.Errorf("%s has %d of %d streams among %d workers", m.crew.me, n, len(c.streams), len(c.crew))
			}
			delete(owners, m.crew.me)
		}
		if len(owners) > 0 {
			t.Errorf("streams are with nobody alive: %v", owners)
		}
		if want := len(c.streams) + len(c.crew); len(c.leases) != want {
			t.Errorf("%d leases are left, want one a stream and one a worker: %d", len(c.leases), want)
		}
	})
}

// simulation is a store of leases, a clock, and the workers on them.
type simulation struct {
	t       *rapid.T
	streams []string
	leases  map[string]store.Lease
	now     time.Time
	crew    []*member
	joined  int
}

type member struct {
	crew *crew
	held map[string]bool
}

func (c *simulation) join(ttl time.Duration) {
	c.joined++
	c.crew = append(c.crew, &member{newCrew(fmt.Sprintf("w%d", c.joined), ttl), map[string]bool{}})
}

// tick lets each worker do what Worker.tick does.
func (c *simulation) tick() {
	c.now = c.now.Add(leaseInterval)
	for _, m := range c.crew {
		var leases []store.Lease
		for _, l := range c.leases {
			leases = append(leases, l)
		}
		m.crew.observe(leases, c.now)
		me := workerLease + m.crew.me
		c.leases[me] = store.Lease{Name: me, Owner: m.crew.me, Term: c.leases[me].Term + 1}
		for _, l := range m.crew.dead(c.now) {
			delete(c.leases, l.Name)
		}
		lost, release, take := m.crew.plan(c.streams, m.held, c.now)
		for _, name := range lost {
			delete(m.held, name)
		}
		for _, name := range release {
			delete(m.held, name)
			c.swap(store.Lease{Name: streamLease + name, Term: m.crew.leases[streamLease+name].Term})
		}
		for _, l := range take {
			l.Owner = m.crew.me
			if c.swap(l) {
				m.held[l.Name[len(streamLease):]] = true
			}
		}
	}
}

func (c *simulation) swap(l store.Lease) bool {
	if c.leases[l.Name].Term != l.Term {
		return false
	}
	l.Term++
	c.leases[l.Name] = l
	return true
}
