package report

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/web"
)

// parameters are those of GET /stats. Any other is refused: a filter that is
// misspelt and ignored would give wrong numbers that look right.
var parameters = []string{"site_id", "date", "from", "to", "limit"}

// Limits of the top paths in an answer.
const (
	defaultLimit = 10
	maxLimit     = 1000
)

// query is what GET /stats asks for.
type query struct {
	site string
	// date is the one day that is asked for. If it is empty, from and to are
	// the bounds, both inclusive, of which an empty one is none.
	date, from, to string
	limit          int
}

func parseQuery(raw string) (query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return query{}, &web.Error{Status: http.StatusBadRequest, Message: "the query string cannot be read: " + web.Shorten(err.Error())}
	}
	if err := checkNames(values); err != nil {
		return query{}, err
	}
	q := query{site: values.Get("site_id"), limit: defaultLimit}
	if err := checkSite(q.site, values.Has("site_id")); err != nil {
		return query{}, err
	}
	for _, p := range []struct {
		name string
		date *string
	}{{"date", &q.date}, {"from", &q.from}, {"to", &q.to}} {
		if !values.Has(p.name) {
			continue
		}
		*p.date = values.Get(p.name)
		if _, err := time.Parse(time.DateOnly, *p.date); err != nil {
			return query{}, web.Invalid(p.name, *p.date, "is not a date", "a date that exists, as YYYY-MM-DD")
		}
	}
	if q.date != "" && (q.from != "" || q.to != "") {
		return query{}, web.Invalid("date", q.date, "cannot be combined with from and to", "either date, or from and to, or none of them")
	}
	if q.from != "" && q.to != "" && q.from > q.to {
		return query{}, web.Invalid("from", q.from, "is later than to", "a date not later than "+q.to)
	}
	if values.Has("limit") {
		limit := values.Get("limit")
		if q.limit, err = strconv.Atoi(limit); err != nil || q.limit < 1 || q.limit > maxLimit {
			return query{}, web.Invalid("limit", limit, "is not a number of paths", fmt.Sprintf("1 to %d", maxLimit))
		}
	}
	return q, nil
}

// checkNames refuses parameters that do not exist or are repeated.
func checkNames(values url.Values) error {
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(parameters, name) {
			unknown = append(unknown, name)
		} else if given := values[name]; len(given) > 1 {
			return web.Invalid(name, strings.Join(given, ", "), fmt.Sprintf("is given %d times", len(given)), "one value")
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	names, problem := web.Shorten(strings.Join(unknown, ", ")), "is not a parameter here"
	if len(unknown) > 1 {
		problem = "are not parameters here"
	}
	return web.Invalid(names, "", problem, strings.Join(parameters, ", "))
}

// checkSite holds the site to the rule that its events had to keep.
func checkSite(site string, given bool) error {
	allowed := fmt.Sprintf("1 to %d letters, digits and . _ : -", event.MaxSite)
	bad := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._:-", r))
	}
	switch {
	case !given:
		return web.Invalid("site_id", "", "is missing", allowed)
	case site == "":
		return web.Invalid("site_id", "", "is empty", allowed)
	case len(site) > event.MaxSite:
		return web.Invalid("site_id", site, fmt.Sprintf("is %d bytes long", len(site)), allowed)
	case strings.ContainsFunc(site, bad):
		return web.Invalid("site_id", site, "has a character that is not allowed", allowed)
	}
	return nil
}
