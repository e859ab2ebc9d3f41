package limit

import "time"

// NewLocalAt makes a Local whose clock is now.
func NewLocalAt(now func() time.Duration) *Local { return newLocal(now) }

// MaxBuckets is the most buckets that a Local keeps.
const MaxBuckets = maxBuckets

// Buckets is how many buckets it keeps.
func (l *Local) Buckets() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.full)
		s.mu.Unlock()
	}
	return n
}

// AskNow makes the limiter ask a Redis that was away with the next token.
func (l *Redis) AskNow() {
	if l.away.Load() != 0 {
		l.away.Store(1)
	}
}

// SetTimeout sets how long Redis may take. Nobody may be taking tokens.
func (l *Redis) SetTimeout(d time.Duration) { l.timeout = d }
