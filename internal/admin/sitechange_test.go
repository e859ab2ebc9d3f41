package admin_test

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
)

// TestSiteSettings adds, changes and removes a site.
func TestSiteSettings(t *testing.T) {
	bothWays(t, func(t *testing.T, actions admin.Actions, _ queue.Queue, st store.Store) {
		ctx := t.Context()
		if _, err := actions.ChangeSite(ctx, "shop", admin.SiteChange{Bots: new("keep")}); !errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), "daybook sites add shop") {
			t.Errorf("a change of a site that is not there: %v", err)
		}
		want := unset("shop")
		want.Added, want.Origins = true, []string{"https://shop.example"}
		added, err := actions.AddSite(ctx, "shop", admin.SiteChange{Origins: &[]string{"HTTPS://shop.example:443"}})
		check(t, err)
		wantEqual(t, "added", *added, want)
		if _, err := actions.AddSite(ctx, "shop", admin.SiteChange{}); err == nil || !strings.Contains(err.Error(), "site shop was added already") {
			t.Errorf("added twice: %v", err)
		}

		change := func(c admin.SiteChange) {
			t.Helper()
			changed, err := actions.ChangeSite(ctx, "shop", c)
			check(t, err)
			wantEqual(t, "changed", *changed, want)
			one, err := actions.Site(ctx, "shop")
			check(t, err)
			wantEqual(t, "shown", *one, want)
		}
		// Only what is given changes.
		change(admin.SiteChange{})
		want.KeepRawDays = new(0)
		change(admin.SiteChange{KeepRawDays: new(0)})
		want.KeepRawDays, want.Bots, want.DataCenters = new(30), "keep", true
		change(admin.SiteChange{KeepRawDays: new(30), Bots: new("keep"), DataCenters: new(true)})
		want.StripSlash, want.LowerCase, want.Paths = true, true, []string{"/user/*", "/a/**"}
		change(admin.SiteChange{StripSlash: new(true), LowerCase: new(true), Paths: &[]string{"/user/*", "/a/**"}})
		want.Origins = []string{"https://*.shop.example", "http://localhost:5173"}
		change(admin.SiteChange{Origins: &[]string{"https://*.shop.example", "http://localhost:5173"}})

		kept, err := site.NewDirectory(st, 0).Get(ctx, "shop")
		check(t, err)
		wantEqual(t, "settings", kept, site.Settings{
			Added: true, Origins: want.Origins, KeepRawDays: new(30), Bots: site.KeepBots, DataCenters: true,
			Paths: site.PathRules{StripSlash: true, Lower: true, Patterns: want.Paths},
		})
		for says, bad := range map[string]admin.SiteChange{
			`origin "shop.example"`:           {Origins: &[]string{"shop.example"}},
			"kept for -2 days":                {KeepRawDays: new(-2)},
			"kept for 100001 days":            {KeepRawDays: new(100001)},
			`no policy "drop"`:                {Bots: new("drop")},
			`pattern "user" does not begin`:   {Paths: &[]string{"user"}},
			`"/User/*" has capital letters`:   {Paths: &[]string{"/User/*"}}, // with what is set already
			"no policy \"\"":                  {Bots: new("")},
			`pattern "/a/**/b" has ** before`: {LowerCase: new(false), Paths: &[]string{"/a/**/b"}},
		} {
			if _, err := actions.ChangeSite(ctx, "shop", bad); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%v, want an error with %s", err, says)
			}
			if _, err := actions.AddSite(ctx, "new", bad); err == nil && says != `"/User/*" has capital letters` {
				t.Errorf("added with what must be an error with %s", says)
			}
		}
		change(admin.SiteChange{})

		cleared := unset("shop")
		cleared.Added = true
		want = cleared
		change(admin.SiteChange{Origins: &[]string{}, KeepRawDays: new(admin.DefaultDays), Bots: new("filter"), DataCenters: new(false),
			StripSlash: new(false), LowerCase: new(false), Paths: &[]string{}})

		removed, err := actions.RemoveSite(ctx, "shop")
		check(t, err)
		wantEqual(t, "removed", *removed, admin.RemovedSite{Site: "shop"})
		if _, err := actions.RemoveSite(ctx, "shop"); !errors.Is(err, store.ErrNotFound) || strings.Contains(err.Error(), "sites add") {
			t.Errorf("removed twice: %v", err)
		}
		if _, err := actions.Site(ctx, "shop"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("shown when it is removed: %v", err)
		}
		if _, err := actions.RemoveSite(ctx, "a b"); err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("no name of a site: %v", err)
		}
		list, err := actions.Sites(ctx)
		check(t, err)
		for _, s := range list {
			if s.Site == "shop" {
				t.Errorf("it is still listed: %+v", s)
			}
		}
	})
}

// TestRemoveSiteWithData keeps the data, and what its dates mean.
func TestRemoveSiteWithData(t *testing.T) {
	bothWays(t, func(t *testing.T, actions admin.Actions, _ queue.Queue, st store.Store) {
		ctx := t.Context()
		fill(t, st, "a", 1)
		// It has data and can be set without being added.
		_, err := actions.ChangeSite(ctx, "a", admin.SiteChange{Origins: &[]string{"https://a.example"}})
		check(t, err)
		begun, err := actions.SetTimezone(ctx, "a", admin.Timezone{Timezone: "Asia/Kolkata"})
		check(t, err)
		job(t, actions, begun.ID, "it is done", done)
		own, err := actions.CreateKey(ctx, admin.NewKey{Site: "a", Scope: access.Ingest, Public: true})
		check(t, err)
		every, err := actions.CreateKey(ctx, admin.NewKey{Site: "*", Scope: access.Read})
		check(t, err)

		removed, err := actions.RemoveSite(ctx, "a")
		check(t, err)
		wantEqual(t, "removed", *removed, admin.RemovedSite{Site: "a", RevokedKeys: 1, HasData: true})
		keys, err := actions.Keys(ctx, "")
		check(t, err)
		for _, k := range keys {
			if (k.Revoked != nil) != (k.ID == own.ID) || k.ID != own.ID && k.ID != every.ID {
				t.Errorf("key %+v", k)
			}
		}
		kept, err := site.NewDirectory(st, 0).Get(ctx, "a")
		check(t, err)
		wantEqual(t, "settings", kept, site.Settings{Zone: "Asia/Kolkata", Zones: []string{"", "Asia/Kolkata"}})
		check(t, actions.Verify(ctx, reconcileAll("a"), func(v admin.Verified) error {
			if v.Events != 10 {
				t.Errorf("%+v", v)
			}
			return nil
		}))
		again, err := actions.AddSite(ctx, "a", admin.SiteChange{})
		if err != nil || again.Timezone != "Asia/Kolkata" || len(again.Origins) != 0 {
			t.Errorf("added again: %+v, %v", again, err)
		}
	})
}

// TestSitesOnTheSocket uses the paths as scripts do.
func TestSitesOnTheSocket(t *testing.T) {
	_, socket := onSocket(t)
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{http.MethodPost, "/admin/sites", `{"site":"shop","origins":["https://shop.example"],"paths":["/user/*"]}`, 201, `"added":true`},
		{http.MethodPost, "/admin/sites", `{"site":"shop"}`, 409, "was added already"},
		{http.MethodPost, "/admin/sites", `{"site":"blog","origin":["https://shop.example"]}`, 400, `unknown field \"origin\"`},
		{http.MethodPost, "/admin/sites", `{}`, 422, "there can be no site"},
		{http.MethodPost, "/admin/sites", `{"site":"blog","bots":"drop"}`, 422, "no policy"},
		{http.MethodPatch, "/admin/sites/shop", `{"bots":"keep"}`, 200, `"bots":"keep"`},
		{http.MethodPatch, "/admin/sites/shop", `{"bot":"keep"}`, 400, `unknown field \"bot\"`},
		{http.MethodPatch, "/admin/sites/shop", `{"added":false}`, 400, `unknown field \"added\"`},
		{http.MethodPatch, "/admin/sites/shop", ``, 400, "the body cannot be used"},
		{http.MethodPatch, "/admin/sites/blog", `{}`, 404, "was not added"},
		{http.MethodGet, "/admin/sites/shop", ``, 200, `"origins":["https://shop.example"],"bots":"keep","datacenters":false,"strip_slash":false,"lower_case":false,"paths":["/user/*"]}`},
		{http.MethodDelete, "/admin/sites/shop", ``, 200, `{"site":"shop","revoked_keys":0,"has_data":false}`},
		{http.MethodDelete, "/admin/sites/shop", ``, 404, "was not added, and has no events: not found\""},
		{http.MethodGet, "/admin/sites/shop", ``, 404, "was not added, and has no events: not found\""},
		{http.MethodPut, "/admin/sites/shop", ``, 405, "not allowed"},
	} {
		if status, body := curl(t, socket, c.method, c.path, c.body); status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s %s %s: %d %s\nwant %d with %s", c.method, c.path, c.body, status, body, c.status, c.says)
		}
	}
}

// TestSiteChangeNames holds that what can be set has the name under which it is
// shown.
func TestSiteChangeNames(t *testing.T) {
	shown := map[string]bool{}
	for f := range fields(admin.Site{}) {
		shown[f] = true
	}
	for f := range fields(admin.SiteChange{}) {
		if !shown[f] {
			t.Errorf("%s can be set and is not shown", f)
		}
	}
}

func fields(of any) map[string]bool {
	names := map[string]bool{}
	for f := range reflect.TypeOf(of).Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names[name] = true
	}
	return names
}
