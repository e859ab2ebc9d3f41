package ingest

import (
	"bytes"
	"context"
	"fmt"
	"image/gif"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/limit"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store/pebblestore"
	"github.com/daybook-analytics/daybook/internal/visitor"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

// User agents.
const (
	firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"
	iphone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
	google  = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
	curl    = "curl/8.14.1"
)

// world is the role behind a gate, with a store.
type world struct {
	*testing.T
	sites *site.Directory
	keys  *access.Keys
	book  *access.Book
	queue *testQueue
	rt    *web.Router
}

func newWorld(t *testing.T, opts access.Options, more ...func(*Options)) *world {
	discard := slog.New(slog.DiscardHandler)
	st, err := pebblestore.Open(filepath.Join(t.TempDir(), "store"), pebblestore.Options{Logger: discard})
	check(t, err)
	t.Cleanup(func() { check(t, st.Close()) })
	salts := visitor.NewSalts(st, discard)
	check(t, salts.Start())
	t.Cleanup(func() { check(t, salts.Stop(context.Background())) })
	w := &world{
		T: t, sites: site.NewDirectory(st, 0), keys: access.NewKeys(st),
		book: access.NewBook(st, discard), queue: newTestQueue(4),
	}
	w.read()
	gate := access.NewGate(w.book, access.Ingest, opts, discard)
	role := Options{Gate: gate, Salts: salts, CountryHeader: "CF-IPCountry"}
	for _, set := range more {
		set(&role)
	}
	_, w.rt = start(t, w.queue, role)
	return w
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) read() {
	w.Helper()
	check(w.T, w.book.Read(w.Context()))
}

// set changes the settings of a site.
func (w *world) set(name string, change func(*site.Settings)) {
	w.Helper()
	_, err := w.sites.Change(w.Context(), name, func(s *site.Settings) error { change(s); return nil })
	check(w.T, err)
	w.read()
}

// key makes a key and gives its token.
func (w *world) key(key access.Key) string {
	w.Helper()
	_, token, err := w.keys.Create(w.Context(), key)
	check(w.T, err)
	w.read()
	return token
}

// send sends an event of the site shop with the fields and headers given in
// pairs, and gives it as it came into the queue.
func (w *world) send(fields string, headers ...string) event.Event {
	w.Helper()
	body := `{"site_id":"shop","event_type":"page_view"` + fields + `}`
	answer := post(w.rt, "/event", body, append([]string{"Content-Type", "text/plain"}, headers...)...)
	if answer.Code != http.StatusAccepted {
		w.Fatalf("%s with %q: %d %s", body, headers, answer.Code, answer.Body)
	}
	events := w.queue.events(w.T)
	return events[len(events)-1]
}

func TestVisitors(t *testing.T) {
	proxies, err := web.ParseProxies([]string{"192.0.2.1"}) // whom httptest sends from
	check(t, err)
	w := newWorld(t, access.Options{Proxies: proxies})
	from := func(addr, agent string) []string { return []string{"X-Forwarded-For", addr, "User-Agent", agent} }
	values := func(e event.Event) string {
		return strings.Join([]string{e.Values[rollup.Browser], e.Values[rollup.OS], e.Values[rollup.Device], e.Values[rollup.Country]}, " ")
	}

	person := w.send("", from("198.51.100.7", firefox)...)
	if got := values(person); got != "Firefox Linux desktop " || !strings.HasPrefix(person.User, "~") {
		t.Errorf("a person is %q with %q", person.User, got)
	}
	if again := w.send(`,"path":"/other"`, from("198.51.100.7", firefox)...); again.User != person.User {
		t.Error("a person is two on the same day")
	}
	for what, other := range map[string]event.Event{
		"another address": w.send("", from("198.51.100.8", firefox)...),
		"another browser": w.send("", from("198.51.100.7", iphone)...),
	} {
		if other.User == person.User || !strings.HasPrefix(other.User, "~") {
			t.Errorf("with %s the visitor is %q, as before", what, other.User)
		}
	}
	if e := w.send(`,"user_id":"u1","browser":"Own"`, append(from("198.51.100.7", firefox), "CF-IPCountry", "DE")...); e.User != "u1" || values(e) != "Own Linux desktop DE" {
		t.Errorf("with a user_id and browser the visitor is %q with %q", e.User, values(e))
	}

	// A server sends what it knows.
	if e := w.send("", from("198.51.100.7", curl)...); e.User != "" || values(e) != "   " || e.Values[rollup.Bot] != "" {
		t.Errorf("of a program the event is %+v", e)
	}
	named := w.send(fmt.Sprintf(`,"user_agent":%q,"client_ip":"198.51.100.7"`, firefox), from("203.0.113.1", curl)...)
	if named.User != person.User || values(named) != "Firefox Linux desktop " {
		t.Errorf("the visitor that a server names is %q with %q, want %q", named.User, values(named), person.User)
	}
	if e := w.send(fmt.Sprintf(`,"user_agent":%q`, firefox), from("203.0.113.1", curl)...); e.User != "" || e.Values[rollup.Browser] != "Firefox" {
		t.Errorf("without an address the visitor is %q", e.User)
	}
}

// TestPagesNameNobody has pages that say that their visitor is somebody else.
func TestPagesNameNobody(t *testing.T) {
	w := newWorld(t, access.Options{})
	other := fmt.Sprintf(`,"user_agent":%q,"client_ip":"198.51.100.7"`, iphone)
	page := []string{"User-Agent", firefox, "Origin", "https://shop.example"}
	user := w.send("", page...).User
	if e := w.send(other, page...); e.User != user || e.Values[rollup.Browser] != "Firefox" {
		t.Errorf("an open role makes it %q with %s", e.User, e.Values[rollup.Browser])
	}
	w.set("shop", func(s *site.Settings) { s.Origins = []string{"https://shop.example"} })
	page = append(page, "X-API-Key", w.key(access.Key{Site: "shop", Scope: access.Ingest, Public: true}))
	if e := w.send(other, page...); e.User != user {
		t.Errorf("with a public key it is %q, and not %q", e.User, user)
	}
	old := time.Now().Add(-maxPublicAge - time.Hour).Format(time.RFC3339)
	body := fmt.Sprintf(`{"site_id":"shop","event_type":"e","timestamp":%q}`, old)
	headers := slices.Concat(page, []string{"Content-Type", "text/plain"})
	if answer := post(w.rt, "/event", body, headers...); answer.Code != 422 {
		t.Errorf("an old event with a public key: %d %s", answer.Code, answer.Body)
	}
	events := strings.Repeat(`{"site_id":"shop","event_type":"e"},`, maxPublicEvents)
	for more, want := range map[string]int{"": 202, events[:len(events)/maxPublicEvents]: 413} {
		body := "[" + strings.TrimSuffix(events+more, ",") + "]"
		if answer := post(w.rt, "/events", body, headers...); answer.Code != want {
			t.Errorf("%d bytes of events with a public key: %d %s", len(body), answer.Code, answer.Body)
		}
	}
	page[len(page)-1] = w.key(access.Key{Site: "shop", Scope: access.Ingest})
	if answer := post(w.rt, "/event", body, append(page, "Content-Type", "text/plain")...); answer.Code != 202 {
		t.Errorf("an old event with a key: %d %s", answer.Code, answer.Body)
	}
}

func TestForgedAddress(t *testing.T) {
	w := newWorld(t, access.Options{})
	user := w.send("", "User-Agent", firefox).User
	forged := w.send("", "User-Agent", firefox, "X-Forwarded-For", "198.51.100.7", "Forwarded", "for=198.51.100.8", "CF-IPCountry", "DE")
	if forged.User != user || forged.Values[rollup.Country] != "" {
		t.Errorf("headers that no trusted proxy has set make the visitor %q of %q, and it is %q", forged.User, forged.Values[rollup.Country], user)
	}
}

func TestBots(t *testing.T) {
	w := newWorld(t, access.Options{})
	const fields = `,"path":"/x","user_id":"u","utm_source":"s"`
	filtered := rollup.Values{rollup.EventType: "page_view"}
	for _, test := range []struct {
		name, reason, fields string
		headers              []string
	}{
		{"crawler", visitor.Crawler, fields, []string{"User-Agent", google}},
		{"program on a page", visitor.HTTPClient, fields, []string{"User-Agent", curl, "Origin", "https://shop.example"}},
		{"crawler that a server names", visitor.Crawler, fields + fmt.Sprintf(`,"user_agent":%q`, google), []string{"User-Agent", curl}},
	} {
		e := w.send(test.fields, test.headers...)
		filtered[rollup.Bot] = test.reason
		if e.Values != filtered || e.User != "" {
			t.Errorf("%s is kept as %+v", test.name, e)
		}
	}
	// An app that a server names is none: the server knows what it sends.
	app := w.send(fields+`,"user_agent":"MyShop/3.1 CFNetwork/1474 Darwin/23.0.0","client_ip":"198.51.100.7"`, "User-Agent", curl)
	if app.User != "u" || app.Values[rollup.Path] != "/x" || app.Values[rollup.Bot] != "" {
		t.Errorf("of an app the event is %+v", app)
	}
	w.set("shop", func(s *site.Settings) { s.Bots = site.KeepBots })
	e := w.send(fields, "User-Agent", google)
	if e.Values[rollup.Bot] != visitor.Crawler || e.Values[rollup.Path] != "/x" || e.Values[rollup.UTMSource] != "s" || e.User != "" {
		t.Errorf("of a site that keeps bots it is %+v", e)
	}
}

// TestDataCenters has browsers there, which nobody sits before, and servers,
// which are at home there.
func TestDataCenters(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ranges")
	check(t, os.WriteFile(file, []byte("192.0.2.0/24\n"), 0o600)) // where httptest sends from
	ranges, err := visitor.OpenDataCenters(file, slog.New(slog.DiscardHandler))
	check(t, err)
	t.Cleanup(ranges.Close)
	w := newWorld(t, access.Options{}, func(opts *Options) { opts.DataCenters = ranges })
	reason := func(fields, agent string) string { return w.send(fields, "User-Agent", agent).Values[rollup.Bot] }
	if got := reason("", firefox); got != "" {
		t.Errorf("of a site that does not ask for it a browser there is %q", got)
	}
	w.set("shop", func(s *site.Settings) { s.DataCenters = true })
	if got := reason("", firefox); got != visitor.DataCenter {
		t.Errorf("a browser there is %q", got)
	}
	if got := reason("", curl); got != "" {
		t.Errorf("a server there is %q", got)
	}
	if got := reason(fmt.Sprintf(`,"user_agent":%q,"client_ip":"198.51.100.7"`, firefox), curl); got != "" {
		t.Errorf("a visitor of a server there is %q", got)
	}
}

func TestPathsAndReferrers(t *testing.T) {
	w := newWorld(t, access.Options{})
	w.set("shop", func(s *site.Settings) {
		s.Paths = site.PathRules{StripSlash: true, Lower: true, Patterns: []string{"/user/*"}}
	})
	for _, test := range []struct{ path, referrer, wantPath, wantReferrer string }{
		{"https://shop.example/User/17/?a=b", "https://www.google.de/search?q=secret", "/user/*", "Google"},
		{"https://shop.example/About/", "https://shop.example/", "/about", ""},
		{"/", "https://www.Blog.example/post?token=secret", "/", "blog.example"},
	} {
		e := w.send(fmt.Sprintf(`,"path":%q,"referrer":%q`, test.path, test.referrer))
		if e.Values[rollup.Path] != test.wantPath || e.Values[rollup.Referrer] != test.wantReferrer {
			t.Errorf("%s from %s is kept as %s from %q", test.path, test.referrer, e.Values[rollup.Path], e.Values[rollup.Referrer])
		}
	}
}

// TestWhoMayWrite is every kind of key from every kind of page.
func TestWhoMayWrite(t *testing.T) {
	w := newWorld(t, access.Options{})
	w.set("shop", func(s *site.Settings) { s.Origins = []string{"https://shop.example", "https://*.shop.example"} })
	own, other, nobody := "https://shop.example", "https://evil.example", ""
	statusOf := func(path, body, origin string, headers ...string) *httptest.ResponseRecorder {
		if origin != "" {
			headers = append(headers, "Origin", origin)
		}
		return post(w.rt, path, body, append(headers, "Content-Type", "text/plain", "User-Agent", firefox)...)
	}
	expect := func(what, origin, key string, status int, cors string) {
		t.Helper()
		var headers []string
		if key != "" {
			headers = []string{"Authorization", "Bearer " + key}
		}
		answer := statusOf("/event", `{"site_id":"shop","event_type":"e"}`, origin, headers...)
		if answer.Code != status || answer.Header().Get("Access-Control-Allow-Origin") != cors {
			t.Errorf("%s from %q: %d, allowed origin %q, %s; want %d, %q", what, origin, answer.Code, answer.Header().Get("Access-Control-Allow-Origin"), answer.Body, status, cors)
		}
		if key == "" || status == 401 {
			return
		}
		// The same for each event of a batch, and with the key's other header.
		batch := `[{"site_id":"shop","event_type":"e"},{"site_id":"shop","event_type":"e"}]`
		answer = statusOf("/events", batch, origin, "X-API-Key", key)
		if taken := strings.Contains(answer.Body.String(), `"accepted":2`); taken != (status == 202) {
			t.Errorf("%s from %q: a batch gives %d %s", what, origin, answer.Code, answer.Body)
		}
	}
	expect("nobody", nobody, "", 202, "")
	expect("nobody", own, "", 202, own)
	expect("nobody", "https://eu.shop.example", "", 202, "https://eu.shop.example")
	expect("nobody", other, "", 403, "")
	expect("nobody", "null", "", 403, "")

	secret := w.key(access.Key{Site: "shop", Scope: access.Ingest})
	every := w.key(access.Key{Site: access.EverySite, Scope: access.Ingest})
	public := w.key(access.Key{Site: "shop", Scope: access.Ingest, Public: true})
	blog := w.key(access.Key{Site: "blog", Scope: access.Ingest})
	reader := w.key(access.Key{Site: "shop", Scope: access.Read})
	expect("no key", nobody, "", 401, "")
	expect("no key", own, "", 401, own) // the page can read why
	expect("no key", other, "", 401, "")
	expect("a wrong key", nobody, secret[:len(secret)-1]+"0", 401, "")
	expect("a key", nobody, secret, 202, "")
	expect("a key", own, secret, 202, own)
	expect("a key", other, secret, 403, "")
	expect("a key of all sites", nobody, every, 202, "")
	expect("a public key", own, public, 202, own)
	expect("a public key", nobody, public, 403, "")
	expect("a public key", other, public, 403, "")
	expect("another site's key", nobody, blog, 403, "")
	expect("a reader's key", nobody, reader, 403, "")

	// In a URL only a public key may stand.
	const body = `{"site_id":"shop","event_type":"e"}`
	if answer := statusOf("/event?key="+public, body, own); answer.Code != 202 {
		t.Errorf("a public key in the URL: %d %s", answer.Code, answer.Body)
	}
	if answer := statusOf("/event?key="+secret, body, nobody); answer.Code != 403 {
		t.Errorf("a secret key in the URL: %d %s", answer.Code, answer.Body)
	}
	// Of a batch what is of another site is refused alone.
	answer := statusOf("/events", `[{"site_id":"blog","event_type":"e"},{"site_id":"shop","event_type":"e"}]`, nobody, "X-API-Key", secret)
	if answer.Code != 202 || !strings.Contains(answer.Body.String(), `{"accepted":1,"rejected":[{"index":0,`) {
		t.Errorf("a batch of two sites: %d %s", answer.Code, answer.Body)
	}
	// Without origins there is no page that a public key could be used on.
	w.set("shop", func(s *site.Settings) { s.Origins = nil })
	expect("a public key of a site without origins", own, public, 403, "")

	_, err := w.keys.Revoke(t.Context(), strings.Split(secret, "_")[2])
	check(t, err)
	w.read()
	expect("a revoked key", nobody, secret, 401, "")
}

func TestPreflight(t *testing.T) {
	w := newWorld(t, access.Options{})
	ask := func(origin string, status int) {
		t.Helper()
		r := httptest.NewRequest(http.MethodOptions, "/events", nil)
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", "POST")
		answer := httptest.NewRecorder()
		w.rt.ServeHTTP(answer, r)
		allowed := ""
		if status == http.StatusNoContent {
			allowed = origin
		}
		if answer.Code != status || answer.Header().Get("Access-Control-Allow-Origin") != allowed || origin != "" && answer.Header().Get("Vary") != "Origin" {
			t.Errorf("%q may ask: %d %v", origin, answer.Code, answer.Header())
		}
	}
	ask("https://shop.example", http.StatusNoContent) // everybody may write
	ask("", http.StatusForbidden)
	w.key(access.Key{Site: "shop", Scope: access.Ingest})
	ask("https://shop.example", http.StatusForbidden)
	w.set("shop", func(s *site.Settings) { s.Origins = []string{"https://shop.example"} })
	ask("https://shop.example", http.StatusNoContent)
	ask("https://evil.example", http.StatusForbidden)
}

func TestPixel(t *testing.T) {
	w := newWorld(t, access.Options{})
	get := func(query, referer, agent string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/pixel.gif?"+query, nil)
		r.Header.Set("Referer", referer)
		r.Header.Set("User-Agent", agent)
		answer := httptest.NewRecorder()
		w.rt.ServeHTTP(answer, r)
		return answer
	}
	last := func() event.Event {
		t.Helper()
		events := w.queue.events(t)
		return events[len(events)-1]
	}
	answer := get("site_id=shop&path="+url.QueryEscape("https://shop.example/a b?utm_source=x")+"&event_id=e1", "https://shop.example/", firefox)
	image, err := gif.Decode(bytes.NewReader(answer.Body.Bytes()))
	if err != nil || image.Bounds().Dx() != 1 || image.Bounds().Dy() != 1 {
		t.Errorf("the image is %v, %v", image, err)
	}
	if answer.Code != 200 || answer.Header().Get("Cache-Control") != "no-store" || answer.Header().Get("Cross-Origin-Resource-Policy") != "cross-origin" {
		t.Errorf("%d %v", answer.Code, answer.Header())
	}
	e := last()
	if e.Site != "shop" || e.ID != "e1" || e.Type() != rollup.PageView || e.Values[rollup.Path] != "/a b" || e.Values[rollup.UTMSource] != "x" || e.User == "" {
		t.Errorf("the event is %+v", e)
	}
	get("site_id=shop&event_type=seen", "https://shop.example/page?q=1", firefox)
	if e := last(); e.Type() != "seen" || e.Values[rollup.Path] != "/page" {
		t.Errorf("of the page that shows the image it is %+v", e)
	}
	get("site_id=shop", "", curl)
	if e := last(); e.Values[rollup.Bot] != visitor.HTTPClient {
		t.Errorf("of a program it is %+v", e)
	}

	before := len(w.queue.events(t))
	w.set("shop", func(s *site.Settings) { s.Origins = []string{"https://shop.example"} })
	public := w.key(access.Key{Site: "shop", Scope: access.Ingest, Public: true})
	for _, test := range []struct {
		query, referer string
		status         int
	}{
		{"site_id=shop", "https://shop.example/", 401},
		{"site_id=shop&key=" + public, "https://evil.example/", 403},
		{"site_id=shop&key=" + public, "", 403},
		{"site_id=shop&site_id=blog&key=" + public, "https://shop.example/", 422},
		{"key=" + public, "https://shop.example/", 422},
		{"site_id=shop&country=%00&key=" + public, "https://shop.example/", 422},
		{"site_id=%zz&key=" + public, "https://shop.example/", 400},
	} {
		if answer := get(test.query, test.referer, firefox); answer.Code != test.status {
			t.Errorf("%s from %q: %d %s, want %d", test.query, test.referer, answer.Code, answer.Body, test.status)
		}
	}
	if after := len(w.queue.events(t)); after != before {
		t.Errorf("%d events were taken that were refused", after-before)
	}
	if answer := get("site_id=shop&key="+public, "https://shop.example/", firefox); answer.Code != 200 {
		t.Errorf("with its key: %d %s", answer.Code, answer.Body)
	}
	// A HEAD shows no image.
	r := httptest.NewRequest(http.MethodHead, "/pixel.gif?site_id=shop&key="+public, nil)
	r.Header.Set("Referer", "https://shop.example/")
	w.rt.ServeHTTP(httptest.NewRecorder(), r)
	if after := len(w.queue.events(t)); after != before+1 {
		t.Errorf("a HEAD was counted")
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t, access.Options{
		PerAddress: limit.Rate{PerSecond: 0.001, Burst: 2}, PerKey: limit.Rate{PerSecond: 0.001, Burst: 4},
	})
	const body = `{"site_id":"shop","event_type":"e"}`
	send := func(headers ...string) *httptest.ResponseRecorder {
		return post(w.rt, "/event", body, append(headers, "Content-Type", "text/plain")...)
	}
	for i, want := range []int{202, 202, 429} {
		answer := send()
		if answer.Code != want || answer.Header().Get("RateLimit") == "" || (answer.Header().Get("Retry-After") != "") != (want == 429) {
			t.Errorf("request %d without a key: %d %v", i, answer.Code, answer.Header())
		}
	}
	key := w.key(access.Key{Site: "shop", Scope: access.Ingest})
	for i, want := range []int{202, 202, 202, 202, 429} {
		if answer := send("X-API-Key", key); answer.Code != want {
			t.Errorf("request %d with a key: %d %s", i, answer.Code, answer.Body)
		}
	}
}
