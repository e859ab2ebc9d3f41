package pebblestore

import (
	"context"
	"sync"
)

// busySet lets each name be held by one holder at a time. A holder takes all
// the names that it needs at once or waits, so that no two can wait for each
// other. Who waits is not in a queue: names are held for the time of one
// write, by few, so that a fair order would not be worth its code.
type busySet struct {
	mu sync.Mutex
	// held and freed are protected by mu. freed is there when somebody waits,
	// and is closed when names are given back.
	held  map[string]struct{}
	freed chan struct{}
}

// take waits until none of the names is held, and then holds them. The names
// must be distinct. It fails only when the context ends.
func (b *busySet) take(ctx context.Context, names ...string) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		freed := b.tryTake(names)
		if freed == nil {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tryTake holds the names and gives nil, or tells what to wait for.
func (b *busySet) tryTake(names []string) chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range names {
		if _, held := b.held[name]; held {
			if b.freed == nil {
				b.freed = make(chan struct{})
			}
			return b.freed
		}
	}
	if b.held == nil {
		b.held = make(map[string]struct{})
	}
	for _, name := range names {
		b.held[name] = struct{}{}
	}
	return nil
}

// give gives back names that the caller holds.
func (b *busySet) give(names ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range names {
		delete(b.held, name)
	}
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}
