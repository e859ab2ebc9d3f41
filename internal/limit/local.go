package limit

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

const (
	// shards of a Local have a lock each.
	shards = 64
	// maxBuckets is the most that a Local keeps, in about 8 MiB. Only so many
	// addresses can have taken something of late.
	maxBuckets = 1 << 18
	// candidates are so many buckets, of which one makes room.
	candidates = 8
)

// Local keeps its buckets in memory. It keeps a quarter of a million at most:
// beyond that one of those that are nearest to being full is forgotten for
// each new one, which is as if it were full. It does not keep names.
type Local struct {
	// names are kept as hashes that nobody outside can compute. Two that are
	// the same are one bucket, which is too rare to matter.
	seed   maphash.Seed
	now    func() time.Duration // since a time that does not change
	shards [shards]shard
}

type shard struct {
	mu   sync.Mutex
	full map[uint64]time.Duration // when the bucket is full; protected by mu
	_    [48]byte                 // no two locks in one line of the cache
}

// NewLocal makes a limiter without buckets.
func NewLocal() *Local {
	begun := time.Now()
	return newLocal(func() time.Duration { return time.Since(begun) })
}

func newLocal(now func() time.Duration) *Local {
	l := &Local{seed: maphash.MakeSeed(), now: now}
	for i := range l.shards {
		l.shards[i].full = make(map[uint64]time.Duration)
	}
	return l
}

// Take implements Limiter. It never waits, so it does not look at the context.
func (l *Local) Take(_ context.Context, name string, rate Rate) (Result, error) {
	if err := rate.Check(); err != nil {
		return Result{}, err
	}
	bucket := maphash.String(l.seed, name)
	s := &l.shards[bucket%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	now := l.now()
	full, known := s.full[bucket]
	if !known && len(s.full) >= maxBuckets/shards {
		s.forget()
	}
	full, result := take(now, full, rate)
	s.full[bucket] = full
	return result, nil
}

// take takes a token of a bucket that will be full, and gives when it will be
// full after that.
func take(now, full time.Duration, rate Rate) (time.Duration, Result) {
	interval, filling := rate.interval(), rate.filling()
	// A bucket that had another rate may be emptier than empty; from now on it
	// is not, whether there is a token or not.
	full = min(max(full, now), now+filling)
	// Once it is this long from being full it has a token.
	if wait := full + interval - filling - now; wait > 0 {
		return full, Result{RetryAfter: wait, Reset: full - now}
	}
	full += interval
	return full, Result{Allowed: true, Remaining: int((now + filling - full) / interval), Reset: full - now}
}

// forget drops one of a few buckets, the one that is nearest to being full.
// The caller holds mu.
func (s *shard) forget() {
	var drop uint64
	var earliest time.Duration
	seen := 0
	for bucket, full := range s.full { // begins anywhere
		if seen == 0 || full < earliest {
			drop, earliest = bucket, full
		}
		if seen++; seen == candidates {
			break
		}
	}
	delete(s.full, drop)
}
