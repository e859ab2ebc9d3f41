package limit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/daybook-analytics/daybook/internal/limit"
	"github.com/daybook-analytics/daybook/internal/limit/limittest"
	"github.com/daybook-analytics/daybook/internal/queue/redisq"
	"github.com/daybook-analytics/daybook/internal/queue/redisq/redistest"
)

// hide makes names of buckets unreadable.
func hide(name string) (string, bool) {
	sum := sha256.Sum256([]byte("of all processes" + name))
	return hex.EncodeToString(sum[:]), true
}

// patience is how long Redis may take in a test that is not about that, on a
// machine that has much else to do.
const patience = time.Minute

// newRedis makes a limiter, and gives a client to look at its Redis with.
func newRedis(t testing.TB, url, prefix string, log io.Writer) (*limit.Redis, redis.UniversalClient) {
	t.Helper()
	client, err := redisq.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	l := limit.NewRedis(client, limit.RedisOptions{Prefix: prefix, Hide: hide, Log: slog.New(slog.NewTextHandler(log, nil))})
	l.SetTimeout(patience)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, client
}

// keys gives the keys of a limiter.
func keys(t *testing.T, client redis.UniversalClient, prefix string) []string {
	t.Helper()
	var keys []string
	it := client.Scan(t.Context(), 0, prefix+":*", 1000).Iterator()
	for it.Next(t.Context()) {
		keys = append(keys, it.Val())
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return keys
}

// earlier makes a bucket as if it had been written so many microseconds
// earlier.
var earlier = redis.NewScript(`
local left = redis.call('PTTL', KEYS[1]) - ARGV[1] / 1000
if left <= 0 then return redis.call('DEL', KEYS[1]) end
return redis.call('SET', KEYS[1], string.format('%.0f', redis.call('GET', KEYS[1]) - ARGV[1]), 'PX', math.ceil(left))
`)

func TestRedis(t *testing.T) {
	url := redistest.Start(t)
	limittest.Run(t, func(t *testing.T) limittest.Subject {
		prefix := redistest.Prefix()
		l, client := newRedis(t, url, prefix, io.Discard)
		return limittest.Subject{Limiter: l, Pass: func(d time.Duration) {
			for _, key := range keys(t, client, prefix) {
				if err := earlier.Run(t.Context(), client, []string{key}, d.Microseconds()).Err(); err != nil {
					t.Fatal(err)
				}
			}
		}}
	})
}

// taken takes all tokens that there are and gives their number.
func taken(t *testing.T, l limit.Limiter, name string, rate limit.Rate) int {
	t.Helper()
	for n := 0; ; n++ {
		result, err := l.Take(t.Context(), name, rate)
		if err != nil {
			t.Fatal(err)
		}
		if !result.Allowed {
			return n
		}
	}
}

func TestRedisIsShared(t *testing.T) {
	url, prefix := redistest.Start(t), redistest.Prefix()
	one, client := newRedis(t, url, prefix, io.Discard)
	other, _ := newRedis(t, url, prefix, io.Discard)
	rate := limit.Rate{PerSecond: 0.001, Burst: 5}
	const name = "address:192.0.2.77"
	if got := taken(t, one, name, rate); got != 5 {
		t.Errorf("%d tokens, want 5", got)
	}
	if got := taken(t, other, name, rate); got != 0 {
		t.Errorf("another process got %d more", got)
	}

	all := keys(t, client, prefix)
	if len(all) != 1 {
		t.Fatalf("keys %q, want one", all)
	}
	for _, form := range []string{"192.0.2.77", hex.EncodeToString([]byte{192, 0, 2, 77})} {
		if strings.Contains(all[0], form) {
			t.Errorf("the key %q has the address in it", all[0])
		}
	}
	ttl, err := client.PTTL(t.Context(), all[0]).Result()
	if err != nil || ttl <= 0 || ttl > 5000*time.Second {
		t.Errorf("the key ends in %v (%v), want within the 5,000 s in which its bucket is full", ttl, err)
	}
}

// TestRedisValueIsDamaged has something else in the place of a bucket.
func TestRedisValueIsDamaged(t *testing.T) {
	url, prefix := redistest.Start(t), redistest.Prefix()
	l, client := newRedis(t, url, prefix, io.Discard)
	rate := limit.Rate{PerSecond: 0.001, Burst: 5}
	for _, value := range []string{"", "x", "nan", "inf", "-1", "1e300"} {
		taken(t, l, "a", rate)
		if err := client.Set(t.Context(), keys(t, client, prefix)[0], value, 0).Err(); err != nil {
			t.Fatal(err)
		}
		if got := taken(t, l, "a", rate); got != 5 && got != 0 {
			t.Errorf("%q: %d tokens, want those of a full or an empty bucket", value, got)
		}
	}
}

// syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestRedisAway stops Redis in two ways. Tokens are counted here then, and by
// all again when it is back.
func TestRedisAway(t *testing.T) {
	server := redistest.StartServer(t)
	for _, test := range []struct {
		name       string
		stop, back func()
	}{
		{"gone", server.Kill, server.Start},
		{"stands still", server.Pause, server.Resume},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log syncBuffer
			prefix := redistest.Prefix()
			l, _ := newRedis(t, server.URL(), prefix, &log)
			other, _ := newRedis(t, server.URL(), prefix, io.Discard)
			rate := limit.Rate{PerSecond: 0.001, Burst: 5}
			if got := taken(t, l, "a", rate); got != 5 {
				t.Errorf("%d tokens, want 5", got)
			}

			test.stop()
			l.SetTimeout(50 * time.Millisecond)
			if got := taken(t, l, "a", rate); got != 5 {
				t.Errorf("%d tokens while Redis was away, want the 5 of this process", got)
			}
			l.AskNow()
			if got := taken(t, l, "a", rate); got != 0 {
				t.Errorf("%d more while Redis was still away", got)
			}

			test.back()
			l.SetTimeout(patience)
			// A connection of before may still be broken.
			for !strings.Contains(log.String(), "shared through Redis again") {
				l.AskNow()
				taken(t, l, "b", rate)
			}
			if got := taken(t, other, "b", rate); got != 0 {
				t.Errorf("another process got %d tokens that were taken", got)
			}
			if n := strings.Count(log.String(), "cannot be shared"); n != 1 {
				t.Errorf("it was said %d times that Redis is away, want once:\n%s", n, log.String())
			}
		})
	}
}

// A client that has gone is no sign that Redis is away.
func TestRedisClientHasGone(t *testing.T) {
	var log syncBuffer
	l, _ := newRedis(t, redistest.Start(t), redistest.Prefix(), &log)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Take(ctx, "a", limit.Rate{PerSecond: 1, Burst: 1}); err == nil {
		t.Error("no error")
	}
	if log.String() != "" {
		t.Errorf("logged: %s", log.String())
	}
}

func BenchmarkRedis(b *testing.B) {
	var log syncBuffer
	l, _ := newRedis(b, redistest.Start(b), redistest.Prefix(), &log)
	rate := limit.Rate{PerSecond: 1000, Burst: 1000}
	for _, n := range []int{1, 16, 128} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetParallelism(n)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if _, err := l.Take(b.Context(), fmt.Sprint("address:", i%1000), rate); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
	if log.String() != "" {
		b.Errorf("this did not measure Redis: %s", log.String())
	}
}
