package limit

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// redisTimeout is how long Redis may take.
	redisTimeout = 250 * time.Millisecond
	// awayFor is how long nobody asks a Redis that did not answer.
	awayFor = time.Second
)

// RedisOptions are the settings of a Redis limiter.
type RedisOptions struct {
	// Prefix begins all keys.
	Prefix string
	// Hide makes the name of a bucket one that tells nobody what it was, the
	// same in all processes that share their limits, so that whoever sees the
	// keys learns no address. While it cannot, the process counts for itself.
	Hide func(name string) (hidden string, ok bool)
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
	// timeout is how long Redis may take.
	timeout time.Duration
	// begun is what the times in away are since.
	begun time.Time
	// away is until when nobody asks Redis; 0 while it answers.
	away atomic.Int64

	mu      sync.Mutex
	waiting []*ask // for the next pipeline; protected by mu
	asking  bool   // whether askAll runs, in work; protected by mu
	work    sync.WaitGroup
}

// NewRedis makes a limiter on a client, which Close closes.
func NewRedis(client redis.UniversalClient, opts RedisOptions) *Redis {
	return &Redis{client: client, opts: opts, local: NewLocal(), timeout: redisTimeout, begun: time.Now()}
}

// Close closes the client. Nobody may be taking tokens.
func (l *Redis) Close() error {
	l.work.Wait()
	return l.client.Close()
}

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
	hidden, ok := l.opts.Hide(name)
	if !ok {
		return l.local.Take(ctx, name, rate)
	}
	away := l.away.Load()
	if away != 0 {
		now := int64(time.Since(l.begun))
		// Of all that come when its time is over one asks for the others.
		if now < away || !l.away.CompareAndSwap(away, now+int64(awayFor)) {
			return l.local.Take(ctx, name, rate)
		}
	}
	result, err := l.take(ctx, l.opts.Prefix+":limit:"+hidden, rate)
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

// ask is a token that somebody waits for.
type ask struct {
	key    string
	rate   Rate
	done   chan struct{} // closed when there is a result or an error
	result Result
	err    error
}

// take asks Redis. While one pipeline is under way, all who come gather for
// the next one: a round trip for each would cost more than the request that it
// is for.
func (l *Redis) take(ctx context.Context, key string, rate Rate) (Result, error) {
	a := &ask{key: key, rate: rate, done: make(chan struct{})}
	l.mu.Lock()
	l.waiting = append(l.waiting, a)
	if !l.asking {
		l.asking = true
		l.work.Go(l.askAll)
	}
	l.mu.Unlock()
	select {
	case <-a.done:
		return a.result, a.err
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
}

// askAll asks for all who wait until there is none.
func (l *Redis) askAll() {
	for {
		l.mu.Lock()
		asks := l.waiting
		l.waiting = nil
		l.asking = len(asks) > 0
		l.mu.Unlock()
		if len(asks) == 0 {
			return
		}
		l.run(asks, takeScript.EvalSha)
		for _, a := range asks {
			close(a.done)
		}
	}
}

// run runs the script for each in one pipeline, in the way that eval has.
func (l *Redis) run(asks []*ask, eval func(context.Context, redis.Scripter, []string, ...any) *redis.Cmd) {
	ctx, cancel := context.WithTimeout(context.Background(), l.timeout)
	defer cancel()
	pipe := l.client.Pipeline()
	commands := make([]*redis.Cmd, len(asks))
	for i, a := range asks {
		interval := max(1, a.rate.interval().Microseconds())
		commands[i] = eval(ctx, pipe, []string{a.key}, interval, a.rate.Burst)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	var unknown []*ask
	for i, a := range asks {
		if a.result, a.err = resultOf(commands[i]); redis.HasErrorPrefix(a.err, "NOSCRIPT") {
			unknown = append(unknown, a)
		}
	}
	if len(unknown) > 0 { // this Redis is new; it keeps a script that it was given
		l.run(unknown, takeScript.Eval)
	}
}

func resultOf(command *redis.Cmd) (Result, error) {
	answer, err := command.Int64Slice()
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
