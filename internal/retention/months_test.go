package retention

import (
	"context"
	"errors"
	"testing"

	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// lateMonth is a store in which another process writes, just after the first
// month that is written, what it had made of the same month before.
type lateMonth struct {
	store.Store
	old *rollup.Day
}

func (l *lateMonth) PutMonth(ctx context.Context, month *rollup.Day) error {
	err := l.Store.PutMonth(ctx, month)
	if old := l.old; old != nil {
		l.old = nil
		err = errors.Join(err, l.Store.PutMonth(ctx, old))
	}
	return err
}

// An erased user is in no month any more, and in no rollup of a time zone that
// the site had.
func TestErasedUserIsInNoMonth(t *testing.T) {
	key := store.DayKey{Site: "a", Date: "2026-01"}
	for name, test := range map[string]struct {
		before func(w *world, old *rollup.Day)
		gone   bool // the month is
	}{
		"an older month that is written late": {before: func(w *world, old *rollup.Day) {
			w.store = &lateMonth{Store: w.store, old: old}
		}},
		"a month that cannot be made": {gone: true, before: func(w *world, _ *rollup.Day) {
			other := store.DayKey{Site: "a", Date: "2026-01-20"}
			w.send(other, 5, "u1")
			w.settle()
			damageable := w.store.(interface {
				Damage(context.Context, store.DayKey, func([]byte) []byte) error
			})
			err := damageable.Damage(w.t.Context(), other, func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
			if err != nil {
				w.t.Fatal(err)
			}
		}},
		"a time zone that the site had": {gone: true, before: func(w *world, _ *rollup.Day) {
			_, err := site.NewDirectory(w.store, 0).Change(w.t.Context(), "a", func(s *site.Settings) error {
				s.ChangeTo(kolkata)
				s.Finish()
				return nil
			})
			if err != nil {
				w.t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, stores["embedded"])
			for _, day := range dates("a", "2026-01-01", 3) {
				w.send(day, 48, "u1", "u2", erased)
			}
			w.settle()
			if err := reconcile.BuildMonth(t.Context(), w.store, key); err != nil {
				t.Fatal(err)
			}
			old, err := w.store.Month(t.Context(), key, rollup.AllFields)
			if err != nil || old.Users.Estimate() != 3 {
				t.Fatalf("month %+v, error %v", old, err)
			}
			test.before(w, old)
			receipt, err := w.keeper("2026-03-10").Erase(t.Context(), Erasure{Site: "a", User: erased})
			if err != nil || receipt.Problem != "" {
				t.Fatalf("receipt %+v, error %v", receipt, err)
			}
			month, err := w.store.Month(t.Context(), key, rollup.AllFields)
			switch {
			case test.gone && !errors.Is(err, store.ErrNotFound):
				t.Errorf("the month is there, with %v; error %v", month, err)
			case !test.gone && (err != nil || month.Users.Estimate() != 2):
				t.Errorf("the month has %v, error %v; want 2 users", month, err)
			}
		})
	}
}
