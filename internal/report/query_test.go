package report

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

// everything is an endpoint with all kinds of parameters.
var everything = &endpoint{
	path:   "/everything",
	params: append(append([]parameter{}, commonParams...), limitParam, pageParam, intervalParam, exactParam),
	table:  func(any) [][]string { return nil },
}

func TestGrammar(t *testing.T) {
	base := query{endpoint: everything, site: "a", limit: 10, page: 1}
	for raw, change := range map[string]func(*query){
		"":                                     func(*query) {},
		"&date=2024-02-29":                     func(q *query) { q.asked.date = "2024-02-29" },
		"&from=2026-01-01":                     func(q *query) { q.asked.from = "2026-01-01" },
		"&to=2026-01-01":                       func(q *query) { q.asked.to = "2026-01-01" },
		"&from=2026-01-01&to=2026-01-01":       func(q *query) { q.asked.from, q.asked.to = "2026-01-01", "2026-01-01" },
		"&period=all":                          func(q *query) { q.asked.word = "all" },
		"&period=7d&compare=year":              func(q *query) { q.asked.word, q.asked.compare = "7d", "year" },
		"&date=2026-01-01&compare=previous":    func(q *query) { q.asked.date, q.asked.compare = "2026-01-01", "previous" },
		"&limit=1000&page=1000000":             func(q *query) { q.limit, q.page = 1000, 1_000_000 },
		"&format=csv":                          func(q *query) { q.csv = true },
		"&format=json":                         func(*query) {},
		"&interval=week&exact=true":            func(q *query) { q.interval, q.exact = "week", true },
		"&exact=false":                         func(*query) {},
		"&filter=path==/x&filter=country!%3D":  func(q *query) { q.filters = []filter{{rollup.Path, "==", "/x"}, {rollup.Country, "!=", ""}} },
		"&filter=path~/blog/*&filter=os==a%26": func(q *query) { q.filters = []filter{{rollup.Path, "~", "/blog/*"}, {rollup.OS, "==", "a&"}} },
	} {
		want := base
		change(&want)
		got, err := parseQuery(everything, "site_id=a"+raw)
		if err != nil {
			t.Errorf("%q: %v", raw, err)
		} else if !reflect.DeepEqual(*got, want) {
			t.Errorf("%q is %+v\nwant %+v", raw, *got, want)
		}
	}
}

func TestGrammarRefuses(t *testing.T) {
	for raw, message := range map[string]string{
		"period=":                          "period is none of the allowed words",
		"period=8d":                        "period is none of the allowed words",
		"period=today&date=2026-01-01":     "period cannot be combined with date, from and to",
		"period=all&from=2026-01-01":       "period cannot be combined with date, from and to",
		"period=7d&to=2026-01-01":          "period cannot be combined with date, from and to",
		"compare=previous":                 "compare needs a period with a first and a last day",
		"compare=year&period=all":          "compare needs a period with a first and a last day",
		"compare=year&from=2026-01-01":     "compare needs a period with a first and a last day",
		"compare=year&to=2026-01-01":       "compare needs a period with a first and a last day",
		"compare=week&date=2026-01-01":     "compare is none of the allowed words",
		"interval=decade":                  "interval is none of the allowed words",
		"exact=1":                          "exact is none of the allowed words",
		"format=xml":                       "format is none of the allowed words",
		"page=0":                           "page is not a number that is allowed",
		"page=1000001":                     "page is not a number that is allowed",
		"limit=1&limit=2":                  "limit is given 2 times",
		"filter=path":                      "filter has no operator",
		"filters=path==a":                  "filters is not a parameter here",
		"dimension=path":                   "dimension is not a parameter here",
		"site_id=b":                        "site_id is given 2 times",
		strings.Repeat("&filter=os==", 11): "filter is one too many",
	} {
		_, err := parseQuery(everything, "site_id=a&"+raw)
		var refusal *web.Error
		if !errors.As(err, &refusal) || refusal.Message != message || refusal.Allowed == "" || refusal.Status != 422 {
			t.Errorf("%q: %#v, want %q", raw, err, message)
		}
	}
	noTable := *everything
	noTable.table = nil
	if _, err := parseQuery(&noTable, "site_id=a&format=csv"); err == nil {
		t.Error("CSV is allowed where there is no table")
	}
}

// FuzzQuery parses anything. What is accepted is within all limits, and can be
// asked again in the same words.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"site_id=a&period=30d&compare=previous&filter=path==/x&format=csv&limit=5&page=2&interval=day&exact=true",
		"site_id=a&date=0000-01-01&compare=year", "site_id=a&from=9999-12-31&to=9999-12-31&compare=previous",
		"site_id=%zz", "site_id=a;b", "site_id=a&filter=~", "&&=&",
	} {
		f.Add(seed)
	}
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseQuery(everything, raw)
		if err != nil {
			if q != nil {
				t.Errorf("%v, and the query %+v", err, q)
			}
			return
		}
		if len(q.site) == 0 || len(q.site) > event.MaxSite || q.limit < 1 || q.limit > maxLimit || q.page < 1 || q.page > maxPage || len(q.filters) > maxFilters {
			t.Errorf("%q is beyond the limits: %+v", raw, q)
		}
		err = q.resolve(now, "Europe/Berlin", nil)
		for _, s := range []*span{&q.span, q.compare} {
			if err != nil || s == nil {
				continue
			}
			for _, date := range []string{s.from, s.to} {
				if _, err := time.Parse(time.DateOnly, date); err != nil && date != "" {
					t.Errorf("%q makes the date %q", raw, date)
				}
			}
			if s.from != "" && s.to != "" && s.from > s.to {
				t.Errorf("%q makes the span %+v", raw, s)
			}
		}
		values, _ := url.ParseQuery(raw)
		again, err := newQuery(everything, values)
		if err != nil || fmt.Sprint(again.asked, again.filters) != fmt.Sprint(q.asked, q.filters) {
			t.Errorf("%q is another question the second time: %+v, %v", raw, again, err)
		}
	})
}
