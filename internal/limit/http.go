package limit

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/daybook-analytics/daybook/internal/web"
)

// Answer tells the client of a request what it has left of the bucket that
// the limit called by gave it a token of, and gives the answer to a request
// that got none: 429 with Retry-After. A request may be under several limits;
// by is a word without quotes, such as "key" or "address".
//
// The headers are those of draft-ietf-httpapi-ratelimit-headers-11: RateLimit-Policy
// says that q requests come back in w seconds, RateLimit that r of them are
// left for the next t seconds, and if none is that there is one in t seconds.
func Answer(w http.ResponseWriter, by string, rate Rate, result Result) error {
	left := result.Reset
	switch {
	case !result.Allowed:
		left = result.RetryAfter
	case result.Remaining == 0:
		left = min(left, rate.interval())
	}
	h := w.Header()
	h.Add("RateLimit-Policy", `"`+by+`";q=`+strconv.Itoa(rate.Burst)+";w="+seconds(rate.filling()))
	h.Add("RateLimit", `"`+by+`";r=`+strconv.Itoa(result.Remaining)+";t="+seconds(left))
	if result.Allowed {
		return nil
	}
	return &web.Error{
		Status:     http.StatusTooManyRequests,
		Message:    "too many requests of this " + by + "; wait as long as Retry-After says",
		Allowed:    fmt.Sprintf("%d at once, and %v a second", rate.Burst, rate.PerSecond),
		RetryAfter: result.RetryAfter,
	}
}

// seconds rounds up.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
