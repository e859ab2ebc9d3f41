package storetest

import (
	"cmp"
	"slices"
	"testing"

	"github.com/daybook-analytics/daybook/internal/store"
)

// testLeases proves Leases, SwapLease and DropLease.
func (b Backend) testLeases(t *testing.T) {
	s, reopen := b.openTwice(t)
	wantLeases := func(t *testing.T, want ...store.Lease) {
		t.Helper()
		got, err := s.Leases(t.Context())
		check(t, err)
		slices.SortFunc(got, func(a, b store.Lease) int { return cmp.Compare(a.Name, b.Name) })
		wantEqual(t, "number of leases", len(got), len(want))
		for i := range got {
			wantEqual(t, "lease", got[i], want[i])
		}
	}
	lease := func(name, owner string, term uint64) store.Lease {
		return store.Lease{Name: name, Owner: owner, Term: term}
	}

	wantLeases(t)
	wantErr(t, s.SwapLease(t.Context(), lease("1:0", "a", 1)), store.ErrConflict)
	wantErr(t, s.DropLease(t.Context(), lease("1:0", "a", 1)), store.ErrConflict)
	wantLeases(t)

	check(t, s.SwapLease(t.Context(), lease("1:0", "a", 0)))
	check(t, s.SwapLease(t.Context(), lease("1:1", "b.$", 0)))
	wantLeases(t, lease("1:0", "a", 1), lease("1:1", "b.$", 1))
	wantErr(t, s.SwapLease(t.Context(), lease("1:0", "b", 0)), store.ErrConflict)
	wantErr(t, s.SwapLease(t.Context(), lease("1:0", "b", 2)), store.ErrConflict)

	check(t, s.SwapLease(t.Context(), lease("1:0", "a", 1)))
	check(t, s.SwapLease(t.Context(), lease("1:0", "b", 2)))
	wantErr(t, s.SwapLease(t.Context(), lease("1:0", "a", 2)), store.ErrConflict)
	wantLeases(t, lease("1:0", "b", 3), lease("1:1", "b.$", 1))

	// A lease that is given back is there without an owner.
	check(t, s.SwapLease(t.Context(), lease("1:0", "", 3)))
	wantLeases(t, lease("1:0", "", 4), lease("1:1", "b.$", 1))

	wantErr(t, s.DropLease(t.Context(), lease("1:1", "b.$", 2)), store.ErrConflict)
	wantLeases(t, lease("1:0", "", 4), lease("1:1", "b.$", 1))
	check(t, s.DropLease(t.Context(), lease("1:1", "b.$", 1)))
	wantErr(t, s.SwapLease(t.Context(), lease("1:1", "b.$", 1)), store.ErrConflict)
	wantLeases(t, lease("1:0", "", 4))

	s = reopen()
	want := []store.Lease{lease("1:0", "", 4)}
	if b.OneProcess {
		want = nil
	}
	wantLeases(t, want...)
	check(t, s.SwapLease(t.Context(), lease("1:1", "c", 0)))
	wantLeases(t, append(want, lease("1:1", "c", 1))...)
}
