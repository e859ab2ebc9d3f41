package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

// stopTime is how long a command waits for its own jobs to stop.
const stopTime = 20 * time.Second

// operators is what operators do on the backends of this process.
func (a *App) operators(limits rollup.Limits) *admin.Admin {
	opts := admin.Options{Limits: limits, Alone: a.cfg.Store.MongoDB == ""}
	if a.cfg.Worker != nil {
		opts.Retention = a.cfg.Worker.Retention()
	}
	if a.book != nil {
		opts.Changed = a.book.Wake
	}
	return admin.New(a.queue, a.store, opts, a.log)
}

// adminServer is where operators reach the process that holds the data
// directory.
func (a *App) adminServer(operators *admin.Admin) *web.Server {
	rt := web.NewRouter(a.log)
	operators.Register(rt)
	listen := func() (net.Listener, error) { return admin.Listen(a.cfg.Data.Data) }
	return web.NewServerOn("admin", listen, rt, a.ready, a.log)
}

// OpenAdmin gives operators' actions on the installation that cfg chooses, as
// far as they need no more of it than is said, and a function to call when
// done, which stops jobs that run here. Servers are used directly. An embedded
// queue or store belongs to the process that runs on its directory and is
// reached through that one; when there is none, the directory is opened here.
func OpenAdmin(ctx context.Context, cfg Config, needs Needs, log *slog.Logger) (admin.Actions, func() error, error) {
	var dirs []string
	if needs.Queue && cfg.Queue.Redis == "" {
		dirs = append(dirs, queueDir)
	}
	if needs.Store && cfg.Store.MongoDB == "" {
		dirs = append(dirs, storeDir)
	}
	if len(dirs) > 0 {
		socket, err := admin.SocketPath(cfg.Data.Data)
		if err != nil {
			return nil, nil, err
		}
		client, err := admin.Dial(ctx, socket)
		if err == nil {
			return client, func() error { return nil }, nil
		}
		if !errors.Is(err, admin.ErrNoServer) {
			return nil, nil, err
		}
	}
	// To open what is not there makes an empty one.
	for _, dir := range dirs {
		path := filepath.Join(cfg.Data.Data, dir)
		_, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			if needs.New != nil {
				needs.New(path)
				continue
			}
			err = fmt.Errorf("there is no %s in it and no daybook runs on it: give the directory of `daybook serve`, or --redis and --mongodb if the installation is on servers", dir)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("--data %s: %w", cfg.Data.Data, err)
		}
	}
	a := &App{cfg: cfg, log: log}
	if err := a.open(ctx, needs); err != nil {
		return nil, nil, errors.Join(err, a.close())
	}
	operators := a.operators(needs.Limits)
	return operators, func() error {
		stop, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		if err := operators.Stop(stop); err != nil {
			return err // what still runs must not lose its store
		}
		return a.close()
	}, nil
}
