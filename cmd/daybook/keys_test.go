package main

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
	"github.com/daybook-analytics/daybook/internal/store"
)

// createKey makes a key, and gives its token and what it begins with.
func createKey(t *testing.T, dir string, args ...string) (token, prefix string) {
	t.Helper()
	code, stdout, stderr := command(append([]string{"keys", "create", "--data", dir}, args...)...)
	token = strings.TrimSuffix(stdout, "\n")
	if code != 0 || !regexp.MustCompile(`^db_[a-z]+_[A-Z2-7]{10}_[A-Z2-7]{26}\n$`).MatchString(stdout) ||
		!strings.Contains(stderr, "cannot be shown again") || strings.Contains(stderr, token) {
		t.Fatalf("daybook keys create %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return token, token[:strings.LastIndex(token, "_")]
}

// knownKeys gives what a process that starts now knows of keys.
func knownKeys(t *testing.T, dir string) *access.Page {
	t.Helper()
	st, err := app.OpenStore(t.Context(), config.Store{}, config.Data{Data: dir}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	book := access.NewBook(st, slog.New(slog.DiscardHandler))
	if err := book.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	return book.Page()
}

// TestKeys makes, lists and revokes keys, with a server and without.
func TestKeys(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir)()
	want(t, dir, "keys list", "no keys\n")
	want(t, dir, "keys list --json", "")
	want(t, dir, "sites add shop --origins https://shop.example", "(.*\n){8}")
	want(t, dir, "sites add blog", "(.*\n){8}")
	var tokens []string
	run := func(t *testing.T) {
		public, publicPrefix := createKey(t, dir, "--site", "shop", "--scope", "ingest", "--public", "--note", "on all pages")
		read, readPrefix := createKey(t, dir, "--site", "blog", "--scope", "read")
		admin, adminPrefix := createKey(t, dir, "--site", "*", "--scope", "admin")
		tokens = []string{public, read, admin}

		list := want(t, dir, "keys list", "KEY +SITE +SCOPE +PUBLIC +CREATED +REVOKED +NOTE\n(.*\n)+")
		for _, pattern := range []string{
			publicPrefix + ` +shop +ingest +yes +\S+Z +- +on all pages\n`,
			readPrefix + ` +blog +read +no +\S+Z +- *\n`,
			adminPrefix + ` +\* +admin +no +\S+Z +- *\n`,
		} {
			if !regexp.MustCompile(pattern).MatchString(list) {
				t.Errorf("not listed: %s\n%s", pattern, list)
			}
		}
		for line := range strings.Lines(want(t, dir, "keys list --site shop --json", `({.*}\n)+`)) {
			var key struct{ Prefix, Site string }
			if err := json.Unmarshal([]byte(line), &key); err != nil || key.Prefix == "" || key.Site != "shop" && key.Site != "*" {
				t.Errorf("%v: %s", err, line)
			}
		}

		// By the token, of which nothing is printed back, by what it begins
		// with, and by its ID.
		revoked := want(t, dir, "keys revoke "+public, "key [A-Z2-7]{10} for ingest of site shop is revoked; .*\n")
		if strings.Contains(revoked, public) {
			t.Errorf("the token is printed: %s", revoked)
		}
		want(t, dir, "keys revoke "+readPrefix, "key .* for read of site blog is revoked; .*\n")
		want(t, dir, "keys revoke "+strings.TrimPrefix(adminPrefix, "db_admin_"), "key .* for admin of all sites is revoked; .*\n")
		want(t, dir, "keys revoke "+public, "key .* is revoked; .*\n")
		for line := range strings.Lines(want(t, dir, "keys list", "(.*\n)+")) {
			if !strings.HasPrefix(line, "KEY") && !regexp.MustCompile(`Z +\S+Z `).MatchString(line) {
				t.Errorf("it is not revoked: %s", line)
			}
		}
		wantFailure(t, exitFailed, "not found", "keys", "revoke", "ABCDEFGHIJ", "--data", dir)
		wantFailure(t, exitFailed, "`daybook sites add new` adds it", "keys", "create", "--site", "new", "--scope", "read", "--data", dir)
		wantFailure(t, exitFailed, "blog has none: `daybook sites set blog --origins", "keys", "create", "--site", "blog", "--scope", "ingest", "--public", "--data", dir)
		createKey(t, dir, "--site", "shop", "--scope", "ingest")
		createKey(t, dir, "--site", "shop", "--scope", "ingest", "--public")
		wantFailure(t, exitFailed, "site shop has public keys", "sites", "set", "shop", "--origins=", "--data", dir)
		want(t, dir, "sites remove shop", "shop is removed; keys revoked: 2\n")
		want(t, dir, "sites add shop --origins https://shop.example", "(.*\n){8}")
	}
	t.Run("Stopped", run)
	page := knownKeys(t, dir)
	for _, token := range tokens {
		if key := page.Key(token); key == nil || key.Revoked == nil {
			t.Errorf("%+v is not revoked", key)
		}
	}
	good, _ := createKey(t, dir, "--site", "*", "--scope", "ingest")
	if key := knownKeys(t, dir).Key(good); key == nil || key.Revoked != nil {
		t.Errorf("%+v is not good", key)
	}
	want(t, dir, "keys revoke "+good, ".* of all sites is revoked; .*\n")
	stop := serve(t, dir)
	t.Run("Running", run)
	stop()
}

// TestKeysFromNothing makes sites and keys before anything ever ran on the
// directory, so that it can start closed.
func TestKeysFromNothing(t *testing.T) {
	w := &world{t: t, queue: config.Queue{Streams: 2}, data: config.Data{Data: filepath.Join(t.TempDir(), "new")}}
	w.flags = []string{"--data", w.data.Data}
	made := filepath.Join(w.data.Data, "store") + " was not there, and is made now"
	wantFailure(t, exitFailed, "there is no store in it", "keys", "list", "--data", w.data.Data)
	r := w.run("sites", "add", "shop")
	w.want(r, 0, "added:        yes")
	if !strings.Contains(r.stderr, made) || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("%v", r)
	}
	token, _ := createKey(t, w.data.Data, "--site", "shop", "--scope", "ingest")
	log, st := slog.New(slog.DiscardHandler), w.open()
	book := access.NewBook(st, log)
	w.must(book.Read(t.Context()))
	w.must(access.NewGate(book, access.Ingest, access.Options{}, log).CheckListen("--ingest-addr", "0.0.0.0:3000"))
	w.must(st.Close())

	a, _ := w.serve()
	for key, want := range map[string]int{"": http.StatusUnauthorized, token: http.StatusAccepted} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+a.IngestAddr()+"/event",
			strings.NewReader(`{"site_id":"shop","event_type":"page_view","path":"/","user_id":"u","timestamp":"2026-03-01T12:00:00Z"}`))
		w.must(err)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-API-Key", key)
		answer, err := http.DefaultClient.Do(r)
		w.must(err)
		w.must(answer.Body.Close())
		if answer.StatusCode != want {
			t.Errorf("with the key %q: %d, want %d", key, answer.StatusCode, want)
		}
	}
}

// TestDamagedKeyIsListed so that an operator can read it.
func TestDamagedKeyIsListed(t *testing.T) {
	w := embedded(t)
	st := w.open()
	w.must(st.Migrate(t.Context(), func(int, string) {}))
	w.must(st.SwapRecord(t.Context(), store.KeyKind, &store.Record{Name: "AAAAAAAAAA", Body: []byte("{")}))
	w.must(st.Close())
	want(t, w.data.Data, "keys list", `KEY .*\nAAAAAAAAAA +no +- +- +the record of key "AAAAAAAAAA" cannot be read: .*\n`)
	want(t, w.data.Data, "keys list --json", `{"id":"AAAAAAAAAA","prefix":"AAAAAAAAAA","site":"","scope":"","public":false,"note":"the record .*"}\n`)
}

func TestKeysMistakes(t *testing.T) {
	for args, message := range map[string]string{
		"keys create":                                      "--site",
		"keys create --site shop":                          "--scope",
		"keys create --site shop --scope write":            `there is no scope "write"`,
		"keys create --site a|b --scope read":              `there can be no site "a|b"`,
		"keys create --site shop --scope read --public":    "a key of scope read cannot be public",
		"keys create --site * --scope ingest --public":     "a public key is for one site",
		"keys create --site shop --scope read --mongodb x": "--mongodb",
		"keys revoke":         "<key>",
		"keys revoke shop":    "this names no key",
		"keys list --redis x": "--redis",
	} {
		wantFailure(t, exitUsage, message, strings.Fields(args)...)
	}
	const leaked = "db_read_ABCDEFGHI1_SECRETSECRETSECRET"
	if _, _, stderr := command("keys", "revoke", leaked); strings.Contains(stderr, "SECRET") {
		t.Errorf("what may be a token is printed: %s", stderr)
	}
	// What is set for other commands chooses nothing here.
	t.Setenv("DAYBOOK_SITE", "shop")
	wantFailure(t, exitUsage, "--site", "keys", "create", "--scope", "read")
}
