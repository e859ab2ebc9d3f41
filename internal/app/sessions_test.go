package app_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/admin"
)

// sessions asks the ports of an installation as browsers do.
type sessions struct{ *victim }

// ask sends a request with headers in pairs. Unless they say otherwise it accepts
// what the dashboard does.
func (s *sessions) ask(method, addr, path, body string, headers ...string) *http.Response {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	r.Header.Set(access.DashboardHeader, "1")
	return s.do(r, headers)
}

// want asks the report role and wants a status.
func (s *sessions) want(what string, status int, method, path, body string, headers ...string) *http.Response {
	s.Helper()
	resp := s.ask(method, s.app.ReportAddr(), path, body, headers...)
	if resp.StatusCode != status {
		text, _ := io.ReadAll(resp.Body)
		s.Errorf("%s: %s %s is %d %s, want %d", what, method, path, resp.StatusCode, text, status)
	}
	return resp
}

// cookie is a session with a token, as a header.
func (s *sessions) cookie(token string) []string {
	_, port, err := net.SplitHostPort(s.app.ReportAddr())
	if err != nil {
		s.Fatal(err)
	}
	return []string{"Cookie", "daybook-" + port + "=" + token}
}

// signIn begins a session, and gives the cookie that it is kept in.
func (s *sessions) signIn(name string, headers ...string) *http.Cookie {
	s.Helper()
	resp := s.want("signing in with "+name, 200, "POST", "/session", `{"key":"`+s.keys[name]+`"}`, headers...)
	cookies := resp.Cookies()
	if len(cookies) != 1 || cookies[0].Value != s.keys[name] {
		s.Fatalf("signing in with %s sets %v", name, cookies)
	}
	return cookies[0]
}

// TestAttacksOnSessions is what pages of others try with the browser of who is
// signed in, and what docs/security.md says of it.
func TestAttacksOnSessions(t *testing.T) {
	i := installations["embedded"](t)
	cfg := i.config()
	cfg.Ingest, cfg.Worker, cfg.Report = i.ingest(), i.worker(), i.report()
	cfg.Access.TrustedProxies = []string{"127.0.0.1"}
	a, _ := run(t, cfg)
	actions, _ := openAdmin(t, i)
	s := &sessions{&victim{T: t, app: a, actions: actions, keys: map[string]string{}}}

	// A cookie that was left by another Daybook does no harm to an open role.
	// It stays: its key may be one that is not known here yet.
	const stale = "db_admin_ABCDEFGHIJ_ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	s.want("a stale cookie", 200, "GET", "/stats?site_id=shop", "", s.cookie(stale)...)
	s.want("a stale cookie", 200, "GET", "/status", "", s.cookie(stale)...)
	s.want("a stale cookie", 401, "GET", "/admin/keys", "", s.cookie(stale)...)
	if set := s.want("a stale cookie", 200, "GET", "/session", "", s.cookie(stale)...).Header.Get("Set-Cookie"); set != "" {
		t.Errorf("a stale cookie is answered with %q", set)
	}
	s.want("an open role by another name", 403, "GET", "/session", "", "Host", "evil.example")

	for _, name := range []string{"shop", "blog"} {
		if _, err := actions.AddSite(t.Context(), name, admin.SiteChange{}); err != nil {
			t.Fatal(err)
		}
	}
	s.key("ingest", admin.NewKey{Site: "shop", Scope: access.Ingest})
	s.key("read", admin.NewKey{Site: "shop", Scope: access.Read})
	s.key("leaving", admin.NewKey{Site: "shop", Scope: access.Read})
	s.key("admin", admin.NewKey{Site: access.EverySite, Scope: access.Admin})
	eventually(t, "keys are known", func() bool {
		return s.ask("GET", a.ReportAddr(), "/admin/keys", "", "X-API-Key", s.keys["admin"]).StatusCode == http.StatusOK && s.event("192.0.2.1") == http.StatusUnauthorized
	})

	t.Run("Cookie", func(t *testing.T) {
		if c := s.signIn("admin"); !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure || c.Path != "/" || c.Domain != "" {
			t.Errorf("the cookie is %v", c)
		}
		if c := s.signIn("admin", "X-Forwarded-Proto", "https"); !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || !c.Secure || !strings.HasPrefix(c.Name, "__Host-daybook-") || c.Path != "/" || c.Domain != "" {
			t.Errorf("the cookie over TLS is %v", c)
		}
		if name, _, _ := strings.Cut(s.cookie("")[1], "="); s.signIn("read").Name != name {
			t.Errorf("the cookie's name is not %s", name)
		}
	})

	t.Run("OtherSites", func(t *testing.T) {
		read := s.cookie(s.keys["read"])
		s.want("its site", 200, "GET", "/stats?site_id=shop", "", read...)
		s.want("another site", 403, "GET", "/stats?site_id=blog", "", read...)
		s.want("all sites", 403, "GET", "/status", "", read...)
		s.want("operators", 403, "GET", "/admin/keys", "", read...)
		s.want("operators", 403, "POST", "/admin/keys", `{"site":"shop","scope":"read"}`, read...)
	})

	t.Run("OtherPages", func(t *testing.T) {
		admin := s.cookie(s.keys["admin"])
		own := "http://" + a.ReportAddr()
		for _, forged := range [][]string{
			{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"},
			{"Origin", "http://" + a.IngestAddr()}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site", "Origin", own},
		} {
			headers := slices.Concat(forged, admin)
			s.want("forged", 403, "POST", "/admin/rebuilds", `{"all":true}`, headers...)
			s.want("forged", 403, "DELETE", "/admin/sites/blog", "", headers...)
			s.want("forged", 403, "GET", "/stats?site_id=shop", "", headers...)
			s.want("signing in", 403, "POST", "/session", `{"key":"`+s.keys["read"]+`"}`, forged...)
			s.want("signing out", 403, "DELETE", "/session", "", headers...)
			// A key that the page itself gives is no cookie that comes by itself.
			s.want("with a key", 200, "GET", "/admin/sites/blog", "", append(forged, "Authorization", "Bearer "+s.keys["admin"])...)
		}
		s.want("an image", 403, "GET", "/stats?site_id=shop", "", append(admin, access.DashboardHeader, "")...)
		s.want("the dashboard itself", 202, "POST", "/admin/rebuilds", `{"all":true,"dry_run":true}`, append(admin, "Sec-Fetch-Site", "same-origin", "Origin", own)...)
		if preflight := s.want("a preflight", 405, "OPTIONS", "/session", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "DELETE"); preflight.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("a preflight is answered with %v", preflight.Header)
		}
	})

	t.Run("Planted", func(t *testing.T) {
		read := s.cookie(s.keys["read"])
		name, _, _ := strings.Cut(read[1], "=")
		for _, planted := range []string{stale, s.keys["ingest"], ""} {
			headers := []string{"Cookie", name + "=" + planted + "; " + read[1]}
			s.want("a cookie before the right one", 200, "GET", "/stats?site_id=shop", "", headers...)
			s.want("a cookie before the right one", 200, "GET", "/session", "", headers...)
		}
		if set := s.want("a cookie for ingest", 200, "GET", "/session", "", s.cookie(s.keys["ingest"])...).Header.Get("Set-Cookie"); set != "" {
			t.Errorf("a cookie for ingest is answered with %q", set)
		}
	})

	t.Run("Events", func(t *testing.T) {
		for _, key := range []string{"admin", "ingest"} {
			if status := s.event("192.0.2.1", append(s.cookie(s.keys[key]), "Sec-Fetch-Site", "same-site")...); status != 401 {
				t.Errorf("ingest answers to the cookie of %s with %d", key, status)
			}
		}
		s.want("an ingest key", 403, "POST", "/session", `{"key":"`+s.keys["ingest"]+`"}`)
	})

	t.Run("Revoked", func(t *testing.T) {
		leaving := s.cookie(s.signIn("leaving").Value)
		if _, err := actions.RevokeKey(t.Context(), s.keys["leaving"]); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the session ends", func() bool {
			return s.ask("GET", a.ReportAddr(), "/stats?site_id=shop", "", leaving...).StatusCode == http.StatusUnauthorized
		})
		resp := s.want("a revoked key", 200, "GET", "/session", "", leaving...)
		var got struct {
			NeedsKey   bool `json:"needs_key"`
			Key        any  `json:"key"`
			IngestPort int  `json:"ingest_port"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		if !got.NeedsKey || got.Key != nil || !strings.HasSuffix(a.IngestAddr(), ":"+strconv.Itoa(got.IngestPort)) || !strings.Contains(resp.Header.Get("Set-Cookie"), "Max-Age=0") {
			t.Errorf("a session with a revoked key is %+v, %v", got, resp.Header)
		}
		s.want("signing in again", 401, "POST", "/session", `{"key":"`+s.keys["leaving"]+`"}`)
	})
}
