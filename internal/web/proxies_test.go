package web

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func mustProxies(t testing.TB, list ...string) Proxies {
	t.Helper()
	p, err := ParseProxies(list)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParseProxies(t *testing.T) {
	p := mustProxies(t, "192.0.2.1", " 10.0.0.0/8 ", "fd00::/8", "2001:db8::1", "::ffff:172.16.0.0/108")
	for addr, want := range map[string]bool{
		"192.0.2.1:1": true, "192.0.2.2:1": false,
		"10.255.0.1:1": true, "11.0.0.0:1": false, "[::ffff:10.0.0.1]:1": true,
		"[fd12::1]:1": true, "[fd12::1%eth0]:1": true, "[fe80::1]:1": false,
		"[2001:db8::1]:1": true, "[2001:db8::2]:1": false,
		"172.16.1.2:1": true, "172.32.0.1:1": false,
		"": false, "@": false, "somewhere:1": false,
	} {
		if got := p.Trusts(&http.Request{RemoteAddr: addr}); got != want {
			t.Errorf("trusts %q: %v, want %v", addr, got, want)
		}
	}
	if (Proxies{}).Trusts(&http.Request{RemoteAddr: "127.0.0.1:1"}) {
		t.Error("without a list somebody is trusted")
	}
	for bad, want := range map[string]string{
		"":                    "is neither an address nor a range",
		"localhost":           "is neither an address nor a range",
		"10.0.0.0/33":         "is neither an address nor a range",
		"fe80::1%eth0":        "is neither an address nor a range",
		"10.0.0.1/8":          "is 10.0.0.0/8 meant, or 10.0.0.1?",
		"0.0.0.0/0":           "is everybody",
		"::/0":                "is everybody",
		"::ffff:0.0.0.0/96":   "is everybody",
		"10.0.0.0/8,fd00::/8": "is neither an address nor a range",
	} {
		_, err := ParseProxies([]string{"10.0.0.0/8", bad})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"`+bad+`"`) {
			t.Errorf("%q: %v, want %q", bad, err, want)
		}
	}
}

// TestClient has what proxies and forgers send. The client is 203.0.113.7, the
// proxies are 10.0.0.0/8 and fd00::/8, and whoever forges wants to be 6.6.6.6.
func TestClient(t *testing.T) {
	p := mustProxies(t, "10.0.0.0/8", "fd00::/8")
	const proxy, client = "10.0.0.1:4711", "203.0.113.7"
	for _, test := range []struct {
		name, peer string
		headers    string // one a line
		want       string
	}{
		{"direct", "203.0.113.7:99", "", client},
		{"direct, IPv6", "[2001:db8::7%eth0]:99", "", "2001:db8::7"},
		{"direct, 4 in 6", "[::ffff:203.0.113.7]:99", "", client},
		{"direct and forged", "203.0.113.7:99", "X-Forwarded-For: 6.6.6.6\nForwarded: for=6.6.6.6", client},
		{"unix socket", "@", "X-Forwarded-For: 6.6.6.6", ""},

		{"a proxy", proxy, "X-Forwarded-For: 203.0.113.7", client},
		{"a proxy that says nothing", proxy, "", "10.0.0.1"},
		{"a proxy of IPv6", "[fd00::1]:5", "X-Forwarded-For: 2001:db8::7", "2001:db8::7"},
		{"with a port", proxy, "X-Forwarded-For: 203.0.113.7:1234", client},
		{"IPv6 with a port", proxy, "X-Forwarded-For: [2001:db8::7]:1234", "2001:db8::7"},
		{"IPv6 in brackets", proxy, "X-Forwarded-For: [2001:db8::7]", "2001:db8::7"},
		{"4 in 6", proxy, "X-Forwarded-For: ::ffff:203.0.113.7", client},
		{"a zone", proxy, "X-Forwarded-For: fe80::7%en0", "fe80::7"},
		{"two proxies", proxy, "X-Forwarded-For: 203.0.113.7, 10.0.0.2", client},
		{"two proxies, two lines", proxy, "X-Forwarded-For: 203.0.113.7\nX-Forwarded-For: 10.0.0.2", client},
		{"proxies only", proxy, "X-Forwarded-For: 10.0.0.3, 10.0.0.2", "10.0.0.3"},

		{"forged first", proxy, "X-Forwarded-For: 6.6.6.6, 203.0.113.7", client},
		{"forged with a proxy", proxy, "X-Forwarded-For: 6.6.6.6, 10.0.0.9, 203.0.113.7,10.0.0.2", client},
		{"forged line", proxy, "X-Forwarded-For: 6.6.6.6\nX-Forwarded-For: 203.0.113.7", client},
		{"garbage before", proxy, "X-Forwarded-For: <script>, 203.0.113.7", client},
		{"garbage last", proxy, "X-Forwarded-For: 6.6.6.6, unknown", "10.0.0.1"},
		{"garbage behind a proxy", proxy, "X-Forwarded-For: 6.6.6.6, nobody, 10.0.0.2", "10.0.0.2"},
		{"empty last", proxy, "X-Forwarded-For: 6.6.6.6,", "10.0.0.1"},
		{"empty", proxy, "X-Forwarded-For:", "10.0.0.1"},
		{"unspecified", proxy, "X-Forwarded-For: 6.6.6.6, 0.0.0.0", "10.0.0.1"},
		{"half a bracket", proxy, "X-Forwarded-For: 6.6.6.6, [2001:db8::7", "10.0.0.1"},
		{"other headers", proxy, "X-Real-Ip: 6.6.6.6\nTrue-Client-Ip: 6.6.6.6", "10.0.0.1"},

		{"Forwarded", proxy, "Forwarded: for=203.0.113.7", client},
		{"Forwarded, all of it", proxy, `Forwarded: proto=https; FOR="203.0.113.7:80" ;by=10.0.0.2;host=a.example`, client},
		{"Forwarded, IPv6", proxy, `Forwarded: for="[2001:db8::7]:80"`, "2001:db8::7"},
		{"Forwarded, two proxies", proxy, `Forwarded: for=6.6.6.6, for="203.0.113.7", for=10.0.0.2`, client},
		{"Forwarded, two lines", proxy, "Forwarded: for=203.0.113.7\nForwarded: for=10.0.0.2", client},
		{"Forwarded, hidden", proxy, "Forwarded: for=6.6.6.6, for=_hidden", "10.0.0.1"},
		{"Forwarded without for", proxy, "Forwarded: for=6.6.6.6, proto=http", "10.0.0.1"},
		{"Forwarded, for twice", proxy, "Forwarded: for=203.0.113.7;for=6.6.6.6", "10.0.0.1"},
		{"Forwarded, an open quote", proxy, `Forwarded: for="6.6.6.6, for=203.0.113.7`, client},
		{"Forwarded, end of a host", proxy, `Forwarded: for=203.0.113.7;host="a,for=6.6.6.6;b"`, "10.0.0.1"},
		{"Forwarded, end of a host with quotes", proxy, `Forwarded: for=203.0.113.7;host="a,for=6.6.6.6;b=\"c"`, "10.0.0.1"},

		{"both alike", proxy, "X-Forwarded-For: 6.6.6.6, 203.0.113.7\nForwarded: for=203.0.113.7", client},
		{"a forged Forwarded", proxy, "X-Forwarded-For: 203.0.113.7\nForwarded: for=6.6.6.6", "10.0.0.1"},
		{"a forged X-Forwarded-For", proxy, "X-Forwarded-For: 6.6.6.6\nForwarded: for=203.0.113.7", "10.0.0.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: test.peer, Header: http.Header{}}
			for line := range strings.Lines(test.headers) {
				name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
				r.Header.Add(name, strings.TrimSpace(value))
			}
			var want netip.Addr
			if test.want != "" {
				want = netip.MustParseAddr(test.want)
			}
			if got := p.Client(r); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestOverTLS(t *testing.T) {
	p := mustProxies(t, "10.0.0.0/8")
	for _, test := range []struct {
		name, peer, headers string
		tls, want           bool
	}{
		{"plain", "203.0.113.7:1", "", false, false},
		{"TLS", "203.0.113.7:1", "", true, true},
		{"a stranger's word", "203.0.113.7:1", "X-Forwarded-Proto: https", false, false},
		{"a stranger's word over TLS", "203.0.113.7:1", "X-Forwarded-Proto: http", true, true},
		{"a proxy that says nothing", "10.0.0.1:1", "", false, false},
		{"a proxy with TLS", "10.0.0.1:1", "X-Forwarded-Proto: https", false, true},
		{"in capitals", "10.0.0.1:1", "X-Forwarded-Proto: HTTPS", false, true},
		{"a proxy without", "10.0.0.1:1", "X-Forwarded-Proto: http", false, false},
		{"two proxies", "10.0.0.1:1", "X-Forwarded-Proto: https, http", false, true},
		{"Forwarded", "10.0.0.1:1", "Forwarded: for=203.0.113.7; proto=https", false, true},
		{"Forwarded in quotes", "10.0.0.1:1", `Forwarded: For=203.0.113.7;Proto="HTTPS"`, false, true},
		{"Forwarded by two", "10.0.0.1:1", "Forwarded: for=203.0.113.7;proto=https, for=10.0.0.2;proto=http", false, true},
		{"Forwarded without", "10.0.0.1:1", "Forwarded: for=203.0.113.7;proto=http", false, false},
		{"Forwarded with neither", "10.0.0.1:1", "Forwarded: for=203.0.113.7;;=", false, false},
	} {
		r := &http.Request{RemoteAddr: test.peer, Header: http.Header{}}
		if name, value, ok := strings.Cut(test.headers, ": "); ok {
			r.Header.Set(name, value)
		}
		if test.tls {
			r.TLS = new(tls.ConnectionState)
		}
		if got := p.OverTLS(r); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
}

// FuzzClient writes what it likes to the left of what the proxy adds. It is
// never taken for somebody else than the client or the proxy.
func FuzzClient(f *testing.F) {
	f.Add("6.6.6.6", "for=6.6.6.6")
	f.Add("10.0.0.2, ", `for="6.6.6.6`)
	f.Add("", "")
	f.Add("6.6.6.6, 10.0.0.2,", `host="x,for=6.6.6.6`)
	p := mustProxies(f, "10.0.0.0/8")
	client, proxy := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, forged, forgedForwarded string) {
		for name, headers := range map[string]http.Header{
			"X-Forwarded-For": {forwardedFor: {forged + ",203.0.113.7"}},
			"Forwarded":       {forwarded: {forgedForwarded + ",for=203.0.113.7"}},
			"lines":           {forwardedFor: {forged, "203.0.113.7"}},
			"both":            {forwardedFor: {forged, "203.0.113.7"}, forwarded: {forgedForwarded}},
			"both reversed":   {forwardedFor: {forged}, forwarded: {forgedForwarded, "for=203.0.113.7"}},
		} {
			got := p.Client(&http.Request{RemoteAddr: "10.0.0.1:1", Header: headers})
			if got != client && (got != proxy || !strings.HasPrefix(name, "both")) {
				t.Errorf("%s: %q became %v", name, headers, got)
			}
		}
	})
}

func BenchmarkClient(b *testing.B) {
	p := mustProxies(b, "10.0.0.0/8", "fd00::/8")
	r := &http.Request{RemoteAddr: "10.0.0.1:4711", Header: http.Header{forwardedFor: {"203.0.113.7, 10.0.0.2"}}}
	b.ReportAllocs()
	for b.Loop() {
		p.Client(r)
	}
}
