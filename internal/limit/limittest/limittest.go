// Package limittest is the suite that every limit.Limiter passes.
package limittest

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/limit"
)

// interval is the time between two tokens in the suite, and slack how much of
// it may pass by itself while a test runs on a clock that nobody stops.
const (
	interval = 1000 * time.Second
	slack    = 500 * time.Second
)

// Subject is a limiter that is tested.
type Subject struct {
	limit.Limiter
	// Pass lets time pass.
	Pass func(time.Duration)
}

// Run runs the suite on limiters without buckets that open gives it.
func Run(t *testing.T, open func(*testing.T) Subject) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Subject)
	}{
		{"Burst", testBurst},
		{"Refill", testRefill},
		{"RefusedCostsNothing", testRefused},
		{"Names", testNames},
		{"RateChanges", testRateChanges},
		{"BadRates", testBadRates},
		{"AtOnce", testAtOnce},
		{"ContextEnded", testContextEnded},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func rate(burst int) limit.Rate {
	return limit.Rate{PerSecond: 1 / interval.Seconds(), Burst: burst}
}

func (s Subject) take(t *testing.T, name string, r limit.Rate) limit.Result {
	t.Helper()
	result, err := s.Take(t.Context(), name, r)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// want takes a token and compares, durations within the slack.
func (s Subject) want(t *testing.T, name string, r limit.Rate, want limit.Result) {
	t.Helper()
	got := s.take(t, name, r)
	near := func(got, want time.Duration) bool { return got <= want && got >= max(0, want-slack) }
	if got.Allowed != want.Allowed || got.Remaining != want.Remaining ||
		!near(got.RetryAfter, want.RetryAfter) || !near(got.Reset, want.Reset) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// empty takes all tokens of a bucket that holds so many.
func (s Subject) empty(t *testing.T, name string, r limit.Rate, holds int) {
	t.Helper()
	for i := range holds {
		if !s.take(t, name, r).Allowed {
			t.Fatalf("%d of %d tokens were not there", holds-i, holds)
		}
	}
	if got := s.take(t, name, r); got.Allowed {
		t.Fatalf("there were more than %d tokens", holds)
	}
}

func testBurst(t *testing.T, s Subject) {
	s.want(t, "a", rate(3), limit.Result{Allowed: true, Remaining: 2, Reset: interval})
	s.want(t, "a", rate(3), limit.Result{Allowed: true, Remaining: 1, Reset: 2 * interval})
	s.want(t, "a", rate(3), limit.Result{Allowed: true, Remaining: 0, Reset: 3 * interval})
	s.want(t, "a", rate(3), limit.Result{RetryAfter: interval, Reset: 3 * interval})
	s.want(t, "b", rate(1), limit.Result{Allowed: true, Reset: interval})
	s.want(t, "b", rate(1), limit.Result{RetryAfter: interval, Reset: interval})
}

func testRefill(t *testing.T, s Subject) {
	s.empty(t, "a", rate(3), 3)
	s.Pass(interval)
	s.empty(t, "a", rate(3), 1)
	s.Pass(2 * interval)
	s.empty(t, "a", rate(3), 2)
	s.Pass(100 * interval)
	s.empty(t, "a", rate(3), 3)
}

func testRefused(t *testing.T, s Subject) {
	s.empty(t, "a", rate(2), 2)
	for range 100 {
		s.want(t, "a", rate(2), limit.Result{RetryAfter: interval, Reset: 2 * interval})
	}
	s.Pass(interval)
	s.empty(t, "a", rate(2), 1)
}

func testNames(t *testing.T, s Subject) {
	for _, name := range []string{"", "a", "a ", "A", "{a}", "a:b", "a\x00b", "a\nb", "ä", "\xff", strings.Repeat("x", 10_000), strings.Repeat("x", 10_001)} {
		s.empty(t, name, rate(2), 2)
	}
}

func testRateChanges(t *testing.T, s Subject) {
	s.empty(t, "a", rate(10), 10)
	// At a thousand times the rate a bucket is full in ten seconds, and so is
	// this one.
	fast := limit.Rate{PerSecond: 1000 / interval.Seconds(), Burst: 10}
	if got := s.take(t, "a", fast); got.Reset > 10*time.Second {
		t.Errorf("after the rate rose, the bucket is full in %v", got.Reset)
	}
	s.Pass(10 * time.Second)
	if got := s.take(t, "a", fast); !got.Allowed || got.Reset > 2*time.Second {
		t.Errorf("ten seconds after the rate rose: %+v", got)
	}
}

func testBadRates(t *testing.T, s Subject) {
	for _, bad := range []limit.Rate{
		{}, {PerSecond: 1}, {Burst: 1}, {PerSecond: -1, Burst: 1}, {PerSecond: 1, Burst: -1},
		{PerSecond: math.NaN(), Burst: 1}, {PerSecond: math.Inf(1), Burst: 1}, {PerSecond: 2e6, Burst: 1},
		{PerSecond: 1, Burst: 2e6}, {PerSecond: 1e-9, Burst: 1}, {PerSecond: math.SmallestNonzeroFloat64, Burst: 1},
	} {
		if result, err := s.Take(t.Context(), "a", bad); err == nil {
			t.Errorf("%+v gave %+v and no error", bad, result)
		}
	}
	for _, good := range []limit.Rate{{PerSecond: 1e6, Burst: 1e6}, {PerSecond: 1e-6, Burst: 2}, {PerSecond: 0.3, Burst: 7}} {
		if got := s.take(t, "good", good); !got.Allowed {
			t.Errorf("%+v gave %+v", good, got)
		}
		s.Pass(30 * 24 * time.Hour)
	}
}

func testAtOnce(t *testing.T, s Subject) {
	var takers sync.WaitGroup
	var allowed atomic.Int64
	for range 20 {
		takers.Go(func() {
			for range 20 {
				result, err := s.Take(t.Context(), "a", rate(100))
				if err != nil {
					t.Error(err)
				}
				if result.Allowed {
					allowed.Add(1)
				}
			}
		})
	}
	takers.Wait()
	if got := allowed.Load(); got != 100 {
		t.Errorf("%d tokens were taken, want 100", got)
	}
}

// A limiter may look at the context or not; it never gives another error.
func testContextEnded(t *testing.T, s Subject) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Take(ctx, "a", rate(1)); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
