package worker

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
)

// Names of leases: one for each worker, one for each stream.
const (
	workerLease = "worker/"
	streamLease = "stream/"
)

// StreamLease names the lease of a stream; its owner is the worker that has
// the stream.
func StreamLease(stream string) string { return streamLease + stream }

// crew is what one worker knows of all: who lives, and who has which stream.
// One goroutine uses it.
type crew struct {
	me     string
	ttl    time.Duration
	leases map[string]store.Lease
	// seen tells for each worker's lease since when its term stands still.
	seen map[string]observation
}

type observation struct {
	term  uint64
	since time.Time
}

func newCrew(me string, ttl time.Duration) *crew {
	return &crew{me: me, ttl: ttl, seen: map[string]observation{}}
}

// observe takes in the leases as they are now.
func (c *crew) observe(leases []store.Lease, now time.Time) {
	c.leases = make(map[string]store.Lease, len(leases))
	seen := make(map[string]observation, len(c.seen))
	for _, lease := range leases {
		c.leases[lease.Name] = lease
		if strings.HasPrefix(lease.Name, workerLease) {
			o, known := c.seen[lease.Name]
			if !known || o.term != lease.Term {
				o = observation{lease.Term, now}
			}
			seen[lease.Name] = o
		}
	}
	c.seen = seen
}

// lives tells whether a worker is taken for alive.
func (c *crew) lives(id string, now time.Time) bool {
	if id == c.me {
		return true
	}
	o, known := c.seen[workerLease+id]
	return known && now.Sub(o.since) < c.ttl
}

// dead lists the leases of workers that are taken for dead.
func (c *crew) dead(now time.Time) []store.Lease {
	var dead []store.Lease
	for name := range c.seen {
		if !c.lives(strings.TrimPrefix(name, workerLease), now) {
			dead = append(dead, c.leases[name])
		}
	}
	return dead
}

// plan decides what this worker should do about the streams: which of those
// that it holds it has lost to another, which it should give up, and which
// leases it should try to take.
//
// The share of each is fixed by its rank among the living: with 7 streams and
// 3 workers 3, 2 and 2. So all plans agree once all see the same crew, and no
// more streams change hands than must.
func (c *crew) plan(streams []string, held map[string]bool, now time.Time) (lost, release []string, take []store.Lease) {
	workers := []string{c.me}
	for name := range c.seen {
		if id := strings.TrimPrefix(name, workerLease); id != c.me && c.lives(id, now) {
			workers = append(workers, id)
		}
	}
	slices.Sort(workers)
	rank, _ := slices.BinarySearch(workers, c.me)
	share := len(streams) / len(workers)
	if rank < len(streams)%len(workers) {
		share++
	}

	var mine, free []string
	for _, name := range streams {
		owner := c.leases[streamLease+name].Owner
		switch {
		case owner == c.me && held[name]:
			mine = append(mine, name)
		case owner == c.me, owner == "", !c.lives(owner, now):
			free = append(free, name)
		}
	}
	for name := range held {
		if !slices.Contains(mine, name) {
			lost = append(lost, name)
		}
	}
	slices.Sort(lost)
	if len(mine) > share {
		release = mine[share:]
	}
	// Those with the same share to fill should not all run for the same
	// streams.
	slices.SortFunc(free, func(a, b string) int {
		return cmp.Compare(affinity(c.me, a), affinity(c.me, b))
	})
	for _, name := range free[:min(len(free), max(0, share-len(mine)))] {
		lease := c.leases[streamLease+name]
		lease.Name = streamLease + name
		take = append(take, lease)
	}
	return lost, release, take
}

// affinity is a fixed random number of a worker and a stream.
func affinity(worker, stream string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(worker))
	h.Write([]byte(stream))
	return h.Sum64()
}
