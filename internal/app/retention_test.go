package app_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/retention"
	"github.com/daybook-analytics/daybook/rollup"
)

// TestRetentionAndErasure lets a whole installation expire an old day by its
// schedule, and erases a user and then the site through its operators' actions.
func TestRetentionAndErasure(t *testing.T) {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	old := today.AddDate(0, 0, -40)
	for name, install := range installations {
		t.Run(name, func(t *testing.T) {
			i := install(t)
			q, err := app.OpenQueue(t.Context(), i.queue, i.data, discard)
			if err != nil {
				t.Fatal(err)
			}
			var lines [][]byte
			for n := range 60 {
				at := today
				if n%2 == 0 {
					at = old
				}
				e := event.Event{ID: fmt.Sprint(n), Site: "site-abc", User: fmt.Sprintf("u%d", n%3), Time: at}
				e.Values[rollup.EventType], e.Values[rollup.Path] = rollup.PageView, "/"
				lines = append(lines, e.AppendLine(nil))
			}
			group := queue.Group{Stream: "1:0", Lines: append(bytes.Join(lines, []byte{'\n'}), '\n'), Events: len(lines)}
			if errs := q.Append(t.Context(), []queue.Group{group}); errs != nil {
				t.Fatal(errs)
			}
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}

			cfg := i.config()
			cfg.Ingest, cfg.Worker, cfg.Report = i.ingest(), i.worker(), i.report()
			cfg.Worker.KeepRawDays, cfg.Worker.RetentionSchedule = 30, "@every 1s"
			a, _ := run(t, cfg)
			actions, _ := openAdmin(t, i)
			state := func(date time.Time) (state reconcile.State) {
				t.Helper()
				day := date.Format(time.DateOnly)
				err := actions.Verify(t.Context(), reconcile.Range{Site: "site-abc", From: day, To: day}, func(v admin.Verified) error {
					state = v.State
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				return state
			}
			count := func(date time.Time) int {
				return getStats(t, a.ReportAddr(), "site_id=site-abc&date="+date.Format(time.DateOnly)).Events
			}
			eventually(t, "all is counted", func() bool { return count(old) == 30 && count(today) == 30 })
			eventually(t, "the old day has expired", func() bool { return state(old) == reconcile.Partial })
			if got := state(today); got != reconcile.OK || count(old) != 30 {
				t.Errorf("today is %s, the old day has %d events", got, count(old))
			}

			// Both may find a nightly run under way, and are asked again.
			erase := func(e retention.Erasure) (receipt *retention.Receipt) {
				t.Helper()
				eventually(t, "it is erased", func() bool {
					var err error
					receipt, err = actions.Erase(t.Context(), e)
					if err != nil {
						t.Log(err)
					}
					return err == nil
				})
				return receipt
			}
			receipt := erase(retention.Erasure{Site: "site-abc", User: "u1"})
			if receipt.Events != 10 || len(receipt.NotRecomputed) != 1 || receipt.Problem != "" {
				t.Errorf("%+v", receipt)
			}
			if count(today) != 20 || count(old) != 30 || state(today) != reconcile.OK {
				t.Errorf("%d and %d events are left, today is %s", count(today), count(old), state(today))
			}
			if receipt := erase(retention.Erasure{Site: "site-abc"}); receipt.Rollups != 2 || receipt.Problem != "" {
				t.Errorf("%+v", receipt)
			}
			if count(today) != 0 || count(old) != 0 {
				t.Errorf("%d and %d events are left", count(today), count(old))
			}
			if _, err := actions.Erase(t.Context(), retention.Erasure{Site: ""}); err == nil {
				t.Error("an erasure of no site was taken")
			}
		})
	}
}
