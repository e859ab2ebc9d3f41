package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-analytics/daybook/internal/queue"
)

// pipes is a listener whose connections are in memory, so that their time is
// that of a synctest bubble.
type pipes struct {
	accept chan net.Conn
	close  sync.Once
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accept:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.close.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// dial makes a connection to the server.
func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.accept <- server
	return client
}

// client gives a client of the server.
func (p *pipes) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return p.dial(), nil },
	}}
}

func newPipes() *pipes { return &pipes{accept: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) listen() (net.Listener, error) { return p, nil }

func newServerOnPipes(rt *Router, ready func(context.Context) error) (*Server, *pipes) {
	p := newPipes()
	return NewServerOn("test", p.listen, rt, ready, slog.New(slog.DiscardHandler)), p
}

// startOnPipes starts a server that is stopped at the end of the test.
func startOnPipes(t *testing.T, rt *Router, ready func(context.Context) error) (*Server, *pipes) {
	t.Helper()
	s, p := newServerOnPipes(rt, ready)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s, p
}

// ended reads to the end of a connection, and gives all that came.
func ended(conn io.Reader) string {
	b, _ := io.ReadAll(conn) // any end is an end
	return string(b)
}

// trickle sends a byte a second until the server ends the connection.
func trickle(conn net.Conn) {
	for {
		if _, err := conn.Write([]byte{'x'}); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

// slowClients are clients that would hold a connection for ever. Each plays
// its part until the server ends the connection, and gives what it was
// answered.
var slowClients = []struct {
	name   string
	limit  time.Duration
	play   func(net.Conn) string
	answer string
}{
	{"says nothing", headerTimeout, func(conn net.Conn) string { return ended(conn) }, ""},
	{"slow header", headerTimeout, func(conn net.Conn) string {
		fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Header: ")
		go trickle(conn)
		return ended(conn)
	}, ""},
	{"slow body", readTimeout, func(conn net.Conn) string {
		fmt.Fprint(conn, "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
		go trickle(conn)
		return ended(conn)
	}, "HTTP/1.1 408 Request Timeout"},
	{"reads no answer", writeTimeout, func(conn net.Conn) string {
		fmt.Fprint(conn, "GET /download HTTP/1.1\r\nHost: x\r\n\r\n")
		trickle(conn)
		return ""
	}, ""},
	{"idle", idleTimeout, func(conn net.Conn) string {
		fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		return ended(conn)
	}, "HTTP/1.1 200 OK"},
}

// TestSlowClients has many slow clients of each kind at once. Each is ended
// at its limit, and meanwhile they hold nobody else.
func TestSlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt, _ := newTestRouter()
		rt.Handle("/upload", Methods{http.MethodPost: func(_ http.ResponseWriter, r *http.Request) error {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return &Error{Status: http.StatusRequestTimeout, Message: err.Error()}
			}
			return nil
		}})
		rt.Handle("/download", Methods{http.MethodGet: func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = w.Write(make([]byte, 1<<20))
			return nil
		}})
		_, p := startOnPipes(t, rt, nil)

		begun := time.Now()
		var clients sync.WaitGroup
		for range 50 {
			for _, c := range slowClients {
				clients.Go(func() {
					conn := p.dial()
					defer conn.Close()
					answer := c.play(conn)
					// The server waits half a second for a client to read its
					// last words, and a trickle is a second late to notice.
					if took := time.Since(begun); took < c.limit || took > c.limit+time.Second {
						t.Errorf("%s: ended after %v, want %v", c.name, took, c.limit)
					}
					if first, _, _ := strings.Cut(answer, "\r\n"); first != c.answer {
						t.Errorf("%s: answered %q, want %q", c.name, first, c.answer)
					}
				})
			}
		}

		others := p.client()
		defer others.CloseIdleConnections()
		for time.Since(begun) < idleTimeout {
			asked := time.Now()
			resp, err := others.Get("http://x/healthz")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if waited := time.Since(asked); resp.StatusCode != http.StatusOK || waited > 0 {
				t.Errorf("another client was answered %s after %v", resp.Status, waited)
			}
			time.Sleep(time.Second)
		}
		clients.Wait()
	})
}

func TestLargeHeader(t *testing.T) {
	for name, header := range map[string]string{
		"one header":   "X-Header: " + strings.Repeat("x", 2*maxHeaderBytes) + "\r\n",
		"many headers": strings.Repeat("X-Header: x\r\n", maxHeaderBytes/6),
		"long target":  "",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt, _ := newTestRouter()
				_, p := startOnPipes(t, rt, nil)
				conn := p.dial()
				defer conn.Close()
				target := "/healthz"
				if header == "" {
					target += "?" + strings.Repeat("x", 2*maxHeaderBytes)
				}
				go fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", target, header)
				if answer := ended(conn); !strings.HasPrefix(answer, "HTTP/1.1 431 ") {
					t.Errorf("answered %q", answer)
				}
			})
		})
	}
}

func TestReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ready func(context.Context) error
		rt, _ := newTestRouter()
		s, _ := startOnPipes(t, rt, func(ctx context.Context) error { return ready(ctx) })
		for _, test := range []struct {
			name   string
			ready  func(context.Context) error
			status int
			body   string
		}{
			{"ready", func(context.Context) error { return nil }, 200, `{"status":"ready"}`},
			{"queue away", func(context.Context) error { return fmt.Errorf("a secret: %w", queue.ErrUnavailable) }, 503,
				`{"error":"not ready: the queue cannot take events just now; nothing of this request is confirmed: events with an event_id can be sent again and are counted once"}`},
			{"fault", func(context.Context) error { return errors.New("a secret") }, 503,
				`{"error":"not ready: internal error; the server's log has more"}`},
			{"no answer", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 503,
				`{"error":"not ready: this took too long"}`},
		} {
			ready = test.ready
			asked := time.Now()
			w := do(rt, "GET", "/readyz")
			wantAnswer(t, w, test.status, test.body)
			if got := w.Header().Get("Retry-After"); (got == "") != (test.status == 200) {
				t.Errorf("%s: Retry-After %q", test.name, got)
			}
			if waited := time.Since(asked); waited > 2*time.Second {
				t.Errorf("%s: answered after %v", test.name, waited)
			}
			wantAnswer(t, do(rt, "GET", "/healthz"), 200, `{"status":"ok"}`)
		}

		ready = func(context.Context) error { return nil }
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantAnswer(t, do(rt, "GET", "/readyz"), 503, `{"error":"the server is stopping"}`)
		wantAnswer(t, do(rt, "GET", "/healthz"), 200, `{"status":"ok"}`)
	})
}

// TestStop stops while a request is under way, which may end or is broken
// off.
func TestStop(t *testing.T) {
	for _, test := range []struct {
		name  string
		grace time.Duration
		body  string // what the client gets
		err   string
	}{
		{"in time", time.Minute, "done", "<nil>"},
		{"too slow", time.Second, "", "test: requests were broken off: context deadline exceeded"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt, _ := newTestRouter()
				rt.Handle("/", Methods{http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
					select {
					case <-time.After(10 * time.Second):
						fmt.Fprint(w, "done")
						return nil
					case <-r.Context().Done():
						return r.Context().Err()
					}
				}})
				s, p := newServerOnPipes(rt, nil)
				if err := s.Start(); err != nil {
					t.Fatal(err)
				}
				client := p.client()
				defer client.CloseIdleConnections()
				got := make(chan string)
				go func() {
					resp, err := client.Get("http://x/")
					if err != nil {
						got <- ""
						return
					}
					defer resp.Body.Close()
					got <- ended(resp.Body)
				}()
				synctest.Wait() // the request is under way

				ctx, cancel := context.WithTimeout(t.Context(), test.grace)
				defer cancel()
				err := s.Stop(ctx)
				if fmt.Sprint(err) != test.err {
					t.Errorf("Stop: %v, want %s", err, test.err)
				}
				if body := <-got; body != test.body {
					t.Errorf("the request was answered %q, want %q", body, test.body)
				}
				if err := s.Stop(t.Context()); err != nil {
					t.Errorf("the second Stop: %v", err)
				}
			})
		})
	}
}

func TestStopBeforeStart(t *testing.T) {
	rt, _ := newTestRouter()
	s, p := newServerOnPipes(rt, nil)
	for range 2 {
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	// Started all the same, it listens no more.
	if err := s.Start(); err != nil {
		t.Error(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := p.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is still open: %v", err)
	}
}

func TestAddresses(t *testing.T) {
	rt, _ := newTestRouter()
	s := NewServer("report", "127.0.0.1:0", rt, nil, slog.New(slog.DiscardHandler))
	if s.Addr() != "" {
		t.Errorf("address %q before Start", s.Addr())
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://" + s.Addr() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()

	other, _ := newTestRouter()
	err = NewServer("worker", s.Addr(), other, nil, slog.New(slog.DiscardHandler)).Start()
	if err == nil || !strings.HasPrefix(err.Error(), "worker cannot listen on "+s.Addr()+": ") {
		t.Errorf("an address in use: %v", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
