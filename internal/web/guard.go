package web

import "net/http"

// Guard lets a request in with no error, or gives the answer to it. It may set
// headers and writes nothing.
type Guard func(w http.ResponseWriter, r *http.Request) error

// Before makes a handler that only those requests come to that the guard lets
// in. One that is nil lets in all.
func (g Guard) Before(h Handler) Handler {
	if g == nil {
		return h
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := g(w, r); err != nil {
			return err
		}
		return h(w, r)
	}
}
