package main

import (
	"errors"

	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
)

type reportCmd struct {
	config.Process
	config.Queue
	config.Store
	config.Access
	config.Report
}

func (c *reportCmd) Validate() error {
	if c.MongoDB == "" {
		return errors.New("--mongodb is missing: the embedded store belongs to one process, so report on its own needs MongoDB; `daybook serve` needs none")
	}
	return config.Validate(c.Process, c.Queue, c.Store, c.Access, c.Report)
}

func (c *reportCmd) Run(env *env) error {
	return runApp(env, app.Config{Process: c.Process, Queue: c.Queue, Store: c.Store, Access: c.Access, Report: &c.Report})
}
