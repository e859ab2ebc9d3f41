package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of every server, so that no client can hold one.
const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 20 * time.Second
	writeTimeout   = 60 * time.Second
	idleTimeout    = 75 * time.Second
	maxHeaderBytes = 16 << 10
)

// Server serves one role's HTTP. Start it once; Stop may be called at any
// time, and again.
type Server struct {
	name   string
	listen func() (net.Listener, error)
	log    *slog.Logger
	http   http.Server
	served sync.WaitGroup

	// connections is the most that there are at a time.
	connections int

	// ready tells whether the role can do its work; nil means that it can.
	ready    func(context.Context) error
	draining atomic.Bool

	mu       sync.Mutex
	listener net.Listener // nil before Start
}

// NewServer makes a server for the role called name that will listen on addr.
func NewServer(name, addr string, rt *Router, ready func(context.Context) error, log *slog.Logger) *Server {
	return NewServerOn(name, func() (net.Listener, error) {
		listener, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("%s cannot listen on %s: %w", name, addr, err)
		}
		return listener, nil
	}, rt, ready, log)
}

// NewServerOn makes a server on what listen gives it when it starts. It adds
// /healthz and /readyz to the router: the first answers 200 while the process
// lives, the second while ready, which has two seconds, gives no error and the
// server is not stopping.
func NewServerOn(name string, listen func() (net.Listener, error), rt *Router, ready func(context.Context) error, log *slog.Logger) *Server {
	s := &Server{name: name, listen: listen, log: log, connections: maxConnections, ready: ready}
	rt.Handle("/healthz", Methods{http.MethodGet: func(w http.ResponseWriter, _ *http.Request) error {
		WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
		return nil
	}})
	rt.Handle("/readyz", Methods{http.MethodGet: s.readyz})
	s.http = http.Server{
		Handler:           rt,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          newErrorLog(log),
	}
	return s
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	if s.draining.Load() {
		return unavailable("the server is stopping", nil)
	}
	if s.ready != nil {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := s.ready(ctx); err != nil {
			return unavailable("not ready: "+answer(err).Message, err)
		}
	}
	WriteJSON(w, http.StatusOK, map[string]string{"status": "ready"})
	return nil
}

// Start listens and serves in the background.
func (s *Server) Start() error {
	listener, err := s.listen()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.listener = listener
	s.mu.Unlock()
	s.log.Info("listening", "role", s.name, "addr", listener.Addr().String(), "tls", s.http.TLSConfig != nil)
	bounded := newBoundedListener(listener, s.connections)
	s.http.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed || state == http.StateHijacked {
			bounded.release()
		}
	}
	s.served.Go(func() {
		if err := s.serve(bounded); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("serving ended", "role", s.name, "error", err)
		}
	})
	return nil
}

func (s *Server) serve(listener net.Listener) error {
	if s.http.TLSConfig != nil {
		return s.http.ServeTLS(listener, "", "") // the certificate is in the configuration
	}
	return s.http.Serve(listener)
}

// Addr is the address it listens on, with the port that it got; empty before
// Start.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Stop takes no new requests, lets those under way end, and returns when they
// have, or breaks them off when ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	s.draining.Store(true)
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("%s: requests were broken off: %w", s.name, errors.Join(err, s.http.Close()))
	}
	s.served.Wait()
	return err
}
