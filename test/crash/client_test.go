package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// client sends events and reads statistics. It is safe for concurrent use.
type client struct {
	t      testing.TB
	ledger *ledger
	http   http.Client
	// ingest and report give the addresses of the servers now, empty while
	// there is none.
	ingest, report func() string
}

// giveUpTime is how long the client waits for an answer. Ingest answers within
// about a second, but it may be standing still.
const giveUpTime = 10 * time.Second

func newClient(t testing.TB, l *ledger, ingest, report func() string) *client {
	transport := &http.Transport{MaxIdleConnsPerHost: 4096}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{
		t: t, ledger: l, ingest: ingest, report: report,
		http: http.Client{Transport: transport, Timeout: giveUpTime},
	}
}

// answer is what became of a request to ingest.
type answer struct {
	status int // 0: there was no answer, or none that is whole
	// unsent tells that ingest did not even take the connection.
	unsent bool
}

// post sends the events in one request: a single one to /event, several to
// /events. It fails the test for every answer that must not be: events that
// are right are accepted, or not now.
func (c *client) post(ctx context.Context, events []*event) answer {
	addr := c.ingest()
	if addr == "" {
		return answer{unsent: true}
	}
	path, media, body := "/event", "application/json", events[0].json
	if len(events) > 1 {
		path, media, body = "/events", "application/x-ndjson", nil
		for _, e := range events {
			body = append(append(body, e.json...), '\n')
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+path, bytes.NewReader(body))
	if err != nil {
		c.t.Error(err)
		return answer{unsent: true}
	}
	req.Header.Set("Content-Type", media)
	resp, err := c.http.Do(req)
	if err != nil {
		failed, ok := errors.AsType[*net.OpError](err)
		return answer{unsent: ok && failed.Op == "dial"}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}
	}
	retryAfter := resp.Header.Get("Retry-After")
	switch {
	case resp.StatusCode == http.StatusServiceUnavailable && retryAfter != "":
	case resp.StatusCode != http.StatusAccepted:
		c.t.Errorf("POST %s was answered with %s, Retry-After %q: %s", path, resp.Status, retryAfter, text)
	case len(events) > 1:
		var result struct {
			Accepted int
			Rejected []json.RawMessage
		}
		if err := json.Unmarshal(text, &result); err != nil || result.Accepted != len(events) || len(result.Rejected) > 0 {
			c.t.Errorf("POST /events with %d events was answered with %v, %s", len(events), err, text)
		}
	}
	return answer{status: resp.StatusCode}
}

// send sends the events once and tells the ledger what came of it.
func (c *client) send(ctx context.Context, events []*event) answer {
	a := c.post(ctx, events)
	if a.status == http.StatusAccepted {
		c.ledger.confirm(events)
	} else {
		c.ledger.unclear(events, !a.unsent)
	}
	return a
}

// run sends batches of up to n events, with pauses, until the ledger is
// settled or ctx ends. It breaks some requests off after a moment, as a client
// does that loses its connection: their events are accepted, or not.
func (c *client) run(ctx context.Context, seed uint64, n int, pause time.Duration) {
	rng := rand.New(rand.NewPCG(seed, 2))
	for ctx.Err() == nil && !c.ledger.settled() {
		if c.ingest() != "" {
			patience := giveUpTime
			if rng.IntN(30) == 0 {
				patience = time.Duration(rng.ExpFloat64() * float64(5*time.Millisecond))
			}
			if events := c.ledger.take(1 + rng.IntN(n)); len(events) > 0 {
				requestCtx, cancel := context.WithTimeout(ctx, patience)
				c.send(requestCtx, events)
				cancel()
			}
		}
		time.Sleep(time.Duration(rng.ExpFloat64() * float64(pause)))
	}
}

// resend sends events until they are accepted.
func (c *client) resend(events []*event, tend func()) {
	c.t.Helper()
	const batch = 5000
	for len(events) > 0 {
		n := min(batch, len(events))
		c.eventually("the events are taken again", tend, func() bool {
			return c.post(c.t.Context(), events[:n]).status == http.StatusAccepted
		})
		events = events[n:]
	}
}

// eventually polls until ok, and does what there is to tend meanwhile.
func (c *client) eventually(what string, tend func(), ok func() bool) {
	c.t.Helper()
	const patience = 4 * time.Minute
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("in vain waited %v for this: %s", patience, what)
		}
		tend()
	}
}

// stats is the answer of GET /stats.
type stats struct {
	Events   int `json:"total_events"`
	Views    int `json:"total_views"`
	Users    int `json:"unique_users"`
	TopPaths []struct {
		Path  string
		Views int
	} `json:"top_paths"`
	Exact  bool      `json:"top_paths_exact"`
	Source string    `json:"source"`
	AsOf   time.Time `json:"as_of"`
}

// stats asks for the statistics; ok is false while they cannot be had.
func (c *client) stats(query url.Values) (s stats, ok bool) {
	addr := c.report()
	if addr == "" {
		return stats{}, false
	}
	resp, err := c.http.Get("http://" + addr + "/stats?" + query.Encode())
	if err != nil {
		return stats{}, false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return stats{}, false
	}
	switch resp.StatusCode {
	case http.StatusServiceUnavailable:
		return stats{}, false
	case http.StatusOK:
		if err := json.Unmarshal(body, &s); err == nil {
			return s, true
		}
	}
	c.t.Errorf("GET /stats?%s was answered with %s: %s", query.Encode(), resp.Status, body)
	return stats{}, false
}

// dayStats asks for a day with all its paths.
func (c *client) dayStats(d *day) (stats, bool) {
	return c.stats(url.Values{"site_id": {d.site}, "date": {d.date}, "limit": {"1000"}})
}

// watch reads days at random until ctx ends. At any moment an answer must hold
// everything that was acknowledged before its as_of, and nothing that was not
// sent.
func (c *client) watch(ctx context.Context, seed uint64) (answers int) {
	rng := rand.New(rand.NewPCG(seed, 3))
	for {
		select {
		case <-ctx.Done():
			return answers
		case <-time.After(time.Duration(rng.IntN(100)) * time.Millisecond):
		}
		d := c.ledger.days[rng.IntN(len(c.ledger.days))]
		got, ok := c.dayStats(d)
		if !ok {
			continue
		}
		answers++
		if least, most := c.ledger.bounds(d, got.AsOf); got.Events < least || got.Events > most {
			c.t.Errorf("%s on %s has %d events; %d were acknowledged before %v, %d were sent",
				d.site, d.date, got.Events, least, got.AsOf, most)
		}
	}
}
