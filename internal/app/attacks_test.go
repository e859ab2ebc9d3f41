package app_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/rollup"
)

// script is what must never come to life.
const script = `<script>alert("x")</script>`

// TestAttacks is what strangers and thieves try, and what docs/security.md says
// of it.
func TestAttacks(t *testing.T) {
	i := installations["embedded"](t)
	cfg := i.config()
	cfg.Ingest, cfg.Worker, cfg.Report = i.ingest(), i.worker(), i.report()
	cfg.Access.TrustedProxies = []string{"127.0.0.1"} // each attack comes from an address of its own
	a, _ := run(t, cfg)
	actions, _ := openAdmin(t, i)
	v := &victim{T: t, app: a, actions: actions, keys: map[string]string{}}
	for _, name := range []string{"shop", "blog"} {
		origins := []string{"https://" + name + ".example"}
		if _, err := actions.AddSite(t.Context(), name, admin.SiteChange{Origins: &origins}); err != nil {
			t.Fatal(err)
		}
	}
	v.key("shop", admin.NewKey{Site: "shop", Scope: access.Ingest})
	v.key("blog", admin.NewKey{Site: "blog", Scope: access.Ingest})
	v.key("public", admin.NewKey{Site: "shop", Scope: access.Ingest, Public: true})
	v.key("read", admin.NewKey{Site: "shop", Scope: access.Read})
	v.key("read blog", admin.NewKey{Site: "blog", Scope: access.Read})
	v.key("revoked", admin.NewKey{Site: "shop", Scope: access.Ingest})
	if _, err := actions.RevokeKey(t.Context(), v.keys["revoked"]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "keys are known", func() bool {
		return v.event("192.0.2.200", "X-API-Key", v.keys["revoked"]) == 401 && v.event("192.0.2.200", "X-API-Key", v.keys["shop"]) == 202
	})

	t.Run("Writing", func(t *testing.T) {
		for _, attack := range []struct {
			name    string
			status  int
			headers []string
		}{
			{"without a key", 401, nil},
			{"with a wrong key", 401, []string{"X-API-Key", strings.Repeat("x", 5000)}},
			{"with another site's key", 403, []string{"X-API-Key", v.keys["blog"]}},
			{"with a revoked key", 401, []string{"X-API-Key", v.keys["revoked"]}},
			{"with a key for reading", 403, []string{"X-API-Key", v.keys["read"]}},
			{"from a wrong origin", 403, []string{"X-API-Key", v.keys["public"], "Origin", "https://evil.example"}},
			{"from a name that only looks right", 403, []string{"X-API-Key", v.keys["public"], "Origin", "https://shop.example.evil.example"}},
			{"from a page without an origin", 403, []string{"X-API-Key", v.keys["public"], "Origin", "null"}},
			{"with a public key and no page", 403, []string{"X-API-Key", v.keys["public"]}},
			{"with a secret key from a page of others", 403, []string{"X-API-Key", v.keys["shop"], "Origin", "https://evil.example"}},
		} {
			if status := v.event("192.0.2.1", attack.headers...); status != attack.status {
				t.Errorf("%s: %d, want %d", attack.name, status, attack.status)
			}
		}
	})

	t.Run("Reading", func(t *testing.T) {
		for key, want := range map[string]int{"": 401, "revoked": 401, "shop": 403, "read blog": 403, "read": 200} {
			if _, status := v.get("/stats?site_id=shop", v.keys[key]); status != want {
				t.Errorf("with the key %q: %d, want %d", key, status, want)
			}
		}
	})

	t.Run("Guessing", func(t *testing.T) {
		guess := func(key string) int { return v.event("192.0.2.2", "Authorization", "Bearer "+key) }
		token := v.keys["shop"]
		statuses := map[int]int{}
		for n := range 30 {
			statuses[guess(fmt.Sprintf("%s%02d", token[:len(token)-2], n))]++
		}
		if statuses[401] == 0 || statuses[429] < 15 || statuses[202] > 0 {
			t.Errorf("30 guesses were answered %v", statuses)
		}
		// Nobody locks out others who are at the same address.
		if status := guess(token); status != 202 {
			t.Errorf("the right key after them: %d", status)
		}
	})

	t.Run("ForgedAddress", func(t *testing.T) {
		// The proxy adds the last address; those before are the client's words.
		const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"
		for _, forged := range []string{"192.0.2.4", "8.8.8.8, 192.0.2.4", "127.0.0.1, 192.0.2.4", "garbage, 192.0.2.4"} {
			status := v.eventOf("blog", `,"event_type":"forged"`, forged, "X-API-Key", v.keys["blog"], "User-Agent", firefox)
			if status != 202 {
				t.Errorf("from %s: %d", forged, status)
			}
		}
		// Two headers that disagree name nobody.
		if status := v.eventOf("blog", `,"event_type":"forged"`, "192.0.2.4", "X-API-Key", v.keys["blog"], "User-Agent", firefox, "Forwarded", "for=8.8.8.8"); status != 202 {
			t.Errorf("with two headers: %d", status)
		}
		eventually(t, "they are counted", func() bool { return v.stats("blog").Events == 5 })
		if got := v.stats("blog"); got.Users != 2 {
			t.Errorf("one client who forges addresses, and all whose headers disagree as one, are %d users", got.Users)
		}
	})

	t.Run("Large", func(t *testing.T) {
		zipped := func(n int) []byte {
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			_, _ = io.CopyN(w, zeros{}, int64(n))
			_ = w.Close()
			return b.Bytes()
		}
		for _, attack := range []struct {
			name, path string
			body       []byte
			headers    []string
			status     int
		}{
			{"a large event", "/event", bytes.Repeat([]byte(" "), 1<<20), nil, 413},
			{"a large batch", "/events", bytes.Repeat([]byte(" "), 9<<20), nil, 413},
			{"a gzip bomb", "/events", zipped(1 << 30), []string{"Content-Encoding", "gzip"}, 413},
			{"a gzip bomb for one event", "/event", zipped(1 << 24), []string{"Content-Encoding", "gzip"}, 413},
			{"large headers", "/event", nil, []string{"X-Long", strings.Repeat("x", 64<<10)}, 431},
		} {
			headers := append([]string{"X-API-Key", v.keys["shop"], "Content-Type", "text/plain"}, attack.headers...)
			if status := v.post(attack.path, attack.body, headers...); status != attack.status {
				t.Errorf("%s: %d, want %d", attack.name, status, attack.status)
			}
		}
	})

	t.Run("Slow", func(t *testing.T) {
		// Many who say a little and then nothing keep nobody else waiting, and
		// are cut off. Those who never end their headers have some seconds.
		conns := make([]net.Conn, 200)
		for n := range conns {
			conn, err := net.Dial("tcp", a.IngestAddr())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, "POST /event HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
				t.Fatal(err)
			}
			conns[n] = conn
		}
		if status := v.event("192.0.2.5", "X-API-Key", v.keys["shop"]); status != 202 {
			t.Errorf("beside slow clients: %d", status)
		}
		for _, conn := range conns {
			if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
				t.Fatalf("a slow client is not cut off: %v", err)
			}
		}
	})

	t.Run("Text", func(t *testing.T) {
		text := script + `"'=1+1&\`
		fields := map[string]string{"site_id": "shop", "event_type": text, "user_id": text, "event_id": text}
		for dim := range rollup.NumDimensions {
			if dim != rollup.Bot && dim != rollup.EventType {
				fields[dim.String()] = text
			}
		}
		send := func() int {
			body, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			return v.post("/event", body, "Content-Type", "application/json", "X-API-Key", v.keys["shop"])
		}
		before := v.stats("shop").Events
		if status := send(); status != 202 {
			t.Fatalf("script tags in each field: %d", status)
		}
		fields["event_type"], fields["event_id"] = "page_view", "view"
		if status := send(); status != 202 {
			t.Fatalf("script tags in each field of a view: %d", status)
		}
		for name, value := range fields {
			if name == "path" { // there they are taken out
				continue
			}
			fields[name] = value + "\x00"
			if status := send(); status != 422 {
				t.Errorf("NUL in %s: %d", name, status)
			}
			fields[name] = value
		}
		fields["site_id"] = script
		if status := send(); status != 422 {
			t.Errorf("a script as a site: %d", status)
		}
		eventually(t, "they are counted", func() bool { return v.stats("shop").Events >= before+2 })

		queries := []string{"/stats?site_id=shop&limit=100", "/stats/realtime?site_id=shop", "/status", "/stats?site_id=" + url.QueryEscape(script), "/" + url.PathEscape(script)}
		for dim := range rollup.NumDimensions {
			queries = append(queries, "/stats/breakdown?site_id=shop&dimension="+dim.String())
		}
		shown := 0
		for _, query := range queries {
			body, _ := v.get(query, v.keys["read"])
			if strings.Contains(strings.ToLower(body), "<script") {
				t.Errorf("%s shows it as it is: %s", query, body)
			}
			if strings.Contains(body, `\u003cscript`) {
				shown++
			}
		}
		if shown < 10 {
			t.Errorf("only %d answers show what was sent", shown)
		}
	})
}

// zeros is endless.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// victim is what is attacked.
type victim struct {
	*testing.T
	app     *app.App
	actions admin.Actions
	keys    map[string]string // tokens
}

func (v *victim) key(name string, key admin.NewKey) {
	v.Helper()
	made, err := v.actions.CreateKey(v.Context(), key)
	if err != nil {
		v.Fatal(err)
	}
	v.keys[name] = made.Token
}

// event sends an event of shop from an address, with the headers given in pairs.
func (v *victim) event(addr string, headers ...string) int {
	v.Helper()
	return v.eventOf("shop", `,"event_type":"e"`, addr, headers...)
}

func (v *victim) eventOf(site, fields, addr string, headers ...string) int {
	v.Helper()
	body := fmt.Sprintf(`{"site_id":%q%s}`, site, fields)
	return v.post("/event", []byte(body), append(headers, "X-Forwarded-For", addr, "Content-Type", "application/json")...)
}

// post sends a request and gives the status of its answer.
func (v *victim) post(path string, body []byte, headers ...string) int {
	v.Helper()
	r, err := http.NewRequestWithContext(v.Context(), http.MethodPost, "http://"+v.app.IngestAddr()+path, bytes.NewReader(body))
	if err != nil {
		v.Fatal(err)
	}
	return v.do(r, headers).StatusCode
}

// get asks the report role.
func (v *victim) get(query, key string) (body string, status int) {
	v.Helper()
	r, err := http.NewRequestWithContext(v.Context(), http.MethodGet, "http://"+v.app.ReportAddr()+query, nil)
	if err != nil {
		v.Fatal(err)
	}
	var headers []string
	if key != "" {
		headers = []string{"Authorization", "Bearer " + key}
	}
	resp := v.do(r, headers)
	if resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Content-Security-Policy") == "" {
		v.Errorf("%s lacks headers: %v", query, resp.Header)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		v.Fatal(err)
	}
	return string(text), resp.StatusCode
}

func (v *victim) do(r *http.Request, headers []string) *http.Response {
	v.Helper()
	for n := 0; n < len(headers); n += 2 {
		r.Header.Set(headers[n], headers[n+1])
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		v.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		v.Fatal(err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp
}

// stats are those of all days of a site.
func (v *victim) stats(site string) (s stats) {
	v.Helper()
	key := map[string]string{"shop": "read", "blog": "read blog"}[site]
	body, status := v.get("/stats?site_id="+site+"&period=7d", v.keys[key])
	if status != 200 {
		v.Fatalf("stats of %s: %d %s", site, status, body)
	}
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		v.Fatal(err)
	}
	return s
}
