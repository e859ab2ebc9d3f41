package crash

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sort"
	"sync"
	"time"

	"github.com/daybook-analytics/daybook/rollup"
)

// The traffic: so many sites, days and, for each site, users and paths.
const (
	sites = 5
	days  = 3
	users = 200
	paths = 150
	// maxOwn bounds the events with a path of their own of one day, so that
	// all of its paths are in an answer, which has at most 1,000.
	maxOwn = 800
	// maxRetry is the number of unclear events beyond which there are no new
	// ones.
	maxRetry = 2000
)

// event is one event that the client sends, perhaps several times.
type event struct {
	day  *day
	view bool
	path string
	user string
	json []byte

	// tries is how often it may still be sent before it is given up; below 0
	// is for ever. An event that may be given up has a path and a user of its
	// own, so that it can be seen in the statistics whether it was counted.
	tries int
	acked bool
}

// day is what was sent of one site and date.
type day struct {
	site, date string
	sent       int // events that were sent at least once
	own        int // of these the ones with their own paths
	acked      []*event
	// ackedAt are the times, in order, at which acked were confirmed.
	ackedAt []time.Time
	// givenUp are those of which nobody knows whether they were accepted.
	givenUp []*event
}

// ledger keeps what was sent and what was answered. It is safe for concurrent
// use; all of it, but for the constant parts of events, is protected by mu.
type ledger struct {
	mu    sync.Mutex
	rng   *rand.Rand
	days  []*day
	acked []*event
	// retry are events whose outcome is unclear and that will be sent again.
	retry []*event
	// underWay is the number of events that are being sent for the first time
	// or again because they are not acknowledged.
	underWay int
	// closed tells that no new events are made.
	closed bool
}

func newLedger(seed uint64) *ledger {
	l := &ledger{rng: rand.New(rand.NewPCG(seed, 1))}
	for s := range sites {
		for d := range days {
			l.days = append(l.days, &day{site: fmt.Sprintf("site-%d", s), date: fmt.Sprintf("2026-03-%02d", d+1)})
		}
	}
	return l
}

// take gives up to n events to send: new ones, unclear ones, and some that are
// acknowledged already, as of a client that forgot it. It gives none when all
// is sent, or everything that is left is under way.
func (l *ledger) take(n int) []*event {
	l.mu.Lock()
	defer l.mu.Unlock()
	var batch []*event
	for range n {
		switch p := l.rng.Float64(); {
		case len(l.retry) > 0 && (l.closed || p < 0.5 || len(l.retry) > maxRetry):
			i := l.rng.IntN(len(l.retry))
			batch = append(batch, l.retry[i])
			last := len(l.retry) - 1
			l.retry[i] = l.retry[last]
			l.retry = l.retry[:last]
			l.underWay++
		case l.closed:
		case len(l.acked) > 0 && p > 0.98:
			batch = append(batch, l.acked[l.rng.IntN(len(l.acked))])
		default:
			batch = append(batch, l.make())
			l.underWay++
		}
	}
	return batch
}

// make makes a new event.
func (l *ledger) make() *event {
	d := l.days[l.rng.IntN(len(l.days))]
	d.sent++
	e := &event{day: d, view: true, tries: -1}
	id := fmt.Sprintf("%s-%d", d.date, d.sent)
	kind := rollup.PageView
	if d.own < maxOwn && l.rng.IntN(2) == 0 {
		d.own++
		e.tries = 1 + l.rng.IntN(2)*l.rng.IntN(3)
		e.path, e.user = "/own/"+id, "own-"+id
	} else {
		e.path = fmt.Sprintf("/page.$%d", l.rng.IntN(paths))
		e.user = fmt.Sprintf("user-%d", l.rng.IntN(users))
		if l.rng.IntN(4) == 0 {
			e.view, kind = false, "click"
		}
	}
	body, err := json.Marshal(map[string]string{
		"site_id": d.site, "event_id": id, "event_type": kind, "path": e.path, "user_id": e.user,
		"timestamp": fmt.Sprintf("%sT%02d:%02d:00Z", d.date, l.rng.IntN(24), l.rng.IntN(60)),
	})
	if err != nil {
		panic(err)
	}
	e.json = body
	return e
}

// confirm says that the events were answered with 202.
func (l *ledger) confirm(events []*event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		if e.acked {
			continue
		}
		l.underWay--
		e.acked = true
		l.acked = append(l.acked, e)
		e.day.acked = append(e.day.acked, e)
		e.day.ackedAt = append(e.day.ackedAt, time.Now())
	}
}

// unclear says that the events were not answered with 202. If they were not
// even sent that is no try.
func (l *ledger) unclear(events []*event, sent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		if e.acked {
			continue
		}
		l.underWay--
		if sent {
			e.tries--
		}
		if e.tries == 0 {
			e.day.givenUp = append(e.day.givenUp, e)
		} else {
			l.retry = append(l.retry, e)
		}
	}
}

// close ends the making of new events.
func (l *ledger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

// settled tells whether all events are acknowledged or given up.
func (l *ledger) settled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed && l.underWay == 0 && len(l.retry) == 0
}

// givenUp gives all events that were given up.
func (l *ledger) givenUp() (events []*event) {
	for _, d := range l.days {
		events = append(events, d.givenUp...)
	}
	return events
}

// sent is the number of events that were sent at least once.
func (l *ledger) sent() (n int) {
	for _, d := range l.days {
		n += d.sent
	}
	return n
}

// bounds gives the least and the most events of a day that may be counted: at
// least those that were acknowledged before the time, at most those that were
// sent by now.
func (l *ledger) bounds(d *day, asOf time.Time) (least, most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	least = sort.Search(len(d.ackedAt), func(i int) bool { return !d.ackedAt[i].Before(asOf) })
	return least, d.sent
}
