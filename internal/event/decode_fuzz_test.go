package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/daybook-analytics/daybook/rollup"
)

var siteForm = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)

// violation tells which of the promises about a decoded event this one
// breaks; "" is none. It repeats the rules in another way than the decoder.
func violation(e *Event) string {
	most := map[string]int{"id": 128, "user": 256, "event_type": 128, "path": 2048, "referrer": 2048}
	texts := map[string]string{"id": e.ID, "user": e.User}
	for dim, value := range e.Values {
		texts[rollup.Dimension(dim).String()] = value
	}
	for name, text := range texts {
		limit := most[name]
		if limit == 0 {
			limit = 256
		}
		if len(text) > limit {
			return fmt.Sprintf("%s is %d bytes long", name, len(text))
		}
		if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			return fmt.Sprintf("%s is %q", name, text)
		}
	}
	path := e.Values[rollup.Path]
	switch {
	case !siteForm.MatchString(e.Site):
		return fmt.Sprintf("site is %q", e.Site)
	case e.Type() == "":
		return "the type is empty"
	case e.Values[rollup.Bot] != "":
		return "a sender made a bot of it: " + e.Values[rollup.Bot]
	case path != "" && path[0] != '/', path == "" && e.Type() == rollup.PageView, strings.ContainsAny(path, "?#"):
		return fmt.Sprintf("path is %q", path)
	case e.Time.Location() != time.UTC, e.Time.Nanosecond()%1e6 != 0, e.Time.Unix() < 0, e.Time.After(now.Add(10 * time.Minute)):
		return "time is " + e.Time.String()
	}
	return ""
}

// checkAccepted proves of an event that was accepted that it keeps the
// promises, and that it comes unchanged out of the queue.
func checkAccepted(t *testing.T, e Event) {
	t.Helper()
	if bad := violation(&e); bad != "" {
		t.Fatalf("accepted, but %s: %+v", bad, e)
	}
	if e.ID == "" {
		e.ID = "made-at-ingest"
	}
	line := string(e.AppendLine(nil))
	if strings.Contains(line, "\n") {
		t.Fatalf("line has a newline: %q", line)
	}
	back, err := ParseLine(line)
	if err != nil || back != e {
		t.Fatalf("line %q\ngives %+v, %v\nand was %+v", line, back, err, e)
	}
}

// checkSyntax compares what became of b with what encoding/json says of it.
func checkSyntax(t *testing.T, b []byte, err error) {
	t.Helper()
	syntax, refused := errors.AsType[*SyntaxError](err)
	if !json.Valid(b) {
		if !refused {
			t.Fatalf("%q is no JSON and was taken for JSON: %v", b, err)
		}
		return
	}
	// What is stricter here: UTF-8, surrogates, and names.
	if refused && utf8.Valid(b) && !bytes.Contains(bytes.ToLower(b), []byte(`\ud`)) && !strings.Contains(syntax.Problem, "stands twice") {
		t.Fatalf("%q is JSON and was refused: %v", b, err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"site_id":"s","event_type":"page_view"}`,
		`{"site_id":"s","event_type":"e","path":"https://example.com/a\n?b#c","timestamp":"2026-11-24T09:30:00.123456+01:00"}`,
		`{"site_id":"s","event_type":"e","event_id":"1","user_id":"ä\u00e4\ud83d\ude42","referrer":"r","country":"c",` +
			`"device":"d","browser":"b","os":"o","utm_source":"s","utm_medium":"m","utm_campaign":"c"}`,
		`{"site_id":1,"event_type":null,"x":{"y":[true,false,1e9]}}`,
		`{"site_id":"s","site_id":"t"}`, `{"path":"\ud800"}`, "{\"path\":\"\xc2\"}", `[{}]`, `1 2`, `"\u0085"`, ``,
	} {
		f.Add([]byte(seed))
	}
	var d Decoder // used again, as in the server
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := d.Decode(b, now)
		checkSyntax(t, b, err)
		if err == nil {
			checkAccepted(t, e.Event)
		} else if _, ok := errors.AsType[*FieldError](err); !ok && !errors.As(err, new(*SyntaxError)) {
			t.Fatalf("error of another kind: %v", err)
		}

		// The same value as the element of an array has the same fate.
		var got []Sent
		var bad []*FieldError
		arrayErr := d.DecodeArray(fmt.Appendf(nil, "[%s]", b), now, func(e Sent, fault *FieldError) error {
			got, bad = append(got, e), append(bad, fault)
			return nil
		})
		switch {
		case err == nil:
			if arrayErr != nil || len(got) != 1 || bad[0] != nil || got[0] != e {
				t.Fatalf("%q alone is %+v, in an array %+v, %v, %v", b, e, got, bad, arrayErr)
			}
		case errors.As(err, new(*FieldError)) && len(b) <= MaxBytes:
			if arrayErr != nil || len(bad) != 1 || bad[0] == nil || bad[0].Error() != err.Error() {
				t.Fatalf("%q alone gives %v, in an array %v, %v", b, err, bad, arrayErr)
			}
		}
	})
}

func FuzzDecodeArray(f *testing.F) {
	for _, seed := range []string{
		`[]`, `[{"site_id":"s","event_type":"e"},{},3]`, `[{"site_id":"s","event_type":"e"}`, `{}`, `[[]]`, `[1,]`, ` `,
	} {
		f.Add([]byte(seed))
	}
	var d Decoder
	f.Fuzz(func(t *testing.T, b []byte) {
		err := d.DecodeArray(b, now, func(e Sent, bad *FieldError) error {
			if bad == nil {
				checkAccepted(t, e.Event)
			}
			return nil
		})
		checkSyntax(t, b, err)
	})
}
