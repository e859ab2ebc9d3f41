package client

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// network is a server in memory, with all that is between. It counts events
// with the same ID once, and refuses those whose path is refusedPath.
type network struct {
	t *testing.T
	// fault, if set, says what goes wrong with a request; they are counted
	// from 0.
	fault func(request int) fault

	mu       sync.Mutex
	times    []time.Time // of the requests
	sizes    []int       // how many events each had
	header   http.Header // of the last
	events   map[string]string
	repeated int
}

const refusedPath = "/refused"

// fault is what goes wrong with a request.
type fault struct {
	err        error // instead of sending it
	status     int   // instead of taking it
	retryAfter string
	body       string
	lost       error         // instead of the answer
	takes      time.Duration // before it is sent
	answerTime time.Duration // before it is answered
}

var errReset = errors.New("connection reset")

// randomFaults gives faults of all kinds, to about half of the requests.
func randomFaults(rng *rand.Rand) func(int) fault {
	return func(int) fault {
		switch rng.IntN(20) {
		case 0, 1:
			return fault{err: errReset}
		case 2, 3:
			return fault{lost: errReset}
		case 4:
			return fault{status: 503, retryAfter: fmt.Sprint(rng.IntN(10)), body: `{"error":"busy"}`}
		case 5:
			return fault{status: 429, retryAfter: "1"}
		case 6:
			return fault{status: 500, body: "oh"}
		case 7:
			return fault{takes: time.Minute} // the client gives up first
		case 8:
			return fault{answerTime: time.Minute}
		case 9:
			return fault{takes: time.Duration(rng.IntN(2000)) * time.Millisecond}
		case 10:
			return fault{status: 400, body: `{"error":"as the test wants it"}`}
		default:
			return fault{}
		}
	}
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	// A request that has ended must not be worked on by a goroutine that is
	// left, so both pauses end with it.
	pause := func(d time.Duration) error {
		select {
		case <-r.Context().Done():
			return r.Context().Err()
		case <-time.After(d):
			return nil
		}
	}
	lines := n.read(r)
	n.mu.Lock()
	n.times, n.sizes, n.header = append(n.times, time.Now()), append(n.sizes, len(lines)), r.Header
	var f fault
	if n.fault != nil {
		f = n.fault(len(n.times) - 1)
	}
	n.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	if err := pause(f.takes); err != nil {
		return nil, err
	}
	status, body := f.status, f.body
	if status == 0 {
		status, body = n.take(lines)
	}
	if err := pause(f.answerTime); err != nil {
		return nil, err
	}
	if f.lost != nil {
		return nil, f.lost
	}
	h := http.Header{}
	h.Set("Retry-After", f.retryAfter)
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// read gives the lines of a request.
func (n *network) read(r *http.Request) (lines []string) {
	var in io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(in)
		if err != nil {
			n.t.Error(err)
			return nil
		}
		in = z
	}
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	if err := scanner.Err(); err != nil {
		n.t.Error(err)
	}
	return lines
}

// take takes events as the server does.
func (n *network) take(lines []string) (status int, body string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	rejected := []RejectedError{}
	for i, line := range lines {
		var e Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			n.t.Errorf("line %q: %v", line, err)
		}
		if e.Path == refusedPath {
			rejected = append(rejected, RejectedError{Index: i, Problem: "path is refused", Field: "path"})
			continue
		}
		if before, known := n.events[e.ID]; known {
			n.repeated++
			if before != line {
				n.t.Errorf("sent as %s, and then as %s", before, line)
			}
		}
		if n.events == nil {
			n.events = map[string]string{}
		}
		n.events[e.ID] = line
	}
	status = http.StatusAccepted
	if len(rejected) == len(lines) {
		status = http.StatusUnprocessableEntity
	}
	b, _ := json.Marshal(map[string]any{"accepted": len(lines) - len(rejected), "rejected": rejected})
	return status, string(b)
}

// drops keeps what a client has dropped.
type drops struct {
	mu      sync.Mutex
	reasons []error
	events  []Event // the same that the reasons are of, one by one
}

func (d *drops) onDrop(t *testing.T) func(Drop) {
	return func(drop Drop) {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, raw := range drop.Events {
			var e Event
			if err := json.Unmarshal(raw, &e); err != nil {
				t.Errorf("dropped %q: %v", raw, err)
			}
			d.events = append(d.events, e)
			d.reasons = append(d.reasons, drop.Reason)
		}
	}
}

// newClient makes a client on a network in memory.
func newClient(t *testing.T, n *network, o Options) (*Client, *drops) {
	t.Helper()
	n.t = t
	dropped := &drops{}
	o.HTTP, o.OnDrop = &http.Client{Transport: n}, dropped.onDrop(t)
	if o.Site == "" {
		o.Site = "shop"
	}
	c, err := New("http://daybook.example:3000/", o)
	if err != nil {
		t.Fatal(err)
	}
	return c, dropped
}
