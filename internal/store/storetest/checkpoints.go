package storetest

import (
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// testCheckpoints proves Commit and Checkpoints.
func (b Backend) testCheckpoints(t *testing.T) {
	s, reopen := b.openTwice(t)
	want := map[string]store.Checkpoint{}
	wantStored := func(t *testing.T) {
		t.Helper()
		got, err := s.Checkpoints(t.Context())
		check(t, err)
		wantEqual(t, "number of checkpoints", len(got), len(want))
		for stream, w := range want {
			g := got[stream]
			if g.Stream != stream || g.Position != w.Position || !g.AsOf.Equal(w.AsOf) {
				t.Fatalf("checkpoint of %s is %+v, want %+v", stream, g, w)
			}
		}
	}
	save := func(t *testing.T, stream string, p rollup.Position, asOf time.Time) store.Checkpoint {
		t.Helper()
		c := store.Checkpoint{Stream: stream, Position: p, AsOf: asOf}
		step := s.Begin()
		defer step.Discard()
		check(t, step.Commit(t.Context(), c))
		return c
	}

	t.Run("None", wantStored)
	t.Run("First", func(t *testing.T) {
		want["1:0"] = save(t, "1:0", at(5), noon)
		wantStored(t)
	})
	t.Run("OtherStreams", func(t *testing.T) {
		want["1:1"] = save(t, "1:1", at(2), noon.Add(time.Second))
		want["1:10"] = save(t, "1:10", rollup.Position{}, noon)
		wantStored(t)
	})
	t.Run("Forward", func(t *testing.T) {
		want["1:0"] = save(t, "1:0", at(7), noon.Add(time.Minute))
		wantStored(t)
	})
	t.Run("LaterAtTheSamePosition", func(t *testing.T) {
		want["1:0"] = save(t, "1:0", at(7), noon.Add(time.Hour))
		wantStored(t)
	})
	t.Run("NeverBack", func(t *testing.T) {
		save(t, "1:0", at(6), noon.Add(2*time.Hour))
		wantStored(t)
		save(t, "1:0", rollup.Position{}, noon)
		wantStored(t)
	})
	t.Run("OpenedAgain", func(t *testing.T) {
		s = reopen()
		wantStored(t)
		save(t, "1:0", at(6), noon.Add(2*time.Hour))
		wantStored(t)
	})
}
