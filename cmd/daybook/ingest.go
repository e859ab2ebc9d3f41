package main

import (
	"errors"

	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
)

type ingestCmd struct {
	config.Process
	config.Queue
	config.Ingest
}

func (c *ingestCmd) Validate() error {
	if c.Redis == "" {
		return errors.New("--redis is missing: the embedded queue belongs to one process, so ingest on its own needs Redis; `daybook serve` needs none")
	}
	return config.Validate(c.Process, c.Queue, c.Ingest)
}

func (c *ingestCmd) Run(env *env) error {
	return runApp(env, app.Config{Process: c.Process, Queue: c.Queue, Ingest: &c.Ingest})
}
