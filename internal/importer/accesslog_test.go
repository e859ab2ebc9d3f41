package importer

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestParseAccessLine(t *testing.T) {
	const good = `192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 17 "-" "-"`
	for _, tt := range []struct {
		line     string
		problem  string
		client   string
		time     string
		request  string
		status   int
		referrer string
		agent    string
	}{
		{line: good, client: "192.0.2.1", time: "2015-05-17T10:05:03Z", request: "GET / HTTP/1.1", status: 200, referrer: "-", agent: "-"},
		{line: `2001:db8::1 - mary ann [01/Jan/2026:00:00:00 +0530] "POST /a b HTTP/2.0" 304 - "http://x/" "say \"hi\" \\"`,
			client: "2001:db8::1", time: "2026-01-01T00:00:00+05:30", request: "POST /a b HTTP/2.0", status: 304, referrer: "http://x/", agent: `say \"hi\" \\`},
		{line: `host.example - - [29/Feb/2024:23:59:59 -0100] "GET /old" 200 0`,
			client: "host.example", time: "2024-02-29T23:59:59-01:00", request: "GET /old", status: 200},
		{line: `192.0.2.1 - - [17/May/2015:10:05:03 +0000] "-" 408 0 "-" "-" 0.000 "more"`,
			client: "192.0.2.1", time: "2015-05-17T10:05:03Z", request: "-", status: 408, referrer: "-", agent: "-"},
		{line: `192.0.2.1 - - [17/May/2015:10:05:03 +0000] "" 400 0 "" ""`,
			client: "192.0.2.1", time: "2015-05-17T10:05:03Z", status: 400},
		{line: ``, problem: "no client address"},
		{line: ` - - [`, problem: "no client address"},
		{line: `192.0.2.1 - - 17/May/2015`, problem: "no time in brackets"},
		{line: `192.0.2.1 - - [17/May/2015:10:05:03 +0000`, problem: "bracket is not closed"},
		{line: strings.Replace(good, "17/May", "32/May", 1), problem: "the time"},
		{line: strings.Replace(good, "17/May", "30/Feb", 1), problem: "the time"},
		{line: strings.Replace(good, " +0000", "", 1), problem: "the time"},
		{line: strings.Replace(good, `"GET`, `GET`, 1), problem: "where the request belongs"},
		{line: strings.Replace(good, " 200", " 20", 1), problem: "status"},
		{line: strings.Replace(good, " 200", " 2x0", 1), problem: "status"},
		{line: strings.Replace(good, " 17 ", "  ", 1), problem: "size"},
		{line: strings.Replace(good, " 17 ", " -1 ", 1), problem: "size"},
		{line: strings.TrimSuffix(good, ` "-"`), problem: "without a user agent"},
		{line: strings.TrimSuffix(good, `"`), problem: "the user agent is cut off"},
		{line: strings.TrimSuffix(good, `"`) + `\"`, problem: "the user agent is cut off"},
		{line: strings.TrimSuffix(good, `"`) + `\`, problem: "the user agent is cut off"},
		{line: good + `Mozilla"`, problem: "quote in it that is not escaped"},
	} {
		l, err := parseAccessLine([]byte(tt.line))
		if tt.problem != "" {
			if err == nil || !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("%s: error %v, want %q", tt.line, err, tt.problem)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.line, err)
			continue
		}
		if string(l.client) != tt.client || l.time.Format(time.RFC3339) != tt.time || string(l.request) != tt.request ||
			l.status != tt.status || string(l.referrer) != tt.referrer || string(l.agent) != tt.agent {
			t.Errorf("%s:\ngot %s %s %s %d %s %s", tt.line, l.client, l.time.Format(time.RFC3339), l.request, l.status, l.referrer, l.agent)
		}
	}
}

func TestRequestPath(t *testing.T) {
	for request, want := range map[string]string{
		`GET / HTTP/1.1`:                             "GET /",
		`GET /a?b=c#d HTTP/1.1`:                      "GET /a",
		`GET /a#b?c HTTP/1.0`:                        "GET /a",
		`GET /a`:                                     "GET /a", // HTTP/0.9
		`GET /a b HTTP/1.1`:                          "GET /a b",
		`GET /a b`:                                   "GET /a b",
		`GET http://example.com/x?y HTTP/1.1`:        "GET /x",
		`GET HTTPS://example.com HTTP/1.1`:           "GET /",
		`GET http://example.com?x=/y HTTP/1.1`:       "GET /",
		`GET /redirect/http://example.com/ HTTP/1.1`: "GET /redirect/http://example.com/",
		`GET //favicon.ico HTTP/1.1`:                 "GET //favicon.ico",
		`GET ?x HTTP/1.1`:                            "GET /",
		`GET index.html HTTP/1.1`:                    "GET /index.html",
		`OPTIONS * HTTP/1.1`:                         "OPTIONS /*",
		`M-SEARCH * HTTP/1.1`:                        "M-SEARCH /*",
		`GET /%22a%09 HTTP/1.1`:                      "GET /%22a%09",
		`GET /\"a\" HTTP/1.1`:                        `GET /"a"`,
		`GET /\x22a\x22 HTTP/1.1`:                    `GET /"a"`,
		`GET /a\\b\x5Cc HTTP/1.1`:                    `GET /a\b\c`,
		`GET /a\qb\x4 HTTP/1.1`:                      `GET /a\qb\x4`,
		`GET /a\tb\x00\x7f HTTP/1.1`:                 "GET /a%09b%00%7F",
		`GET /\xc3\xa4 HTTP/1.1`:                     "GET /ä",
		"GET /ä HTTP/1.1":                            "GET /ä",
		`GET /\xe4 HTTP/1.1`:                         "GET /%E4",
		"GET /\xe4 HTTP/1.1":                         "GET /%E4",
		`GET /\xc2\x85 HTTP/1.1`:                     "GET /%C2%85",
		`-`:                                          "",
		``:                                           "",
		`GET `:                                       "",
		`GET  HTTP/1.1`:                              "",
		` / HTTP/1.1`:                                "",
		`\x16\x03\x01\x02 \x01\x00`:                  "",
		`\n`:                                         "",
		`get / HTTP/1.1`:                             "",
	} {
		got := ""
		if method, target, ok := splitRequest([]byte(request)); ok {
			got = string(method) + " " + targetPath(target)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", request, got, want)
		}
	}
}

func TestReferrerURL(t *testing.T) {
	long := "http://x/" + strings.Repeat("ä", 2000)
	for field, want := range map[string]string{
		"-":                              "",
		"":                               "",
		"http://www.example.com/a?q=b#c": "http://www.example.com/a",
		"android-app://com.example/":     "android-app://com.example/",
		`http://\xe4\xe5.\xf0\xf4/`:      "http://%E4%E5.%F0%F4/",
		long:                             long[:2047],
	} {
		if got := referrerURL([]byte(field)); got != want {
			t.Errorf("%s: got %q, want %q", field, got, want)
		}
	}
}

func FuzzParseAccessLine(f *testing.F) {
	f.Add(`192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /\x22\"\xe4?a HTTP/1.1" 200 17 "http://a/?b" "Mozilla"`)
	f.Add(`::1 - - [17/May/2015:10:05:03 +0000] "GET http://a" 304 -`)
	f.Add(`::1 - - [17/May/2015:10:05:03 +0000] "-" 400 0 "-" "-"`)
	f.Fuzz(func(t *testing.T, line string) {
		l, err := parseAccessLine([]byte(line))
		if err != nil {
			return
		}
		// It is the line that it was taken from.
		for _, part := range [][]byte{l.client, l.request, l.referrer, l.agent} {
			if !strings.Contains(line, string(part)) {
				t.Fatalf("%q is no part of %q", part, line)
			}
		}
		for _, s := range []string{targetPath(l.request), referrerURL(l.referrer)} {
			if !utf8.ValidString(s) || strings.ContainsAny(s, "?#\x00\n\t\x7f") {
				t.Fatalf("%q is not clean", s)
			}
		}
	})
}
