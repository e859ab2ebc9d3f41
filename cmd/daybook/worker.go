package main

import (
	"errors"

	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
)

type workerCmd struct {
	config.Process
	config.Queue
	config.Store
	config.Worker
	config.WorkerHealth
}

func (c *workerCmd) Validate() error {
	if c.Redis == "" || c.MongoDB == "" {
		return errors.New("--redis and --mongodb are needed: the embedded queue and store belong to one process, so a worker on its own needs servers; `daybook serve` needs none")
	}
	return config.Validate(c.Process, c.Queue, c.Store, c.Worker, c.WorkerHealth)
}

func (c *workerCmd) Run(env *env) error {
	return runApp(env, app.Config{
		Process: c.Process, Queue: c.Queue, Store: c.Store,
		Worker: &c.Worker, WorkerHealth: &c.WorkerHealth,
	})
}
