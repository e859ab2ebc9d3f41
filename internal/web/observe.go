package web

import (
	"net/http"
	"time"
)

// Observe gives what is told of each request for a route by a method: the
// status of the answer, and how long it took. It is asked when the first such
// request has come. The route is the path as it was given to Handle, never
// that of a request, so that there are only so many; requests for no route and
// by methods that a route does not have are all "other". What it gives is
// called by many goroutines at once.
type Observe func(route, method string) func(status int, took time.Duration)

func observeNothing(string, string) func(int, time.Duration) { return func(int, time.Duration) {} }

// other stands for routes and methods that there are not.
const other = "other"

// StatusGone is told of requests whose client had gone before they were
// answered; it is never sent.
const StatusGone = 499

// recorder notes the status of the answer that is written through it.
type recorder struct {
	http.ResponseWriter
	status int // 0 until the answer begins
}

func (rec *recorder) WriteHeader(status int) {
	if rec.status == 0 {
		rec.status = status
	}
	rec.ResponseWriter.WriteHeader(status)
}

func (rec *recorder) Write(b []byte) (int, error) {
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
	return rec.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }
