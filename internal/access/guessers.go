package access

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/daybook-analytics/daybook/internal/web"
)

// An address may be wrong maxGuesses times at once and once more every
// guessInterval; beyond that none of its keys opens anything, good ones
// neither, so that nothing is to be learned. Public keys do.
const (
	maxGuesses    = 10
	guessInterval = 6 * time.Second
	// maxGuessers bounds the addresses that are remembered. Keys cannot be
	// guessed anyhow; this keeps the noise down.
	maxGuessers = 10_000
)

// guessers are the addresses that came with wrong keys, each process its own.
// The zero value is ready, and safe for concurrent use.
type guessers struct {
	mu sync.Mutex
	// until tells of each when all its guesses are forgiven; protected by mu.
	until map[string]time.Time
}

// wait tells for how long no key of an address is looked at.
func (g *guessers) wait(addr netip.Addr) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.until) == 0 {
		return 0
	}
	return waitFor(g.until[network(addr)])
}

// waitFor tells how long it is until one more guess is free; none for an address
// that never guessed, whose time is zero.
func waitFor(until time.Time) time.Duration {
	return max(0, time.Until(until.Add(-(maxGuesses-1)*guessInterval)))
}

// note takes down a wrong guess, and tells how long the address has to wait if
// it was one too many.
func (g *guessers) note(addr netip.Addr) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if g.until == nil || len(g.until) >= maxGuessers {
		g.forget(now)
	}
	name := network(addr)
	until := g.until[name]
	if wait := waitFor(until); wait > 0 {
		return wait
	}
	if until.Before(now) {
		until = now
	}
	g.until[name] = until.Add(guessInterval)
	return 0
}

// forget makes room: those that are forgiven go, or all.
func (g *guessers) forget(now time.Time) {
	for name, until := range g.until {
		if until.Before(now) {
			delete(g.until, name)
		}
	}
	if g.until == nil || len(g.until) >= maxGuessers {
		g.until = map[string]time.Time{}
	}
}

func tooManyGuesses(wait time.Duration) error {
	return &web.Error{
		Status: http.StatusTooManyRequests, RetryAfter: wait,
		Message: fmt.Sprintf("too many wrong keys have come from this address; none is looked at for %v", wait.Round(time.Second)),
	}
}
