package worker

import (
	"context"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
)

// TestStepsBecomeShort works on a store that breaks in every step of more than
// a few events: all are counted, in shorter steps.
func TestStepsBecomeShort(t *testing.T) {
	q, st := embedded(t, 1)
	send(t, q, 0, 60)
	w := start(t, q, flakyStore{st}, Options{Pace: time.Millisecond})
	eventually(t, "60 events in the rollup", counted(t, st, 60))
	if w.Stats().Failures == 0 {
		t.Error("no step failed")
	}
}

// flakyStore is a store that is away after the first few events of a step.
type flakyStore struct{ store.Store }

func (s flakyStore) Begin() store.Step { return flakyStep{s.Store.Begin()} }

type flakyStep struct{ store.Step }

func (s flakyStep) Insert(ctx context.Context, events []store.Event) ([]store.Outcome, error) {
	if len(events) > 20 {
		return nil, store.ErrUnavailable
	}
	return s.Step.Insert(ctx, events)
}
