package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
	"github.com/daybook-analytics/daybook/internal/telemetry"
)

// installation are the settings by which an operator's command finds what it
// works on.
type installation struct {
	Redis       string `placeholder:"URL" help:"Redis of the queue; by default the queue is in --data."`
	RedisPrefix string `default:"daybook" placeholder:"NAME" help:"Begin of all keys in Redis."`
	MongoDB     string `name:"mongodb" placeholder:"URI" help:"MongoDB of the store; by default the store is in --data."`
	Data        string `default:"./daybook-data" placeholder:"DIR" help:"Directory of the embedded queue and store. A daybook that runs on it is asked to do the work."`
}

func (i *installation) config() app.Config {
	return app.Config{
		// A queue that is not there yet gets the default number of streams.
		Queue: config.Queue{Redis: i.Redis, RedisPrefix: i.RedisPrefix, Streams: 4},
		Store: config.Store{MongoDB: i.MongoDB},
		Data:  config.Data{Data: i.Data},
	}
}

func (i *installation) Validate() error {
	cfg := i.config()
	return config.Validate(cfg.Queue, cfg.Store)
}

// makesNew lets a command make what is not there of an embedded installation,
// and say so: sites and keys can be there before the first start.
func makesNew(env *env, needs app.Needs) app.Needs {
	needs.New = func(dir string) {
		fmt.Fprintf(env.stderr, "%s was not there, and is made now; `daybook serve` must have the same --data\n", dir)
	}
	return needs
}

// do calls fn with the operators' actions on the installation.
func (i *installation) do(env *env, needs app.Needs, fn func(admin.Actions) error) error {
	log := telemetry.NewLogger(env.stderr, slog.LevelError, false)
	actions, end, err := app.OpenAdmin(env.ctx, i.config(), needs, log)
	if err != nil {
		return err
	}
	return errors.Join(fn(actions), end())
}
