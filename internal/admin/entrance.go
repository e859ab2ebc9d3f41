package admin

import (
	"cmp"
	"context"
	"net/http"

	"github.com/daybook-analytics/daybook/internal/web"
)

// Guard lets a request in and tells who it is from, or gives the answer to it.
// It may set headers and writes nothing.
type Guard func(w http.ResponseWriter, r *http.Request) (by string, err error)

// bySocket is who asks on the socket and does not say more.
const bySocket = "the socket"

// entrance is where requests for actions come in.
type entrance struct {
	rt *web.Router
	// guard is nil on the socket, whose mode says who may use it.
	guard Guard
	// status tells how everything stands.
	status func(context.Context) (*Status, error)
}

// errNoQueue answers what has to know what is in the queue, in a process that
// does not.
var errNoQueue = &web.Error{Status: http.StatusUnprocessableEntity,
	Message: "this daybook knows nothing of the queue, which this needs: give it --redis, or use the command"}

// byKey is the key of who a request is from, in its context.
type byKey struct{}

// handle adds a path. Answers are not kept by anybody on the way: there may be
// a token in them.
func (e entrance) handle(path string, methods web.Methods) {
	for method, handler := range methods {
		methods[method] = func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Cache-Control", "no-store")
			if e.guard != nil {
				by, err := e.guard(w, r)
				if err != nil {
					return err
				}
				r = r.WithContext(context.WithValue(r.Context(), byKey{}, by))
			}
			return handler(w, r)
		}
	}
	e.rt.Handle(path, methods)
}

// signed tells who a request is from: whom the guard has let in, or else who it
// says it is.
func signed(ctx context.Context, says string) string {
	by, _ := ctx.Value(byKey{}).(string)
	return cmp.Or(by, says, bySocket)
}

// Register adds all actions to the router of the socket.
func (a *Admin) Register(rt *web.Router) {
	a.registerPlain(rt)
	a.registerREST(entrance{rt: rt, status: a.Status})
}

// RegisterGuarded adds the actions that have paths below /admin to a router that
// others reach, behind a guard. How everything stands they are told as overview
// knows it.
func (a *Admin) RegisterGuarded(rt *web.Router, overview *Overview, guard Guard) {
	a.registerREST(entrance{rt, guard, overview.Status})
}
