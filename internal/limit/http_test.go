package limit_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/limit"
	"github.com/daybook-analytics/daybook/internal/web"
)

func TestAnswer(t *testing.T) {
	rate := limit.Rate{PerSecond: 0.5, Burst: 30}
	for _, test := range []struct {
		name   string
		result limit.Result
		want   string
		status int
	}{
		{"first", limit.Result{Allowed: true, Remaining: 29, Reset: 2 * time.Second}, `"key";r=29;t=2`, 0},
		{"some left", limit.Result{Allowed: true, Remaining: 10, Reset: 39500 * time.Millisecond}, `"key";r=10;t=40`, 0},
		{"last", limit.Result{Allowed: true, Reset: 60 * time.Second}, `"key";r=0;t=2`, 0},
		{"refused", limit.Result{RetryAfter: 100 * time.Millisecond, Reset: 58 * time.Second}, `"key";r=0;t=1`, 429},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			w.Header().Add("RateLimit", `"address";r=1;t=1`)
			err := limit.Answer(w, "key", rate, test.result)
			if got := w.Header().Get("RateLimit-Policy"); got != `"key";q=30;w=60` {
				t.Errorf("RateLimit-Policy: %s", got)
			}
			if got := w.Header().Values("RateLimit"); len(got) != 2 || got[1] != test.want {
				t.Errorf("RateLimit: %s, want another limit's and %s", got, test.want)
			}
			told, _ := errors.AsType[*web.Error](err)
			switch {
			case test.status == 0 && err == nil:
			case test.status != 0 && told != nil && told.Status == http.StatusTooManyRequests && told.RetryAfter == test.result.RetryAfter:
			default:
				t.Errorf("answered with %v, want status %d", err, test.status)
			}
		})
	}
}
