package admin_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/web"
)

func done(j *reconcile.Job) bool { return j.State == reconcile.Done }

// unset is a site of which nothing was set.
func unset(name string) admin.Site {
	return admin.Site{Site: name, Timezone: "UTC", Dated: []string{"UTC"}, Bots: "filter", Origins: []string{}, Paths: []string{}}
}

// TestSites changes the time zone of a site and lists all.
func TestSites(t *testing.T) {
	bothWays(t, func(t *testing.T, actions admin.Actions, _ queue.Queue, st store.Store) {
		fill(t, st, "a", 3)
		set := func(name, zone string) *reconcile.Job {
			t.Helper()
			begun, err := actions.SetTimezone(t.Context(), name, admin.Timezone{Timezone: zone, By: "me"})
			check(t, err)
			if begun == nil {
				return nil
			}
			return job(t, actions, begun.ID, "it is done", done)
		}
		if j := set("a", "UTC"); j != nil {
			t.Errorf("there is something to change: %+v", j)
		}
		if j := set("a", "Asia/Kolkata"); j.By != "me" || j.Rebuilt != 3 || j.Events != 30 {
			t.Errorf("%+v", j)
		}
		set("new", "Europe/Berlin")
		list, err := actions.Sites(t.Context())
		check(t, err)
		a, other := unset("a"), unset("new")
		a.Timezone, a.Dated = "Asia/Kolkata", []string{"UTC", "Asia/Kolkata"}
		other.Timezone, other.Dated = "Europe/Berlin", []string{"UTC", "Europe/Berlin"}
		wantEqual(t, "sites", list, []admin.Site{a, other})
		one, err := actions.Site(t.Context(), "a")
		check(t, err)
		wantEqual(t, "site a", *one, a)
		one, err = actions.Site(t.Context(), "new")
		check(t, err)
		wantEqual(t, "site new", *one, other)
		if _, err := actions.Rebuild(t.Context(), "x"); !errors.Is(err, store.ErrNotFound) {
			t.Error(err)
		}

		// It is an own job for those who list them, and not the last rebuild.
		jobs, err := actions.Rebuilds(t.Context(), 10)
		check(t, err)
		s, err := actions.Status(t.Context())
		check(t, err)
		if len(jobs) != 2 || s.LastRebuild != nil {
			t.Errorf("%d jobs, the last rebuild is %+v", len(jobs), s.LastRebuild)
		}
	})
}

// TestTimezoneGoesOn stops a change with its process. The same change goes on
// with it in the next one, and another takes its place.
func TestTimezoneGoesOn(t *testing.T) {
	q, st := embedded(t)
	fill(t, st, "a", 5)
	held := hold(st, "2026-11-03")
	process := func() (*admin.Admin, string) {
		rt := web.NewRouter(discard)
		a := admin.New(q, held, admin.Options{Alone: true}, discard)
		a.Register(rt)
		t.Cleanup(func() { check(t, a.Stop(context.Background())) })
		return a, serve(t, rt)
	}
	first, socket := process()
	begun, err := first.SetTimezone(t.Context(), "a", admin.Timezone{Timezone: "Asia/Kolkata"})
	check(t, err)
	job(t, first, begun.ID, "two days are done", func(j *reconcile.Job) bool { return j.Finished == 2 })
	if one, err := first.Site(t.Context(), "a"); err != nil || one.Timezone != "UTC" || one.ChangingTo != "Asia/Kolkata" {
		t.Errorf("%v, %+v", err, one)
	}
	for _, zone := range []string{"Asia/Kolkata", "Europe/Berlin"} {
		status, body := curl(t, socket, http.MethodPost, "/admin/sites/a", `{"timezone":"`+zone+`"}`)
		if status != http.StatusConflict || !strings.Contains(body, begun.ID) {
			t.Errorf("%s while it is at work: %d %s", zone, status, body)
		}
	}
	check(t, first.Stop(t.Context()))

	second, _ := process()
	resumed, err := second.SetTimezone(t.Context(), "a", admin.Timezone{Timezone: "Asia/Kolkata"})
	check(t, err)
	if resumed.ID != begun.ID || resumed.Finished != 2 {
		t.Errorf("%+v goes on", resumed)
	}
	check(t, second.Stop(t.Context()))

	close(held.letGo)
	third, _ := process()
	other, err := third.SetTimezone(t.Context(), "a", admin.Timezone{Timezone: "Europe/Berlin"})
	check(t, err)
	job(t, third, other.ID, "it is done", done)
	if j := job(t, third, begun.ID, "it ends", func(*reconcile.Job) bool { return true }); j.State != reconcile.Cancelled {
		t.Errorf("the one before it is %s", j.State)
	}
	if one, err := third.Site(t.Context(), "a"); err != nil || one.Timezone != "Europe/Berlin" || one.ChangingTo != "" {
		t.Errorf("%v, %+v", err, one)
	}
	settings, err := site.NewDirectory(st, 0).Get(t.Context(), "a")
	check(t, err)
	for _, zone := range settings.All() {
		dates, err := st.DayDates(t.Context(), "a", zone, "", "")
		check(t, err)
		if (zone == "Europe/Berlin") != (len(dates) == 5) {
			t.Errorf("there are rollups in %q: %v", zone, dates)
		}
	}
}

func TestBadTimezones(t *testing.T) {
	bothWays(t, func(t *testing.T, actions admin.Actions, _ queue.Queue, _ store.Store) {
		for _, bad := range []struct{ site, zone, says string }{
			{"a", "Europe/Berln", `there is no time zone "Europe/Berln"`},
			{"a", "", "a time zone is needed"},
			{"a b", "UTC", `there can be no site "a b"`},
		} {
			if _, err := actions.SetTimezone(t.Context(), bad.site, admin.Timezone{Timezone: bad.zone}); err == nil || !strings.Contains(err.Error(), bad.says) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		if list, err := actions.Sites(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("%v, %v", list, err)
		}
	})
}
