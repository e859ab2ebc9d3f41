package limit_test

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/daybook-analytics/daybook/internal/limit"
	"github.com/daybook-analytics/daybook/internal/limit/limittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLocal(t *testing.T) {
	limittest.Run(t, func(*testing.T) limittest.Subject {
		var clock atomic.Int64
		return limittest.Subject{
			Limiter: limit.NewLocalAt(func() time.Duration { return time.Duration(clock.Load()) }),
			Pass:    func(d time.Duration) { clock.Add(int64(d)) },
		}
	})
}

// TestLocalIsBounded has twice as many addresses as there is room for, among
// them one that is stopped. It stays so: buckets that are nearer to being full
// make room.
func TestLocalIsBounded(t *testing.T) {
	l := limit.NewLocal()
	rate := limit.Rate{PerSecond: 0.001, Burst: 10}
	take := func(name string) bool {
		result, err := l.Take(t.Context(), name, rate)
		if err != nil {
			t.Fatal(err)
		}
		return result.Allowed
	}
	for range 20 {
		take("the greedy one")
	}
	for i := range 2 * limit.MaxBuckets {
		if !take(strconv.Itoa(i)) {
			t.Fatalf("name %d was refused its first token", i)
		}
	}
	if got := l.Buckets(); got > limit.MaxBuckets || got < limit.MaxBuckets/2 {
		t.Errorf("%d buckets are kept, want at most %d and not far from it", got, limit.MaxBuckets)
	}
	if take("the greedy one") {
		t.Error("whoever was stopped is forgotten because of others")
	}
}

func BenchmarkLocal(b *testing.B) {
	for _, names := range []int{1, 1000, 1_000_000} {
		b.Run(fmt.Sprint(names), func(b *testing.B) {
			l := limit.NewLocal()
			rate := limit.Rate{PerSecond: 100, Burst: 1000}
			list := make([]string, names)
			for i := range list {
				list[i] = fmt.Sprintf("address:192.0.2.%d", i)
			}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if _, err := l.Take(b.Context(), list[i%names], rate); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
