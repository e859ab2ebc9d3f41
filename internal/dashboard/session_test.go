package dashboard

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/store/pebblestore"
)

// TestSession begins a session, asks what it may do, and ends it.
func TestSession(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	st, err := pebblestore.Open(t.TempDir(), pebblestore.Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	tokens := map[access.Scope]string{}
	var admin *access.Key
	for _, key := range []access.Key{{Scope: access.Admin, Site: access.EverySite}, {Scope: access.Ingest, Site: "shop"}} {
		made, token, err := access.NewKeys(st).Create(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if tokens[key.Scope] = token; key.Scope == access.Admin {
			admin = made
		}
	}
	book := access.NewBook(st, log)
	if err := book.Read(context.Background()); err != nil {
		t.Fatal(err)
	}
	port := 3000
	ask := serve(Sessions{
		Gate:    access.NewGate(book, access.Read, access.Options{Sessions: true}, log),
		Version: "v1.2.3", IngestURL: "https://in.example", IngestPort: func() int { return port },
	})
	const nobody = `{"needs_key":true,"key":null,"operator":false,"ingest_url":"https://in.example","ingest_port":3000,"ingest_needs_key":true,"version":"v1.2.3"}`
	operator := strings.NewReplacer(
		`"key":null,"operator":false`, `"key":{"id":"`+admin.ID+`","scope":"admin","site":"*"},"operator":true`, "3000", "4711",
	).Replace(nobody)
	check := func(method, body string, status int, want string, headers ...string) (cookie string) {
		t.Helper()
		w := ask(method, "/session", body, headers...)
		if w.Code != status || !strings.HasPrefix(w.Body.String(), want) {
			t.Errorf("%s %s: %d %s, want %d %s", method, body, w.Code, w.Body, status, want)
		}
		wantHeaders(t, method+" "+body, w, map[string]string{"Cache-Control": "no-store"})
		return w.Header().Get("Set-Cookie")
	}

	check(http.MethodGet, "", 200, nobody)
	port = 4711
	cookie := check(http.MethodPost, `{"key":"`+tokens[access.Admin]+`\n"}`, 200, operator)
	session, _, _ := strings.Cut(cookie, ";")
	check(http.MethodGet, "", 200, operator, "Cookie: "+session, access.DashboardHeader+": 1")
	check(http.MethodGet, "", 200, operator, "Authorization: Bearer "+tokens[access.Admin])
	if cookie := check(http.MethodDelete, "", 204, "", "Cookie: "+session); !strings.HasPrefix(cookie, "daybook-3001=; ") || !strings.Contains(cookie, "Max-Age=0") {
		t.Errorf("signing out sets %s", cookie)
	}

	for _, c := range []struct {
		body   string
		status int
		want   string
	}{
		{`{"key":"db_read_x"}`, 401, `{"error":"this key is not known here"}`},
		{`{"key":"` + tokens[access.Ingest] + `"}`, 403, `{"error":"this key is for the scope ingest`},
		{`{"token":"x"}`, 400, `{"error":"the body cannot be used: json: unknown field`},
		{`{"key":"x"} x`, 400, `{"error":"the body cannot be used: `},
		{`key=x`, 400, `{"error":"the body cannot be used: `},
		{`{"key":"` + strings.Repeat("x", 1<<10) + `"}`, 413, `{"error":"the body is larger than 1024 bytes"}`},
	} {
		if cookie := check(http.MethodPost, c.body, c.status, c.want); cookie != "" {
			t.Errorf("%s sets the cookie %s", c.body, cookie)
		}
	}
	check(http.MethodPost, `{"key":"`+tokens[access.Admin]+`"}`, 403, `{"error":"a session is good for`, "Origin: https://evil.example")
	check(http.MethodDelete, "", 403, `{"error":"a session is good for`, "Sec-Fetch-Site: same-site")
}
