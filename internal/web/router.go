package web

import (
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/gorilla/mux"
)

// Handler answers a request, or gives the error to answer with; after an
// error it must not have written anything.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Methods are the handlers of one path by method. One for GET answers HEAD
// too.
type Methods map[string]Handler

// Router routes requests, and answers unknown paths with 404, other methods
// with 405 and panics with 500, all as JSON. Add routes before it serves.
type Router struct {
	mux *mux.Router
	log *slog.Logger
}

// NewRouter makes a router without routes.
func NewRouter(log *slog.Logger) *Router {
	rt := &Router{mux: mux.NewRouter(), log: log}
	rt.mux.NotFoundHandler = rt.wrap(func(_ http.ResponseWriter, r *http.Request) error {
		return &Error{Status: http.StatusNotFound, Message: "there is nothing at " + Shorten(r.URL.Path)}
	})
	return rt
}

// Handle adds a path, in the syntax of gorilla/mux.
func (rt *Router) Handle(path string, methods Methods) {
	if get, ok := methods[http.MethodGet]; ok {
		methods[http.MethodHead] = get
	}
	allowed := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
	rt.mux.Handle(path, rt.wrap(func(w http.ResponseWriter, r *http.Request) error {
		if h, ok := methods[r.Method]; ok {
			return h(w, r)
		}
		w.Header().Set("Allow", allowed)
		return &Error{Status: http.StatusMethodNotAllowed,
			Message: "method " + Shorten(r.Method) + " is not allowed here", Allowed: allowed}
	}))
}

// ServeHTTP routes one request.
func (rt *Router) ServeHTTP(w http.ResponseWriter, r *http.Request) { rt.mux.ServeHTTP(w, r) }

func (rt *Router) wrap(h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			switch p {
			case nil:
			case http.ErrAbortHandler:
				panic(p) // net/http's own way to break a connection off
			default:
				rt.log.Error("handler panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				WriteJSON(w, http.StatusInternalServerError, &Error{Message: "internal error; the server's log has more"})
			}
		}()
		if err := h(w, r); err != nil {
			WriteError(w, r, rt.log, err)
		}
	})
}
