package site

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParseOrigin(t *testing.T) {
	for given, want := range map[string]string{
		"https://shop.example":          "https://shop.example",
		"HTTPS://Shop.Example":          "https://shop.example",
		"http://shop.example:8080":      "http://shop.example:8080",
		"https://shop.example:443":      "https://shop.example",
		"http://shop.example:80":        "http://shop.example",
		"http://shop.example:443":       "http://shop.example:443",
		"https://*.shop.example":        "https://*.shop.example",
		"https://*.shop.example:8443":   "https://*.shop.example:8443",
		"https://xn--bcher-kva.example": "https://xn--bcher-kva.example",
		"http://localhost:5173":         "http://localhost:5173",
		"http://192.0.2.1":              "http://192.0.2.1",
		"http://[2001:DB8:0::1]:8080":   "http://[2001:db8::1]:8080",
		"http://a_b.example":            "http://a_b.example",
	} {
		got, err := ParseOrigin(given)
		if err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", given, got, err, want)
		}
		if again, err := ParseOrigin(got); err != nil || again != got {
			t.Errorf("%s: what was parsed is parsed as %q, %v", given, again, err)
		}
	}
	for given, says := range map[string]string{
		"":                                   "does not begin with https://",
		"null":                               "does not begin with https://",
		"*":                                  "does not begin with https://",
		"shop.example":                       "does not begin with https://",
		"ftp://shop.example":                 "does not begin with https://",
		"chrome-extension://abc":             "does not begin with https://",
		"https://":                           "has no host",
		"https://*.":                         "has no host",
		"https://:443":                       "has no host",
		"https://shop.example/":              `has a '/'`,
		"https://shop.example/blog":          `has a '/'`,
		"https://shop.example?x":             `has a '?'`,
		"https://user@shop.example":          `has a '@'`,
		"https://*":                          "has a *",
		"https://shop.*":                     "has a *",
		"https://*.*.example":                "has a *",
		"https://*shop.example":              "has a *",
		"https://bücher.example":             "xn--",
		"https://shop example":               "characters that no host has",
		"https://shop.example,https://a.b":   `has a '/'`,
		"https://shop..example":              "empty or longer than 63",
		"https://shop.example.":              "empty or longer than 63",
		"https://.shop.example":              "empty or longer than 63",
		"https://" + strings.Repeat("a", 64): "empty or longer than 63",
		"https://" + strings.Repeat("a.", 200) + "b": "is the most",
		"https://shop.example:":                      `a port ""`,
		"https://shop.example:0":                     `a port "0"`,
		"https://shop.example:080":                   `a port "080"`,
		"https://shop.example:65536":                 `a port "65536"`,
		"https://shop.example:+80":                   `a port "+80"`,
		"https://[::1":                               "no IPv6 address",
		"https://[::1]x":                             "no IPv6 address",
		"https://[::1%eth0]":                         "no IPv6 address",
		"https://[192.0.2.1]":                        "no IPv6 address",
		"https://2001:db8::1":                        "characters that no host has",
		"https://shop.example\x00.evil.a":            "characters that no host has",
	} {
		if got, err := ParseOrigin(given); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %q, %v, want an error with %s", given, got, err, says)
		}
	}
}

func TestParseOrigins(t *testing.T) {
	got, err := ParseOrigins([]string{"https://b.example", "https://a.example", "https://B.example:443"})
	if want := []string{"https://b.example", "https://a.example"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	if none, err := ParseOrigins([]string{}); none != nil || err != nil {
		t.Errorf("no origins are %v, %v", none, err)
	}
	if _, err := ParseOrigins([]string{"https://a.example", ""}); err == nil {
		t.Error("an empty origin is one")
	}
	var many []string
	for n := range MaxOrigins + 1 {
		many = append(many, fmt.Sprintf("https://%d.example", n))
	}
	if _, err := ParseOrigins(many[1:]); err != nil {
		t.Error(err)
	}
	if _, err := ParseOrigins(many); err == nil {
		t.Errorf("%d origins are not too many", len(many))
	}
}

func TestAllowedOrigins(t *testing.T) {
	s := Settings{Origins: []string{"https://shop.example", "http://localhost:5173", "https://*.shop.example", "https://*.port.example:8443"}}
	for origin, want := range map[string]bool{
		"https://shop.example":                  true,
		"http://localhost:5173":                 true,
		"https://www.shop.example":              true,
		"https://a.b-c.shop.example":            true,
		"https://a.port.example:8443":           true,
		"https://a.port.example":                false,
		"https://port.example:8443":             false,
		"http://shop.example":                   false,
		"https://shop.example:8443":             false,
		"http://www.shop.example":               false,
		"https://www.shop.example:8443":         false,
		"https://.shop.example":                 false,
		"https://evilshop.example":              false,
		"https://shop.example.evil.example":     false,
		"https://evil.example/.shop.example":    false,
		"https://evil.example#.shop.example":    false,
		"https://a@evil.example:1.shop.example": false,
		"http://localhost":                      false,
		"null":                                  false,
		"":                                      false,
	} {
		if got := s.AllowsOrigin(origin); got != want {
			t.Errorf("%q is allowed: %t", origin, got)
		}
	}
	all := Settings{}
	for _, origin := range []string{"https://any.example", "null", ""} {
		if !all.AllowsOrigin(origin) {
			t.Errorf("a site without origins does not allow %q", origin)
		}
	}
	if n := testing.AllocsPerRun(100, func() { s.AllowsOrigin("https://nobody.example") }); n != 0 {
		t.Errorf("%.0f allocations for each event from a page", n)
	}
}

func BenchmarkAllowsOrigin(b *testing.B) {
	var s Settings
	for n := range 10 {
		s.Origins = append(s.Origins, fmt.Sprintf("https://*.shop%d.example", n))
	}
	for b.Loop() {
		s.AllowsOrigin("https://www.shop9.example")
	}
}

// FuzzParseOrigin: what is taken stays what it is, and is allowed as it is.
func FuzzParseOrigin(f *testing.F) {
	for _, seed := range []string{"https://shop.example:443", "https://*.shop.example", "http://[::1]:80", "null", "HTTP://a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		origin, err := ParseOrigin(given)
		if err != nil {
			return
		}
		if again, err := ParseOrigin(origin); err != nil || again != origin {
			t.Errorf("%q is parsed as %q, and that as %q, %v", given, origin, again, err)
		}
		s := Settings{Origins: []string{origin}}
		if sent := strings.Replace(origin, "*", "www", 1); !s.AllowsOrigin(sent) {
			t.Errorf("%q does not allow %q", origin, sent)
		}
	})
}
