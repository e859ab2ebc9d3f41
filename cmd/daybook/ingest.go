package main

import (
	"errors"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
)

type ingestCmd struct {
	config.Process
	config.Queue
	config.Store
	config.Access
	config.Ingest
}

func (c *ingestCmd) Validate() error {
	if c.Redis == "" {
		return errors.New("--redis is missing: the embedded queue belongs to one process, so ingest on its own needs Redis; `daybook serve` needs none")
	}
	if c.MongoDB == "" && c.Auth != access.None {
		return errors.New("--mongodb is missing: the store has the keys, the settings of sites, and what tells visitors apart; to do without all of them say --auth=none")
	}
	return config.Validate(c.Process, c.Queue, c.Store, c.Access, c.Ingest)
}

func (c *ingestCmd) Run(env *env) error {
	return runApp(env, app.Config{Process: c.Process, Queue: c.Queue, Store: c.Store, Access: c.Access, Ingest: &c.Ingest})
}
