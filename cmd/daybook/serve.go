package main

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"time"

	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
	"github.com/daybook-analytics/daybook/internal/telemetry"
)

// openTime is how long a role tries to reach its servers when it starts.
const openTime = 15 * time.Second

type serveCmd struct {
	config.Process
	config.Queue
	config.Store
	config.Data
	config.Access
	config.Ingest
	config.Worker
	config.Report
}

func (c *serveCmd) Validate() error {
	return config.Validate(c.Process, c.Queue, c.Store, c.Access, c.Ingest, c.Worker, c.Report)
}

func (c *serveCmd) Run(env *env) error {
	return runApp(env, app.Config{
		Process: c.Process, Queue: c.Queue, Store: c.Store, Data: c.Data, Access: c.Access,
		Ingest: &c.Ingest, Worker: &c.Worker, Report: &c.Report,
	})
}

// memoryLimit is about how much memory the Go runtime lets a role take before
// it collects more often; GOMEMLIMIT overrides it.
const memoryLimit = 384 << 20

// runApp runs roles until they are told to stop.
func runApp(env *env, cfg app.Config) error {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	log := telemetry.NewLogger(env.stderr, cfg.Process.LogLevel, cfg.Process.LogFormat == "json")
	ctx, cancel := context.WithTimeout(env.ctx, openTime)
	defer cancel()
	cfg.Version = release()
	a, err := app.New(ctx, cfg, log)
	if err != nil {
		if errors.Is(err, context.Canceled) && env.ctx.Err() != nil {
			return nil // told to stop before it had begun
		}
		return err
	}
	return a.Run(env.ctx)
}
