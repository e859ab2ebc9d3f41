package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/web"
)

// onSocket serves an Admin on a socket.
func onSocket(t *testing.T) (store.Store, string) {
	t.Helper()
	q, st := embedded(t)
	rt := web.NewRouter(discard)
	admin.New(q, st, admin.Options{}, discard).Register(rt)
	return st, serve(t, rt)
}

func reconcileAll(site string) reconcile.Range { return reconcile.Range{Site: site} }

// page gives what roles know of keys and sites.
func page(t *testing.T, st store.Store) *access.Page {
	t.Helper()
	book := access.NewBook(st, discard)
	check(t, book.Read(t.Context()))
	return book.Page()
}

func TestKeys(t *testing.T) {
	bothWays(t, func(t *testing.T, actions admin.Actions, _ queue.Queue, st store.Store) {
		ctx := t.Context()
		_, err := actions.AddSite(ctx, "shop", admin.SiteChange{Origins: &[]string{"https://shop.example"}})
		check(t, err)
		fill(t, st, "a", 1)

		made := map[string]*admin.CreatedKey{}
		for _, n := range []admin.NewKey{
			{Site: "shop", Scope: access.Ingest, Public: true, Note: "on all pages"},
			{Site: "shop", Scope: access.Read},
			{Site: "a", Scope: access.Ingest}, // it has data
			{Site: "*", Scope: access.Admin},
		} {
			key, err := actions.CreateKey(ctx, n)
			check(t, err)
			if key.Site != n.Site || key.Scope != n.Scope || key.Public != n.Public || key.Note != n.Note || key.Revoked != nil || time.Since(key.Created) > time.Minute ||
				!strings.HasPrefix(key.Token, key.Prefix+"_") || key.Prefix != "db_"+string(n.Scope)+"_"+key.ID {
				t.Errorf("%+v of %+v", key, n)
			}
			if known := page(t, st).Key(key.Token); known == nil || known.ID != key.ID {
				t.Errorf("the token of %+v opens nothing", n)
			}
			made[key.ID] = key
		}

		keys, err := actions.Keys(ctx, "")
		check(t, err)
		if len(keys) != len(made) {
			t.Errorf("%d keys", len(keys))
		}
		for _, k := range keys {
			wantEqual(t, "key", k, made[k.ID].Key)
		}
		ofShop, err := actions.Keys(ctx, "shop")
		check(t, err)
		if len(ofShop) != 3 { // its own, and that of all sites
			t.Errorf("%d keys are good for shop", len(ofShop))
		}
		none, err := admin.New(nil, st, admin.Options{}, discard).Keys(ctx, "a b")
		if none == nil || err != nil {
			t.Errorf("%v, %v", none, err)
		}

		// By its ID, by what its token begins with, and by the token.
		for id, key := range made {
			name := map[access.Scope]string{access.Ingest: key.Token, access.Read: key.Prefix, access.Admin: id}[key.Scope]
			revoked, err := actions.RevokeKey(ctx, name)
			check(t, err)
			if revoked.ID != id || revoked.Revoked == nil || page(t, st).Key(key.Token).Revoked == nil {
				t.Errorf("%+v is not revoked", revoked)
			}
			again, err := actions.RevokeKey(ctx, id)
			check(t, err)
			wantEqual(t, "revoked twice", *again, *revoked)
		}
		if _, err := actions.RevokeKey(ctx, "ABCDEFGHIJ"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("no such key: %v", err)
		}
		if _, err := actions.RevokeKey(ctx, "db_read_secretly"); err == nil || strings.Contains(err.Error(), "secretly") {
			t.Errorf("no name of a key: %v", err)
		}
	})
}

func TestBadKeys(t *testing.T) {
	bothWays(t, func(t *testing.T, actions admin.Actions, _ queue.Queue, _ store.Store) {
		ctx := t.Context()
		_, err := actions.AddSite(ctx, "shop", admin.SiteChange{})
		check(t, err)
		for says, n := range map[string]admin.NewKey{
			"daybook sites add blog":           {Site: "blog", Scope: access.Read},
			"no scope":                         {Site: "shop", Scope: "write"},
			"cannot be public":                 {Site: "shop", Scope: access.Read, Public: true},
			"is for one site":                  {Site: "*", Scope: access.Ingest, Public: true},
			"daybook sites set shop --origins": {Site: "shop", Scope: access.Ingest, Public: true},
			`there can be no site ""`:          {Scope: access.Read},
		} {
			if _, err := actions.CreateKey(ctx, n); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%+v: %v, want an error with %s", n, err, says)
			}
		}
		if keys, err := actions.Keys(ctx, ""); err != nil || len(keys) != 0 {
			t.Errorf("%v, %v", keys, err)
		}

		// The origins of a public key cannot be taken away from under it.
		_, err = actions.ChangeSite(ctx, "shop", admin.SiteChange{Origins: &[]string{"https://shop.example"}})
		check(t, err)
		key, err := actions.CreateKey(ctx, admin.NewKey{Site: "shop", Scope: access.Ingest, Public: true})
		check(t, err)
		if _, err := actions.ChangeSite(ctx, "shop", admin.SiteChange{Origins: &[]string{}}); err == nil || !strings.Contains(err.Error(), key.Prefix) || strings.Contains(err.Error(), key.Token) {
			t.Errorf("origins are cleared: %v", err)
		}
		_, err = actions.RevokeKey(ctx, key.ID)
		check(t, err)
		_, err = actions.ChangeSite(ctx, "shop", admin.SiteChange{Origins: &[]string{}})
		check(t, err)
	})
}

// TestDamagedKey: it is shown with what is wrong, and stands in nobody's way.
func TestDamagedKey(t *testing.T) {
	bothWays(t, func(t *testing.T, actions admin.Actions, _ queue.Queue, st store.Store) {
		ctx := t.Context()
		const id = "2222222222" // before all others
		check(t, st.SwapRecord(ctx, store.KeyKind, &store.Record{Name: id, Body: []byte(`{"site":"shop",`)}))
		_, err := actions.AddSite(ctx, "shop", admin.SiteChange{Origins: &[]string{"https://shop.example"}})
		check(t, err)
		good, err := actions.CreateKey(ctx, admin.NewKey{Site: "shop", Scope: access.Read})
		check(t, err)
		for _, site := range []string{"", "shop"} {
			keys, err := actions.Keys(ctx, site)
			check(t, err)
			if len(keys) != 2 || !strings.Contains(keys[0].Note, "cannot be read") {
				t.Fatalf("keys of %q: %+v", site, keys)
			}
			wantEqual(t, "damaged key", keys[0], admin.Key{ID: id, Prefix: id, Note: keys[0].Note})
			wantEqual(t, "good key", keys[1], good.Key)
		}
		_, err = actions.ChangeSite(ctx, "shop", admin.SiteChange{Origins: &[]string{}})
		check(t, err)
		removed, err := actions.RemoveSite(ctx, "shop")
		check(t, err)
		wantEqual(t, "removed", *removed, admin.RemovedSite{Site: "shop", RevokedKeys: 1})
	})
}

// TestGuarded uses the paths on a port that others reach, with keys of all
// kinds, and looks for tokens in all that is written.
func TestGuarded(t *testing.T) {
	q, st := embedded(t)
	fill(t, st, "a", 1)
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a := admin.New(q, st, admin.Options{}, log)
	create := func(site string, scope access.Scope) *admin.CreatedKey {
		key, err := a.CreateKey(t.Context(), admin.NewKey{Site: site, Scope: scope})
		check(t, err)
		return key
	}
	good, one, read := create("*", access.Admin), create("a", access.Admin), create("*", access.Read)
	book := access.NewBook(st, log)
	check(t, book.Read(t.Context()))
	gate := access.NewGate(book, access.Read, access.Options{Mode: access.None}, log)
	rt := web.NewRouter(log)
	a.RegisterGuarded(rt, admin.NewOverview(a.Status), func(w http.ResponseWriter, r *http.Request) (string, error) {
		pass, err := gate.AdmitAdmin(w, r)
		if err != nil {
			return "", err
		}
		return "key " + pass.Key.ID, nil
	})
	server := httptest.NewServer(rt)
	defer server.Close()
	ask := func(token, method, path, body string) (int, string, http.Header) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		check(t, err)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := server.Client().Do(r)
		check(t, err)
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		check(t, err)
		if got := resp.Header.Get("Cache-Control"); got != "no-store" && resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s %s: Cache-Control: %s", method, path, got)
		}
		return resp.StatusCode, string(answer), resp.Header
	}

	// Nothing is done for anybody else.
	paths := map[string][]string{
		"/admin/rebuilds": {"GET", "POST"}, "/admin/rebuilds/x": {"GET", "DELETE"}, "/admin/rebuilds/x/resume": {"POST"},
		"/admin/reconciliations": {"GET"}, "/admin/verify?all=true": {"GET"}, "/admin/status": {"GET"},
		"/admin/export?all=true&what=events&format=csv": {"GET"}, "/admin/import-rollups": {"POST"},
		"/admin/expiries": {"POST"}, "/admin/erasures": {"POST"},
		"/admin/sites": {"GET", "POST"}, "/admin/sites/a": {"GET", "POST", "PATCH", "DELETE"},
		"/admin/keys": {"GET", "POST"}, "/admin/keys/" + good.ID: {"DELETE"},
	}
	for path, methods := range paths {
		for _, method := range methods {
			for token, want := range map[string]int{"": 401, one.Token: 403, read.Token: 403} {
				if status, body, _ := ask(token, method, path, `{"site":"a","all":true}`); status != want {
					t.Errorf("%s %s with %.10q: %d %s", method, path, token, status, body)
				}
			}
		}
	}
	for path := range map[string]bool{"/deadletters/list": true, "/streams/list": true, "/streams/raise": true, "/deadletters/purge": true} {
		if status, _, _ := ask(good.Token, "POST", path, `{}`); status != 404 {
			t.Errorf("%s is on the port: %d", path, status)
		}
	}
	keys, err := a.Keys(t.Context(), "")
	check(t, err)
	sites, err := a.Sites(t.Context())
	check(t, err)
	jobs, err := a.Rebuilds(t.Context(), 10)
	check(t, err)
	if len(keys) != 3 || len(sites) != 1 || len(jobs) != 0 {
		t.Fatalf("something was done: %v, %v, %v", keys, sites, jobs)
	}

	// A job is of the key that began it, whatever it says.
	status, body, _ := ask(good.Token, "POST", "/admin/rebuilds", `{"site":"a","by":"somebody else"}`)
	var begun reconcile.Job
	if err := json.Unmarshal([]byte(body), &begun); err != nil || status != 202 || begun.By != "key "+good.ID {
		t.Errorf("%d %s", status, body)
	}
	job(t, a, begun.ID, "it is done", done)
	status, body, _ = ask(good.Token, "POST", "/admin/erasures", `{"site":"a","before":"2026-01-01","by":"somebody else"}`)
	if status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if written := text.String(); strings.Contains(written, "somebody else") || !strings.Contains(written, `msg=erased`) {
		t.Errorf("the log says:\n%s", written)
	}

	// A key is made, listed and revoked.
	status, body, _ = ask(good.Token, "POST", "/admin/keys", `{"site":"a","scope":"ingest","note":"n"}`)
	var key admin.CreatedKey
	if err := json.Unmarshal([]byte(body), &key); err != nil || status != 201 || page(t, st).Key(key.Token) == nil {
		t.Errorf("%d %s", status, body)
	}
	status, body, _ = ask(good.Token, "GET", "/admin/keys?site=a", "")
	if status != 200 || !strings.Contains(body, key.ID) || strings.Contains(body, key.Token) || strings.Contains(body, "hash") {
		t.Errorf("%d %s", status, body)
	}
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/admin/keys", `{"site":"a","scope":"ingest","hash":"x"}`, 400},
		{"POST", "/admin/keys", `{"site":"b","scope":"ingest"}`, 404},
		{"POST", "/admin/keys", `{"site":"a","scope":"write"}`, 422},
		{"DELETE", "/admin/keys/" + key.Token, "", 422},
		{"DELETE", "/admin/keys/nonsense", "", 422},
		{"DELETE", "/admin/keys/ABCDEFGHIJ", "", 404},
		{"DELETE", "/admin/keys/" + key.ID, "", 200},
		{"DELETE", "/admin/keys/" + key.Prefix, "", 200},
	} {
		status, body, _ := ask(good.Token, c.method, c.path, c.body)
		if status != c.status || strings.Contains(body, key.Token) {
			t.Errorf("%s %s %s: %d %s, want %d", c.method, c.path, c.body, status, body, c.status)
		}
	}
	check(t, a.Stop(context.Background()))

	written := text.String()
	for _, token := range []string{good.Token, one.Token, read.Token, key.Token} {
		if strings.Contains(written, token) {
			t.Errorf("the log has a token:\n%s", written)
		}
	}
	for _, want := range []string{`msg="key created" key=` + key.ID + ` site=a scope=ingest public=false by="key ` + good.ID + `"`, `msg="key revoked" key=` + key.ID + ` by="key ` + good.ID} {
		if !strings.Contains(written, want) {
			t.Errorf("the log does not say %s:\n%s", want, written)
		}
	}
}

// TestWithoutAQueue: a report server of its own may have none.
func TestWithoutAQueue(t *testing.T) {
	q, st := embedded(t)
	fill(t, st, "a", 1)
	stopped := admin.New(q, st, admin.Options{Alone: true}, discard)
	check(t, stopped.Stop(t.Context()))
	_, err := stopped.SetTimezone(t.Context(), "a", admin.Timezone{Timezone: "Asia/Kolkata"})
	if err == nil {
		t.Fatal("a job begins on what has stopped")
	}
	rt := web.NewRouter(discard)
	a := admin.New(nil, st, admin.Options{Alone: true}, discard)
	a.RegisterGuarded(rt, admin.NewOverview(a.Status), func(http.ResponseWriter, *http.Request) (string, error) { return "me", nil })
	jobs, err := a.Rebuilds(t.Context(), 1)
	check(t, err)
	if len(jobs) != 1 {
		t.Fatalf("%d jobs", len(jobs))
	}
	for path, body := range map[string]string{
		"/admin/sites/a":  `{"timezone":"Europe/Berlin"}`,
		"/admin/erasures": `{"site":"a"}`,
		"/admin/rebuilds/" + jobs[0].ID + "/resume": `{}`,
	} {
		server := httptest.NewServer(rt)
		resp, err := server.Client().Post(server.URL+path, "application/json", strings.NewReader(body))
		check(t, err)
		answer, err := io.ReadAll(resp.Body)
		check(t, errors.Join(err, resp.Body.Close()))
		server.Close()
		if resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(answer), "--redis") {
			t.Errorf("%s: %d %s", path, resp.StatusCode, answer)
		}
	}
}
