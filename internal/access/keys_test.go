package access

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
)

func TestKeyRoundTrip(t *testing.T) {
	r := newRecords()
	for _, scope := range Scopes() {
		made, token := r.key(t, Key{Site: "shop", Scope: scope, Note: "für die Kasse"})
		if want := regexp.MustCompile(`^db_` + string(scope) + `_[A-Z2-7]{10}_[A-Z2-7]{26}$`); !want.MatchString(token) {
			t.Errorf("token %s", token)
		}
		if !strings.HasPrefix(token, made.Prefix()+"_") || made.ID != idOf(token) || !made.opens(token) || made.Revoked != nil || time.Since(made.Created) > time.Minute {
			t.Errorf("%s is of %+v", token, made)
		}
		var kept *Key
		check(t, NewKeys(r).Each(t.Context(), func(k *Key) error {
			if k.ID == made.ID {
				kept = k
			}
			return nil
		}))
		if kept == nil || *kept != *made {
			t.Errorf("kept is %+v of %+v", kept, made)
		}
		// Only the hash is kept.
		body := string(r.of[store.KeyKind][made.ID].Body)
		if secret := token[len(made.Prefix())+1:]; strings.Contains(body, secret) || strings.Contains(body, token) {
			t.Errorf("the secret is stored: %s", body)
		}
	}
	if len(r.of[store.KeyKind]) != len(Scopes()) {
		t.Errorf("%d keys are stored", len(r.of[store.KeyKind]))
	}
}

// TestWrongTokens changes every character of a token, and what it consists of.
func TestWrongTokens(t *testing.T) {
	r := newRecords()
	key, token := r.key(t, Key{Site: "shop", Scope: Read})
	_, other := r.key(t, Key{Site: "shop", Scope: Read})
	page := read1(t, r)
	if page.Key(token) == nil || page.Key(other) == nil {
		t.Fatal("a good token opens nothing")
	}
	wrong := []string{
		"", " ", "db", "db_", "db__", "db___", "_", "___", key.ID, key.Prefix(), key.Prefix() + "_",
		token + "A", token + "_", token + " ", " " + token, token + "\x00", token[:len(token)-1],
		strings.ToLower(token), "DB" + token[2:],
		strings.Replace(token, "_read_", "_admin_", 1),
		strings.Replace(token, "_read_", "_write_", 1),
		strings.Replace(token, "_read_", "__", 1),
		key.Prefix() + "_" + other[len(other)-secretLen:], // the secret of another key
		strings.Repeat("A", 1<<20),
		"db_read_" + strings.Repeat("A", idLen) + "_" + strings.Repeat("A", secretLen),
		"Bearer " + token,
	}
	for i := range token {
		changed := []byte(token)
		changed[i] ^= 1
		wrong = append(wrong, string(changed))
	}
	for _, w := range wrong {
		if page.Key(w) != nil {
			t.Errorf("%.60q opens a key", w)
		}
	}
}

func TestScopesOfKeys(t *testing.T) {
	for _, c := range []struct{ of, scope Scope }{{Ingest, Ingest}, {Read, Read}, {Admin, Ingest}, {Admin, Read}, {Admin, Admin}} {
		if k := (Key{Scope: c.of}); !k.For(c.scope) {
			t.Errorf("a key of %s is not for %s", c.of, c.scope)
		}
	}
	for _, c := range []struct{ of, scope Scope }{{Ingest, Read}, {Ingest, Admin}, {Read, Ingest}, {Read, Admin}, {"", Ingest}} {
		if k := (Key{Scope: c.of}); k.For(c.scope) {
			t.Errorf("a key of %s is for %s", c.of, c.scope)
		}
	}
	one, every := Key{Site: "shop"}, Key{Site: EverySite}
	if !one.ForSite("shop") || one.ForSite("shop2") || one.ForSite("") || one.ForSite(EverySite) || !every.ForSite("shop") {
		t.Error("keys are not for their sites")
	}
}

func TestBadKeys(t *testing.T) {
	for says, key := range map[string]Key{
		`no scope ""`:                       {Site: "shop"},
		`no scope "write"`:                  {Site: "shop", Scope: "write"},
		"scope read cannot be public":       {Site: "shop", Scope: Read, Public: true},
		"scope admin cannot be public":      {Site: "shop", Scope: Admin, Public: true},
		"a public key is for one site":      {Site: EverySite, Scope: Ingest, Public: true},
		`there can be no site ""`:           {Scope: Ingest},
		`there can be no site "a b"`:        {Site: "a b", Scope: Ingest},
		"the note is 201 bytes long":        {Site: "shop", Scope: Ingest, Note: strings.Repeat("n", 201)},
		"characters that cannot be printed": {Site: "shop", Scope: Ingest, Note: "\x1b[2J"},
	} {
		r := newRecords()
		_, token, err := NewKeys(r).Create(t.Context(), key)
		if err == nil || !strings.Contains(err.Error(), says) || token != "" || len(r.of[store.KeyKind]) != 0 {
			t.Errorf("%+v: %q, %v; want an error with %s", key, token, err, says)
		}
	}
}

// TestDamagedKeys: nothing but a whole key is one.
func TestDamagedKeys(t *testing.T) {
	good := Key{Site: "shop", Scope: Read}
	for _, body := range []string{"", "{", "null", "{}", `[]`, `{"scope":"read"}`, `{"site":"shop"}`, `{"site":"shop","scope":"other"}`,
		`{"site":"shop","scope":"read","hash":"x"}`} {
		if k, err := parseKey(store.Record{Name: "ABCDEFGHIJ", Body: []byte(body)}); err == nil || !strings.Contains(err.Error(), "ABCDEFGHIJ") {
			t.Errorf("%s: %+v, %v", body, k, err)
		}
	}
	body, err := json.Marshal(good)
	check(t, err)
	if k, err := parseKey(store.Record{Name: "ABCDEFGHIJ", Body: body}); err != nil || k.ID != "ABCDEFGHIJ" || k.opens("") {
		t.Errorf("%+v, %v", k, err)
	}
}

func FuzzParseKey(f *testing.F) {
	body, _ := json.Marshal(Key{Site: "shop", Scope: Ingest, Public: true, Hash: sha256.Sum256([]byte("token")), Revoked: new(time.Time)})
	f.Add(body)
	f.Add([]byte(`{"site":"*","scope":"admin"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		k, err := parseKey(store.Record{Name: "ABCDEFGHIJ", Body: body})
		if err == nil && (k.Validate() != nil || k.ID != "ABCDEFGHIJ") {
			t.Errorf("%s is taken as %+v", body, k)
		}
	})
}

// FuzzIDOf: what has an ID has the form of a token.
func FuzzIDOf(f *testing.F) {
	token, _ := newToken(Ingest)
	for _, seed := range []string{token, "db_read__", "db_admin_ABCDEFGHIJ_", "_____"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		id := idOf(token)
		if id != "" && (len(id) != idLen || !strings.HasPrefix(token, "db_") || !strings.HasSuffix(token[:len(token)-secretLen], "_"+id+"_")) {
			t.Errorf("%q has the ID %q", token, id)
		}
	})
}

func TestFindID(t *testing.T) {
	token, id := newToken(Admin)
	for _, name := range []string{id, "db_admin_" + id, token, "db_read_" + id + "_"} {
		if got, err := FindID(name); err != nil || got != id {
			t.Errorf("%s names %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "db", "db_", "db_admin_", "db_admin_x", "secret", strings.ToLower(id), id + "A", id[1:], "xx_admin_" + id, "ABCDEFGHI1", "../../../.."} {
		got, err := FindID(name)
		if err == nil {
			t.Errorf("%q names %q", name, got)
		} else if len(name) > 5 && strings.Contains(err.Error(), name) {
			t.Errorf("%q is repeated: %v", name, err)
		}
	}
}

func TestRevoke(t *testing.T) {
	r := newRecords()
	keys := NewKeys(r)
	key, token := r.key(t, Key{Site: "shop", Scope: Read, Note: "n"})
	revoked, err := keys.Revoke(t.Context(), key.ID)
	check(t, err)
	if revoked.Revoked == nil || time.Since(*revoked.Revoked) > time.Minute || revoked.Note != "n" || revoked.Site != "shop" {
		t.Errorf("%+v", revoked)
	}
	rev := r.of[store.KeyKind][key.ID].Rev
	again, err := keys.Revoke(t.Context(), key.ID)
	if err != nil || !again.Revoked.Equal(*revoked.Revoked) || r.of[store.KeyKind][key.ID].Rev != rev {
		t.Errorf("%+v, %v", again, err)
	}
	if page := read1(t, r); page.Key(token) == nil || page.Key(token).Revoked == nil || !page.Closed(Read) {
		t.Error("a revoked key is not known, or its role is open again")
	}
	if _, err := keys.Revoke(t.Context(), "ABCDEFGHIJ"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no such key: %v", err)
	}
}

// TestRevokeMeetsAChange has another one write the record in between.
func TestRevokeMeetsAChange(t *testing.T) {
	r := newRecords()
	key, _ := r.key(t, Key{Site: "shop", Scope: Read})
	r.before = func() {
		changed := *key
		changed.Note = "changed"
		body, _ := json.Marshal(changed)
		r.put(store.KeyKind, key.ID, string(body))
	}
	revoked, err := NewKeys(r).Revoke(t.Context(), key.ID)
	if err != nil || revoked.Note != "changed" || revoked.Revoked == nil {
		t.Errorf("%+v, %v", revoked, err)
	}
}

func TestRevokeSite(t *testing.T) {
	r := newRecords()
	keys := NewKeys(r)
	r.key(t, Key{Site: "shop", Scope: Read})
	r.key(t, Key{Site: "shop", Scope: Ingest, Public: true})
	old, _ := r.key(t, Key{Site: "shop", Scope: Ingest})
	_, err := keys.Revoke(t.Context(), old.ID)
	check(t, err)
	blog, _ := r.key(t, Key{Site: "blog", Scope: Read})
	all, _ := r.key(t, Key{Site: EverySite, Scope: Read})
	// One that cannot be read does not keep the others.
	r.put(store.KeyKind, "AAAAAAAAAA", "{")

	n, err := keys.RevokeSite(t.Context(), "shop")
	if n != 2 || err != nil {
		t.Errorf("%d revoked, %v", n, err)
	}
	good := map[string]bool{}
	err = keys.Each(t.Context(), func(k *Key) error {
		if k.Damaged != nil != (k.ID == "AAAAAAAAAA") {
			t.Errorf("%+v", k)
		}
		if k.Damaged == nil && k.Revoked == nil {
			good[k.ID] = true
		}
		return nil
	})
	check(t, err)
	if len(good) != 2 || !good[blog.ID] || !good[all.ID] {
		t.Errorf("good are %v", good)
	}
}

func TestKeysWithoutAStore(t *testing.T) {
	r := newRecords()
	keys := NewKeys(r)
	key, _ := r.key(t, Key{Site: "shop", Scope: Read})
	r.setAway(store.ErrUnavailable)
	if _, token, err := keys.Create(t.Context(), Key{Site: "shop", Scope: Read}); !errors.Is(err, store.ErrUnavailable) || token != "" {
		t.Errorf("create: %v", err)
	}
	if _, err := keys.Revoke(t.Context(), key.ID); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("revoke: %v", err)
	}
	if err := keys.Each(t.Context(), func(*Key) error { return nil }); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("list: %v", err)
	}
	if n, err := keys.RevokeSite(t.Context(), "shop"); n != 0 || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("revoke site: %d, %v", n, err)
	}
}

// TestKeyDamagedLater has the record of a key damaged that was read before: it
// opens nothing any more, and its role stays closed.
func TestKeyDamagedLater(t *testing.T) {
	r := newRecords()
	key, token := r.key(t, Key{Site: "shop", Scope: Read})
	b := NewBook(r, new(log).logger())
	check(t, b.Read(t.Context()))
	if b.Page().Key(token) == nil {
		t.Fatal("the key is not known")
	}
	r.put(store.KeyKind, key.ID, `{"site":"shop",`)
	check(t, b.Read(t.Context()))
	if b.Page().Key(token) != nil || !b.Page().Closed(Read) {
		t.Errorf("it opens: %v; closed: %t", b.Page().Key(token), b.Page().Closed(Read))
	}
}
