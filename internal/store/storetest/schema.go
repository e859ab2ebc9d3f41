package storetest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/migrations"
)

// testSchema proves SchemaVersion and Migrate.
func (b Backend) testSchema(t *testing.T) {
	var all []string
	for _, m := range migrations.All() {
		all = append(all, fmt.Sprint(m.Version, " ", m.Name))
	}
	open := b.New(t)
	s := open()
	t.Cleanup(func() { check(t, s.Close()) })
	version := func(want int) {
		t.Helper()
		got, err := s.SchemaVersion(t.Context())
		check(t, err)
		wantEqual(t, "schema version", got, want)
	}
	version(0)

	// Whoever comes second waits, or does it again, but fails in no case. No
	// version may be left out.
	workers := 1
	if b.Concurrent {
		workers = 4
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			if err := s.Migrate(t.Context(), func(int, string) {}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	version(migrations.Latest())

	done := migrate(t, s)
	wantEqual(t, "migrations of a store that is up to date", done, nil)
	check(t, s.Close())
	s = open()
	version(migrations.Latest())

	t.Run("TellsEachVersion", func(t *testing.T) {
		fresh := b.New(t)()
		t.Cleanup(func() { check(t, fresh.Close()) })
		wantEqual(t, "migrations", migrate(t, fresh), all)
	})
}

// migrate lists the migrations that are done.
func migrate(t *testing.T, s store.Store) []string {
	t.Helper()
	var done []string
	check(t, s.Migrate(t.Context(), func(version int, name string) {
		done = append(done, fmt.Sprint(version, " ", name))
	}))
	return done
}
