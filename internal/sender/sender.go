// Package sender sends events to a running server: it is the client's half of
// POST /events and POST /event.
//
// A request whose outcome is unknown is sent again as it is. That counts
// nothing twice as long as every event in it carries its event_id.
package sender

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// What the server takes in one request.
const (
	// MaxEvents is the most events, MaxBytes the most bytes before
	// compression.
	MaxEvents = 10_000
	MaxBytes  = 8 << 20
	// MaxEventBytes is the most bytes of one event.
	MaxEventBytes = 64 << 10
)

// DefaultPatience is how long one request is tried when nothing else is said.
const DefaultPatience = time.Minute

const (
	// requestTimeout bounds one try, so that a server that hangs is tried
	// again.
	requestTimeout = 30 * time.Second
	// Waits between tries double from the first to the last of these, unless
	// the server says how long to wait; more than maxRetryAfter it is not
	// believed.
	firstWait     = 100 * time.Millisecond
	lastWait      = 5 * time.Second
	maxRetryAfter = 30 * time.Second
	// maxAnswer bounds what is read of an answer: one rejection for each of
	// MaxEvents events is far less.
	maxAnswer = 16 << 20
)

// Options say where and how to send.
type Options struct {
	// To is the server's address, as in "http://127.0.0.1:3000".
	To string
	// Key is the server's key for sending events; a server that is open needs
	// none.
	Key string
	// Gzip compresses the bodies of batches.
	Gzip bool
	// Parallel is how many connections are kept open between requests.
	Parallel int
	// Patience is how long one request is tried in all before Send gives up;
	// 0 is DefaultPatience. A server that never answered yet is tried once.
	Patience time.Duration
	// Transport replaces the network in tests.
	Transport http.RoundTripper
}

// Sender sends events to one server. It is safe for concurrent use.
type Sender struct {
	to       string
	key      string
	gzip     bool
	patience time.Duration
	client   *http.Client
	// reached is set once the server has answered anything. Until then an
	// error of the connection most likely means a wrong address, and waiting
	// would only hide that.
	reached atomic.Bool
}

// New makes a Sender. Its error says what is wrong with the address or the key.
func New(o Options) (*Sender, error) {
	u, err := url.Parse(o.To)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("address %q is not one of a server: allowed is http:// or https:// with host and port, as in http://127.0.0.1:3000", o.To)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("address %q has a query or a fragment: allowed is only scheme, host, port and path", o.To)
	}
	if strings.ContainsFunc(o.Key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the key has spaces, line ends or other characters that no key has: give it as `daybook keys create` printed it")
	}
	transport := o.Transport
	if transport == nil {
		transport = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			MaxIdleConnsPerHost:   max(o.Parallel, 1),
			ResponseHeaderTimeout: requestTimeout,
			IdleConnTimeout:       time.Minute,
			// Answers are short; asking for gzip would only cost time.
			DisableCompression: true,
		}
	}
	patience := o.Patience
	if patience == 0 {
		patience = DefaultPatience
	}
	return &Sender{
		to:       strings.TrimRight(u.String(), "/"),
		key:      o.Key,
		gzip:     o.Gzip,
		patience: patience,
		client: &http.Client{
			Transport: transport,
			Timeout:   requestTimeout,
			// A redirected POST may become a GET; better to show the redirect.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// To is the server's address without a slash at its end.
func (s *Sender) To() string { return s.to }

// Close closes idle connections. No other method may be running.
func (s *Sender) Close() { s.client.CloseIdleConnections() }

// Result is what the server made of one request.
type Result struct {
	// Accepted is how many events are durable at the server. Events that it
	// had already are among them.
	Accepted int
	// Rejected are the events that it refused for good.
	Rejected []Rejection
	// Retries is how often the request had to be sent again.
	Retries int
	// Took is the time from the last sending to its answer.
	Took time.Duration
}

// Rejection says why the server refused one event.
type Rejection struct {
	// Index is the event's place in the request, counted from 0.
	Index int `json:"index"`
	// Problem says what was wrong. Field, Value and Allowed tell of a bad
	// field which one, what was given and what would have been right.
	Problem string `json:"error"`
	Field   string `json:"field"`
	Value   string `json:"value"`
	Allowed string `json:"allowed"`
}

// String gives all of it in one line.
func (r Rejection) String() string {
	s := r.Problem
	if r.Value != "" {
		s += fmt.Sprintf(" (it is %q)", r.Value)
	}
	if r.Allowed != "" {
		s += ": allowed is " + r.Allowed
	}
	return s
}

// Send sends a batch: events as JSON, one a line, at most MaxEvents and
// MaxBytes. It tries again, with the same body, while the server cannot be
// reached or asks to wait. An error means that the outcome is unknown or that
// the server refuses the batch as a whole; events refused one by one are in
// the Result.
func (s *Sender) Send(ctx context.Context, body []byte, events int) (Result, error) {
	header := http.Header{"Content-Type": {"application/x-ndjson"}}
	if s.gzip {
		body = compress(body)
		header.Set("Content-Encoding", "gzip")
	}
	answer, result, err := s.post(ctx, "/events", header, body, events)
	if err != nil {
		return Result{}, err
	}
	var a struct {
		Accepted *int        `json:"accepted"`
		Rejected []Rejection `json:"rejected"`
	}
	if err := json.Unmarshal(answer.body, &a); err != nil || a.Accepted == nil || *a.Accepted+len(a.Rejected) != events {
		// A 422 may also say that the batch as a whole is wrong.
		return Result{}, s.refused("/events", answer)
	}
	for _, r := range a.Rejected {
		if r.Index < 0 || r.Index >= events {
			return Result{}, s.refused("/events", answer)
		}
	}
	result.Accepted, result.Rejected = *a.Accepted, a.Rejected
	return result, nil
}

// SendOne sends one event, a JSON object, in a request of its own; apart from
// that it is like Send.
func (s *Sender) SendOne(ctx context.Context, body []byte) (Result, error) {
	header := http.Header{"Content-Type": {"application/json"}}
	answer, result, err := s.post(ctx, "/event", header, body, 1)
	if err != nil {
		return Result{}, err
	}
	if answer.status == http.StatusUnprocessableEntity {
		r := Rejection{}
		if err := json.Unmarshal(answer.body, &r); err != nil || r.Problem == "" {
			return Result{}, s.refused("/event", answer)
		}
		r.Index = 0
		result.Rejected = []Rejection{r}
		return result, nil
	}
	result.Accepted = 1
	return result, nil
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	// Speed before size: the server is near or the events are many. Writing
	// to memory does not fail, and the level is one that exists.
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	_, _ = z.Write(body)
	_ = z.Close()
	return b.Bytes()
}

// answer is an answer of the server, read as a whole.
type answer struct {
	status     int
	retryAfter time.Duration
	body       []byte
}

// post sends a request until it is answered with 202 or 422.
func (s *Sender) post(ctx context.Context, path string, header http.Header, body []byte, events int) (answer, Result, error) {
	started := time.Now()
	wait := firstWait
	for retries := 0; ; retries++ {
		sent := time.Now()
		a, err := s.try(ctx, path, header, body)
		var pause time.Duration
		switch {
		case ctx.Err() != nil:
			return answer{}, Result{}, context.Cause(ctx)
		case err != nil && !s.reached.Load():
			return answer{}, Result{}, fmt.Errorf("no server answers at %s (%w): start one with \"daybook serve\", or give the address of yours with --to", s.to, reason(err))
		case err == nil && (a.status == http.StatusAccepted || a.status == http.StatusUnprocessableEntity):
			s.reached.Store(true)
			return a, Result{Retries: retries, Took: time.Since(sent)}, nil
		case err == nil && !passing(a.status):
			return answer{}, Result{}, s.refused(path, a)
		case err == nil:
			s.reached.Store(true)
			err = s.refused(path, a)
			pause = a.retryAfter
		default:
			err = fmt.Errorf("%s cannot be reached: %w", s.to, reason(err))
		}
		if pause == 0 {
			// Half of it is left to chance, so that many senders do not come
			// back in one moment.
			pause = wait/2 + rand.N(wait/2)
			wait = min(2*wait, lastWait)
		}
		if time.Since(started)+pause > s.patience {
			return answer{}, Result{}, fmt.Errorf("gave up on a request of %d events after %d tries in %s: %w",
				events, retries+1, time.Since(started).Round(time.Second), err)
		}
		select {
		case <-ctx.Done():
			return answer{}, Result{}, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// try sends a request once.
func (s *Sender) try(ctx context.Context, path string, header http.Header, body []byte) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.to+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header = header.Clone()
	if s.key != "" {
		r.Header.Set("Authorization", "Bearer "+s.key)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		a.retryAfter = min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return a, err
}

// passing tells whether an answer of this status may be another one later.
func passing(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// refused is the error for an answer that is none to the events one by one.
func (s *Sender) refused(path string, a answer) error {
	var said struct {
		Error string `json:"error"`
	}
	known := json.Unmarshal(a.body, &said) == nil && said.Error != ""
	switch {
	case known && (a.status == http.StatusUnauthorized || a.status == http.StatusForbidden):
		return fmt.Errorf("%s%s answered %d: %s: make a key for it with \"daybook keys create --site SITE --scope ingest\", and give it with --key or DAYBOOK_KEY", s.to, path, a.status, said.Error)
	case known:
		return fmt.Errorf("%s%s answered %d: %s", s.to, path, a.status, said.Error)
	case a.status == http.StatusAccepted || a.status == http.StatusUnprocessableEntity:
		return fmt.Errorf("%s%s answered %d with %.100q, which does not tell of each event what became of it: is it a Daybook server of this version?", s.to, path, a.status, a.body)
	case passing(a.status):
		return fmt.Errorf("%s%s answered %d", s.to, path, a.status)
	}
	return fmt.Errorf("%s%s answered %d: is it the address where a Daybook server takes events?", s.to, path, a.status)
}

// reason takes the URL off an error of net/http, as it is said before.
func reason(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
