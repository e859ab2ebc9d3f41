// Package limit bounds how often something may be done, such as requests of
// one key or of one address, by token buckets: in one process (Local), or
// shared by many through Redis (Redis).
//
// A bucket holds Burst tokens and gets PerSecond new ones each second, until
// it is full again. It is kept as one number, the time at which it will be
// full, which each token taken moves on (the generic cell rate algorithm, ITU-T
// I.371). A bucket that is full is not kept at all.
package limit

import (
	"context"
	"fmt"
	"time"
)

// Limits of a Rate.
const (
	maxPerSecond = 1e6
	maxBurst     = 1e6
	// maxFilling is the longest that a bucket may take from empty to full.
	maxFilling = 30 * 24 * time.Hour
)

// Rate is how much a bucket holds and how fast it fills. How many tokens can
// be taken in any span of time is at most Burst and PerSecond for each of its
// seconds.
type Rate struct {
	// PerSecond is how many tokens come back each second, more than 0 and at
	// most a million.
	PerSecond float64
	// Burst is how many tokens a full bucket holds, from 1 to a million. It
	// must fill within 30 days.
	Burst int
}

// Check tells what is wrong with a rate.
func (r Rate) Check() error {
	if !(r.PerSecond > 0 && r.PerSecond <= maxPerSecond) {
		return fmt.Errorf("a rate of %v a second: allowed are more than 0 and at most %.0f", r.PerSecond, maxPerSecond)
	}
	if r.Burst < 1 || r.Burst > maxBurst {
		return fmt.Errorf("a burst of %d: allowed are 1 to %.0f", r.Burst, maxBurst)
	}
	if float64(r.Burst)/r.PerSecond > maxFilling.Seconds() {
		return fmt.Errorf("a burst of %d at %v a second takes longer than %v to come back", r.Burst, r.PerSecond, maxFilling)
	}
	return nil
}

// interval is the time from one new token to the next.
func (r Rate) interval() time.Duration {
	return time.Duration(float64(time.Second) / r.PerSecond)
}

// filling is the time from empty to full.
func (r Rate) filling() time.Duration { return r.interval() * time.Duration(r.Burst) }

// Result is what came of taking a token.
type Result struct {
	// Allowed tells whether there was one. If not, nothing was taken.
	Allowed bool
	// Remaining is how many tokens are left.
	Remaining int
	// RetryAfter is how long it takes until there is one, if there was none.
	RetryAfter time.Duration
	// Reset is how long it takes until the bucket is full again, if nobody
	// takes any more.
	Reset time.Duration
}

// Limiter keeps buckets by their names. A bucket that nobody has taken from
// yet is full. All of it is safe for concurrent use.
type Limiter interface {
	// Take takes one token of the bucket called name, which has the rate. A
	// bucket whose rate changes has the new one from then on. Errors are of a
	// rate that Check refuses and of a ctx that has ended.
	Take(ctx context.Context, name string, rate Rate) (Result, error)
}
