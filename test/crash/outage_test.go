package crash

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// hanging is far beyond the second within which ingest answers, so that a
// loaded machine does not fail the test, but a request that hangs does.
const hanging = 5 * time.Second

// TestRedisOutage takes Redis away under load: once so that nobody listens,
// once so that nobody answers. Every request must be answered with 503 then,
// and when Redis is back everything must go on by itself.
func TestRedisOutage(t *testing.T) {
	length := setting(t, outageVariable, 3*time.Second, time.ParseDuration)
	rate := setting(t, rateVariable, 500, strconv.Atoi)
	for _, variant := range []struct {
		name       string
		install    func(t *testing.T) *installation
		begin, end func(target)
	}{
		{"stopped", installMongoDB, target.stop, target.start},
		{"stalled", installRedis, target.pause, target.resume},
	} {
		t.Run(variant.name, func(t *testing.T) {
			seed := newSeed(t)
			i := variant.install(t)
			redis := i.targets[len(i.targets)-1]
			l := newLedger(seed)
			c := newClient(t, l, i.ingestAddr, i.reportAddr)
			// Nothing may end by itself, and nothing is started again.
			undisturbed := func() {
				for _, target := range i.targets {
					if target.ended() {
						t.FailNow()
					}
				}
			}
			c.eventually("everything is ready", undisturbed, func() bool {
				return i.ingestAddr() != "" && i.reportAddr() != ""
			})

			load := startLoad(c, rate)
			defer load.stop()
			load.wait(rate, undisturbed)
			variant.begin(redis)
			begun := time.Now()
			time.Sleep(length)
			ended := time.Now()
			variant.end(redis)
			load.wait(rate, undisturbed)
			load.stop()

			load.check(t, begun, ended)
			l.close()
			for !l.settled() {
				c.send(t.Context(), l.take(1000))
			}
			c.settle(undisturbed)
			differences, counted := c.check(undisturbed)
			t.Logf("%d events sent, %d acknowledged, %d given up, of which %d are counted; difference %d; seed %d",
				l.sent(), len(l.acked), len(l.givenUp()), counted, len(differences), seed)
			mustBeNone(t, "after the outage", differences)
			undisturbed()
		})
	}
}

// load sends single events at a rate that does not depend on the answers.
type load struct {
	client  *client
	stop    func()
	sending sync.WaitGroup

	mu       sync.Mutex
	accepted int
	requests []request
}

// request is one that was answered, or broken off.
type request struct {
	sent, answered time.Time
	status         int
}

// startLoad begins to send so many requests a second. A stalled Redis holds
// each for a second; when many more are under way than that makes, because the
// machine is too slow, the load is less.
func startLoad(c *client, rate int) *load {
	l := &load{client: c}
	ended := make(chan struct{})
	l.stop = sync.OnceFunc(func() {
		close(ended)
		l.sending.Wait()
	})
	l.sending.Go(func() {
		const tick = 5 * time.Millisecond
		room := make(chan struct{}, 3*rate/2)
		begun, sent := time.Now(), 0
		for ticker := time.NewTicker(tick); ; {
			select {
			case <-ended:
				ticker.Stop()
				return
			case <-ticker.C:
			}
			for due := int(time.Since(begun).Seconds() * float64(rate)); sent < due; sent++ {
				select {
				case room <- struct{}{}:
					l.sending.Go(func() {
						l.send()
						<-room
					})
				default:
				}
			}
		}
	})
	return l
}

func (l *load) send() {
	r := request{sent: time.Now()}
	r.status = l.client.send(l.client.t.Context(), l.client.ledger.take(1)).status
	r.answered = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests = append(l.requests, r)
	if r.status == http.StatusAccepted {
		l.accepted++
	}
}

// wait waits for so many more events to be accepted.
func (l *load) wait(events int, tend func()) {
	l.client.t.Helper()
	accepted := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.accepted
	}
	until := accepted() + events
	l.client.eventually("events are accepted", tend, func() bool { return accepted() >= until })
}

// check looks at the answers to the requests of an outage, and at all others
// that nobody was left without an answer.
func (l *load) check(t *testing.T, begun, ended time.Time) {
	var times []time.Duration
	wrong, without := 0, 0
	for _, r := range l.requests {
		if r.status == 0 {
			without++
		}
		if r.sent.Before(begun) || r.sent.After(ended) {
			continue
		}
		times = append(times, r.answered.Sub(r.sent))
		if r.answered.Before(ended) && r.status != http.StatusServiceUnavailable {
			wrong++
		}
	}
	if len(times) == 0 {
		t.Fatal("nothing was sent during the outage")
	}
	slices.Sort(times)
	quantile := func(q float64) time.Duration {
		return times[int(q*float64(len(times)-1))].Round(100 * time.Microsecond)
	}
	t.Logf("outage of %v: %d requests, %.0f a second, answered within %v (median), %v (99 %%), %v (99.9 %%), %v (all)",
		ended.Sub(begun).Round(time.Millisecond), len(times), float64(len(times))/ended.Sub(begun).Seconds(),
		quantile(0.5), quantile(0.99), quantile(0.999), quantile(1))
	if slowest := quantile(1); slowest > hanging {
		t.Errorf("a request of the outage was answered after %v", slowest)
	}
	if wrong > 0 {
		t.Errorf("%d requests of the outage were not answered with 503", wrong)
	}
	if without > 0 {
		t.Errorf("%d requests had no answer", without)
	}
}
