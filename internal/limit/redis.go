package limit

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// redisTimeout is how long Redis may take.
	redisTimeout = 100 * time.Millisecond
	// awayFor is how long nobody asks a Redis that did not answer.
	awayFor = time.Second
)

// RedisOptions are the settings of a Redis limiter.
type RedisOptions struct {
	// Prefix begins all keys.
	Prefix string
	// Secret makes the names of buckets unreadable: keys are of an HMAC of the
	// name, so that whoever sees them learns no address. All processes that
	// share their limits have the same one.
	Secret []byte
	// Log gets a line when Redis is away, and one when it is back.
	Log *slog.Logger
}

// Redis keeps its buckets in Redis, where all processes share them. Time is
// that of Redis. While Redis does not answer, each process counts for itself,
// which bounds a client by what it may do times the number of processes.
//
// A bucket is one key with one number and is gone when it is full, so a
// Cluster spreads the buckets over its servers and none needs clearing up.
type Redis struct {
	client redis.UniversalClient
	opts   RedisOptions
	local  *Local
	// begun is what the times in away are since.
	begun time.Time
	// away is until when nobody asks Redis; 0 while it answers.
	away atomic.Int64
}

// NewRedis makes a limiter on a client, which Close closes.
func NewRedis(client redis.UniversalClient, opts RedisOptions) *Redis {
	return &Redis{client: client, opts: opts, local: NewLocal(), begun: time.Now()}
}

// Close closes the client.
func (l *Redis) Close() error { return l.client.Close() }

// takeScript takes a token of a bucket; it does what take does.
//
// KEYS[1] is the bucket: when it is full, in microseconds since 1970. ARGV[1]
// is the time between two new tokens in microseconds, ARGV[2] how many tokens
// a full bucket holds. The result is 1 or 0 for allowed or not, how many are
// left, in how many microseconds there is one, and in how many it is full.
var takeScript = redis.NewScript(`
local interval = tonumber(ARGV[1])
local filling = interval * tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local kept = tonumber(redis.call('GET', KEYS[1]) or 0) or 0
local full = math.min(math.max(kept, now), now + filling)
local wait = full + interval - filling - now
if wait <= 0 then
	full = full + interval
end
if full ~= kept then
	redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
end
if wait > 0 then
	return {0, 0, wait, full - now}
end
return {1, math.floor((now + filling - full) / interval), 0, full - now}
`)

// Take implements Limiter. That Redis is away is no error.
func (l *Redis) Take(ctx context.Context, name string, rate Rate) (Result, error) {
	if err := rate.Check(); err != nil {
		return Result{}, err
	}
	away := l.away.Load()
	if away != 0 {
		now := int64(time.Since(l.begun))
		// Of all that come when its time is over one asks for the others.
		if now < away || !l.away.CompareAndSwap(away, now+int64(awayFor)) {
			return l.local.Take(ctx, name, rate)
		}
	}
	result, err := l.take(ctx, name, rate)
	switch {
	case err == nil:
		if away != 0 && l.away.Swap(0) != 0 {
			l.opts.Log.Info("limits are shared through Redis again")
		}
		return result, nil
	case ctx.Err() != nil:
		return Result{}, ctx.Err()
	}
	if l.away.Swap(int64(time.Since(l.begun)+awayFor)) == 0 {
		l.opts.Log.Warn("limits cannot be shared through Redis: each process counts for itself until they can", "error", err)
	}
	return l.local.Take(ctx, name, rate)
}

func (l *Redis) take(ctx context.Context, name string, rate Rate) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	interval := max(1, rate.interval().Microseconds())
	answer, err := takeScript.Run(ctx, l.client, []string{l.key(name)}, interval, rate.Burst).Int64Slice()
	if err != nil {
		return Result{}, err
	}
	if len(answer) != 4 {
		return Result{}, fmt.Errorf("redis answered %d numbers and not 4", len(answer))
	}
	return Result{
		Allowed:    answer[0] == 1,
		Remaining:  int(answer[1]),
		RetryAfter: time.Duration(answer[2]) * time.Microsecond,
		Reset:      time.Duration(answer[3]) * time.Microsecond,
	}, nil
}

// key gives the key of a bucket.
func (l *Redis) key(name string) string {
	mac := hmac.New(sha256.New, l.opts.Secret)
	mac.Write([]byte(name))
	return l.opts.Prefix + ":limit:" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}
