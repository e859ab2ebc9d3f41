package main

import (
	"encoding/json"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
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
