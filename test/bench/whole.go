package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/rollup"
)

// The whole way of events: sent to a `daybook serve` in batches, until all of
// them are in its rollups.

// batchEvents is how many events go in a request, and in an entry of a queue.
const batchEvents = 1000

// live gives the events of a population in the order in which they come in:
// each of any site and of any day, up to now. They are the same each time but
// for the time of day of today's. An event is valid until the next one.
func (p *population) live() iter.Seq[*event.Event] {
	return func(yield func(*event.Event) bool) {
		t := newTraffic(p)
		rng := rand.New(rand.NewPCG(3, 4))
		sites := make([]string, p.sites)
		for i := range sites {
			sites[i] = p.site(i)
		}
		now, first := time.Now(), p.end.AddDate(0, 0, 1-p.days)
		var e event.Event
		for i := range p.events {
			begin := first.AddDate(0, 0, rng.IntN(p.days))
			length := max(1, min(24*time.Hour, now.Sub(begin)).Milliseconds())
			drawn := t.drawn[i%draws]
			e = event.Event{
				ID:     eventID(uint64(i)),
				Site:   sites[rng.IntN(p.sites)],
				User:   t.users[drawn.user],
				Time:   begin.Add(time.Duration(rng.Int64N(length)) * time.Millisecond),
				Values: surroundings[rng.IntN(len(surroundings))],
			}
			e.Values[rollup.Path] = t.paths[drawn.path]
			e.Values[rollup.EventType] = rollup.PageView
			if rng.IntN(10) == 0 {
				e.Values[rollup.EventType] = "click"
			}
			if !yield(&e) {
				return
			}
		}
	}
}

// delivery is a population's events as whole requests of POST /events, which are
// made before any clock starts: sending them must take next to nothing of the
// processors that the server has. The events have no event_id, as those of a
// tracker, so that the same delivery can be sent again and counts again.
type delivery struct {
	*population
	requests [][]byte
}

// newDelivery makes the requests. The number of events must be a multiple of
// batchEvents.
func newDelivery(p *population) *delivery {
	d := &delivery{population: p}
	var body []byte
	n := 0
	for e := range p.live() {
		body = appendJSON(body, e)
		if n++; n%batchEvents == 0 {
			d.requests = append(d.requests, posts("/events", "application/x-ndjson", [][]byte{body})...)
			body = body[:0]
		}
	}
	return d
}

// appendJSON appends an event as a client sends it, and a newline. No value of
// a population needs an escape.
func appendJSON(b []byte, e *event.Event) []byte {
	b = append(b, `{"site_id":"`...)
	b = append(b, e.Site...)
	b = append(b, `","user_id":"`...)
	b = append(b, e.User...)
	b = append(b, `","timestamp":"`...)
	b = e.Time.AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	for d, value := range e.Values {
		if value != "" {
			b = append(b, `","`...)
			b = append(b, rollup.Dimension(d).String()...)
			b = append(b, `":"`...)
			b = append(b, value...)
		}
	}
	return append(b, "\"}\n"...)
}

// send sends the delivery to an ingest role. It is an error if any event is not
// accepted.
func (d *delivery) send(ctx context.Context, ingest string) error {
	answer := fmt.Sprintf(`{"accepted":%d,"rejected":[]}`+"\n", batchEvents)
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range batchConnections {
		group.Go(func() error {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimPrefix(ingest, "http://"))
			if err != nil {
				return err
			}
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			c := &connection{Conn: conn}
			for {
				i := int(next.Add(1)) - 1
				if i >= len(d.requests) {
					return nil
				}
				if err := c.SetDeadline(time.Now().Add(answerTime)); err != nil {
					return err
				}
				if err := c.exchange(d.requests[i], answer); err != nil {
					return fmt.Errorf("request %d of %d: %w", i+1, len(d.requests), err)
				}
			}
		})
	}
	return group.Wait()
}

// to sends the delivery to a server, waits until all of it is in rollups, and
// gives the events a second from the first request to the last rollup. stored
// is how many events of the same sites and days the server had before; that it
// counts all together in the end is made sure of.
func (d *delivery) to(ctx context.Context, server *daybook, stored int) (float64, error) {
	before, err := server.worked(ctx)
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := d.send(ctx, server.ingest); err != nil {
		return 0, err
	}
	if err := server.awaitWorked(ctx, before+d.events); err != nil {
		return 0, err
	}
	took := time.Since(begun)
	return float64(d.events) / took.Seconds(), d.verify(ctx, server, stored+d.events)
}

// patience is how long workers may stand still before a run is given up.
const patience = time.Minute

// awaitWorked waits until the server's worker has committed so many events since
// it was started, whose rollups are then written.
func (d *daybook) awaitWorked(ctx context.Context, events int) error {
	const pause = 20 * time.Millisecond // asking takes the server about one
	last, moved := 0, time.Now()
	for {
		worked, err := d.worked(ctx)
		if err != nil || worked == events {
			return err
		}
		if worked != last {
			last, moved = worked, time.Now()
		}
		if worked > events || time.Since(moved) > patience {
			return fmt.Errorf("the worker has done %d events where %d were sent", worked, events)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// worked asks how many events the server's worker has committed since it was
// started.
func (d *daybook) worked(ctx context.Context) (int, error) {
	const metric = "daybook_worker_events_total"
	text, err := get(ctx, d.report+"/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, metric+" "); ok {
			events, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return int(events), err
		}
	}
	return 0, fmt.Errorf("the metrics have no %s", metric)
}

// verify asks for the totals of all sites and makes sure that so many events
// are counted on the days of the delivery.
func (d *delivery) verify(ctx context.Context, server *daybook, events int) error {
	var next, counted atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range batchConnections {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= d.sites {
					return nil
				}
				body, err := get(ctx, fmt.Sprintf("%s/stats?site_id=%s&from=%s&to=%s", server.report, d.site(i), d.date(0), d.date(d.days-1)))
				if err != nil {
					return err
				}
				var answer struct {
					Events int64 `json:"total_events"`
				}
				if err := json.Unmarshal(body, &answer); err != nil {
					return err
				}
				counted.Add(answer.Events)
			}
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if n := int(counted.Load()); n != events {
		return fmt.Errorf("%d events are counted where %d were sent", n, events)
	}
	return nil
}

// get gives the body of an answer with status 200.
func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %.500s", url, resp.Status, body)
	}
	return body, err
}

// within calls fn with a new directory, which is removed when it returns.
func (b *bench) within(fn func(dir string) error) error {
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return err
	}
	return errors.Join(fn(dir), os.RemoveAll(dir))
}
