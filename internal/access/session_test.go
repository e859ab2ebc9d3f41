package access

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/daybook-analytics/daybook/internal/web"
)

// ask is a request of a method to the dashboard's server, which accepts what the
// dashboard does unless the headers say otherwise.
func ask(method string, headers ...string) *http.Request {
	r := request(local, "/session", headers...)
	r.Method = method
	if r.Header[DashboardHeader] == nil {
		r.Header.Set(DashboardHeader, "1")
	}
	return r
}

// cookieOf gives the only cookie that an answer sets; nil if there is none.
func cookieOf(t *testing.T, w *httptest.ResponseRecorder) *http.Cookie {
	t.Helper()
	cookies := w.Result().Cookies()
	if len(cookies) > 1 {
		t.Fatalf("there are %d cookies", len(cookies))
	}
	if len(cookies) == 0 {
		return nil
	}
	return cookies[0]
}

// TestSignIn begins sessions with every kind of key.
func TestSignIn(t *testing.T) {
	r := newRecords()
	_, read := r.key(t, Key{Site: "shop", Scope: Read})
	_, admin := r.key(t, Key{Site: EverySite, Scope: Admin})
	_, ofShop := r.key(t, Key{Site: "shop", Scope: Admin})
	_, ingest := r.key(t, Key{Site: "shop", Scope: Ingest})
	revoked, gone := r.key(t, Key{Site: "shop", Scope: Read})
	_, err := NewKeys(r).Revoke(t.Context(), revoked.ID)
	check(t, err)
	unknown, _ := newToken(Read)
	g := gate(t, r, Read, Options{Sessions: true})
	for _, c := range []struct {
		name, token string
		want        int
		operator    bool
	}{
		{"read", read, 200, false},
		{"admin", admin, 200, true},
		{"admin of one site", ofShop, 200, false},
		{"ingest", ingest, 403, false},
		{"revoked", gone, 401, false},
		{"unknown", unknown, 401, false},
		{"nonsense", "x; Path=/\n", 401, false},
		{"nothing", "", 401, false},
	} {
		w := httptest.NewRecorder()
		s, err := g.SignIn(w, ask(http.MethodPost), c.token)
		wantStatus(t, c.name, w, err, c.want)
		cookie := cookieOf(t, w)
		if (cookie != nil) != (c.want == http.StatusOK) {
			t.Errorf("%s: the cookie is %v", c.name, cookie)
		}
		if err != nil {
			if c.token != "" && strings.Contains(err.Error(), c.token) {
				t.Errorf("%s: the answer repeats the key: %v", c.name, err)
			}
			continue
		}
		if !s.NeedsKey || !s.IngestNeedsKey || s.Key == nil || s.Operator() != c.operator {
			t.Errorf("%s: the session is %+v", c.name, s)
		}
		if cookie.Name != "daybook-3000" || cookie.Value != c.token || cookie.Path != "/" || cookie.Domain != "" ||
			!cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Secure || cookie.MaxAge != 30*24*3600 {
			t.Errorf("%s: the cookie is %v", c.name, cookie)
		}
		// What it sets it takes.
		if pass, err := g.Admit(httptest.NewRecorder(), ask(http.MethodGet, "Cookie: "+cookie.Name+"="+cookie.Value)); err != nil || pass.Key.ID != s.Key.ID {
			t.Errorf("%s: the cookie is not taken: %v", c.name, err)
		}
	}
	_, err = g.SignIn(httptest.NewRecorder(), ask(http.MethodPost), ingest)
	if err == nil || !strings.Contains(err.Error(), "read or admin") {
		t.Errorf("a key for ingest is refused without saying which is right: %v", err)
	}
	// Signing in is no way around the limit of wrong keys.
	var last error
	for range guesses.Burst + 1 {
		_, last = g.SignIn(httptest.NewRecorder(), ask(http.MethodPost), unknown)
	}
	if status(last) != http.StatusTooManyRequests {
		t.Errorf("after many wrong keys: %v", last)
	}
	if _, err := g.SignIn(httptest.NewRecorder(), ask(http.MethodPost), read); err != nil {
		t.Errorf("a good one after them: %v", err)
	}
}

// Each Daybook of a machine has a cookie of its own, and over TLS it goes over
// TLS only.
func TestCookies(t *testing.T) {
	r := newRecords()
	_, token := r.key(t, Key{Site: "shop", Scope: Read})
	proxies, err := web.ParseProxies([]string{"10.0.0.1"})
	check(t, err)
	g := gate(t, r, Read, Options{Sessions: true, Proxies: proxies})
	for _, c := range []struct {
		host, from, header string
		tls                bool
		name               string
		secure             bool
	}{
		{"127.0.0.1:3001", local, "", false, "daybook-3001", false},
		{"[::1]:3001", local, "", false, "daybook-3001", false},
		{"stats.example:8443", stranger, "", true, "__Host-daybook-8443", true},
		{"stats.example", stranger, "", true, "__Host-daybook", true},
		{"stats.example", "10.0.0.1:1", "X-Forwarded-Proto: https", false, "__Host-daybook", true},
		{"stats.example", "10.0.0.1:1", "X-Forwarded-Proto: http", false, "daybook", false},
		{"stats.example", stranger, "X-Forwarded-Proto: https", false, "daybook", false},
	} {
		begin, end := ask(http.MethodPost), ask(http.MethodDelete)
		for _, r := range []*http.Request{begin, end} {
			r.Host, r.RemoteAddr = c.host, c.from
			if name, value, ok := strings.Cut(c.header, ": "); ok {
				r.Header.Set(name, value)
			}
			if c.tls {
				r.TLS = new(tls.ConnectionState)
			}
		}
		w := httptest.NewRecorder()
		_, err := g.SignIn(w, begin, token)
		check(t, err)
		if cookie := cookieOf(t, w); cookie.Name != c.name || cookie.Secure != c.secure {
			t.Errorf("%+v: the cookie is %v", c, cookie)
		}
		w = httptest.NewRecorder()
		check(t, g.SignOut(w, end))
		if cookie := cookieOf(t, w); cookie.Name != c.name || cookie.Value != "" || cookie.MaxAge >= 0 || cookie.Path != "/" || cookie.Secure != c.secure {
			t.Errorf("%+v: when signed out the cookie is %v", c, cookie)
		}
	}
	for _, c := range []struct {
		name, cookies string
		tls           bool
		want          int
	}{
		{"the cookie of another Daybook", "daybook-3002=" + token + "; daybook=" + token, false, 401},
		{"one that may be planted, over TLS", "daybook-3000=" + token, true, 401},
		{"one over TLS", "__Host-daybook-3000=" + token, true, 200},
		{"one of TLS without it", "__Host-daybook-3000=" + token, false, 401},
	} {
		r := ask(http.MethodGet, "Cookie: "+c.cookies)
		if c.tls {
			r.TLS = new(tls.ConnectionState)
		}
		w := httptest.NewRecorder()
		_, err := g.Admit(w, r)
		wantStatus(t, c.name, w, err, c.want)
	}
}

// A cookie is good for the dashboard's own pages and for the gate that takes
// sessions; a key that is given in another way goes before it.
func TestSessions(t *testing.T) {
	r := newRecords()
	key, token := r.key(t, Key{Site: "shop", Scope: Read})
	_, admin := r.key(t, Key{Site: EverySite, Scope: Admin})
	_, ingest := r.key(t, Key{Site: "shop", Scope: Ingest})
	_, blog := r.key(t, Key{Site: "blog", Scope: Read})
	revoked, gone := r.key(t, Key{Site: "shop", Scope: Read})
	_, err := NewKeys(r).Revoke(t.Context(), revoked.ID)
	check(t, err)
	unknown, _ := newToken(Read)
	g := gate(t, r, Read, Options{Sessions: true})
	const own, elsewhere = "Origin: http://127.0.0.1:3000", "Origin: http://127.0.0.1:3001"
	for _, c := range []struct {
		name    string
		method  string
		want    int
		headers []string
	}{
		{"a request", "GET", 200, []string{"Cookie: daybook-3000=" + token}},
		{"one beside others", "GET", 200, []string{"Cookie: theme=dark; daybook-3000=" + token}},
		{"of the dashboard", "GET", 200, []string{"Cookie: daybook-3000=" + token, "Sec-Fetch-Site: same-origin"}},
		{"by hand", "GET", 200, []string{"Cookie: daybook-3000=" + token, "Sec-Fetch-Site: none"}},
		{"of another site", "GET", 403, []string{"Cookie: daybook-3000=" + token, "Sec-Fetch-Site: cross-site"}},
		{"of another port", "GET", 403, []string{"Cookie: daybook-3000=" + token, "Sec-Fetch-Site: same-site"}},
		{"of another origin", "GET", 403, []string{"Cookie: daybook-3000=" + token, elsewhere}},
		{"posted by the dashboard", "POST", 200, []string{"Cookie: daybook-3000=" + token, "Sec-Fetch-Site: same-origin", own}},
		{"posted by an old browser", "POST", 200, []string{"Cookie: daybook-3000=" + token, own}},
		{"posted by another site", "POST", 403, []string{"Cookie: daybook-3000=" + token, "Sec-Fetch-Site: cross-site"}},
		{"posted by another port", "POST", 403, []string{"Cookie: daybook-3000=" + token, "Sec-Fetch-Site: same-site"}},
		{"posted by another origin", "POST", 403, []string{"Cookie: daybook-3000=" + token, elsewhere}},
		{"posted by no origin", "POST", 403, []string{"Cookie: daybook-3000=" + token, "Origin: null"}},
		{"a key beside it", "GET", 200, []string{"Cookie: daybook-3000=" + unknown, "Authorization: Bearer " + token}},
		{"a key from elsewhere", "GET", 200, []string{"Cookie: daybook-3000=" + blog, "X-API-Key: " + token, "Sec-Fetch-Site: cross-site"}},
		{"a wrong key beside it", "GET", 401, []string{"Cookie: daybook-3000=" + token, "Authorization: Bearer " + unknown}},
		{"a key for ingest beside it", "GET", 403, []string{"Cookie: daybook-3000=" + token, "X-API-Key: " + ingest}},
		{"who a proxy knows", "GET", 200, []string{"Cookie: daybook-3000=" + token, "Authorization: Basic dTpw"}},
		{"a revoked one", "GET", 401, []string{"Cookie: daybook-3000=" + gone}},
		{"an unknown one", "GET", 401, []string{"Cookie: daybook-3000=" + unknown}},
		{"an unknown one from elsewhere", "GET", 401, []string{"Cookie: daybook-3000=" + unknown, "Sec-Fetch-Site: cross-site"}},
		{"one for ingest", "GET", 401, []string{"Cookie: daybook-3000=" + ingest}},
		{"one behind others that were planted", "GET", 200, []string{"Cookie: daybook-3000=x; daybook-3000=" + unknown + "; daybook-3000=" + gone + "; daybook-3000=" + ingest, "Cookie: daybook-3000=" + token}},
		{"the first of several good ones", "GET", 200, []string{"Cookie: daybook-3000=" + token + "; daybook-3000=" + blog}},
		{"only ones that were planted", "GET", 401, []string{"Cookie: daybook-3000=" + unknown + "; daybook-3000=" + ingest}},
		{"an empty one", "GET", 401, []string{"Cookie: daybook-3000="}},
		{"an image of another page", "GET", 403, []string{"Cookie: daybook-3000=" + token, "Daybook-Dashboard: "}},
		{"an image of its own", "GET", 200, []string{"Cookie: daybook-3000=" + token, "Daybook-Dashboard: ", "Sec-Fetch-Site: same-origin"}},
		{"a form of its own", "POST", 200, []string{"Cookie: daybook-3000=" + token, "Daybook-Dashboard: ", own}},
		{"another port", "GET", 403, []string{"Cookie: daybook-3000=" + token, "Sec-Fetch-Site: same-site"}},
		{"an image with a key", "GET", 200, []string{"X-API-Key: " + token, "Daybook-Dashboard: "}},
	} {
		w := httptest.NewRecorder()
		pass, err := g.Admit(w, ask(c.method, c.headers...))
		wantStatus(t, c.name, w, err, c.want)
		if err == nil && pass.Key.ID != key.ID {
			t.Errorf("%s: let in with the key %s", c.name, pass.Key.ID)
		}
	}
	// Operators' paths look at it in the same way.
	for headers, want := range map[string]int{
		"daybook-3000=" + admin: 200, "daybook-3000=" + token: 403, "daybook-3000=" + gone: 401,
	} {
		w := httptest.NewRecorder()
		_, err := g.AdmitAdmin(w, ask(http.MethodPost, "Cookie: "+headers))
		wantStatus(t, "an operator", w, err, want)
	}
	if _, err := g.AdmitAdmin(httptest.NewRecorder(), ask(http.MethodPost, "Cookie: daybook-3000="+admin, "Sec-Fetch-Site: cross-site")); status(err) != http.StatusForbidden {
		t.Errorf("what another site posts as an operator: %v", err)
	}
	// The way of events has no sessions.
	for _, scope := range []Scope{Ingest, Read} {
		w := httptest.NewRecorder()
		_, err := gate(t, r, scope, Options{}).Admit(w, ask(http.MethodPost, "Cookie: daybook-3000="+admin))
		wantStatus(t, "a gate without sessions", w, err, http.StatusUnauthorized)
	}
}

// TestSession asks what one may do.
func TestSession(t *testing.T) {
	empty, keys, sending := newRecords(), newRecords(), newRecords()
	_, read := keys.key(t, Key{Site: "shop", Scope: Read})
	_, admin := keys.key(t, Key{Site: EverySite, Scope: Admin})
	_, ingest := sending.key(t, Key{Site: "shop", Scope: Ingest})
	unknown, _ := newToken(Admin)
	revoked, gone := keys.key(t, Key{Site: "shop", Scope: Read})
	_, err := NewKeys(keys).Revoke(t.Context(), revoked.ID)
	check(t, err)
	for _, c := range []struct {
		name    string
		records *records
		mode    Mode
		headers []string
		want    int
		session Session // but for the key
		scope   Scope   // that of the key; "" is none
		forgets bool
	}{
		{"open", empty, Auto, nil, 200, Session{}, "", false},
		{"open, with a cookie of before", empty, Auto, []string{"Cookie: daybook-3000=" + read}, 200, Session{}, "", false},
		{"open, by a name", empty, Auto, []string{"Host: evil.example"}, 403, Session{}, "", false},
		{"always closed", empty, Always, nil, 200, Session{NeedsKey: true, IngestNeedsKey: true}, "", false},
		{"for everybody", keys, None, nil, 200, Session{}, "", false},
		{"for everybody, an operator", keys, None, []string{"Cookie: daybook-3000=" + admin}, 200, Session{}, Admin, false},
		{"closed", keys, Auto, nil, 200, Session{NeedsKey: true}, "", false},
		{"closed, by a name", keys, Auto, []string{"Host: stats.example"}, 200, Session{NeedsKey: true}, "", false},
		{"signed in", keys, Auto, []string{"Cookie: daybook-3000=" + read}, 200, Session{NeedsKey: true}, Read, false},
		{"by a link", keys, Auto, []string{"Authorization: Bearer " + read}, 200, Session{NeedsKey: true}, Read, false},
		{"by a link beside a cookie of before", keys, Auto, []string{"Authorization: Bearer " + read, "Cookie: daybook-3000=" + gone}, 200, Session{NeedsKey: true}, Read, false},
		{"revoked", keys, Auto, []string{"Cookie: daybook-3000=" + gone}, 200, Session{NeedsKey: true}, "", true},
		{"revoked, beside another cookie", keys, Auto, []string{"Cookie: theme=dark; daybook-3000=" + gone}, 200, Session{NeedsKey: true}, "", true},
		{"a new key that is not read yet", keys, Auto, []string{"Cookie: daybook-3000=" + unknown}, 200, Session{NeedsKey: true}, "", false},
		{"a new key behind one that was planted", keys, Auto, []string{"Cookie: daybook-3000=" + gone + "; daybook-3000=" + unknown}, 200, Session{NeedsKey: true}, "", false},
		{"signed in behind one that was planted", keys, Auto, []string{"Cookie: daybook-3000=" + gone + "; daybook-3000=" + read}, 200, Session{NeedsKey: true}, Read, false},
		{"a key of another scope", sending, Always, []string{"Cookie: daybook-3000=" + ingest}, 200, Session{NeedsKey: true, IngestNeedsKey: true}, "", false},
		{"nonsense", keys, Auto, []string{"Cookie: daybook-3000=x"}, 200, Session{NeedsKey: true}, "", false},
		{"a wrong key", keys, Auto, []string{"Authorization: Bearer x"}, 401, Session{}, "", false},
		{"a revoked key", keys, Auto, []string{"Authorization: Bearer " + gone}, 401, Session{}, "", false},
	} {
		g := gate(t, c.records, Read, Options{Mode: c.mode, Sessions: true})
		r := ask(http.MethodGet, c.headers...)
		if host := r.Header.Get("Host"); host != "" {
			r.Host = host
		}
		w := httptest.NewRecorder()
		s, err := g.Session(w, r)
		wantStatus(t, c.name, w, err, c.want)
		cookie := cookieOf(t, w)
		if forgets := cookie != nil && cookie.MaxAge < 0; forgets != c.forgets {
			t.Errorf("%s: the cookie is %v", c.name, cookie)
		}
		if err != nil {
			continue
		}
		if s.NeedsKey != c.session.NeedsKey || s.IngestNeedsKey != c.session.IngestNeedsKey || s.Operator() != (c.scope == Admin) ||
			(s.Key == nil) != (c.scope == "") || s.Key != nil && s.Key.Scope != c.scope {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
	unread := NewGate(NewBook(keys, new(log).logger()), Read, Options{Sessions: true}, new(log).logger())
	_, err = unread.Session(httptest.NewRecorder(), ask(http.MethodGet))
	if status(err) != http.StatusServiceUnavailable {
		t.Errorf("while keys are not known: %v", err)
	}
	if _, err := unread.SignIn(httptest.NewRecorder(), ask(http.MethodPost), read); status(err) != http.StatusServiceUnavailable {
		t.Errorf("signing in while keys are not known: %v", err)
	}
}

// A stale cookie is in nobody's way where no key is needed.
func TestStaleCookieOfOpenRole(t *testing.T) {
	unknown, _ := newToken(Admin)
	g := gate(t, newRecords(), Read, Options{Sessions: true})
	r := ask(http.MethodGet, "Cookie: daybook-3000="+unknown)
	if _, err := g.Admit(httptest.NewRecorder(), r); err != nil {
		t.Errorf("a question: %v", err)
	}
	if err := g.AdmitOverview(httptest.NewRecorder(), r); err != nil {
		t.Errorf("an overview: %v", err)
	}
	if _, err := g.AdmitAdmin(httptest.NewRecorder(), r); status(err) != http.StatusUnauthorized {
		t.Errorf("an operator's question: %v", err)
	}
}

// Nobody is signed in, or out, by a page of another origin.
func TestSigningInFromElsewhere(t *testing.T) {
	r := newRecords()
	_, token := r.key(t, Key{Site: "shop", Scope: Read})
	g := gate(t, r, Read, Options{Sessions: true})
	for _, header := range []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://evil.example", "Origin: null"} {
		w := httptest.NewRecorder()
		_, err := g.SignIn(w, ask(http.MethodPost, header), token)
		if status(err) != http.StatusForbidden || cookieOf(t, w) != nil {
			t.Errorf("signing in with %s: %v", header, err)
		}
		w = httptest.NewRecorder()
		if err := g.SignOut(w, ask(http.MethodDelete, header)); status(err) != http.StatusForbidden || cookieOf(t, w) != nil {
			t.Errorf("signing out with %s: %v", header, err)
		}
	}
}

// FuzzSession: whatever cookies and hosts are sent, nobody gets in without the
// token, and no header is broken.
func FuzzSession(f *testing.F) {
	r := newRecords()
	_, token, err := NewKeys(r).Create(f.Context(), Key{Site: EverySite, Scope: Admin})
	if err != nil {
		f.Fatal(err)
	}
	b := NewBook(r, new(log).logger())
	if err := b.Read(f.Context()); err != nil {
		f.Fatal(err)
	}
	g := NewGate(b, Read, Options{Sessions: true}, new(log).logger())
	f.Add("daybook-3001=x", "127.0.0.1:3001")
	f.Add(`daybook="`+token[:30]+`"`, "stats.example")
	f.Add("daybook-a;b=x; =", "[::1]:a;b")
	f.Fuzz(func(t *testing.T, cookies, host string) {
		if strings.Contains(cookies, token) {
			return
		}
		w, r := httptest.NewRecorder(), ask(http.MethodGet, "Cookie: "+cookies)
		r.Host = host
		s, err := g.Session(w, r)
		if err == nil && s.Key != nil {
			t.Errorf("cookies %q let in", cookies)
		}
		if set := strings.Join(w.Header().Values("Set-Cookie"), ""); strings.ContainsAny(set, "\r\n") {
			t.Errorf("host %q makes the cookie %q", host, set)
		}
	})
}
