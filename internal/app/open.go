package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/daybook-analytics/daybook/internal/config"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/queue/logq"
	"github.com/daybook-analytics/daybook/internal/queue/redisq"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/store/mongostore"
	"github.com/daybook-analytics/daybook/internal/store/pebblestore"
	"github.com/daybook-analytics/daybook/migrations"
	"github.com/daybook-analytics/daybook/rollup"
)

// Directories in --data, named after what is in them.
const (
	queueDir = "queue"
	storeDir = "store"
)

// Needs says what of an installation is needed.
type Needs struct {
	Queue, Store bool
	// New, if set, is told each directory of an embedded backend that OpenAdmin
	// makes because it is not there; without it that is an error.
	New func(dir string)
	// Limits bounds the rollups that are written; zero is the default.
	Limits rollup.Limits
}

// open opens the backends that are needed.
func (a *App) open(ctx context.Context, needs Needs) error {
	if needs.Queue {
		q, err := OpenQueue(ctx, a.cfg.Queue, a.cfg.Data, a.log)
		if err != nil {
			return err
		}
		a.queue = q
	}
	if needs.Store {
		st, err := openStore(ctx, a.cfg.Store, a.cfg.Data, a.log, a.canWait())
		if err != nil {
			return err
		}
		a.store = st
		if err := a.checkSchema(ctx); !a.canWait() || !errors.Is(err, store.ErrUnavailable) {
			return err
		}
	}
	return nil
}

// canWait tells whether the process does its work without a store that does not
// answer: ingest on its own takes what it needs from it when it is back.
func (a *App) canWait() bool {
	return a.cfg.Ingest != nil && a.cfg.Worker == nil && a.cfg.Report == nil
}

// OpenQueue opens the queue that the settings choose.
func OpenQueue(ctx context.Context, cfg config.Queue, data config.Data, log *slog.Logger) (queue.Queue, error) {
	if cfg.Redis != "" {
		q, err := redisq.Open(ctx, cfg.Redis, redisq.Options{Prefix: cfg.RedisPrefix, Streams: cfg.Streams, Logger: log})
		if err != nil {
			return nil, fmt.Errorf("queue at %s: %w", config.Redact(cfg.Redis), err)
		}
		return q, nil
	}
	dir, err := makeDir(data, queueDir)
	if err != nil {
		return nil, err
	}
	return logq.Open(dir, logq.Options{Streams: cfg.Streams, Logger: log})
}

// OpenStore opens the store that the settings choose.
func OpenStore(ctx context.Context, cfg config.Store, data config.Data, log *slog.Logger) (store.Store, error) {
	return openStore(ctx, cfg, data, log, false)
}

// openStore is OpenStore; later tells that servers need not answer yet.
func openStore(ctx context.Context, cfg config.Store, data config.Data, log *slog.Logger, later bool) (store.Store, error) {
	if cfg.MongoDB != "" {
		st, err := mongostore.Open(ctx, cfg.MongoDB, mongostore.Options{Later: later})
		if err != nil {
			return nil, fmt.Errorf("store at %s: %w", config.Redact(cfg.MongoDB), err)
		}
		return st, nil
	}
	dir, err := makeDir(data, storeDir)
	if err != nil {
		return nil, err
	}
	return pebblestore.Open(dir, pebblestore.Options{Logger: log})
}

func makeDir(data config.Data, name string) (string, error) {
	dir := filepath.Join(data.Data, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("--data %s: %w", data.Data, err)
	}
	return dir, nil
}

// checkSchema refuses a store whose schema is not this program's. Only a new
// embedded store, which belongs to this process alone, is set up at once.
func (a *App) checkSchema(ctx context.Context) error {
	version, err := a.store.SchemaVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the store's schema version: %w", err)
	}
	flags := "--data " + a.cfg.Data.Data
	if a.cfg.Store.MongoDB != "" {
		flags = "--mongodb URI"
	}
	switch latest := migrations.Latest(); {
	case version == latest:
		return nil
	case version == 0 && a.cfg.Store.MongoDB == "":
		return a.store.Migrate(ctx, func(int, string) {})
	case version > latest:
		return fmt.Errorf("the store has schema version %d, newer than this program's %d: use the newer daybook", version, latest)
	default:
		return fmt.Errorf("the store has schema version %d, this program needs %d: run `daybook migrate up %s`", version, latest, flags)
	}
}
