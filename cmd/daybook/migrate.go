package main

import (
	"fmt"
	"log/slog"

	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/telemetry"
	"github.com/daybook-analytics/daybook/migrations"
)

type migrateCmd struct {
	Up     migrateUpCmd     `cmd:"" help:"Apply the migrations that the store lacks."`
	Status migrateStatusCmd `cmd:"" help:"Show the store's schema version and the migrations that it lacks."`
}

// storeFlags choose the store that a command works on.
type storeFlags struct {
	config.Store
	config.Data
}

func (f *storeFlags) open(env *env) (store.Store, error) {
	return app.OpenStore(env.ctx, f.Store, f.Data, telemetry.NewLogger(env.stderr, slog.LevelWarn, false))
}

type migrateUpCmd struct{ storeFlags }

func (c *migrateUpCmd) Validate() error { return c.Store.Validate() }

func (c *migrateUpCmd) Run(env *env) error {
	st, err := c.open(env)
	if err != nil {
		return err
	}
	defer st.Close()
	if err := st.Migrate(env.ctx, func(version int, name string) {
		fmt.Fprintf(env.stdout, "applied %d %s\n", version, name)
	}); err != nil {
		return err
	}
	version, err := st.SchemaVersion(env.ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(env.stdout, "schema version %d\n", version)
	return nil
}

type migrateStatusCmd struct{ storeFlags }

func (c *migrateStatusCmd) Validate() error { return c.Store.Validate() }

func (c *migrateStatusCmd) Run(env *env) error {
	st, err := c.open(env)
	if err != nil {
		return err
	}
	defer st.Close()
	version, err := st.SchemaVersion(env.ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(env.stdout, "schema version %d of %d\n", version, migrations.Latest())
	for _, m := range migrations.All() {
		if m.Version > version {
			fmt.Fprintf(env.stdout, "missing %d %s\n", m.Version, m.Name)
		}
	}
	return nil
}
