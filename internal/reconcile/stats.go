package reconcile

import (
	"maps"
	"sync"
	"time"
)

// KindRepair is the kind of work of Repairs, which has no jobs.
const KindRepair = "repair"

// Kinds lists the kinds of work, States what a check can find.
var (
	Kinds  = []string{KindRebuild, KindCheck, KindNightly, KindRepair, KindRetention}
	States = []State{OK, Missing, Damaged, Drifted, Partial, Unreadable}
)

// Found is a kind of work and what it found of a day.
type Found struct {
	Kind  string
	State State
}

// Stats counts what was done since the process began.
type Stats struct {
	// Days counts the days that were compared with their raw events.
	Days map[Found]uint64
	// Rebuilt counts the rollups that were replaced, and Refused those that
	// were left as they are because their raw events give less.
	Rebuilt, Refused uint64
	// Succeeded tells of each kind that runs by schedule when it last ended
	// well in this process, and Failed how often it did not.
	Succeeded map[string]time.Time
	Failed    map[string]uint64
}

// counters make Stats. The zero value is ready, and safe for concurrent use.
type counters struct {
	mu    sync.Mutex // protects stats
	stats Stats
}

// found counts a day. A day whose raw events are partly gone is left as it is
// too, but that is no finding.
func (c *counters) found(kind string, state State, rebuilt, refused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stats.Days == nil {
		c.stats.Days = map[Found]uint64{}
	}
	c.stats.Days[Found{kind, state}]++
	if rebuilt {
		c.stats.Rebuilt++
	}
	if refused && state != Partial {
		c.stats.Refused++
	}
}

func (c *counters) succeeded(kind string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stats.Succeeded == nil {
		c.stats.Succeeded = map[string]time.Time{}
	}
	c.stats.Succeeded[kind] = now
}

func (c *counters) failed(kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stats.Failed == nil {
		c.stats.Failed = map[string]uint64{}
	}
	c.stats.Failed[kind]++
}

// snapshot gives a copy.
func (c *counters) snapshot() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Days, s.Succeeded, s.Failed = maps.Clone(s.Days), maps.Clone(s.Succeeded), maps.Clone(s.Failed)
	return s
}

// Stats gives the counts of all its jobs, and of the Reconciler that uses it.
func (r *Runner) Stats() Stats { return r.stats.snapshot() }

// Stats gives the counts.
func (r *Repairs) Stats() Stats { return r.stats.snapshot() }
