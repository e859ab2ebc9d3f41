package report

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

func TestParseFilter(t *testing.T) {
	for s, want := range map[string]filter{
		"path==/pricing":         {rollup.Path, opEqual, "/pricing"},
		"path!=/a==b":            {rollup.Path, opNotEqual, "/a==b"},
		"path~/blog/*":           {rollup.Path, opLike, "/blog/*"},
		"path~=x":                {rollup.Path, opLike, "=x"},
		"country==":              {rollup.Country, opEqual, ""},
		"country!=":              {rollup.Country, opNotEqual, ""},
		"country~":               {rollup.Country, opLike, ""},
		"event_type==page_view":  {rollup.EventType, opEqual, "page_view"},
		"utm_campaign==~ =ü!=":   {rollup.UTMCampaign, opEqual, "~ =ü!="},
		"referrer==https://a?b=": {rollup.Referrer, opEqual, "https://a?b="},
	} {
		got, err := parseFilter(s)
		if err != nil || got != want {
			t.Errorf("%q is %+v, %v; want %+v", s, got, err, want)
		}
		if got.String() != s {
			t.Errorf("%q is written %q", s, got)
		}
	}
	for s, problem := range map[string]string{
		"":               "has no operator",
		"path":           "has no operator",
		"path=/pricing":  "has an operator that does not exist",
		"path!/pricing":  "has an operator that does not exist",
		"path=~/pricing": "has an operator that does not exist",
		"Path==/pricing": "begins with no dimension",
		"_path==/":       "begins with no dimension",
		"==/pricing":     "begins with no dimension",
		"user_id==7":     "begins with no dimension",
		"path==\xff":     "has a value that is not UTF-8",
		"path~" + strings.Repeat("x", maxPattern+1):      "has a pattern of 257 bytes, and 256 is the most",
		"path==" + strings.Repeat("x", maxFilterValue+1): "has a value of 2049 bytes, and no event has more than 2048",
	} {
		_, err := parseFilter(s)
		var refusal *web.Error
		if !errors.As(err, &refusal) || refusal.Status != 422 || refusal.Message != "filter "+problem || refusal.Allowed == "" {
			t.Errorf("%.40q: got %+v, want the problem %q", s, err, problem)
		}
	}
}

// A pattern fits exactly what the regular expression fits that says the same.
func TestLike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ü", "?", "*"}), 0, 8)
		s := strings.Join(letters.Draw(t, "s"), "")
		pattern := strings.Join(letters.Draw(t, "pattern"), "")
		expression := regexp.QuoteMeta(pattern)
		expression = strings.ReplaceAll(expression, `\*`, ".*")
		expression = strings.ReplaceAll(expression, `\?`, ".")
		want := regexp.MustCompile("^(?s:" + expression + ")$").MatchString(s)
		if got := like(s, pattern); got != want {
			t.Fatalf("%q fits %q: %t, want %t", s, pattern, got, want)
		}
	})
}

// Patterns with many stars take no more time than both lengths multiplied:
// with going back to every star this would not end.
func TestLikeOfManyStars(t *testing.T) {
	if like(strings.Repeat("a", 2000), strings.Repeat("a*", 200)+"b") {
		t.Error("found a b among a")
	}
}

func TestSortFilters(t *testing.T) {
	a, b := filter{rollup.Path, opEqual, "/"}, filter{rollup.EventType, opLike, "*"}
	if got := sortFilters([]filter{a, b, a}); len(got) != 2 || got[0] != b || got[1] != a {
		t.Errorf("got %v", got)
	}
}
