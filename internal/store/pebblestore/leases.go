package pebblestore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/daybook-analytics/daybook/internal/store"
)

// leases are kept in memory only. The directory belongs to one process, so
// every worker that can hold a lease lives in this one, and a lease that
// outlived the process would be that of a dead worker: after a restart the
// next one would wait the lease time for it before it takes the streams.
type leases struct {
	mu     sync.Mutex
	byName map[string]store.Lease
}

// Leases is part of store.Store.
func (s *Store) Leases(ctx context.Context) ([]store.Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.leases.mu.Lock()
	defer s.leases.mu.Unlock()
	return slices.Collect(maps.Values(s.leases.byName)), nil
}

// SwapLease is part of store.Store.
func (s *Store) SwapLease(ctx context.Context, lease store.Lease) error {
	s.leases.mu.Lock()
	defer s.leases.mu.Unlock()
	if err := s.leases.checkTerm(ctx, lease); err != nil {
		return err
	}
	if s.leases.byName == nil {
		s.leases.byName = make(map[string]store.Lease)
	}
	lease.Term++
	s.leases.byName[lease.Name] = lease
	return nil
}

// DropLease is part of store.Store.
func (s *Store) DropLease(ctx context.Context, lease store.Lease) error {
	s.leases.mu.Lock()
	defer s.leases.mu.Unlock()
	if err := s.leases.checkTerm(ctx, lease); err != nil {
		return err
	}
	delete(s.leases.byName, lease.Name)
	return nil
}

// checkTerm tells by store.ErrConflict that the lease has another term now;
// one that is not there has term 0. The caller holds mu.
func (l *leases) checkTerm(ctx context.Context, lease store.Lease) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if now := l.byName[lease.Name]; now.Term != lease.Term {
		return fmt.Errorf("lease %q has term %d and not %d: %w", lease.Name, now.Term, lease.Term, store.ErrConflict)
	}
	return nil
}
