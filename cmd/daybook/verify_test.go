package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// verify gives the days that verify --json calls not right, and its summary.
func (w *world) verify(code int, args ...string) (map[store.DayKey]admin.Verified, verified) {
	w.t.Helper()
	r := w.run(append([]string{"verify", "--json"}, args...)...)
	w.want(r, code)
	found := map[store.DayKey]admin.Verified{}
	var sum verified
	for line := range strings.Lines(r.stdout) {
		var day struct {
			admin.Verified
			Summary *verified
		}
		w.must(json.Unmarshal([]byte(line), &day))
		if day.Summary != nil {
			sum = *day.Summary
			continue
		}
		found[store.DayKey{Site: day.Site, Date: day.Date}] = day.Verified
	}
	return found, sum
}

// TestVerifyAndRebuild damages rollups, has them found, and has them mended,
// on every kind of installation.
func TestVerifyAndRebuild(t *testing.T) {
	for _, tt := range []struct {
		name        string
		install     func(*testing.T) *world
		sites, days int
		running     bool
	}{
		{"a directory", embedded, 4, 4, false},
		{"a running daybook", embedded, 4, 4, true},
		{"redis and mongodb", onServers, 2, 3, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := tt.install(t)
			w.load(3000, tt.sites, tt.days)
			if found, sum := w.verify(0, "--all"); len(found) > 0 || sum.Days != len(w.days) || sum.Events != 3000 {
				t.Errorf("nothing is wrong, and verify finds %v, %+v", found, sum)
			}
			damaged := w.damage()
			if tt.running {
				w.serve()
			}
			job := w.verifyAndRebuild(damaged)
			if tt.name != "redis and mongodb" { // they have shown enough, slowly
				w.jobsAndStatus(job)
			}
		})
	}
}

// verifyAndRebuild gives the job that mended the last day.
func (w *world) verifyAndRebuild(damaged map[store.DayKey]damage) *reconcile.Job {
	t := w.t
	found, sum := w.verify(1, "--all")
	if sum.Wrong != len(damaged) || len(found) != len(damaged) {
		t.Errorf("%d days are damaged, verify finds %d: %v", len(damaged), sum.Wrong, found)
	}
	table := w.run("verify", "--all")
	w.want(table, 1, fmt.Sprintf("%d days with 3000 raw events in ", len(w.days)), fmt.Sprintf(": %d not right, 0 not checkable, 0 with errors\n", len(damaged)))
	var smaller store.DayKey
	for key, d := range damaged {
		named := false
		for _, difference := range found[key].Differences {
			named = named || difference.Field == d.field && (d.stored == "" || difference.Stored == d.stored)
		}
		if !named {
			t.Errorf("%v is %s, which %+v does not tell", key, d.name, found[key])
		}
		if !tableHas(table.stdout, key.Site, key.Date, d.field) {
			t.Errorf("%v is %s, which is not in\n%s", key, d.name, table.stdout)
		}
		if d.smaller {
			smaller = key
		}
	}

	w.want(w.run("rebuild", "--all", "--dry-run"), 1, "left as it is: ", "nothing was changed; ",
		fmt.Sprintf("%d not right, %d would be rebuilt, 1 left as they are", len(damaged), len(damaged)-1))
	if again, _ := w.verify(1, "--all"); len(again) != len(damaged) {
		t.Errorf("a dry run has changed %d days", len(damaged)-len(again))
	}
	w.want(w.run("rebuild", "--all", "--parallel=3"), 1, fmt.Sprintf("%d not right, %d rebuilt, 1 left as they are", len(damaged), len(damaged)-1))
	if left, _ := w.verify(1, "--all"); len(left) != 1 || left[smaller].State != reconcile.Drifted {
		t.Errorf("after the rebuild %v are not right, want only %v", left, smaller)
	}
	r := w.run("rebuild", "--site", smaller.Site, "--from", smaller.Date, "--to", smaller.Date, "--force", "--json")
	w.want(r, 0)
	var job reconcile.Job
	w.must(json.Unmarshal([]byte(r.stdout), &job))
	if job.State != reconcile.Done || job.Days != 1 || job.Rebuilt != 1 || len(job.Findings) != 1 || job.By != who() {
		t.Errorf("the forced rebuild: %+v", job)
	}
	w.verify(0, "--all")
	w.want(w.run("jobs", "list"), 0, job.ID, "done, dry run", "1 of 1")
	return &job
}

func (w *world) jobsAndStatus(job *reconcile.Job) {
	t := w.t
	site, date := job.Spec.Site, job.Spec.From
	w.want(w.run("jobs", "list", "--scheduled"), 0, "no jobs")
	w.want(w.run("jobs", "show", job.ID), 0, "days:   "+site+" from "+date+" to "+date, "total_events")
	w.want(w.run("jobs", "cancel", job.ID), 0, "is done; 1 of 1 days")
	for _, args := range [][]string{{"jobs", "show", "nothing"}, {"jobs", "cancel", "nothing"}, {"rebuild", "--resume", "nothing"}, {"rebuild", "--resume", job.ID}, {"rebuild", "--site", "nobody"}} {
		w.want(w.run(args...), 1)
	}
	w.want(w.run("verify", "--site", "nobody"), 2)
	w.want(w.run("verify", "--site", site, "--from", "2020-01-01", "--to", "2020-01-02"), 0, "0 days with 0 raw events")

	w.want(w.run("status"), 0, "schema version: ", "dead letters:   0", "last rebuild:   ", "1 of 1 days, 1 not right, 1 rebuilt", "1:0", "1:1")
	r := w.run("status", "--json")
	w.want(r, 0)
	var status admin.Status
	w.must(json.Unmarshal([]byte(r.stdout), &status))
	if status.Backlog == nil || status.Backlog.Events != 0 || status.LastRebuild.ID != job.ID || len(status.Running) != 0 || len(status.Streams) != 2 || status.AsOf.IsZero() {
		t.Errorf("status: %s", r.stdout)
	}
}

// tableHas tells whether a line of a table begins with the site and date, and
// has the field.
func tableHas(table, site, date, field string) bool {
	for line := range strings.Lines(table) {
		words := strings.Fields(line)
		if len(words) > 2 && words[0] == site && words[1] == date && strings.Contains(line, " "+field+" ") {
			return true
		}
	}
	return false
}

// TestVerifyOfPartialDays has days whose raw events are gone called not
// checkable, never wrong, and leaves them alone.
func TestVerifyOfPartialDays(t *testing.T) {
	w := embedded(t)
	w.load(1000, 1, 4)
	first, last := w.days[0], w.days[len(w.days)-1]
	st := w.open()
	_, err := st.Expire(t.Context(), first.Site, "2026-03-30")
	w.must(err)
	altered(func(d *rollup.Day) { d.Events /= 2 })(w, st, first)
	w.must(st.Close())

	found, sum := w.verify(0, "--all")
	if sum.Partial != 2 || sum.Wrong != 0 || found[first].State != reconcile.Partial || len(found[first].Differences) > 0 {
		t.Errorf("%+v %+v", sum, found)
	}
	w.want(w.run("verify", "--all"), 0, "not checkable: the raw events are not all kept any more", " 0 not right, 2 not checkable")
	w.want(w.run("verify", "--all", "--to", first.Date), 2)
	w.want(w.run("rebuild", "--all"), 0, "0 not right, 0 rebuilt, 0 left as they are, 2 not checkable")
	w.verify(0, "--site", last.Site, "--from", "2026-03-30")
}

// TestCouldNotCheck gives exit code 2 for what is no drift.
func TestCouldNotCheck(t *testing.T) {
	w := embedded(t)
	for _, args := range [][]string{
		{"verify", "--all"}, // there is nothing in the directory
		{"verify"},
		{"verify", "--all", "--site", "a"},
		{"verify", "--all", "--from", "yesterday"},
		{"verify", "--all", "--from", "2026-03-02", "--to", "2026-03-01"},
		{"rebuild"},
		{"rebuild", "--all", "--resume", "JOB"},
		{"rebuild", "--all", "--parallel", "65"},
		{"rebuild", "--all", "--table-keys", "5"},
		{"jobs", "list", "--limit", "0"},
	} {
		if r := w.run(args...); r.code != 2 || strings.Count(r.stderr, "daybook: ") != 1 {
			t.Errorf("want exit code 2 and one line: %v", r)
		}
	}
}
