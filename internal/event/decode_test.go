package event

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/rollup"
)

var now = time.Date(2026, 11, 24, 9, 30, 0, 123456789, time.UTC)

// decode decodes one event with a decoder that has just been used for
// another, so that every test also proves that nothing is left behind.
func decode(t *testing.T, body string) (Sent, error) {
	t.Helper()
	var d Decoder
	const other = `{"site_id":"other","event_id":"o","event_type":"other","path":"/o","user_id":"o",
		"timestamp":"2001-01-01T00:00:00Z","referrer":"o","country":"o","device":"o","browser":"o",
		"os":"o","utm_source":"o","utm_medium":"o","utm_campaign":"o","user_agent":"o","client_ip":"::1"}`
	if _, err := d.Decode([]byte(other), now); err != nil {
		t.Fatal(err)
	}
	return d.Decode([]byte(body), now)
}

func TestDecodeAllFields(t *testing.T) {
	got, err := decode(t, `{
		"site_id": "site-abc", "event_id": "e-1", "event_type": "page_view", "path": "/pricing",
		"user_id": "Zo\u00eb \"Z\" 🙂", "timestamp": "2026-11-24T10:29:59.987654+01:00",
		"referrer": "https://example.org/?q=1", "country": "DE", "device": "phone", "browser": "Firefox",
		"os": "Linux", "utm_source": "s", "utm_medium": "m", "utm_campaign": "c", "user_agent": "Mozilla/5.0", "client_ip": "192.0.2.1", "bot": "crawler", "": "crawler", "more": [{"a": null}]}`)
	if err != nil {
		t.Fatal(err)
	}
	want := Sent{
		Event: Event{
			ID: "e-1", Site: "site-abc", User: `Zoë "Z" 🙂`,
			Time: time.Date(2026, 11, 24, 9, 29, 59, 987e6, time.UTC),
			Values: rollup.Values{
				rollup.EventType: "page_view", rollup.Path: "/pricing", rollup.Referrer: "https://example.org/?q=1",
				rollup.Country: "DE", rollup.Device: "phone", rollup.Browser: "Firefox", rollup.OS: "Linux",
				rollup.UTMSource: "s", rollup.UTMMedium: "m", rollup.UTMCampaign: "c",
			},
		},
		UserAgent: "Mozilla/5.0",
		ClientIP:  netip.MustParseAddr("192.0.2.1"),
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDecodeDefaults(t *testing.T) {
	const nulls = `"event_id":null,"user_id":null,"timestamp":null,"path":null,"referrer":null,"os":null`
	for _, test := range []struct{ name, body, path string }{
		{"page view", `{"site_id":"s","event_type":"page_view"}`, "/"},
		{"page view with nulls", `{"site_id":"s","event_type":"page_view",` + nulls + `}`, "/"},
		{"page view with empty path", `{"site_id":"s","event_type":"page_view","path":""}`, "/"},
		{"other type", `{"site_id":"s","event_type":"signup"}`, ""},
		{"other type with nulls", `{"site_id":"s","event_type":"signup",` + nulls + `}`, ""},
		{"empty texts", `{"site_id":"s","event_type":"signup","user_id":"","path":"","country":"","utm_medium":""}`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := decode(t, test.body)
			if err != nil {
				t.Fatal(err)
			}
			want := Sent{Event: Event{Site: "s", Time: time.Date(2026, 11, 24, 9, 30, 0, 123e6, time.UTC)}}
			want.Values[rollup.EventType] = got.Type()
			want.Values[rollup.Path] = test.path
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestDecodePath(t *testing.T) {
	for _, test := range []struct{ given, want string }{
		{"/", "/"},
		{"/a/b.html", "/a/b.html"},
		{"/a?b=c", "/a"},
		{"/a#b", "/a"},
		{"/a#b?c", "/a"},
		{"/a?b#c/d", "/a"},
		{"a/b", "/a/b"},
		{"?a=b", "/"},
		{"#top", "/"},
		{"https://example.com/a/b?c#d", "/a/b"},
		{"HTTP://example.com:8080/a", "/a"},
		{"https://user:secret@example.com/a", "/a"},
		{"https://example.com", "/"},
		{"https://example.com?a=b", "/"},
		{"https://example.com#a/b", "/"},
		{"https://example.com/http://example.org/x", "/http://example.org/x"},
		{"android-app://com.example/x", "/x"},
		{"file:///x", "/x"},
		{"/go/http://example.org/x", "/go/http://example.org/x"},
		{"/a?u=http://example.org/x", "/a"},
		{"a?u=http://example.org/x", "/a"},
		{"://x/y", "/://x/y"},
		{"1a://x/y", "/1a://x/y"},
		{"ü://x/y", "/ü://x/y"},
		{"//x/y", "//x/y"},
		{`/a\tb\r\nc\u0000d\u007fe\u0085f\u009fg`, "/abcdefg"},
		{`ht\ntps://example.com/a`, "/a"},
		{`\n/a`, "/a"},
		{`\u0001`, "/"},
		{"/ä€🙂\u00a0x", "/ä€🙂\u00a0x"},
		{"/a b", "/a b"},
		{"/" + strings.Repeat("x", MaxPath-1), "/" + strings.Repeat("x", MaxPath-1)},
		{"https://example.com/" + strings.Repeat("x", MaxPath-1) + "?query", "/" + strings.Repeat("x", MaxPath-1)},
	} {
		t.Run(test.given[:min(len(test.given), 40)], func(t *testing.T) {
			got, err := decode(t, `{"event_type":"signup","path":"`+test.given+`","site_id":"s"}`)
			if err != nil {
				t.Fatal(err)
			}
			if got := got.Values[rollup.Path]; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestDecodeURL is what is taken of a path that is a whole URL.
func TestDecodeURL(t *testing.T) {
	for _, test := range []struct{ path, more, host, source, medium, campaign string }{
		{path: "/a?utm_source=x&utm_medium=y&utm_campaign=z", source: "x", medium: "y", campaign: "z"},
		{path: "https://Shop.example:8080/a?q=1&utm_source=news+letter%21&utm_source=second#utm_medium=no", host: "Shop.example:8080", source: "news letter!"},
		{path: "https://shop.example?utm_campaign=%C3%A9t%C3%A9", host: "shop.example", campaign: "été"},
		{path: "/a?utm_source=x", more: `,"utm_source":"given"`, source: "given"},
		{path: "/a?utm_source=x", more: `,"utm_source":""`, source: "x"},
		// What would be wrong in an event is left out.
		{path: "/a?utm_source=%ff&utm_medium=%zz&utm_campaign=a%00b"},
		{path: "/a?utm_source=" + strings.Repeat("x", MaxValue+1) + "&utm_source=y", source: "y"},
		{path: "/a?&&=&utm_source&utm_=x&xutm_source=y&UTM_SOURCE=z"},
	} {
		got, err := decode(t, fmt.Sprintf(`{"site_id":"s","event_type":"page_view","path":%q%s}`, test.path, test.more))
		if err != nil {
			t.Errorf("%s: %v", test.path, err)
			continue
		}
		values := [...]string{got.Host, got.Values[rollup.UTMSource], got.Values[rollup.UTMMedium], got.Values[rollup.UTMCampaign]}
		if want := [...]string{test.host, test.source, test.medium, test.campaign}; values != want {
			t.Errorf("%s: host and campaign are %q, want %q", test.path, values, want)
		}
		if strings.ContainsAny(got.Values[rollup.Path], "?#") {
			t.Errorf("%s: the path is %q", test.path, got.Values[rollup.Path])
		}
	}
}

func TestDecodeTimestamp(t *testing.T) {
	for _, test := range []struct{ given, want string }{
		{"2026-11-24T09:40:00.123Z", "2026-11-24T09:40:00.123Z"},
		{"2026-11-24T23:59:59.9999999+23:59", "2026-11-24T00:00:59.999Z"},
		{"2024-02-29T00:00:00-08:00", "2024-02-29T08:00:00Z"},
		{"1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"},
		{"1970-01-01T01:00:00+01:00", "1970-01-01T00:00:00Z"},
	} {
		got, err := decode(t, `{"site_id":"s","event_type":"e","timestamp":"`+test.given+`"}`)
		if err != nil {
			t.Errorf("%s: %v", test.given, err)
			continue
		}
		if got := got.Time.Format(time.RFC3339Nano); got != test.want {
			t.Errorf("%s: got %s, want %s", test.given, got, test.want)
		}
	}
}

func TestDecodeLimits(t *testing.T) {
	for field, most := range map[string]int{
		"site_id": 128, "event_type": 128, "event_id": 128, "user_id": 256, "referrer": 2048, "country": 256,
		"device": 256, "browser": 256, "os": 256, "utm_source": 256, "utm_medium": 256, "utm_campaign": 256,
	} {
		body := func(n int) string {
			fields := map[string]string{"site_id": "s", "event_type": "e", field: strings.Repeat("x", n)}
			var b strings.Builder
			for name, value := range fields {
				fmt.Fprintf(&b, ",%q:%q", name, value)
			}
			return "{" + b.String()[1:] + "}"
		}
		if _, err := decode(t, body(most)); err != nil {
			t.Errorf("%s of %d bytes: %v", field, most, err)
		}
		_, err := decode(t, body(most+1))
		bad, ok := errors.AsType[*FieldError](err)
		if !ok || bad.Field != field || bad.Value != strings.Repeat("x", most+1) || !strings.Contains(bad.Allowed, fmt.Sprint(most)) {
			t.Errorf("%s of %d bytes: %+v", field, most+1, err)
		}
	}
}

func TestDecodeFieldErrors(t *testing.T) {
	with := func(field string) string { return `{"site_id":"s","event_type":"e",` + field + `}` }
	for _, test := range []struct {
		name, body string
		want       FieldError
	}{
		{"no site", `{"event_type":"e"}`,
			FieldError{"site_id", "", "is missing", "1 to 128 letters, digits and . _ : -"}},
		{"null site", `{"site_id":null,"event_type":"e"}`,
			FieldError{"site_id", "", "is missing", "1 to 128 letters, digits and . _ : -"}},
		{"empty site", `{"site_id":"","event_type":"e"}`,
			FieldError{"site_id", "", "is empty", "1 to 128 letters, digits and . _ : -"}},
		{"site with a slash", `{"site_id":"a/b","event_type":"e"}`,
			FieldError{"site_id", "a/b", "has a character that is not allowed", "1 to 128 letters, digits and . _ : -"}},
		{"site with an umlaut", `{"site_id":"ä","event_type":"e"}`,
			FieldError{"site_id", "ä", "has a character that is not allowed", "1 to 128 letters, digits and . _ : -"}},
		{"no type", `{"site_id":"s"}`,
			FieldError{"event_type", "", "is missing", "1 to 128 bytes without control characters"}},
		{"empty type", `{"site_id":"s","event_type":""}`,
			FieldError{"event_type", "", "is empty", "1 to 128 bytes without control characters"}},
		{"type with a tab", `{"site_id":"s","event_type":"a\tb"}`,
			FieldError{"event_type", "a\tb", "has a control character", "1 to 128 bytes without control characters"}},
		{"empty ID", with(`"event_id":""`),
			FieldError{"event_id", "", "is empty", "1 to 128 bytes without control characters"}},
		{"ID with a newline", with(`"event_id":"a\n"`),
			FieldError{"event_id", "a\n", "has a control character", "1 to 128 bytes without control characters"}},
		{"user with NUL", with(`"user_id":"\u0000"`),
			FieldError{"user_id", "\x00", "has a control character", "at most 256 bytes without control characters"}},
		{"country with DEL", with(`"country":"a\u007f"`),
			FieldError{"country", "a\u007f", "has a control character", "at most 256 bytes without control characters"}},
		{"referrer with NEL", with(`"referrer":"\u0085"`),
			FieldError{"referrer", "\u0085", "has a control character", "at most 2048 bytes without control characters"}},
		{"long path", with(`"path":"` + strings.Repeat("x", MaxPath) + `"`),
			FieldError{"path", "/" + strings.Repeat("x", MaxPath), "is 2049 bytes long", "at most 2048 bytes without query and fragment"}},
		{"no address", with(`"client_ip":"192.0.2"`),
			FieldError{"client_ip", "192.0.2", "is no IP address", "an address such as 192.0.2.1 or 2001:db8::1"}},
		{"number", with(`"user_id":12.5`),
			FieldError{"user_id", "12.5", "is a number", "a string"}},
		{"boolean", with(`"path":true`),
			FieldError{"path", "true", "is a boolean", "a string"}},
		{"array", with(`"os":["a"]`),
			FieldError{"os", `["a"]`, "is an array", "a string"}},
		{"object", with(`"timestamp":{"a":1}`),
			FieldError{"timestamp", `{"a":1}`, "is an object", "a string"}},
		{"first of two of a wrong kind", `{"event_type":1,"site_id":false}`,
			FieldError{"event_type", "1", "is a number", "a string"}},
		{"no time", with(`"timestamp":"yesterday"`),
			FieldError{"timestamp", "yesterday", "is not a time in the form of RFC 3339",
				"a time such as 2006-01-02T15:04:05Z or 2006-01-02T15:04:05.123+02:00"}},
		{"empty time", with(`"timestamp":""`),
			FieldError{"timestamp", "", "is not a time in the form of RFC 3339",
				"a time such as 2006-01-02T15:04:05Z or 2006-01-02T15:04:05.123+02:00"}},
		{"time without zone", with(`"timestamp":"2026-11-24T09:30:00"`),
			FieldError{"timestamp", "2026-11-24T09:30:00", "is not a time in the form of RFC 3339",
				"a time such as 2006-01-02T15:04:05Z or 2006-01-02T15:04:05.123+02:00"}},
		{"no such day", with(`"timestamp":"2026-02-29T00:00:00Z"`),
			FieldError{"timestamp", "2026-02-29T00:00:00Z", "is not a time in the form of RFC 3339",
				"a time such as 2006-01-02T15:04:05Z or 2006-01-02T15:04:05.123+02:00"}},
		{"time before 1970", with(`"timestamp":"1969-12-31T23:59:59.9999Z"`),
			FieldError{"timestamp", "1969-12-31T23:59:59.9999Z", "is before 1970", "1970-01-01T00:00:00Z or later"}},
		{"time ahead", with(`"timestamp":"2026-11-24T09:40:00.124Z"`),
			FieldError{"timestamp", "2026-11-24T09:40:00.124Z", "is more than 10 minutes ahead of the server's clock",
				"a time up to 2026-11-24T09:40:00Z"}},
		{"not an object", `[1]`, FieldError{"event", "[1]", "is an array", "an object"}},
		{"null", `null`, FieldError{"event", "null", "is null", "an object"}},
		{"text", `"x"`, FieldError{"event", `"x"`, "is a string", "an object"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, err := decode(t, test.body)
			bad, ok := errors.AsType[*FieldError](err)
			if !ok {
				t.Fatalf("got %+v, %v", e, err)
			}
			if *bad != test.want {
				t.Errorf("got  %+v\nwant %+v", *bad, test.want)
			}
		})
	}
}

func TestDecodeSyntaxErrors(t *testing.T) {
	for _, test := range []struct{ name, body, want string }{
		{"nothing", "", "not JSON: it is empty, at byte 0"},
		{"space", " \n", "not JSON: it is empty, at byte 0"},
		{"no JSON", "site_id=s", ", at byte 0"},
		{"cut off", `{"site_id":"s"`, "not JSON: it ends too early, at byte 14"},
		{"cut off in a string", `{"site_id":"s`, "not JSON: it ends too early, at byte 13"},
		{"trailing object", `{"site_id":"s","event_type":"e"}{}`, "not JSON: more data after the end, at byte 33"},
		{"trailing garbage", `{"site_id":"s","event_type":"e"}x`, ", at byte 32"},
		{"trailing data after a wrong field", `{"site_id":1} {}`, "not JSON: more data after the end, at byte 15"},
		{"fault after a wrong field", `{"site_id":1,}`, ", at byte 12"},
		{"fault in an unknown field", `{"x":[1,}`, ", at byte 7"},
		{"name twice", `{"site_id":"s","site_id":"t"}`, `not JSON: the name "site_id" stands twice in one object, at byte 15`},
		{"unknown name twice", `{"x":1,"\u0078":2}`, `not JSON: the name "x" stands twice in one object, at byte 7`},
		{"name twice within", `{"x":{"y":1,"y":2}}`, `not JSON: the name "y" stands twice in one object, at byte 12`},
		{"bad UTF-8", "{\"site_id\":\"\xff\"}", "invalid UTF-8, at byte 12"},
		{"bad UTF-8 in an unknown field", "{\"x\":\"\xc3\"}", "invalid UTF-8, at byte 6"},
		{"lone surrogate", `{"site_id":"\ud800"}`, ", at byte 12"},
		{"control character", "{\"path\":\"\n\"}", ", at byte 9"},
		{"byte order mark", "\ufeff{}", ", at byte 0"},
		{"name that is no string", `{1:2}`, ", at byte 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, err := decode(t, test.body)
			if _, ok := errors.AsType[*SyntaxError](err); !ok {
				t.Fatalf("got %+v, %v", e, err)
			}
			// The rest is the library's text.
			if !strings.HasPrefix(err.Error(), "not JSON: ") || !strings.HasSuffix(err.Error(), test.want) {
				t.Errorf("got  %s\nwant %s at its end", err, test.want)
			}
		})
	}
}

// array decodes an array and lists what became of each element: the event's
// ID, or the field that is wrong.
func array(body string) (results []string, err error) {
	var d Decoder
	err = d.DecodeArray([]byte(body), now, func(e Sent, bad *FieldError) error {
		if bad != nil {
			results = append(results, bad.Error())
		} else {
			results = append(results, e.ID)
		}
		return nil
	})
	return results, err
}

func TestDecodeArray(t *testing.T) {
	const a, b = `{"site_id":"s","event_type":"e","event_id":"a"}`, `{"site_id":"s","event_type":"e","event_id":"b"}`
	sized := func(n int) string {
		const frame = `{"site_id":"s","event_type":"e","event_id":"x","x":""}`
		return strings.Replace(frame, `""`, `"`+strings.Repeat("x", n-len(frame))+`"`, 1)
	}
	for _, test := range []struct {
		name, body string
		want       []string
		err        string
	}{
		{"empty", `[]`, nil, ""},
		{"two", ` [ ` + a + "\n,\t" + b + ` ] `, []string{"a", "b"}, ""},
		{"bad ones between", `[` + a + `,{},7,` + b + `]`,
			[]string{"a", "site_id is missing", "event is a number", "b"}, ""},
		{"large ones between", `[` + a + ", \n\t" + sized(MaxBytes) + `,` + sized(MaxBytes+1) + `,` + b + `]`,
			[]string{"a", "x", "event is 65537 bytes long", "b"}, ""},
		{"cut off", `[` + a + `,`, []string{"a"}, "not JSON: it ends too early, at byte 49"},
		{"no comma", `[` + a + b + `]`, []string{"a"},
			", at byte 48"},
		{"extra comma", `[` + a + `,]`, []string{"a"}, ", at byte 48"},
		{"broken element", `[` + a + `,{]`, []string{"a"},
			", at byte 50"},
		{"trailing data", `[` + a + `] ` + b, []string{"a"}, "not JSON: more data after the end, at byte 51"},
		{"nothing", ``, nil, "not JSON: it is empty, at byte 0"},
		{"an object", a, nil, "body is an object"},
		{"objects", a + "\n" + b, nil, "not JSON: more data after the end, at byte 49"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := array(test.body)
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			fault := ""
			if err != nil {
				fault = err.Error()
			}
			if (fault == "") != (test.err == "") || !strings.HasSuffix(fault, test.err) {
				t.Errorf("got error %v, want %q at its end", err, test.err)
			}
		})
	}
}

func TestDecodeArrayEndsWithTheCallersError(t *testing.T) {
	var d Decoder
	enough := errors.New("enough")
	calls := 0
	err := d.DecodeArray([]byte(`[{},{},{}]`), now, func(Sent, *FieldError) error {
		calls++
		if calls == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || calls != 2 {
		t.Errorf("got %v after %d calls", err, calls)
	}
}

// TestDecodedEventKeepsItself proves that an event does not change when the
// decoder and the bytes it came from are used again.
func TestDecodedEventKeepsItself(t *testing.T) {
	var d Decoder
	body := []byte(`{"site_id":"first","event_type":"e","path":"/first"}`)
	e, err := d.Decode(body, now)
	if err != nil {
		t.Fatal(err)
	}
	copy(body, `{"site_id":"other","event_type":"o","path":"/other"}`)
	if _, err := d.Decode(body, now); err != nil {
		t.Fatal(err)
	}
	if e.Site != "first" || e.Values[rollup.Path] != "/first" {
		t.Errorf("the event became %+v", e)
	}
}
