package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// The waits between tries double from the first to the last of these.
	firstWait = 100 * time.Millisecond
	lastWait  = 10 * time.Second
	// maxRetryAfter is the longest wait that the server is believed to need.
	maxRetryAfter = 5 * time.Minute
	// zipFrom is from how many bytes on bodies are compressed: less goes in
	// one packet anyhow.
	zipFrom = 1400
	// maxAnswer bounds what is read of an answer: one rejection for each event
	// of a batch is far less.
	maxAnswer = 16 << 20
)

// RejectedError says why the server refused one event.
type RejectedError struct {
	// Index is the event's place in the request in which it was sent, counted
	// from 0.
	Index int `json:"index"`
	// Problem says what was wrong. Field, Value and Allowed tell of a bad
	// field which one, what was given (cut to 100 bytes) and what would have
	// been right.
	Problem string `json:"error"`
	Field   string `json:"field"`
	Value   string `json:"value"`
	Allowed string `json:"allowed"`
}

// Error gives all of it in one line.
func (r *RejectedError) Error() string {
	s := "the server refused the event: " + r.Problem
	if r.Value != "" {
		s += fmt.Sprintf(" (it is %q)", r.Value)
	}
	if r.Allowed != "" {
		s += ": allowed is " + r.Allowed
	}
	return s
}

// httpClient gives the client for requests, and tells whether it is a new one.
func httpClient(given *http.Client) (_ *http.Client, own bool) {
	h := http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     time.Minute,
	}}
	if given != nil {
		h = *given
	}
	if h.Timeout == 0 {
		h.Timeout = requestTimeout
	}
	// A redirected POST may become a GET; better to show the redirect.
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &h, given == nil
}

// deliver sends a batch until it is answered. An error drops all of it.
func (c *Client) deliver(batch []entry) ([]*RejectedError, error) {
	body, zipped := c.pack(batch)
	began, wait := time.Now(), firstWait
	for tries := 1; ; tries++ {
		a, err := c.try(body, zipped)
		if err == nil && !a.passing() {
			return a.rejected(len(batch))
		}
		if err == nil {
			err = a.refusal()
		}
		// Half of it is left to chance, so that many clients do not come back
		// in one moment.
		pause := a.retryAfter + wait/2 + rand.N(wait/2)
		wait = min(2*wait, lastWait)
		if c.ctx.Err() == nil && time.Since(began)+pause > c.opts.Patience {
			return nil, fmt.Errorf("given up after %d tries in %s: %w", tries, time.Since(began).Round(time.Second), err)
		}
		select {
		case <-c.ctx.Done():
			return nil, fmt.Errorf("the client was closed before they were delivered: %w", err)
		case <-time.After(pause):
		}
		c.mu.Lock()
		c.stats.Retries++
		c.mu.Unlock()
	}
}

// pack makes the body of a request: one event a line, compressed if that pays.
func (c *Client) pack(batch []entry) (body []byte, zipped bool) {
	for _, e := range batch {
		body = append(body, e.line...)
	}
	if len(body) < zipFrom {
		return body, false
	}
	var b bytes.Buffer
	c.zip.Reset(&b)
	_, _ = c.zip.Write(body) // to memory it does not fail
	_ = c.zip.Close()
	if b.Len() >= len(body) {
		return body, false
	}
	return b.Bytes(), true
}

// answer is an answer of the server, read as a whole.
type answer struct {
	url        string
	status     int
	retryAfter time.Duration
	body       []byte
}

// try sends a request once.
func (c *Client) try(body []byte, zipped bool) (answer, error) {
	r, err := http.NewRequestWithContext(c.ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	if zipped {
		r.Header.Set("Content-Encoding", "gzip")
	}
	if c.key != "" {
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // which does not begin with the address once more
		}
		return answer{}, fmt.Errorf("%s cannot be reached: %w", c.url, err)
	}
	defer resp.Body.Close()
	a := answer{url: c.url, status: resp.StatusCode, retryAfter: retryAfter(resp.Header, time.Now())}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return answer{}, fmt.Errorf("the answer of %s broke off: %w", c.url, err)
	}
	return a, nil
}

// retryAfter is how long the server wants to be left alone, in seconds or as a
// date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	given := h.Get("Retry-After")
	var wait time.Duration
	if seconds, err := strconv.Atoi(given); err == nil {
		wait = time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
	} else if date, err := http.ParseTime(given); err == nil {
		wait = date.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// passing tells whether the answer may be another one later.
func (a *answer) passing() bool {
	return a.status == http.StatusTooManyRequests || a.status == http.StatusRequestTimeout || a.status >= 500
}

// rejected gives the events that were refused one by one. The error says that
// all were, as a whole.
func (a *answer) rejected(events int) ([]*RejectedError, error) {
	if a.status != http.StatusAccepted && a.status != http.StatusUnprocessableEntity {
		return nil, a.refusal()
	}
	var said struct {
		Accepted *int             `json:"accepted"`
		Rejected []*RejectedError `json:"rejected"`
	}
	if err := json.Unmarshal(a.body, &said); err != nil || said.Accepted == nil || *said.Accepted+len(said.Rejected) != events {
		return nil, a.refusal()
	}
	last := -1
	for _, r := range said.Rejected {
		if r == nil || r.Index <= last || r.Index >= events {
			return nil, a.refusal()
		}
		last = r.Index
	}
	return said.Rejected, nil
}

// refusal is the error for an answer that tells nothing of single events.
func (a *answer) refusal() error {
	var said struct {
		Error string `json:"error"`
	}
	switch {
	case json.Unmarshal(a.body, &said) == nil && said.Error != "":
		return fmt.Errorf("%s answered %d: %s", a.url, a.status, said.Error)
	case a.passing():
		return fmt.Errorf("%s answered %d", a.url, a.status)
	}
	return fmt.Errorf("%s answered %d with %.100q: is it the address where a Daybook server takes events?", a.url, a.status, a.body)
}
