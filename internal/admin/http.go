package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"syscall"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/web"
)

// action is one of Actions over HTTP: a POST to its path, with what it is
// asked for and what it gives as JSON.
type action[In, Out any] struct{ path string }

type page struct {
	After string `json:"after"`
	Limit int    `json:"limit"`
}

var (
	listLetters  = action[page, []Letter]{"/deadletters/list"}
	showLetter   = action[string, Letter]{"/deadletters/show"}
	replay       = action[[]string, Replayed]{"/deadletters/replay"}
	purge        = action[[]string, int]{"/deadletters/purge"}
	listStreams  = action[struct{}, []Stream]{"/streams/list"}
	raiseStreams = action[int, queue.Epoch]{"/streams/raise"}
)

// maxBody is the most bytes that a request may have, and keysAtOnce the most
// keys of one, so that it is done within the server's time for an answer.
const (
	maxBody    = 1 << 20
	keysAtOnce = 500
)

// statusNoSuchThing tells of store.ErrNotFound. 404 says that there is no such
// action.
const statusNoSuchThing = http.StatusGone

// registerPlain adds the actions that are for commands alone.
func (a *Admin) registerPlain(rt *web.Router) {
	listLetters.serve(rt, func(ctx context.Context, p page) ([]Letter, error) {
		return a.DeadLetters(ctx, p.After, min(p.Limit, MaxLetters))
	})
	showLetter.serve(rt, a.DeadLetter)
	replay.serve(rt, a.Replay)
	purge.serve(rt, a.Purge)
	listStreams.serve(rt, func(ctx context.Context, _ struct{}) ([]Stream, error) { return a.Streams(ctx) })
	raiseStreams.serve(rt, a.RaiseStreams)
}

func (a action[In, Out]) serve(rt *web.Router, do func(context.Context, In) (Out, error)) {
	rt.Handle(a.path, web.Methods{http.MethodPost: func(w http.ResponseWriter, r *http.Request) error {
		var in In
		body := http.MaxBytesReader(w, r.Body, maxBody)
		if err := json.NewDecoder(body).Decode(&in); err != nil {
			if errors.As(err, new(*http.MaxBytesError)) {
				return err
			}
			return &web.Error{Status: http.StatusBadRequest, Message: "the body is not what this daybook understands: use a command of the same version"}
		}
		out, err := do(r.Context(), in)
		if errors.Is(err, store.ErrNotFound) {
			return &web.Error{Status: statusNoSuchThing, Message: err.Error()}
		}
		if err != nil {
			return err
		}
		web.WriteJSON(w, http.StatusOK, out)
		return nil
	}})
}

// Client is Actions through the socket of the process that holds them.
type Client struct {
	socket string
	http   http.Client
}

var _ Actions = (*Client)(nil)

// ErrNoServer says that no process listens on a socket.
var ErrNoServer = errors.New("no running daybook")

// Dial makes a client of the process that listens on the socket. If there is
// none, the error wraps ErrNoServer.
func Dial(ctx context.Context, socket string) (*Client, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	conn, err := dial(ctx, "", "")
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w listens on %s", ErrNoServer, socket)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("a daybook runs here, and only its user may ask it: %w", err)
	case err != nil:
		return nil, fmt.Errorf("asking the running daybook: %w", err)
	}
	_ = conn.Close() // it was only to see who answers
	// Each request has a connection of its own, so that there is nothing to
	// close.
	return &Client{socket: socket, http: http.Client{
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true},
	}}, nil
}

func (a action[In, Out]) call(ctx context.Context, c *Client, in In) (Out, error) {
	out, err := ask[Out](ctx, c, http.MethodPost, a.path, in)
	var failure *web.Error
	if errors.As(err, &failure) && failure.Status == http.StatusNotFound {
		err = c.failed(errors.New("it does not know this command: use the one of its own version"))
	}
	return out, err
}

// ask sends a request with in, unless that is nil, as JSON, and gives the
// answer.
func ask[Out any](ctx context.Context, c *Client, method, path string, in any) (out Out, err error) {
	resp, err := c.send(ctx, method, path, in)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return out, c.failed(err)
	}
	return out, nil
}

// send sends a request with in, unless that is nil, as JSON, and gives the
// answer to it, if that is a success.
func (c *Client) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return nil, c.failed(err)
		}
	}
	return c.do(ctx, method, path, &body)
}

// do sends a request with a body and gives the answer to it, if that is a
// success.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	// The host is not looked at.
	r, err := http.NewRequestWithContext(ctx, method, "http://daybook"+path, body)
	if err != nil {
		return nil, c.failed(err)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, c.failed(err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	failure := web.Error{Status: resp.StatusCode}
	if err := json.NewDecoder(resp.Body).Decode(&failure); err != nil {
		return nil, c.failed(fmt.Errorf("it answered %s", resp.Status))
	}
	switch resp.StatusCode {
	case http.StatusNotFound, statusNoSuchThing:
		failure.Cause = store.ErrNotFound
	case http.StatusConflict:
		failure.Cause = reconcile.ErrNotResumable
	}
	return nil, &failure
}

func (c *Client) failed(err error) error {
	return fmt.Errorf("asking the daybook on %s: %w", c.socket, err)
}

// DeadLetters is part of Actions.
func (c *Client) DeadLetters(ctx context.Context, after string, limit int) ([]Letter, error) {
	return listLetters.call(ctx, c, page{after, limit})
}

// DeadLetter is part of Actions.
func (c *Client) DeadLetter(ctx context.Context, key string) (Letter, error) {
	return showLetter.call(ctx, c, key)
}

// Replay is part of Actions.
func (c *Client) Replay(ctx context.Context, keys []string) (Replayed, error) {
	var replayed Replayed
	for chunk := range slices.Chunk(keys, keysAtOnce) {
		more, err := replay.call(ctx, c, chunk)
		replayed.add(more)
		if err != nil {
			return replayed, err
		}
	}
	return replayed, nil
}

// Purge is part of Actions.
func (c *Client) Purge(ctx context.Context, keys []string) (purged int, err error) {
	for chunk := range slices.Chunk(keys, keysAtOnce) {
		more, err := purge.call(ctx, c, chunk)
		purged += more
		if err != nil {
			return purged, err
		}
	}
	return purged, nil
}

// Streams is part of Actions.
func (c *Client) Streams(ctx context.Context) ([]Stream, error) {
	return listStreams.call(ctx, c, struct{}{})
}

// RaiseStreams is part of Actions.
func (c *Client) RaiseStreams(ctx context.Context, streams int) (queue.Epoch, error) {
	return raiseStreams.call(ctx, c, streams)
}
