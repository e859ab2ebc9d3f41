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
	"github.com/daybook-analytics/daybook/rollup"
)

// TestTimezone changes the time zone of a site on every choice of backends:
// reports are by the days of the new zone then, and verify finds them right.
func TestTimezone(t *testing.T) {
	for name, install := range installations {
		t.Run(name, func(t *testing.T) {
			i := install(t)
			q, err := app.OpenQueue(t.Context(), i.queue, i.data, discard)
			if err != nil {
				t.Fatal(err)
			}
			var lines []byte
			first := time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC)
			const hours = 72
			for n := range hours {
				e := event.Event{ID: fmt.Sprint(n), Site: "site-abc", User: fmt.Sprintf("u%d", n%3), Time: first.Add(time.Duration(n) * time.Hour)}
				e.Values[rollup.EventType], e.Values[rollup.Path] = rollup.PageView, "/"
				lines = append(e.AppendLine(lines), '\n')
			}
			group := queue.Group{Stream: "1:0", Lines: lines, Events: bytes.Count(lines, []byte{'\n'})}
			if errs := q.Append(t.Context(), []queue.Group{group}); errs != nil {
				t.Fatal(errs)
			}
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}

			cfg := i.config()
			cfg.Ingest, cfg.Worker, cfg.Report = i.ingest(), i.worker(), i.report()
			a, _ := run(t, cfg)
			actions, _ := openAdmin(t, i)
			count := func(date string) int {
				return getStats(t, a.ReportAddr(), "site_id=site-abc&date="+date).Events
			}
			eventually(t, "all is counted", func() bool { return count("2026-03-28")+count("2026-03-29")+count("2026-03-30") == hours })

			job, err := actions.SetTimezone(t.Context(), "site-abc", admin.Timezone{Timezone: "Europe/Berlin"})
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "the zone is changed", func() bool {
				job, err = actions.Rebuild(t.Context(), job.ID)
				return err == nil && job.State != reconcile.Running
			})
			if job.State != reconcile.Done || job.Rebuilt != 4 || job.Months != 1 {
				t.Errorf("%+v", job)
			}
			// The server reads settings again after a moment.
			eventually(t, "the report is by the new days", func() bool { return count("2026-03-29") == 23 })
			for date, want := range map[string]int{"2026-03-28": 23, "2026-03-30": 24, "2026-03-31": 2} {
				if got := count(date); got != want {
					t.Errorf("%s has %d events, want %d", date, got, want)
				}
			}
			days := 0
			err = actions.Verify(t.Context(), reconcile.Range{Site: "site-abc"}, func(v admin.Verified) error {
				days++
				if v.State != reconcile.OK {
					t.Errorf("%+v", v)
				}
				return nil
			})
			if err != nil || days != 4 {
				t.Errorf("%v, %d days verified", err, days)
			}
		})
	}
}
