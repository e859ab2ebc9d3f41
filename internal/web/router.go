package web

import (
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"
)

// Handler answers a request, or gives the error to answer with; after an
// error it must not have written anything.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Methods are the handlers of one path by method. One for GET answers HEAD
// too, unless that has its own.
type Methods map[string]Handler

// Router routes requests, and answers unknown paths with 404, other methods
// with 405 and panics with 500, all as JSON. Add routes before it serves.
type Router struct {
	mux     *mux.Router
	log     *slog.Logger
	observe Observe
}

// NewRouter makes a router without routes.
func NewRouter(log *slog.Logger) *Router { return NewObservedRouter(log, observeNothing) }

// NewObservedRouter makes a router without routes that tells of its requests.
func NewObservedRouter(log *slog.Logger, observe Observe) *Router {
	rt := &Router{mux: mux.NewRouter(), log: log, observe: observe}
	rt.mux.NotFoundHandler = rt.wrap(other, other, func(_ http.ResponseWriter, r *http.Request) error {
		return &Error{Status: http.StatusNotFound, Message: "there is nothing at " + Shorten(r.URL.Path)}
	})
	return rt
}

// Handle adds a path, in the syntax of gorilla/mux.
func (rt *Router) Handle(path string, methods Methods) {
	if get, ok := methods[http.MethodGet]; ok && methods[http.MethodHead] == nil {
		methods[http.MethodHead] = get
	}
	allowed := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
	notAllowed := rt.wrap(path, other, func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Allow", allowed)
		return &Error{Status: http.StatusMethodNotAllowed,
			Message: "method " + Shorten(r.Method) + " is not allowed here", Allowed: allowed}
	})
	handlers := make(map[string]http.HandlerFunc, len(methods))
	for method, h := range methods {
		handlers[method] = rt.wrap(path, method, h)
	}
	rt.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		if h, ok := handlers[r.Method]; ok {
			h(w, r)
			return
		}
		notAllowed(w, r)
	})
}

// ServeHTTP routes one request.
func (rt *Router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header(), r.TLS != nil)
	rt.mux.ServeHTTP(w, r)
}

// wrap makes a handler of net/http, which is observed as one for a route and
// method.
func (rt *Router) wrap(route, method string, h Handler) http.HandlerFunc {
	observed := sync.OnceValue(func() func(int, time.Duration) { return rt.observe(route, method) })
	return func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		rec := &recorder{ResponseWriter: w}
		defer func() {
			p, aborted := recover(), false
			switch p {
			case nil:
			case http.ErrAbortHandler:
				aborted = true
			default:
				rt.log.Error("handler panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				WriteJSON(rec, http.StatusInternalServerError, &Error{Message: "internal error; the server's log has more"})
			}
			if rec.status == 0 {
				rec.status = StatusGone
			}
			observed()(rec.status, time.Since(begun))
			if aborted {
				panic(p) // net/http's own way to break a connection off
			}
		}()
		if err := h(rec, r); err != nil {
			WriteError(rec, r, rt.log, err)
		} else if rec.status == 0 {
			rec.status = http.StatusOK // net/http answers for it
		}
	}
}
