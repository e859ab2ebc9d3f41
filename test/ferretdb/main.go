// Command ferretdb is a server that speaks the MongoDB protocol, for tests of
// the MongoDB store where no MongoDB is at hand: FerretDB v1 on SQLite, in
// one process without any set-up. It prints its URI on one line and runs
// until SIGTERM or SIGINT.
//
// It is a module of its own so that Daybook does not depend on FerretDB.
//
// FerretDB is not MongoDB. Its updates are not atomic, so this program passes
// on one command at a time (serial.go): each is atomic then, as a write to one
// document is on MongoDB. It reads a whole collection for every filter on more
// than _id, so it says nothing about speed, and it has no replicas, so it
// says nothing about failover.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "address to listen on; port 0 takes a free one")
	dir := flag.String("dir", "", "directory of the data; none takes a temporary one, which is removed at the end")
	stdin := flag.Bool("stdin", false, "stop also when standard input ends, as it does when the process that holds its other end is gone")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if *stdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // any end is the end
			stop()
		}()
	}
	if err := run(ctx, *addr, *dir, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "ferretdb:", err)
		os.Exit(1)
	}
}

// run serves until ctx is done, and writes its URI to out.
func run(ctx context.Context, addr, dir string, out io.Writer) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "daybook-ferretdb-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	server, err := ferretdb.New(&ferretdb.Config{
		Listener: ferretdb.ListenerConfig{TCP: "127.0.0.1:0"},
		Logger:   slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Handler:  "sqlite",
		// What is written outlives the process but not the machine, which is
		// all that a test needs and many times faster.
		SQLiteURL: "file:" + dir + "/?_pragma=synchronous(off)",
	})
	if err != nil {
		return fmt.Errorf("start with data in %s: %w", dir, err)
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- server.Run(ctx) }()
	// MongoDBURI waits until the server listens.
	backend, err := url.Parse(server.MongoDBURI())
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "mongodb://%s/\n", listener.Addr()); err != nil {
		return err
	}
	err = serve(ctx, listener, backend.Host)
	cancel()
	return errors.Join(err, <-stopped)
}
