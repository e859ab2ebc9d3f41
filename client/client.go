// Package client sends events to a Daybook server, from a program that has
// something else to do: Track puts an event into a buffer in memory and
// returns at once, and one goroutine sends what has gathered.
//
//	events, err := client.New("https://daybook.example", client.Options{Key: key, Site: "shop"})
//	...
//	err = events.Track(client.Event{Type: client.PageView, Path: "/pricing", User: "user-1"})
//	...
//	err = events.Close(ctx)
//
// Every event has an ID of its own, and the server counts events with the same
// ID once. So whatever is not confirmed is sent again, as it is, for as long
// as the server may take it: an event that Track took is counted exactly once,
// unless it is reported as dropped. What is dropped, and why, Options.OnDrop
// is told and Stats counts.
//
// The buffer is in memory only: what it holds is lost when the process is
// killed. Close it before the program ends.
//
// The package needs nothing but the standard library.
package client

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// What Track returns for events that it does not take.
var (
	// ErrFull says that the buffer holds as much as it may, because events
	// come faster than the server takes them, or it is away.
	ErrFull = errors.New("daybook: the buffer is full")
	// ErrClosed says that the client is closed.
	ErrClosed = errors.New("daybook: the client is closed")
)

// Defaults of the options.
const (
	DefaultBufferEvents = 100_000
	DefaultBufferBytes  = 32 << 20
	DefaultBatchEvents  = 1000
	DefaultBatchDelay   = time.Second
	DefaultPatience     = time.Hour
)

const (
	// maxBatchEvents is the most events that the server takes in a request.
	maxBatchEvents = 10_000
	// batchBytes is the most bytes of events in a request. The server takes
	// 8 MiB, but proxies in front of it often not more than this.
	batchBytes = 1 << 20
	// requestTimeout bounds one try, so that a server that hangs is tried
	// again.
	requestTimeout = 30 * time.Second
)

// Options are the settings of a Client. The zero value has the defaults.
type Options struct {
	// Key is the server's key for sending events ("db_ingest_..."). An open
	// server needs none.
	Key string
	// Site is the site_id of events that have none.
	Site string

	// BufferEvents and BufferBytes are the most that may wait, as JSON, what
	// is being sent included; 0 is 100,000 events and 32 MiB. Beyond either,
	// Track returns ErrFull.
	BufferEvents, BufferBytes int
	// BatchEvents is the most events of one request, up to 10,000; 0 is 1,000.
	// So many are sent at once.
	BatchEvents int
	// BatchDelay is how long an event waits at most for others to be sent
	// with; 0 is a second.
	BatchDelay time.Duration
	// Patience is how long one request is sent again before its events are
	// dropped; 0 is an hour. It keeps a request that the server never manages
	// from holding up all others for ever.
	Patience time.Duration
	// OnDrop, if set, is told of events that Track took and that will not be
	// sent again. It is called by one goroutine, which sends nothing meanwhile,
	// and must not call Flush or Close.
	OnDrop func(Drop)
	// HTTP is used instead of a client of its own, for example with
	// certificates of your own. Redirects are never followed.
	HTTP *http.Client
}

// Drop tells of events that Track took and that will not be sent again.
type Drop struct {
	// Events are what they would have been sent as, a JSON object each.
	// Written to a file, one a line, `daybook import` can send them later:
	// they keep their IDs. Whoever keeps them also keeps UserAgent and
	// ClientIP, if they were given.
	Events []json.RawMessage
	// Reason says why: a *RejectedError when the server refused this one event,
	// otherwise what came of the request that they were in. Unless it is a
	// *RejectedError, the server may have counted them.
	Reason error
}

// Stats is what became of the events that Track was given: Taken is always
// Delivered + Dropped + Waiting.
type Stats struct {
	// Taken is how many events Track took, Overflowed for how many it
	// returned ErrFull.
	Taken, Overflowed uint64
	// Delivered is how many of those taken the server confirmed, Dropped how
	// many OnDrop was told of, Waiting how many are left.
	Delivered, Dropped, Waiting uint64
	// Retries is how often a request was sent again.
	Retries uint64
}

// Client sends events to one server. All methods are safe for concurrent use.
type Client struct {
	url, key, site string
	opts           Options
	http           *http.Client
	ownHTTP        bool

	ctx    context.Context // ends when what waits is to be given up
	cancel context.CancelFunc
	wake   chan struct{} // has a token when the goroutine should look again
	ended  chan struct{} // closed when the goroutine has ended

	zip *gzip.Writer // of the goroutine

	mu sync.Mutex
	// queue holds what is not being sent yet, in order.
	queue      []entry
	queueBytes int
	// heldBytes are those of queue and of the batch that is being sent.
	heldBytes int
	// hurry is up to which event, counted as taken, nothing waits for others,
	// because somebody waits in Flush.
	hurry uint64
	// flushes are those that wait.
	flushes map[*flush]struct{}
	closed  bool
	// stats has no Waiting; it follows from the others. Events are delivered
	// or dropped in the order in which they were taken.
	stats    Stats
	lastDrop error
	// settled is closed, and another one made, when events are delivered or
	// dropped.
	settled chan struct{}
}

// entry is an event in the buffer.
type entry struct {
	line []byte    // with its end
	due  time.Time // when it has waited for others long enough
}

// flush is a Flush that waits for the first target events that Track took.
type flush struct {
	target, dropped uint64
	reason          error // of the last that was dropped
}

// New makes a client for the server at address, such as
// "https://daybook.example". It does not ask the server anything. Close must
// be called at last.
func New(address string, o Options) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("daybook: the address is not one of a server: allowed is http:// or https:// with host, port and path, as in https://daybook.example")
	}
	if strings.ContainsFunc(o.Key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("daybook: the key has spaces, line ends or other characters that no key has: give it as `daybook keys create` printed it")
	}
	for _, n := range []struct {
		name      string
		value     *int
		otherwise int
		most      int
	}{
		{"BufferEvents", &o.BufferEvents, DefaultBufferEvents, math.MaxInt},
		{"BufferBytes", &o.BufferBytes, DefaultBufferBytes, math.MaxInt},
		{"BatchEvents", &o.BatchEvents, DefaultBatchEvents, maxBatchEvents},
	} {
		if *n.value == 0 {
			*n.value = n.otherwise
		}
		if *n.value < 0 || *n.value > n.most {
			return nil, fmt.Errorf("daybook: %s is %d: allowed are 1 to %d, and 0 for %d", n.name, *n.value, n.most, n.otherwise)
		}
	}
	for _, d := range []struct {
		name      string
		value     *time.Duration
		otherwise time.Duration
	}{
		{"BatchDelay", &o.BatchDelay, DefaultBatchDelay},
		{"Patience", &o.Patience, DefaultPatience},
	} {
		if *d.value == 0 {
			*d.value = d.otherwise
		}
		if *d.value < 0 {
			return nil, fmt.Errorf("daybook: %s is %s: allowed is what is above 0, and 0 for %s", d.name, *d.value, d.otherwise)
		}
	}
	c := &Client{
		url: strings.TrimRight(u.String(), "/") + "/events", key: o.Key, site: o.Site, opts: o,
		wake: make(chan struct{}, 1), ended: make(chan struct{}), settled: make(chan struct{}),
		flushes: map[*flush]struct{}{},
	}
	c.http, c.ownHTTP = httpClient(o.HTTP)
	c.zip, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed) // which is a level that there is
	c.ctx, c.cancel = context.WithCancel(context.Background())
	go c.run()
	return c, nil
}

// Track takes an event to be sent, and never waits for the network. An error
// says that the event is not taken: ErrFull, ErrClosed, or what is wrong with
// it.
func (c *Client) Track(e Event) error {
	line, err := e.line(c.site)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.stats.waiting()
	switch {
	case c.closed:
		return ErrClosed
	case waiting >= uint64(c.opts.BufferEvents), c.heldBytes+len(line) > c.opts.BufferBytes:
		c.stats.Overflowed++
		return ErrFull
	}
	c.queue = append(c.queue, entry{line: line, due: time.Now().Add(c.opts.BatchDelay)})
	c.queueBytes += len(line)
	c.heldBytes += len(line)
	c.stats.Taken++
	if len(c.queue) == 1 || c.full() {
		c.look()
	}
	return nil
}

// Flush sends what Track has taken before, without waiting for more, and
// returns when all of it is delivered or dropped, or when ctx ends. The error
// says that not all of it is delivered. It goes on being sent after ctx has
// ended.
func (c *Client) Flush(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &flush{target: c.stats.Taken}
	c.flushes[f] = struct{}{}
	defer delete(c.flushes, f)
	c.hurry = max(c.hurry, f.target)
	c.look()
	for {
		settled, done := c.settled, c.stats.Delivered+c.stats.Dropped
		switch {
		case done >= f.target && f.dropped > 0:
			return fmt.Errorf("daybook: %d events were dropped: %w", f.dropped, f.reason)
		case done >= f.target:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("daybook: %d events are still to be delivered: %w", f.target-done, context.Cause(ctx))
		}
		c.mu.Unlock()
		select {
		case <-settled:
		case <-ctx.Done():
		}
		c.mu.Lock()
	}
}

// Close sends what Track has taken, and ends the client; from then on Track
// returns ErrClosed. When ctx ends, what is not delivered by then is dropped.
// So give it one with a deadline, or it waits until an outage is over. It may
// be called again. The error says that events were dropped, now or at any time
// before, how many, and why the last ones.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.look()
	select {
	case <-c.ended:
	case <-ctx.Done():
		c.cancel()
		<-c.ended
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stats.Dropped > 0 {
		return fmt.Errorf("daybook: of %d events %d were dropped: %w", c.stats.Taken, c.stats.Dropped, c.lastDrop)
	}
	return nil
}

// Stats tells what became of the events so far.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Waiting = s.waiting()
	return s
}

func (s *Stats) waiting() uint64 { return s.Taken - s.Delivered - s.Dropped }

// look makes the goroutine look again whether there is something to send.
func (c *Client) look() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// full tells whether the queue has a whole batch. mu is held.
func (c *Client) full() bool {
	return len(c.queue) >= c.opts.BatchEvents || c.queueBytes >= batchBytes
}

// run sends one batch after the other. That one request is under way at a time
// is enough, since the longer it takes the more gathers for the next one.
func (c *Client) run() {
	defer close(c.ended)
	defer c.cancel()
	if c.ownHTTP {
		defer c.http.CloseIdleConnections()
	}
	for {
		batch := c.next()
		if batch == nil {
			return
		}
		rejected, err := c.deliver(batch)
		c.settle(batch, rejected, err)
	}
}

// next waits until there is something to send, and takes it off the queue. It
// gives nil when the client is closed and the queue is empty.
func (c *Client) next() []entry {
	for {
		c.mu.Lock()
		if len(c.queue) == 0 {
			closed := c.closed
			c.mu.Unlock()
			if closed {
				return nil
			}
			<-c.wake
			continue
		}
		left := time.Until(c.queue[0].due)
		if c.closed || c.full() || left <= 0 || c.hurry > c.stats.Delivered+c.stats.Dropped {
			defer c.mu.Unlock()
			return c.take()
		}
		c.mu.Unlock()
		select {
		case <-c.wake:
		case <-time.After(left):
		}
	}
}

// take takes a batch off the queue. mu is held.
func (c *Client) take() []entry {
	n, size := 0, 0
	for n < min(len(c.queue), c.opts.BatchEvents) && (n == 0 || size+len(c.queue[n].line) <= batchBytes) {
		size += len(c.queue[n].line)
		n++
	}
	batch := slices.Clone(c.queue[:n])
	c.queue = slices.Delete(c.queue, 0, n)
	c.queueBytes -= size
	return batch
}

// settle reports what is dropped of a batch, and counts what became of it.
func (c *Client) settle(batch []entry, rejected []*RejectedError, err error) {
	if err != nil {
		c.drop(batch, err)
	}
	for _, r := range rejected {
		c.drop(batch[r.Index:r.Index+1], r)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	place := c.stats.Delivered + c.stats.Dropped // of the batch's first event
	lost := func(first, events int, reason error) {
		c.stats.Dropped += uint64(events)
		c.lastDrop = reason
		for f := range c.flushes {
			if from := place + uint64(first); from < f.target {
				f.dropped += min(uint64(events), f.target-from)
				f.reason = reason
			}
		}
	}
	if err != nil {
		lost(0, len(batch), err)
	}
	for _, r := range rejected {
		lost(r.Index, 1, r)
	}
	c.stats.Delivered = place + uint64(len(batch)) - c.stats.Dropped
	for _, e := range batch {
		c.heldBytes -= len(e.line)
	}
	close(c.settled)
	c.settled = make(chan struct{})
}

func (c *Client) drop(batch []entry, reason error) {
	if c.opts.OnDrop == nil {
		return
	}
	events := make([]json.RawMessage, len(batch))
	for i, e := range batch {
		events[i] = e.line[:len(e.line)-1] // without the end of the line
	}
	c.opts.OnDrop(Drop{Events: events, Reason: reason})
}
