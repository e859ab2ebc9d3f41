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

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

// query is one question, parsed.
type query struct {
	endpoint *endpoint
	site     string
	// only is the one site that an answer about all sites is limited to; empty
	// if it is not.
	only  string
	asked asked
	// today is the date in the zone of the site, span the period that is
	// asked for, and compare the one beside it, nil if there is none. They are
	// set by resolve, not by parsing.
	today   string
	span    span
	compare *span
	filters []filter
	// interval is hour, day, week or month, or empty.
	interval  string
	dimension dimension
	// limit and page choose the rows of a table; pages count from 1.
	limit, page int
	exact       bool
	async       bool
	csv         bool
}

// allow holds a question to what whoever asks may know: it is about a site for
// which the pass is good, or limited to that site.
func (q *query) allow(pass *access.Pass) error {
	if q.site != "" {
		return pass.Site(q.site)
	}
	if !pass.EverySite() {
		q.only = pass.Key.Site
	}
	return nil
}

// resolve sets the dates of the query. zone is the time zone of the site,
// zones all that its raw events may be in.
func (q *query) resolve(now time.Time, zone string, zones []string) error {
	location, err := event.Location(zone)
	if err != nil {
		return err
	}
	q.today = dateOf(now.In(location))
	q.span = q.asked.span(q.today)
	q.span.zone, q.span.zones = zone, zones
	if q.asked.compare != "" {
		compare, err := q.span.compared(q.asked.compare)
		if err != nil {
			return err
		}
		q.compare = &compare
	}
	return nil
}

// filter keeps the events whose value in a dimension is (==), is not (!=) or is
// like (~) this value.
type filter struct {
	dim   rollup.Dimension
	op    string
	value string
}

// parameter is one name that a query may have. All endpoints take their
// parameters from the same ones, so that a name means the same everywhere.
type parameter struct {
	name string
	// meaning and allowed are for the documentation. values lists all that is
	// allowed where that is a few words.
	meaning, allowed string
	values           []string
	// schema is that of a value in the OpenAPI document; nil is text, or one
	// of values.
	schema object
	// repeats tells that it may be given several times, required that it must
	// be given.
	repeats, required bool
	// set puts a value into the query, or says what is wrong with it.
	set func(q *query, value string) error
}

// Limits of the rows in an answer.
const (
	defaultLimit = 10
	maxLimit     = 1000
	maxPage      = 1_000_000
)

// Parameters that more than one endpoint has.
var (
	siteParam = parameter{
		name: "site_id", required: true,
		meaning: "the site",
		allowed: allowedSite,
		schema:  object{"type": "string", "pattern": fmt.Sprintf("^[A-Za-z0-9._:-]{1,%d}$", event.MaxSite)},
		set: func(q *query, value string) error {
			q.site = value
			return checkSite(value)
		},
	}
	dateParam = parameter{
		name: "date", meaning: "one day", allowed: allowedDate, schema: dateSchema,
		set: func(q *query, value string) error { return setDate(&q.asked.date, "date", value) },
	}
	fromParam = parameter{
		name: "from", meaning: "the first day of a range; without it the first that has data", allowed: allowedDate, schema: dateSchema,
		set: func(q *query, value string) error { return setDate(&q.asked.from, "from", value) },
	}
	toParam = parameter{
		name: "to", meaning: "the last day of a range; without it the last that has data", allowed: allowedDate, schema: dateSchema,
		set: func(q *query, value string) error { return setDate(&q.asked.to, "to", value) },
	}
	periodParam = wordParam("period", "a period that ends today, or yesterday alone",
		periodWords, func(q *query) *string { return &q.asked.word })
	compareParam = wordParam("compare", "beside the period, as many days just before it, or the same dates a year earlier",
		compareWords, func(q *query) *string { return &q.asked.compare })
	filterParam = parameter{
		name: "filter", repeats: true,
		meaning: "only events whose value in a dimension is, is not, or is like this; several must all hold",
		allowed: "dimension==value, dimension!=value or dimension~pattern with * and ?",
		set: func(q *query, value string) error {
			if len(q.filters) == maxFilters {
				return web.Invalid("filter", value, "is one too many", fmt.Sprintf("up to %d filters", maxFilters))
			}
			f, err := parseFilter(value)
			q.filters = append(q.filters, f)
			return err
		},
	}
	formatParam = parameter{
		name: "format", meaning: "JSON, or a table as CSV", allowed: "json, csv", values: []string{"json", "csv"},
		set: func(q *query, value string) error {
			q.csv = value == "csv"
			return checkWord("format", value, []string{"json", "csv"})
		},
	}
	asyncParam = flagParam("async", "answer later: the answer is 202 with the place of a job, which will have it", func(q *query) *bool { return &q.async })
	limitParam = numberParam("limit", fmt.Sprintf("the most rows; %d without it", defaultLimit), maxLimit, func(q *query) *int { return &q.limit })
	pageParam  = numberParam("page", "which rows: page 2 begins behind the first limit rows", maxPage, func(q *query) *int { return &q.page })

	// spanParams choose a period, commonParams are those of every question
	// about a period of one site.
	spanParams   = []parameter{dateParam, fromParam, toParam, periodParam}
	commonParams = slices.Concat([]parameter{siteParam}, spanParams, []parameter{compareParam, filterParam, formatParam, asyncParam})
)

var allowedSite = fmt.Sprintf("1 to %d letters, digits and . _ : -", event.MaxSite)

const allowedDate = "a date that exists, as YYYY-MM-DD"

var dateSchema = object{"type": "string", "format": "date"}

func setDate(date *string, name, value string) error {
	*date = value
	if _, err := time.Parse(time.DateOnly, value); err != nil {
		return web.Invalid(name, value, "is not a date", allowedDate)
	}
	return nil
}

// wordParam makes a parameter that is one of a few words.
func wordParam(name, meaning string, words []string, field func(*query) *string) parameter {
	return parameter{
		name: name, meaning: meaning, allowed: strings.Join(words, ", "), values: words,
		set: func(q *query, value string) error {
			*field(q) = value
			return checkWord(name, value, words)
		},
	}
}

func checkWord(name, value string, words []string) error {
	if !slices.Contains(words, value) {
		return web.Invalid(name, value, "is none of the allowed words", strings.Join(words, ", "))
	}
	return nil
}

// numberParam makes a parameter that is a number from 1 to most.
func numberParam(name, meaning string, most int, field func(*query) *int) parameter {
	allowed := fmt.Sprintf("1 to %d", most)
	return parameter{
		name: name, meaning: meaning, allowed: allowed,
		schema: object{"type": "integer", "minimum": 1, "maximum": most},
		set: func(q *query, value string) error {
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 || n > most {
				return web.Invalid(name, value, "is not a number that is allowed", allowed)
			}
			*field(q) = n
			return nil
		},
	}
}

// flagParam makes a parameter that is true or false.
func flagParam(name, meaning string, field func(*query) *bool) parameter {
	words := []string{"true", "false"}
	return parameter{
		name: name, meaning: meaning, allowed: strings.Join(words, ", "), values: words,
		schema: object{"type": "boolean"},
		set: func(q *query, value string) error {
			*field(q) = value == "true"
			return checkWord(name, value, words)
		},
	}
}

// parseQuery reads the query string of a question to an endpoint. What is
// wrong with a single value comes before what contradicts another one.
func parseQuery(e *endpoint, raw string) (*query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, &web.Error{Status: http.StatusBadRequest, Message: "the query string cannot be read: " + web.Shorten(err.Error())}
	}
	return newQuery(e, values)
}

// newQuery makes a query of its parameters.
func newQuery(e *endpoint, values url.Values) (*query, error) {
	if err := e.checkNames(values); err != nil {
		return nil, err
	}
	q := &query{endpoint: e, limit: defaultLimit, page: 1}
	for _, p := range e.params {
		if p.required && !values.Has(p.name) {
			return nil, web.Invalid(p.name, "", "is missing", p.allowed)
		}
		for _, value := range values[p.name] {
			if err := p.set(q, value); err != nil {
				return nil, err
			}
		}
	}
	if q.csv && e.table == nil {
		return nil, web.Invalid("format", "csv", "is not possible here: the answer is no table", "json")
	}
	if err := q.asked.check(); err != nil {
		return nil, err
	}
	return q, nil
}

// checkNames refuses parameters that do not exist or are repeated. One that
// is misspelt and ignored would give wrong numbers that look right.
func (e *endpoint) checkNames(values url.Values) error {
	allowed := make([]string, len(e.params))
	repeats := make(map[string]bool)
	for i, p := range e.params {
		allowed[i], repeats[p.name] = p.name, p.repeats
	}
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(allowed, name) {
			unknown = append(unknown, name)
		} else if given := values[name]; len(given) > 1 && !repeats[name] {
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
	return web.Invalid(names, "", problem, strings.Join(allowed, ", "))
}

// checkSite holds the site to the rule that its events had to keep.
func checkSite(site string) error {
	bad := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._:-", r))
	}
	var problem string
	switch {
	case site == "":
		problem = "is empty"
	case len(site) > event.MaxSite:
		problem = fmt.Sprintf("is %d bytes long", len(site))
	case strings.ContainsFunc(site, bad):
		problem = "has a character that is not allowed"
	default:
		return nil
	}
	return web.Invalid("site_id", site, problem, allowedSite)
}
