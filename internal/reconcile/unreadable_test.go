package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// badStore cannot read the raw events of one day.
type badStore struct {
	JobStore
	bad store.DayKey
	err error
}

func (b *badStore) ScanDay(ctx context.Context, site string, dates []string, after, upTo rollup.Marks, fn func(*store.Event) error) error {
	if site == b.bad.Site && slices.Contains(dates, b.bad.Date) {
		return b.err
	}
	return b.JobStore.ScanDay(ctx, site, dates, after, upTo, fn)
}

// TestOneBadDay lets one day have an error: the others are done all the same,
// and the job says so, unless it is an error that they would have too.
func TestOneBadDay(t *testing.T) {
	w := newWorld(t)
	keys := w.days(8)
	w.lose(keys[7])
	st := &badStore{JobStore: w.store, bad: keys[0], err: errors.New("a block is damaged")}
	r := NewRunner(st, rollup.DefaultLimits, slog.New(slog.DiscardHandler))
	run := func() (*Job, error) {
		job, err := r.Create(t.Context(), Spec{}, "test")
		if err != nil {
			t.Fatal(err)
		}
		return job, r.Run(t.Context(), job, 2, nil)
	}
	job, err := run()
	if err != nil || job.State != Done || job.Finished != len(keys) || job.Unreadable != 1 || job.Rebuilt != 1 {
		t.Errorf("%v %+v", err, job)
	}
	if f := job.Findings; len(f) != 2 || f[0].State != Unreadable || !strings.Contains(f[0].Refused, "a block is damaged") {
		t.Errorf("findings %+v", f)
	}
	w.exact(keys[7])

	w.lose(keys[7])
	date, err := time.Parse(time.DateOnly, keys[7].Date)
	if err != nil {
		t.Fatal(err)
	}
	now := date.AddDate(0, 0, 1)
	reconciler, err := NewReconciler(r, Schedule{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r.now = func() time.Time { return now }
	reconciler.run(KindCheck, reconciler.check)
	if job := w.latest(KindCheck); job.State != Done || job.Unreadable != 1 || job.Rebuilt != 1 {
		t.Errorf("check: %+v", job)
	}
	w.exact(keys[7])

	st.err = fmt.Errorf("read: %w", store.ErrUnavailable)
	if job, err = run(); !errors.Is(err, store.ErrUnavailable) || job.State != Failed || job.Unreadable != 0 {
		t.Errorf("with a store that is away: %v %+v", err, job)
	}
}
