package visitor

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// watchInterval is how long a file that was replaced may go unnoticed.
const watchInterval = 30 * time.Second

// maxWatched is the largest file that is read, which is several times what
// such files have.
const maxWatched = 1 << 30

// watched is what a file contains. It is read again when the file is replaced.
// The whole file is in memory, and is not mapped: one that is written over in
// its place would end the process otherwise.
type watched[T any] struct {
	file  string
	parse func([]byte) (*T, error)
	log   *slog.Logger

	value  atomic.Pointer[T]
	cancel context.CancelFunc
	done   sync.WaitGroup

	// Of the goroutine: the file as it was read, and what was said last of why
	// it cannot be.
	read os.FileInfo
	said string
}

// openWatched reads a file. What it then watches ends with Close.
func openWatched[T any](file string, parse func([]byte) (*T, error), log *slog.Logger) (*watched[T], error) {
	w := &watched[T]{file: file, parse: parse, log: log}
	if err := w.load(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	w.done.Go(func() { w.watch(ctx) })
	return w, nil
}

// Close ends watching the file. It may be called again.
func (w *watched[T]) Close() {
	w.cancel()
	w.done.Wait()
}

// load reads the file if it is another one than was read.
func (w *watched[T]) load() error {
	info, err := os.Stat(w.file)
	if err != nil {
		return err
	}
	if old := w.read; old != nil && os.SameFile(old, info) && old.ModTime().Equal(info.ModTime()) && old.Size() == info.Size() {
		return nil
	}
	// One that cannot be used is not tried again before it changes.
	w.read = info
	if info.Size() > maxWatched {
		return fmt.Errorf("%s has %d bytes, and %d is the most", w.file, info.Size(), maxWatched)
	}
	text, err := os.ReadFile(w.file)
	if err != nil {
		return err
	}
	value, err := w.parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", w.file, err)
	}
	w.value.Store(value)
	return nil
}

func (w *watched[T]) watch(ctx context.Context) {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		before := w.value.Load()
		if err := w.load(); err != nil {
			if w.said != err.Error() {
				w.said = err.Error()
				w.log.Warn("a file that was replaced cannot be read; what it contained before stays", "error", err)
			}
		} else if w.value.Load() != before {
			w.said = ""
			w.log.Info("a file that was replaced is in use", "file", w.file)
		}
	}
}
