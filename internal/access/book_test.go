package access

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
)

// read1 gives what a new Book knows.
func read1(t *testing.T, r *records) *Page {
	t.Helper()
	b := NewBook(r, new(log).logger())
	check(t, b.Read(t.Context()))
	return b.Page()
}

func TestPage(t *testing.T) {
	r := newRecords()
	page := read1(t, r)
	if page.Closed(Ingest) || page.Closed(Read) || page.Site("shop").Location != time.UTC || !page.Site("shop").AllowsOrigin("https://x.example") || page.KnowsOrigin("https://x.example") {
		t.Error("an empty store is not open")
	}
	if (*Page)(nil).Site("shop") != unset {
		t.Error("no page has other settings than none")
	}
	r.set(t, "shop", site.Settings{Zone: "Asia/Kolkata", Origins: []string{"https://shop.example"}, DataCenters: true})
	r.set(t, "blog", site.Settings{Origins: []string{"https://*.blog.example"}})
	page = read1(t, r)
	if s := page.Site("shop"); s.Location.String() != "Asia/Kolkata" || !s.DataCenters || s.AllowsOrigin("https://www.blog.example") {
		t.Errorf("%+v", s)
	}
	for origin, want := range map[string]bool{"https://shop.example": true, "https://www.blog.example": true, "https://blog.example": false, "null": false, "": false} {
		if page.KnowsOrigin(origin) != want {
			t.Errorf("%q is known: %t", origin, !want)
		}
	}
}

// TestClosed: a key closes what it is for, and stays so when it is revoked.
func TestClosed(t *testing.T) {
	for scope, closes := range map[Scope][]Scope{Ingest: {Ingest}, Read: {Read}, Admin: {Read, Admin}} {
		r := newRecords()
		key, _ := r.key(t, Key{Site: "shop", Scope: scope})
		closed := func() (list []Scope) {
			page := read1(t, r)
			for _, s := range Scopes() {
				if page.Closed(s) {
					list = append(list, s)
				}
			}
			return list
		}
		want := strings.Join(words(closes), " ")
		if got := strings.Join(words(closed()), " "); got != want {
			t.Errorf("a key of %s closes %s, want %s", scope, got, want)
		}
		_, err := NewKeys(r).Revoke(t.Context(), key.ID)
		check(t, err)
		if got := strings.Join(words(closed()), " "); got != want {
			t.Errorf("a revoked key of %s closes %s, want %s", scope, got, want)
		}
	}
}

func words(scopes []Scope) (words []string) {
	for _, s := range scopes {
		words = append(words, string(s))
	}
	return words
}

// TestChangesAreKnown: whatever changes is known after the next Read, also
// where a record was dropped and made anew.
func TestChangesAreKnown(t *testing.T) {
	r := newRecords()
	b := NewBook(r, new(log).logger())
	origin := func(want string) {
		t.Helper()
		check(t, b.Read(t.Context()))
		got := ""
		if list := b.Page().Site("shop").Origins; len(list) > 0 {
			got = list[0]
		}
		if got != want {
			t.Errorf("the origin is %q, want %q", got, want)
		}
	}
	r.set(t, "shop", site.Settings{Origins: []string{"https://a.example"}})
	origin("https://a.example")
	before := b.Page().Site("shop")
	origin("https://a.example")
	if b.Page().Site("shop") != before {
		t.Error("what did not change was parsed again")
	}
	r.set(t, "shop", site.Settings{Origins: []string{"https://b.example"}})
	origin("https://b.example")
	check(t, r.DropRecord(t.Context(), store.SiteKind, store.Record{Name: "shop"}))
	origin("")
	r.set(t, "shop", site.Settings{Origins: []string{"https://c.example"}})
	origin("https://c.example")
	check(t, r.DropRecord(t.Context(), store.SiteKind, store.Record{Name: "shop"}))
	r.set(t, "shop", site.Settings{Origins: []string{"https://d.example"}})
	origin("https://d.example")

	key, token := r.key(t, Key{Site: "shop", Scope: Ingest})
	if b.Page().Key(token) != nil {
		t.Error("a key is known before it was read")
	}
	check(t, b.Read(t.Context()))
	if b.Page().Key(token) == nil {
		t.Error("a key is not known after it was read")
	}
	_, err := NewKeys(r).Revoke(t.Context(), key.ID)
	check(t, err)
	check(t, b.Read(t.Context()))
	if b.Page().Key(token).Revoked == nil {
		t.Error("that a key is revoked is not known")
	}
}

// TestDamagedRecords: what cannot be read opens nothing.
func TestDamagedRecords(t *testing.T) {
	r := newRecords()
	_, token := r.key(t, Key{Site: "blog", Scope: Read})
	r.put(store.KeyKind, "AAAAAAAAAA", `{}`)
	r.put(store.SiteKind, "shop", `{`)
	r.put(store.SiteKind, "far", `{"timezone":"Nowhere/At_All"}`)
	r.set(t, "blog", site.Settings{Origins: []string{"https://blog.example"}})
	var l log
	b := NewBook(r, l.logger())
	check(t, b.Read(t.Context()))
	if !strings.Contains(l.String(), "AAAAAAAAAA") {
		t.Errorf("a damaged record is not told: %s", l.String())
	}
	page := b.Page()
	if page == nil || !page.Closed(Ingest) || !page.Closed(Read) {
		t.Fatal("a damaged key leaves a role open")
	}
	for _, name := range []string{"shop", "far"} {
		if page.Site(name).AllowsOrigin("https://shop.example") || page.Site(name).Location == nil {
			t.Errorf("site %s, which cannot be read: %+v", name, page.Site(name))
		}
	}
	if page.Key(token) == nil || !page.Site("blog").AllowsOrigin("https://blog.example") {
		t.Error("what can be read is not known")
	}

	// What was known stays.
	r.put(store.SiteKind, "blog", `{`)
	check(t, b.Read(t.Context()))
	if !b.Page().Site("blog").AllowsOrigin("https://blog.example") || b.Page().Site("blog").AllowsOrigin("https://x.example") {
		t.Errorf("%+v", b.Page().Site("blog"))
	}
	if n := strings.Count(l.String(), "\n"); n != 1 {
		t.Errorf("it is told %d times", n)
	}
	r.mend(t)
	check(t, b.Read(t.Context()))
	if !strings.Contains(l.String(), "are read again") || b.Page().Closed(Ingest) || !b.Page().Site("shop").AllowsOrigin("https://shop.example") {
		t.Errorf("when all is mended: %s", l.String())
	}
}

// mend mends what TestDamagedRecords has damaged.
func (r *records) mend(t *testing.T) {
	for _, name := range []string{"shop", "far", "blog"} {
		r.put(store.SiteKind, name, `{}`)
	}
	check(t, r.DropRecord(t.Context(), store.KeyKind, store.Record{Name: "AAAAAAAAAA"}))
}

func TestManyRecords(t *testing.T) {
	r := newRecords()
	for range recordsAtOnce + 1 {
		r.key(t, Key{Site: "shop", Scope: Read})
	}
	if n := len(read1(t, r).keys); n != recordsAtOnce+1 {
		t.Errorf("%d keys are known", n)
	}
}

// TestBookFollows has a store that is away when it starts, comes, goes and
// comes back.
func TestBookFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecords()
		_, token := r.key(t, Key{Site: "shop", Scope: Read})
		r.setAway(store.ErrUnavailable)
		var l log
		b := NewBook(r, l.logger())
		check(t, b.Start())
		if b.Page() != nil {
			t.Fatal("it knows what it cannot know")
		}
		later := func() {
			time.Sleep(bookInterval)
			synctest.Wait()
		}
		later()
		if b.Page() != nil || strings.Count(l.String(), "cannot all be read") != 1 {
			t.Fatalf("while it is away: %s", l.String())
		}
		r.setAway(nil)
		later()
		if b.Page() == nil || b.Page().Key(token) == nil || !strings.Contains(l.String(), "are read again") {
			t.Fatalf("it is back: %s", l.String())
		}
		r.setAway(store.ErrUnavailable)
		later()
		later()
		if b.Page().Key(token) == nil || strings.Count(l.String(), "cannot all be read") != 2 {
			t.Errorf("it is away again: %s", l.String())
		}
		_, other := func() (*Key, string) { r.setAway(nil); return r.key(t, Key{Site: "shop", Scope: Ingest}) }()
		later()
		if b.Page().Key(other) == nil {
			t.Error("what is new is not known")
		}
		check(t, b.Stop(context.Background()))
		check(t, b.Stop(context.Background()))
		if err := b.Start(); err == nil {
			t.Error("it starts twice")
		}
	})
}

func TestBookStarts(t *testing.T) {
	r := newRecords()
	r.setAway(errors.New("no such schema"))
	if err := NewBook(r, new(log).logger()).Read(t.Context()); err == nil || !strings.Contains(err.Error(), "no such schema") {
		t.Errorf("it is read: %v", err)
	}

	// A damaged record is no reason to stand still.
	r.setAway(nil)
	r.put(store.KeyKind, "AAAAAAAAAA", "{")
	var l log
	b := NewBook(r, l.logger())
	check(t, b.Read(t.Context()))
	check(t, b.Start())
	if !b.Page().Closed(Ingest) || !strings.Contains(l.String(), "AAAAAAAAAA") {
		t.Errorf("log: %s", l.String())
	}
	check(t, b.Stop(context.Background()))

	// It may be stopped before it starts.
	check(t, NewBook(r, l.logger()).Stop(context.Background()))
}
