package access

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-analytics/daybook/internal/limit"
	"github.com/daybook-analytics/daybook/internal/web"
)

// gate is one of a scope in front of what is stored now.
func gate(t *testing.T, r *records, scope Scope, opts Options) *Gate {
	t.Helper()
	b := NewBook(r, new(log).logger())
	check(t, b.Read(t.Context()))
	return NewGate(b, scope, opts, new(log).logger())
}

// request is one from an address with headers, as "Name: value".
func request(from, target string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.RemoteAddr = from
	r.Host = "127.0.0.1:3000"
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

const (
	stranger = "192.0.2.1:1234"
	local    = "127.0.0.1:1234"
)

// status is that of the answer to a request, 200 if it is let in.
func status(err error) int {
	if err == nil {
		return http.StatusOK
	}
	var answer *web.Error
	if !errors.As(err, &answer) {
		return http.StatusInternalServerError
	}
	return answer.Status
}

// wantStatus wants a status, and of a 401 the challenge.
func wantStatus(t *testing.T, what string, w http.ResponseWriter, err error, want int) {
	t.Helper()
	if got := status(err); got != want {
		t.Errorf("%s: %d (%v), want %d", what, got, err, want)
	}
	if challenge := w.Header().Get("WWW-Authenticate"); (challenge == `Bearer realm="daybook"`) != (want == http.StatusUnauthorized) {
		t.Errorf("%s: WWW-Authenticate: %s", what, challenge)
	}
}

// TestModes has every mode, with keys and without, meet every kind of key.
func TestModes(t *testing.T) {
	with := newRecords()
	_, ingest := with.key(t, Key{Site: "shop", Scope: Ingest})
	_, read := with.key(t, Key{Site: "shop", Scope: Read})
	_, admin := with.key(t, Key{Site: EverySite, Scope: Admin})
	revoked, gone := with.key(t, Key{Site: "shop", Scope: Ingest})
	_, err := NewKeys(with).Revoke(t.Context(), revoked.ID)
	check(t, err)
	unknown, _ := newToken(Ingest)

	tokens := []string{"", ingest, read, admin, gone, unknown, "nonsense"}
	names := []string{"no key", "ingest", "read", "admin", "revoked", "unknown", "nonsense"}
	for _, c := range []struct {
		name    string
		records *records
		scope   Scope
		mode    Mode
		want    []int
	}{
		{"auto, ingest", with, Ingest, Auto, []int{401, 200, 403, 200, 401, 401, 401}},
		{"auto by default", with, Ingest, "", []int{401, 200, 403, 200, 401, 401, 401}},
		{"auto, read", with, Read, Auto, []int{401, 403, 200, 200, 401, 401, 401}},
		{"keys, ingest", with, Ingest, Always, []int{401, 200, 403, 200, 401, 401, 401}},
		{"none", with, Ingest, None, []int{200, 200, 200, 200, 200, 200, 200}},
		{"auto without keys", newRecords(), Ingest, Auto, []int{200, 401, 401, 401, 401, 401, 401}},
		{"keys without keys", newRecords(), Ingest, Always, []int{401, 401, 401, 401, 401, 401, 401}},
	} {
		for i, token := range tokens {
			for _, header := range []string{"Authorization: Bearer ", "Authorization: bearer ", "X-API-Key: "} {
				g := gate(t, c.records, c.scope, Options{Mode: c.mode})
				r := request(stranger, "/event")
				if token != "" {
					r = request(stranger, "/event", header+token)
				}
				w := httptest.NewRecorder()
				pass, err := g.Admit(w, r)
				wantStatus(t, c.name+", "+names[i], w, err, c.want[i])
				if err != nil && token != "" && strings.Contains(err.Error(), token) {
					t.Errorf("the answer repeats the key: %v", err)
				}
				if has := pass.Key != nil; has != (err == nil && token != "" && c.mode != None) {
					t.Errorf("%s, %s: the pass has a key: %t", c.name, names[i], has)
				}
				if err == nil && (pass.Page == nil || pass.Client != netip.MustParseAddr("192.0.2.1") || pass.Proxied) {
					t.Errorf("%s, %s: pass %+v", c.name, names[i], pass)
				}
			}
		}
	}
}

// TestKeysInURLs: only public ones may stand there.
func TestKeysInURLs(t *testing.T) {
	r := newRecords()
	_, secret := r.key(t, Key{Site: "shop", Scope: Ingest})
	_, public := r.key(t, Key{Site: "shop", Scope: Ingest, Public: true})
	g := gate(t, r, Ingest, Options{})
	for _, c := range []struct {
		target string
		header string
		want   int
	}{
		{"/event?key=" + public, "", 200},
		{"/event?key=" + public, "Accept: */*", 200},
		{"/event?key=" + secret, "", 403},
		{"/event?key=" + secret[:len(secret)-1] + "1", "", 401},
		{"/event?key=", "", 401},
		{"/event?token=" + public, "", 401},
		{"/event", "Authorization: Bearer " + public, 200},
		// The header counts.
		{"/event?key=" + secret, "Authorization: Bearer " + public, 200},
		{"/event?key=" + public, "X-API-Key: wrong", 401},
		{"/event?key=" + public, "Authorization: Basic YTpi", 200},
		{"/event", "Authorization: " + public, 401},
	} {
		w := httptest.NewRecorder()
		req := request(stranger, c.target)
		if c.header != "" {
			req = request(stranger, c.target, c.header)
		}
		_, err := g.Admit(w, req)
		wantStatus(t, c.target+" "+c.header, w, err, c.want)
	}
}

func TestAdminsAndOverviews(t *testing.T) {
	with := newRecords()
	_, ingest := with.key(t, Key{Site: EverySite, Scope: Ingest})
	_, read := with.key(t, Key{Site: EverySite, Scope: Read})
	_, readOne := with.key(t, Key{Site: "shop", Scope: Read})
	_, admin := with.key(t, Key{Site: EverySite, Scope: Admin})
	_, adminOne := with.key(t, Key{Site: "shop", Scope: Admin})
	tokens := []string{"", ingest, read, readOne, admin, adminOne, "wrong"}
	for _, c := range []struct {
		name            string
		records         *records
		mode            Mode
		admin, overview []int
	}{
		{"auto", with, Auto, []int{401, 403, 403, 403, 200, 403, 401}, []int{401, 403, 200, 403, 200, 403, 401}},
		{"keys", with, Always, []int{401, 403, 403, 403, 200, 403, 401}, []int{401, 403, 200, 403, 200, 403, 401}},
		{"none", with, None, []int{401, 403, 403, 403, 200, 403, 401}, []int{200, 200, 200, 200, 200, 200, 200}},
		{"open", newRecords(), Auto, []int{401, 401, 401, 401, 401, 401, 401}, []int{200, 401, 401, 401, 401, 401, 401}},
	} {
		for i, token := range tokens {
			g := gate(t, c.records, Read, Options{Mode: c.mode})
			r := request(local, "/admin/keys")
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			w := httptest.NewRecorder()
			pass, err := g.AdmitAdmin(w, r)
			wantStatus(t, fmt.Sprintf("%s, admin, key %d", c.name, i), w, err, c.admin[i])
			if (pass.Key != nil) != (err == nil) {
				t.Errorf("%s: the pass has key %v after %v", c.name, pass.Key, err)
			}
			w = httptest.NewRecorder()
			wantStatus(t, fmt.Sprintf("%s, overview, key %d", c.name, i), w, g.AdmitOverview(w, r), c.overview[i])
		}
	}
}

func TestPassesOfSites(t *testing.T) {
	one, every, none := Pass{Key: &Key{Site: "shop"}}, Pass{Key: &Key{Site: EverySite}}, Pass{}
	if one.Site("shop") != nil || status(one.Site("blog")) != 403 || status(one.Site("*")) != 403 || one.EverySite() {
		t.Error("a key of one site")
	}
	for _, p := range []Pass{every, none} {
		if p.Site("shop") != nil || !p.EverySite() {
			t.Errorf("%+v", p)
		}
	}
}

// TestUnread: nobody is let in before keys are known.
func TestUnread(t *testing.T) {
	r := newRecords()
	_, admin := r.key(t, Key{Site: EverySite, Scope: Admin})
	b := NewBook(r, new(log).logger())
	for _, mode := range []Mode{Auto, Always, None} {
		g := NewGate(b, Ingest, Options{Mode: mode}, new(log).logger())
		w := httptest.NewRecorder()
		req := request(local, "/event", "Authorization: Bearer "+admin)
		_, err := g.Admit(w, req)
		wantStatus(t, "admit", w, err, 503)
		var answer *web.Error
		if !errors.As(err, &answer) || answer.RetryAfter <= 0 {
			t.Errorf("it does not say when to come back: %v", err)
		}
		_, err = g.AdmitAdmin(w, req)
		wantStatus(t, "admin", w, err, 503)
		if mode != None {
			wantStatus(t, "overview", w, g.AdmitOverview(w, req), 503)
		}
		if g.AllowsOrigin("https://shop.example") {
			t.Error("an origin is allowed")
		}
	}
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecords()
		_, secret := r.key(t, Key{Site: "shop", Scope: Ingest})
		_, public := r.key(t, Key{Site: "shop", Scope: Ingest, Public: true})
		proxies, err := web.ParseProxies([]string{"10.0.0.0/8"})
		check(t, err)
		ask := func(g *Gate, from, token string, headers ...string) (*httptest.ResponseRecorder, int) {
			if token != "" {
				headers = append(headers, "Authorization: Bearer "+token)
			}
			w := httptest.NewRecorder()
			_, err := g.Admit(w, request(from, "/event", headers...))
			return w, status(err)
		}
		opts := Options{PerKey: limit.Rate{PerSecond: 1, Burst: 3}, PerAddress: limit.Rate{PerSecond: 1, Burst: 2}, Proxies: proxies}
		wantAll := func(what string, g *Gate, from, token string, want []int, headers ...string) {
			t.Helper()
			for i, s := range want {
				if _, got := ask(g, from, token, headers...); got != s {
					t.Errorf("%s, request %d: %d, want %d", what, i, got, s)
				}
			}
		}
		g := gate(t, r, Ingest, opts)
		wantAll("secret key", g, stranger, secret, []int{200, 200, 200, 429})
		wantAll("its address has no bound", g, stranger, public, []int{200, 200, 429})
		wantAll("what was refused did not cost the key", g, "192.0.2.2:1", public, []int{200, 429})
		time.Sleep(time.Second)
		wantAll("a second later", g, stranger, secret, []int{200, 429})

		// An open role has limits by address alone.
		open := gate(t, newRecords(), Ingest, opts)
		wantAll("no key", open, stranger, "", []int{200, 200, 429})
		wantAll("this machine", open, local, "", []int{200, 200, 200, 200})
		// All of a /64 is one.
		wantAll("IPv6", open, "[2001:db8::1]:1", "", []int{200, 200})
		wantAll("its neighbour", open, "[2001:db8::2]:1", "", []int{429})
		wantAll("another network", open, "[2001:db8:0:1::1]:1", "", []int{200})
		// An address is what a trusted proxy says, and nobody else.
		wantAll("by proxy", open, "10.0.0.1:1", "", []int{429}, "X-Forwarded-For: 192.0.2.1")
		wantAll("forged", open, stranger, "", []int{429}, "X-Forwarded-For: 192.0.2.77")

		w, _ := ask(gate(t, r, Ingest, opts), "192.0.2.9:1", public)
		if h := w.Header(); len(h.Values("RateLimit")) != 2 || !strings.Contains(strings.Join(h.Values("RateLimit-Policy"), ", "), `"key";q=3`) || !strings.Contains(strings.Join(h.Values("RateLimit-Policy"), ", "), `"address";q=2`) {
			t.Errorf("headers %v", h)
		}
		// Without limits none are told.
		w, _ = ask(gate(t, r, Ingest, Options{}), stranger, public)
		if len(w.Header()) != 0 {
			t.Errorf("headers %v", w.Header())
		}
	})
}

// TestGuesses: beyond some wrong keys of an address others are not looked at;
// good keys are, from there and from elsewhere.
func TestGuesses(t *testing.T) {
	r := newRecords()
	_, good := r.key(t, Key{Site: "shop", Scope: Ingest})
	old, revoked := r.key(t, Key{Site: "shop", Scope: Ingest, Public: true})
	_, err := NewKeys(r).Revoke(t.Context(), old.ID)
	check(t, err)
	_, wrongScope := r.key(t, Key{Site: "shop", Scope: Read})
	g := gate(t, r, Ingest, Options{})
	ask := func(from, token string) error {
		_, err := g.Admit(httptest.NewRecorder(), request(from, "/event", "Authorization: Bearer "+token))
		return err
	}
	// A revoked key in a page, and a key of another scope, are no guesses.
	for range 3 * guesses.Burst {
		if got := status(ask(stranger, revoked)); got != 401 {
			t.Fatalf("revoked: %d", got)
		}
		if got := status(ask(stranger, wrongScope)); got != 403 {
			t.Fatalf("of another scope: %d", got)
		}
	}
	guess, _ := newToken(Ingest)
	counts := map[int]int{}
	for range 5 * guesses.Burst {
		counts[status(ask(stranger, guess))]++
	}
	// While they come one more may be forgiven.
	if counts[401] < guesses.Burst || counts[401]+counts[429] != 5*guesses.Burst || counts[429] == 0 {
		t.Errorf("answers to guesses: %v", counts)
	}
	var answer *web.Error
	if err := ask(stranger, "nonsense"); !errors.As(err, &answer) || answer.Status != 429 || answer.RetryAfter <= 0 {
		t.Errorf("one more: %v", err)
	}
	if got := status(ask(stranger, good)); got != 200 {
		t.Errorf("a good key from there: %d", got)
	}
	if got := status(ask("192.0.2.2:1", guess)); got != 401 {
		t.Errorf("another address: %d", got)
	}
}

// TestRebound has pages whose names stand for this machine.
func TestRebound(t *testing.T) {
	for _, c := range []struct {
		scope           Scope
		mode            Mode
		host            string
		admit, overview int
	}{
		{Read, Auto, "127.0.0.1:3001", 200, 200},
		{Read, Auto, "[::1]:3001", 200, 200},
		{Read, Auto, "[::1]", 200, 200},
		{Read, Auto, "LOCALHOST", 200, 200},
		{Read, Auto, "localhost:3001", 200, 200},
		{Read, Auto, "evil.example:3001", 403, 403},
		{Read, Auto, "localhost.evil.example", 403, 403},
		{Read, None, "stats.example", 200, 200},
		{Ingest, Auto, "evil.example:3000", 200, 403},
	} {
		g := gate(t, newRecords(), c.scope, Options{Mode: c.mode})
		r := request(local, "/stats")
		r.Host = c.host
		_, err := g.Admit(httptest.NewRecorder(), r)
		overview := g.AdmitOverview(httptest.NewRecorder(), r)
		if status(err) != c.admit || status(overview) != c.overview {
			t.Errorf("%+v: %d and %d", c, status(err), status(overview))
		}
	}
}

func TestCheckListen(t *testing.T) {
	with := newRecords()
	with.key(t, Key{Site: "shop", Scope: Ingest})
	read := newRecords()
	read.key(t, Key{Site: "shop", Scope: Read})
	loopback := []string{"127.0.0.1:3000", "127.255.0.1:0", "[::1]:3000", "localhost:3000", "[::ffff:127.0.0.1]:3000"}
	others := []string{":3000", "0.0.0.0:3000", "[::]:3000", "192.0.2.1:3000", "10.0.0.1:3000", "[fe80::1%eth0]:3000", "daybook.example:3000", "localhost.example:3000", "127.0.0.1", "", "0:3000", "127.1:3000"}
	for _, c := range []struct {
		name    string
		records *records
		mode    Mode
		opens   bool
	}{
		{"auto without keys", newRecords(), Auto, false},
		{"auto with keys", with, Auto, true},
		{"auto with keys of another role", read, Auto, false},
		{"keys", newRecords(), Always, true},
		{"none", newRecords(), None, true},
	} {
		g := gate(t, c.records, Ingest, Options{Mode: c.mode})
		for _, addr := range loopback {
			if err := g.CheckListen("--ingest-addr", addr); err != nil {
				t.Errorf("%s, %s: %v", c.name, addr, err)
			}
		}
		for _, addr := range others {
			err := g.CheckListen("--ingest-addr", addr)
			if (err == nil) != c.opens {
				t.Errorf("%s, %q: %v", c.name, addr, err)
			}
			if err != nil && (!strings.Contains(err.Error(), "--ingest-addr "+addr) || !strings.Contains(err.Error(), "keys create --scope ingest") || !strings.Contains(err.Error(), "--auth=none")) {
				t.Errorf("%s, %q: it does not say what to do: %v", c.name, addr, err)
			}
		}
	}
	unread := NewGate(NewBook(newRecords(), new(log).logger()), Ingest, Options{}, new(log).logger())
	if err := unread.CheckListen("--ingest-addr", ":3000"); err == nil || !strings.Contains(err.Error(), "--auth=keys") {
		t.Errorf("while nothing is known: %v", err)
	}
	if err := unread.CheckListen("--ingest-addr", local); err != nil {
		t.Error(err)
	}
}

// TestUntrustedProxyIsTold: once, and only where visitors may look like one.
func TestUntrustedProxyIsTold(t *testing.T) {
	b := NewBook(newRecords(), new(log).logger())
	check(t, b.Read(t.Context()))
	trusted, err := web.ParseProxies([]string{"127.0.0.1"})
	check(t, err)
	for _, c := range []struct {
		from, header string
		proxies      web.Proxies
		want         int
	}{
		{local, "X-Forwarded-For: 192.0.2.1", web.Proxies{}, 1},
		{local, "Forwarded: for=192.0.2.1", web.Proxies{}, 1},
		{local, "X-Forwarded-For: 192.0.2.1", trusted, 0},
		{local, "Accept: */*", web.Proxies{}, 0},
		{stranger, "X-Forwarded-For: 192.0.2.1", web.Proxies{}, 1},
		{stranger, "Accept: */*", web.Proxies{}, 0},
	} {
		var l log
		g := NewGate(b, Ingest, Options{Proxies: c.proxies}, l.logger())
		for range 3 {
			pass, err := g.Admit(httptest.NewRecorder(), request(c.from, "/event", c.header))
			check(t, err)
			if pass.Proxied != (c.proxies.Trusts(request(c.from, "/"))) {
				t.Errorf("%+v: proxied %t", c, pass.Proxied)
			}
		}
		if got := strings.Count(l.String(), "--trusted-proxies"); got != c.want || strings.Contains(l.String(), "192.0.2.1") {
			t.Errorf("%+v: told %d times: %s", c, got, l.String())
		}
	}
}

func TestAllowsOriginOfGate(t *testing.T) {
	r := newRecords()
	open := gate(t, r, Ingest, Options{})
	if !open.AllowsOrigin("https://any.example") {
		t.Error("an open role does not allow an origin")
	}
	r.put("site", "shop", `{"origins":["https://shop.example"]}`)
	r.key(t, Key{Site: "shop", Scope: Ingest, Public: true})
	closed := gate(t, r, Ingest, Options{})
	if closed.AllowsOrigin("https://any.example") || !closed.AllowsOrigin("https://shop.example") {
		t.Error("a closed role allows an origin that no site names, or not one that one names")
	}
	if none := gate(t, r, Ingest, Options{Mode: None}); !none.AllowsOrigin("https://any.example") {
		t.Error("a role that needs no keys does not allow an origin")
	}
}

func BenchmarkAdmit(b *testing.B) {
	r := newRecords()
	_, token, err := NewKeys(r).Create(b.Context(), Key{Site: "shop", Scope: Ingest, Public: true})
	if err != nil {
		b.Fatal(err)
	}
	book := NewBook(r, new(log).logger())
	if err := book.Read(b.Context()); err != nil {
		b.Fatal(err)
	}
	g := NewGate(book, Ingest, Options{}, new(log).logger())
	req := request(stranger, "/event", "Authorization: Bearer "+token)
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Admit(w, req); err != nil {
			b.Fatal(err)
		}
	}
}
