package event

import (
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/rollup"
)

func TestLine(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 30, 0, 123e6, time.UTC)
	values := func(pairs ...string) (v rollup.Values) {
		for dim := range v {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == rollup.Dimension(dim).String() {
					v[dim] = pairs[i+1]
				}
			}
		}
		return v
	}
	for _, test := range []struct {
		name  string
		event Event
		line  string
	}{
		{"short", Event{ID: "i", Site: "s", Time: at, Values: values("event_type", "e")},
			"1\ti\ts\t\t1795512600123\te"},
		{"page view", Event{ID: "i", Site: "s", User: "u", Time: at, Values: values("event_type", "page_view", "path", "/a b")},
			"1\ti\ts\tu\t1795512600123\tpage_view\t/a b"},
		{"before there were bots", Event{ID: "i", Site: "s", Time: at, Values: values("event_type", "e", "utm_campaign", "c")},
			"1\ti\ts\t\t1795512600123\te\t\t\t\t\t\t\t\t\tc"},
		{"all", Event{ID: "i", Site: "s", User: "u", Time: at, Values: values("event_type", "e", "path", "/p", "referrer", "r",
			"country", "c", "device", "d", "browser", "b", "os", "o", "utm_source", "us", "utm_medium", "um", "utm_campaign", "uc", "bot", "crawler")},
			"1\ti\ts\tu\t1795512600123\te\t/p\tr\tc\td\tb\to\tus\tum\tuc\tcrawler"},
		{"only the last", Event{ID: "i", Site: "s", Time: at, Values: values("event_type", "e", "bot", "crawler")},
			"1\ti\ts\t\t1795512600123\te" + strings.Repeat("\t", 10) + "crawler"},
		{"1970", Event{ID: "i", Site: "s", Time: time.UnixMilli(0).UTC(), Values: values("event_type", "e")},
			"1\ti\ts\t\t0\te"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := string(test.event.AppendLine([]byte("before\t"))); got != "before\t"+test.line {
				t.Errorf("line is %q, want %q", got, test.line)
			}
			if got, err := ParseLine(test.line); err != nil || got != test.event {
				t.Errorf("line gives %+v, %v, want %+v", got, err, test.event)
			}
		})
	}
}

func TestParseLineRefuses(t *testing.T) {
	for _, test := range []struct{ name, line, want string }{
		{"nothing", "", `line is of version ""; this program reads version 1`},
		{"newer version", "2\ti\ts\tu\t1\te", `line is of version "2"; this program reads version 1`},
		{"a long something", strings.Repeat("x", 100), `line is of version "xxxxxxxxxxxxxxxxxxxx"; this program reads version 1`},
		{"newer dimension", "1\ti\ts\tu\t1\te" + strings.Repeat("\t", 11) + "x", "line has more than 16 fields: it was written by a newer version"},
		{"cut off", "1\ti\ts\tu", "line has 4 fields where at least 5 belong"},
		{"no time", "1\ti\ts\tu\t\te", `line's time "" is not a number of milliseconds from 0 to 999999999999999`},
		{"time before 1970", "1\ti\ts\tu\t-1\te", `line's time "-1" is not a number of milliseconds from 0 to 999999999999999`},
		{"time too far", "1\ti\ts\tu\t1000000000000000\te", `line's time "1000000000000000" is not a number of milliseconds from 0 to 999999999999999`},
		{"no ID", "1\t\ts\tu\t1\te", "line lacks its event ID, site or type"},
		{"no site", "1\ti\t\tu\t1\te", "line lacks its event ID, site or type"},
		{"no type", "1\ti\ts\tu\t1", "line lacks its event ID, site or type"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseLine(test.line)
			if err == nil || err.Error() != test.want {
				t.Errorf("got %+v, %v, want %s", got, err, test.want)
			}
		})
	}
}

// FuzzParseLine proves that what can be read can be written and read again.
func FuzzParseLine(f *testing.F) {
	f.Add("1\ti\ts\tu\t1795512600123\te\t/p\tr\tc\td\tb\to\tus\tum\tuc\tcrawler")
	f.Add("1\ti\ts\t\t+1\te\t\t\t")
	f.Add("2\t\t\t")
	f.Fuzz(func(t *testing.T, line string) {
		e, err := ParseLine(line)
		if err != nil {
			return
		}
		again, err := ParseLine(string(e.AppendLine(nil)))
		if err != nil || again != e {
			t.Fatalf("line %q\ngives %+v\nthen  %+v, %v", line, e, again, err)
		}
	})
}

func TestDate(t *testing.T) {
	east := time.FixedZone("east", 14*60*60)
	e := Event{Time: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)}
	if got := e.Date(time.UTC); got != "2026-11-24" {
		t.Error(got)
	}
	if got := e.Date(east); got != "2026-11-25" {
		t.Error(got)
	}
}
