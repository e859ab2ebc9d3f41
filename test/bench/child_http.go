package main

import (
	"flag"
	"io"
	"net/http"

	"github.com/redis/go-redis/v9"
)

// accepted is the body of the answer to POST /event.
const accepted = `{"status":"accepted"}` + "\n"

// runBare is the yardstick of a server that takes events: a handler of net/http
// that reads the body and gives the same answer.
func runBare(args []string) error {
	flags := flag.NewFlagSet("bare", flag.ContinueOnError)
	addr := flags.String("addr", "", "address to listen on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return http.ListenAndServe(*addr, take(func(r *http.Request) error {
		_, err := io.Copy(io.Discard, r.Body)
		return err
	}))
}

// runXadd is the yardstick of a server that takes events into Redis: the same
// handler with an XADD for each request.
func runXadd(args []string) error {
	flags := flag.NewFlagSet("xadd", flag.ContinueOnError)
	addr := flags.String("addr", "", "address to listen on")
	redisAddr := flags.String("redis", "", "address of Redis")
	if err := flags.Parse(args); err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{Addr: *redisAddr, PoolSize: xaddPool})
	return http.ListenAndServe(*addr, take(func(r *http.Request) error {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		return client.XAdd(r.Context(), &redis.XAddArgs{Stream: xaddStream, Values: []any{"event", body}}).Err()
	}))
}

const (
	// xaddStream is the stream to which runXadd adds.
	xaddStream = "events"
	// xaddPool is how many connections it has: with 20, the default on two
	// cores, and with 256 it is slower.
	xaddPool = 64
)

// take makes a handler that answers as POST /event does after each request
// that keep has no error for, and is ready at once.
func take(keep func(r *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			return
		}
		if err := keep(r); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, accepted) // an error means that the client has gone
	})
}
