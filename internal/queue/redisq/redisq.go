// Package redisq is the queue on Redis Streams (Redis 7 or newer): one server,
// Sentinel or Cluster. Keys and entries are described in docs/format/queue.md.
//
// # What the server must be
//
// An entry is as safe as the server keeps it: with appendonly yes and
// appendfsync always a confirmed entry survives a power cut, and as Redis
// answers nobody before it has synced, no reader sees an entry that could
// still be lost. A maxmemory-policy other than noeviction may throw a stream
// away. Open warns of other settings. Replication is asynchronous: a failover
// can lose the newest confirmed entries, which no setting of Redis prevents.
//
// # Written at most once
//
// When a connection breaks, nobody knows whether the command was carried out.
// go-redis would send it again; every command that adds something is sent as
// an once, which it sends again only after an answer that says that it was
// not carried out (a redirect of a Cluster). All errors are the caller's to
// deal with.
package redisq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/daybook-analytics/daybook/internal/queue"
)

// Options are the settings of a Queue. The zero value has the defaults.
type Options struct {
	// Prefix begins all keys, so that several installations can share a
	// server; empty is DefaultPrefix. Braces are not allowed in it.
	Prefix string
	// Streams is the number of streams of the first epoch when the queue is
	// new, from 1 to queue.MaxStreams; 0 is DefaultStreams.
	Streams int
	// Logger gets warnings about the server's settings; nil is
	// slog.Default().
	Logger *slog.Logger

	// timeout is how long Redis may take; 0 is defaultTimeout.
	timeout time.Duration
	// dialer makes connections; nil is the default of go-redis.
	dialer func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Defaults of Options.
const (
	DefaultPrefix  = "daybook"
	DefaultStreams = 4
)

// How long Redis may take.
const (
	// defaultTimeout is for all commands but those that move much. It bounds
	// how long ingest waits for a Redis that is gone or stands still.
	defaultTimeout = time.Second
	// perMiB is added to it for each MiB that an append writes.
	perMiB = 100 * time.Millisecond
	// slow is how many times longer reading and trimming may take.
	slow = 3
	// blockSlice is the longest that a reader waits with one command. A
	// command under way cannot be cancelled, so it is how late a cancelled
	// reader returns.
	blockSlice = 250 * time.Millisecond
	// layoutInterval is how often the layout is looked up.
	layoutInterval = 500 * time.Millisecond
)

// poolSize is the most connections to one server. They are made when they are
// needed. It is far beyond the number of readers, each of which holds one
// while it waits, so that an append never waits for a connection.
const poolSize = 2048

// go-redis logs every connection that it cannot make, though the error comes
// back to whoever asked. It has one logger for the process.
func init() { redis.SetLogger(debugLog{}) }

type debugLog struct{}

func (debugLog) Printf(ctx context.Context, format string, args ...any) {
	if slog.Default().Enabled(ctx, slog.LevelDebug) {
		slog.DebugContext(ctx, fmt.Sprintf(format, args...))
	}
}

// Queue is the queue on Redis. It implements queue.Queue.
type Queue struct {
	client  redis.UniversalClient
	keys    keys
	logger  *slog.Logger
	timeout time.Duration

	layout atomic.Pointer[queue.Layout]
	// learning is held while layout is replaced.
	learning sync.Mutex

	// stop ends the goroutine that looks up the layout, stopped when it has.
	stop    context.CancelFunc
	stopped sync.WaitGroup
}

var _ queue.Queue = (*Queue)(nil)

// Open connects to the Redis of the URL and makes the layout if there is none.
// When Redis cannot be reached the error wraps queue.ErrUnavailable. The URL
// is of the form
//
//	redis://[[user]:password@]host[:port][,host[:port]...][/db][?option]
//
// With rediss it is the same over TLS. One address is one server; more are
// some nodes of a Cluster, which has no db. The option cluster=true says that
// one address is of a Cluster too, master=NAME that the addresses are those
// of Sentinels that know the master by this name; user and password are the
// servers', not the Sentinels'.
func Open(ctx context.Context, url string, opts Options) (*Queue, error) {
	if opts.Prefix == "" {
		opts.Prefix = DefaultPrefix
	}
	if strings.ContainsAny(opts.Prefix, "{}") {
		return nil, fmt.Errorf("prefix %q of the Redis keys holds a brace", opts.Prefix)
	}
	if opts.Streams == 0 {
		opts.Streams = DefaultStreams
	}
	if err := checkStreams(opts.Streams); err != nil {
		return nil, err
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.timeout == 0 {
		opts.timeout = defaultTimeout
	}
	client, err := connect(url, opts.timeout, opts.dialer)
	if err != nil {
		return nil, err
	}

	q := &Queue{
		client:  client,
		keys:    keys{prefix: opts.Prefix},
		logger:  opts.Logger,
		timeout: opts.timeout,
	}
	if err := q.lookUpLayout(ctx, opts.Streams); err != nil {
		return nil, errors.Join(err, q.client.Close())
	}
	q.warn(ctx)

	var background context.Context
	background, q.stop = context.WithCancel(context.WithoutCancel(ctx))
	q.stopped.Go(func() { q.followLayout(background) })
	return q, nil
}

// Connect makes a client of the Redis of the URL, which is of the form that
// Open is given, for something else than the queue. It sends nothing yet.
// Nothing is sent again by itself after an error; how long a command may take
// is up to its context, and making a connection for it a second.
func Connect(url string) (redis.UniversalClient, error) { return connect(url, defaultTimeout, nil) }

func connect(url string, timeout time.Duration, dialer func(context.Context, string, string) (net.Conn, error)) (redis.UniversalClient, error) {
	opts, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	opts.Dialer = dialer
	opts.Protocol = 2 // nothing is pushed to this client
	opts.MaxRetries = -1
	opts.DialTimeout = timeout
	opts.DialerRetries = 1
	// Each command has its deadline in its context; these bound what go-redis
	// does by itself.
	opts.ContextTimeoutEnabled = true
	opts.ReadTimeout = 10 * timeout
	opts.WriteTimeout = 10 * timeout
	opts.PoolSize = poolSize
	opts.PipelinePoolSize = -1
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewUniversalClient(opts), nil
}

// Close implements queue.Queue.
func (q *Queue) Close() error {
	q.stop()
	q.stopped.Wait()
	return q.client.Close()
}

func checkStreams(streams int) error {
	if streams < 1 || streams > queue.MaxStreams {
		return fmt.Errorf("%d streams: allowed are 1 to %d", streams, queue.MaxStreams)
	}
	return nil
}

// keys makes the names of keys. Braces hold what Redis Cluster hashes.
type keys struct{ prefix string }

// layout is the list of the number of streams of each epoch.
func (k keys) layout() string { return "{" + k.prefix + "}:layout" }

// stream is a stream. Each has a slot of its own.
func (k keys) stream(name string) string { return "{" + k.prefix + ":" + name + "}" }

// layoutScript gives the layout, and writes it first if there is none, so
// that queues opened for the first time at once agree.
//
// KEYS[1] is the layout. ARGV are the numbers of streams to write.
// The result is the list.
var layoutScript = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then
	redis.call('RPUSH', KEYS[1], unpack(ARGV))
end
return redis.call('LRANGE', KEYS[1], 0, -1)
`)

// Layout implements queue.Queue. It reads memory only; what others change is
// in it within about a second, unless Redis is away.
func (q *Queue) Layout(context.Context) (queue.Layout, error) { return *q.layout.Load(), nil }

// lookUpLayout brings the layout up to date. What it is given is written as
// the numbers of streams of each epoch if Redis has no layout.
func (q *Queue) lookUpLayout(ctx context.Context, ifNone ...int) error {
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	args := make([]any, len(ifNone))
	for i, streams := range ifNone {
		args[i] = streams
	}
	counts, err := layoutScript.Run(ctx, q.client, []string{q.keys.layout()}, args...).StringSlice()
	if err != nil {
		return wrap(ctx, err)
	}
	var layout queue.Layout
	for i, count := range counts {
		streams, err := strconv.Atoi(count)
		if err == nil {
			err = checkStreams(streams)
		}
		if err != nil {
			return fmt.Errorf("element %d of the list %s in Redis: %w", i, q.keys.layout(), err)
		}
		layout.Epochs = append(layout.Epochs, queue.Epoch{Number: i + 1, Streams: streams})
	}
	q.learning.Lock()
	defer q.learning.Unlock()
	// Epochs are only ever added, so the longer one is the newer one.
	if old := q.layout.Load(); old == nil || len(layout.Epochs) > len(old.Epochs) {
		q.layout.Store(&layout)
	}
	return nil
}

// lookUpAgain is lookUpLayout for a queue that has a layout. A Redis that lost
// it (with everything else) gets it back.
func (q *Queue) lookUpAgain(ctx context.Context) error {
	var known []int
	for _, epoch := range q.layout.Load().Epochs {
		known = append(known, epoch.Streams)
	}
	return q.lookUpLayout(ctx, known...)
}

// followLayout keeps the layout up to date until ctx ends.
func (q *Queue) followLayout(ctx context.Context) {
	tick := time.NewTicker(layoutInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// While Redis is away the layout stays as it is; whoever appends
			// or reads meets the error.
			_ = q.lookUpAgain(ctx)
		}
	}
}

// OpenEpoch implements queue.Queue.
func (q *Queue) OpenEpoch(ctx context.Context, streams int) (queue.Epoch, error) {
	if err := checkStreams(streams); err != nil {
		return queue.Epoch{}, err
	}
	if err := q.lookUpAgain(ctx); err != nil {
		return queue.Epoch{}, err
	}
	pushCtx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	push := redis.NewIntCmd(pushCtx, "rpush", q.keys.layout(), streams)
	_ = q.client.Process(pushCtx, once{push})
	if err := push.Err(); err != nil {
		return queue.Epoch{}, wrap(ctx, err)
	}
	if err := q.lookUpAgain(ctx); err != nil {
		return queue.Epoch{}, err
	}
	return queue.Epoch{Number: int(push.Val()), Streams: streams}, nil
}

// streamKey gives the key of a stream that is in the layout. It looks the
// layout up if it does not know it.
func (q *Queue) streamKey(ctx context.Context, name string) (string, error) {
	if !q.knows(name) {
		if err := q.lookUpAgain(ctx); err != nil {
			return "", err
		}
		if !q.knows(name) {
			return "", fmt.Errorf("queue %s in Redis has no stream %q", q.keys.prefix, name)
		}
	}
	return q.keys.stream(name), nil
}

func (q *Queue) knows(name string) bool {
	epochs := q.layout.Load().Epochs
	number, stream, _ := strings.Cut(name, ":")
	n, _ := strconv.Atoi(number)
	i, _ := strconv.Atoi(stream)
	return 1 <= n && n <= len(epochs) && 0 <= i && i < epochs[n-1].Streams && epochs[n-1].StreamName(i) == name
}
