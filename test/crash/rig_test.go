package crash

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/queue/redisq/redistest"
)

// leaseTime is that of all workers, the shortest that is allowed.
const leaseTime = 3 * time.Second

// target is what can be struck: a process of Daybook, or Redis.
type target interface {
	label() string
	start()
	kill()       // as kill -9, at any time
	stop()       // in order, once it is ready
	pause()      // it stands still
	resume()     // it goes on
	ready() bool // it has come up
	idle() bool  // it has a worker that does not work yet
	ended() bool // it has ended by itself, as it may
}

// redisServer makes a target of a redis-server.
type redisServer struct{ *redistest.Server }

func (redisServer) label() string { return "redis-server" }
func (r redisServer) start()      { r.Start() }
func (r redisServer) kill()       { r.Kill() }
func (r redisServer) stop()       { r.Stop() }
func (r redisServer) pause()      { r.Pause() }
func (r redisServer) resume()     { r.Resume() }
func (redisServer) ready() bool   { return true } // Start waits until it is
func (redisServer) idle() bool    { return false }
func (redisServer) ended() bool   { return false }

// strikes counts what was done to a target.
type strikes struct {
	kills, stops, pauses int
	// failedStarts are those where a process gave up because Redis was away.
	failedStarts int
}

// rig strikes targets and starts them again. One goroutine uses it, that of
// the test.
type rig struct {
	t       testing.TB
	rng     *rand.Rand
	targets []target
	counts  map[target]*strikes
	// down are the targets that are to be started at a time.
	down map[target]time.Time
	// bag holds the targets that are next, in an order by chance, so that each
	// gets its share of the strikes.
	bag []target
}

func newRig(t testing.TB, seed uint64, targets []target) *rig {
	r := &rig{
		t: t, rng: rand.New(rand.NewPCG(seed, 4)), targets: targets,
		counts: map[target]*strikes{}, down: map[target]time.Time{},
	}
	for _, target := range targets {
		r.counts[target] = &strikes{}
	}
	return r
}

// between gives a time by chance.
func (r *rig) between(least, most time.Duration) time.Duration {
	return least + time.Duration(r.rng.Int64N(int64(most-least)))
}

// tend starts what is to be started by now.
func (r *rig) tend() {
	for _, target := range r.targets {
		due, down := r.down[target]
		switch {
		case !down && target.ended():
			r.counts[target].failedStarts++
			r.down[target] = time.Now().Add(r.between(100*time.Millisecond, 500*time.Millisecond))
		case down && !time.Now().Before(due):
			delete(r.down, target)
			target.start()
		}
	}
}

// wait lets time go by.
func (r *rig) wait(d time.Duration) { r.waitUntil(d, func() bool { return false }) }

// waitUntil lets time go by until ok, but not more than most.
func (r *rig) waitUntil(most time.Duration, ok func() bool) {
	for end := time.Now().Add(most); !ok() && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		r.tend()
	}
}

// strike strikes n times. Every third strike at a target is an orderly stop or
// a pause, the others are kills.
func (r *rig) strike(n int) {
	stop := false
	for range n {
		r.wait(r.between(50*time.Millisecond, 1500*time.Millisecond))
		if len(r.bag) == 0 {
			for _, i := range r.rng.Perm(len(r.targets)) {
				r.bag = append(r.bag, r.targets[i])
			}
		}
		target := r.bag[0]
		r.bag = r.bag[1:]
		if r.rng.IntN(2) == 0 {
			// A worker that was killed left leases behind, which hold up the
			// next one. It should be struck at work too.
			r.waitUntil(2*leaseTime, func() bool { return !target.idle() })
			r.wait(r.between(0, 300*time.Millisecond))
		}
		if _, down := r.down[target]; down {
			delete(r.down, target)
			target.start()
		}
		count := r.counts[target]
		mild := (count.kills+count.stops+count.pauses)%3 == 1 && target.ready()
		if mild {
			stop = !stop
		}
		switch {
		case mild && stop:
			count.stops++
			target.stop()
		case mild:
			// Longer than a lease holds: a worker comes back as a zombie.
			count.pauses++
			target.pause()
			r.wait(leaseTime + r.between(200*time.Millisecond, time.Second))
			target.resume()
			continue
		default:
			count.kills++
			target.kill()
		}
		r.down[target] = time.Now().Add(r.between(0, 700*time.Millisecond))
	}
}

// tally says what was done to whom.
func (r *rig) tally() string {
	var parts []string
	total := strikes{}
	for _, target := range r.targets {
		c := r.counts[target]
		total.kills += c.kills
		part := fmt.Sprintf("%s %d times kill -9, %d SIGTERM, %d stalled", target.label(), c.kills, c.stops, c.pauses)
		if c.failedStarts > 0 {
			part += fmt.Sprintf(", %d starts in vain", c.failedStarts)
		}
		parts = append(parts, part)
	}
	return fmt.Sprintf("%d times kill -9 in all (%s)", total.kills, strings.Join(parts, "; "))
}
