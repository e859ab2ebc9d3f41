package report_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// fetch decodes the answer of a GET, which must succeed.
func fetch(t rapid.TB, h http.Handler, path string, query url.Values, answer any) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path+"?"+query.Encode(), nil))
	if w.Code != http.StatusOK {
		t.Fatalf("GET %s?%s: %d %s", path, query.Encode(), w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), answer); err != nil {
		t.Fatalf("GET %s?%s: %v in %s", path, query.Encode(), err, w.Body)
	}
}

// same fails unless both are the same JSON.
func same(t rapid.TB, what string, got, want any) {
	t.Helper()
	a, errA := json.Marshal(got)
	b, errB := json.Marshal(want)
	if errA != nil || errB != nil || string(a) != string(b) {
		t.Fatalf("%s is\n%s\nwant\n%s", what, a, b)
	}
}

// history is what happened on a site, and can be counted by hand.
type history []store.Event

// between gives the events with from <= date <= to.
func (h history) between(from, to string) history {
	return slices.DeleteFunc(slices.Clone(h), func(e store.Event) bool { return e.Date < from || e.Date > to })
}

// people gives the events that are counted as such, bots the others, which have
// no user for anything that counts.
func (h history) people() history {
	return slices.DeleteFunc(slices.Clone(h), func(e store.Event) bool { return e.Values[rollup.Bot] != "" })
}

func (h history) bots() history {
	bots := slices.DeleteFunc(slices.Clone(h), func(e store.Event) bool { return e.Values[rollup.Bot] == "" })
	for i := range bots {
		bots[i].User = ""
	}
	return bots
}

func (h history) views() (n uint64) {
	for _, e := range h {
		if e.Type() == rollup.PageView {
			n++
		}
	}
	return n
}

func (h history) users() uint64 {
	users := map[string]bool{}
	for _, e := range h {
		users[e.User] = true
	}
	delete(users, "")
	return uint64(len(users))
}

// visits gives the runs of events of one user on one day, each in the order of
// time, page views of one time in the order of their paths.
func (h history) visits() []history {
	byUser := map[[2]string]history{}
	for _, e := range h {
		if e.User != "" {
			key := [2]string{e.User, e.Date}
			byUser[key] = append(byUser[key], e)
		}
	}
	var visits []history
	for _, mine := range byUser {
		slices.SortFunc(mine, func(a, b store.Event) int {
			return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Values[rollup.Path], b.Values[rollup.Path]))
		})
		begin := 0
		for i := 1; i <= len(mine); i++ {
			if i == len(mine) || mine[i].Time.Sub(mine[i-1].Time) > 30*time.Minute {
				visits = append(visits, mine[begin:i])
				begin = i
			}
		}
	}
	return visits
}

// pages gives the paths of the page views in order.
func (h history) pages() (pages []string) {
	for _, e := range h {
		if e.Type() == rollup.PageView {
			pages = append(pages, e.Values[rollup.Path])
		}
	}
	return pages
}

// by groups the events that a breakdown counts by their value.
func (h history) by(dimension string) map[string]history {
	groups := map[string]history{}
	for dim := range rollup.NumDimensions {
		for _, e := range h {
			if value := e.Values[dim]; dim.String() == dimension && value != "" && (dimension != "path" || e.Type() == rollup.PageView) {
				groups[value] = append(groups[value], e)
			}
		}
	}
	return groups
}

func pointer[T any](v T) *T { return &v }

func ratio(now, before float64) *float64 {
	if before == 0 {
		return nil
	}
	return pointer(math.Round((now-before)/before*1e4) / 1e4)
}

func drawHistory(t *rapid.T, site string) history {
	word := func(words ...string) string { return rapid.SampledFrom(words).Draw(t, "value") }
	var h history
	for i := range rapid.IntRange(1, 60).Draw(t, "events") {
		date := rapid.SampledFrom([]string{"2026-10-29", "2026-10-30", "2026-10-31", "2026-11-01", "2026-11-02", "2026-11-03"}).Draw(t, "date")
		e := newEvent(site, date, word("/", "/a", "/b"), word("", "u1", "u2", "u3"), i)
		e.Time = civil(date).Add(time.Duration(rapid.IntRange(0, 24*4-1).Draw(t, "quarter")) * 15 * time.Minute)
		e.Values[rollup.EventType] = word("page_view", "click")
		for dim := rollup.Referrer; dim < rollup.Bot; dim++ {
			e.Values[dim] = word("", "x", "y")
		}
		e.Values[rollup.Bot] = word("", "", "", "crawler", "headless")
		h = append(h, e)
	}
	return h
}

func civil(date string) time.Time {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		panic(err)
	}
	return t
}

// drawPeriod draws a period and what is compared with it, and gives its bounds
// and those of the other one.
func drawPeriod(t *rapid.T, query url.Values) (from, to, otherFrom, otherTo string) {
	date := rapid.SampledFrom([]string{"2026-10-30", "2026-10-31", "2026-11-01", "2026-11-02"})
	from, to = date.Draw(t, "from"), date.Draw(t, "to")
	from, to = min(from, to), max(from, to)
	query.Set("from", from)
	query.Set("to", to)
	days := int(civil(to).Sub(civil(from)).Hours()/24) + 1
	otherFrom = civil(from).AddDate(0, 0, -days).Format(time.DateOnly)
	otherTo = civil(from).AddDate(0, 0, -1).Format(time.DateOnly)
	return from, to, otherFrom, otherTo
}

// Whatever is asked about small numbers, the answer is what counting by hand
// gives.
func TestAnswersAreCounted(t *testing.T) {
	st := newStore(t)
	h := serve(st, report.Options{}, quiet)
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		site := fmt.Sprintf("counted-%d", run)
		all := drawHistory(t, site)
		st.put(t, all)
		bots := all.bots()
		all = all.people()

		for range 5 {
			query := url.Values{"site_id": {site}}
			from, to, otherFrom, otherTo := drawPeriod(t, query)
			now, before := all.between(from, to), all.between(otherFrom, otherTo)
			comparing := rapid.Bool().Draw(t, "compare")
			if comparing {
				query.Set("compare", "previous")
			}
			switch rapid.IntRange(0, 4).Draw(t, "endpoint") {
			case 0:
				var got report.Users
				fetch(t, h, "/stats/users", query, &got)
				same(t, "users", got.UniqueUsers, now.users())
				if comparing {
					same(t, "other users", got.Compare.UniqueUsers, before.users())
					same(t, "change", got.Change.UniqueUsers, ratio(float64(now.users()), float64(before.users())))
				}
			case 1:
				var got report.Visits
				fetch(t, h, "/stats/visits", query, &got)
				checkVisits(t, &got.VisitsNumbers, now)
				if comparing {
					checkVisits(t, got.Compare, before)
					same(t, "change", got.Change.Visits, ratio(float64(len(now.visits())), float64(len(before.visits()))))
				}
			case 2, 3:
				var got report.Timeseries
				interval := rapid.SampledFrom([]string{"hour", "day", "week", "month"}).Draw(t, "interval")
				query.Set("interval", interval)
				fetch(t, h, "/stats/timeseries", query, &got)
				checkBuckets(t, &got.TimeseriesNumbers, now, from, to)
				if comparing {
					checkBuckets(t, got.Compare, before, otherFrom, otherTo)
					same(t, "change", got.Change.Events, ratio(float64(len(now)), float64(len(before))))
				}
			case 4:
				dimension := rapid.SampledFrom([]string{"path", "event_type", "referrer", "country", "device", "browser", "os",
					"utm_source", "utm_medium", "utm_campaign", "entry_page", "exit_page", "bot", "bot"}).Draw(t, "dimension")
				if dimension == "bot" {
					now, before = bots.between(from, to), bots.between(otherFrom, otherTo)
				}
				limit, page := rapid.IntRange(1, 3).Draw(t, "limit"), rapid.IntRange(1, 3).Draw(t, "page")
				query.Set("dimension", dimension)
				query.Set("limit", strconv.Itoa(limit))
				query.Set("page", strconv.Itoa(page))
				var got report.Breakdown
				fetch(t, h, "/stats/breakdown", query, &got)
				rows, other := countBy(now, dimension)
				first := min(len(rows), limit*(page-1))
				rows = rows[first:min(len(rows), first+limit)]
				same(t, "rows by "+dimension, got.Rows, rows)
				same(t, "other", got.Other, other)
				if !got.Exact || got.Floor != 0 {
					t.Fatalf("exact is %t, floor %d", got.Exact, got.Floor)
				}
				if comparing {
					checkCompared(t, &got, before)
				}
			}
		}
	})
}

func checkVisits(t rapid.TB, got *report.VisitsNumbers, h history) {
	t.Helper()
	visits, bounces, views, seconds := h.visits(), 0, 0, 0.0
	for _, v := range visits {
		if len(v) == 1 {
			bounces++
		}
		views += len(v.pages())
		seconds += v[len(v)-1].Time.Sub(v[0].Time).Seconds()
	}
	mean := func(sum float64, unit float64) *float64 {
		if len(visits) == 0 {
			return nil
		}
		return pointer(math.Round(sum/float64(len(visits))*unit) / unit)
	}
	same(t, "visits", []any{got.Visits, got.VisitsError, got.BounceRate, got.ViewsPerVisit, got.AverageDuration, got.Exact},
		[]any{len(visits), 0, mean(float64(bounces), 1e4), mean(float64(views), 1e3), mean(seconds, 10), true})
}

// checkBuckets counts each bucket by the text that its events have in common.
func checkBuckets(t rapid.TB, got *report.TimeseriesNumbers, h history, from, to string) {
	t.Helper()
	start := func(at time.Time) string {
		date := at.Format(time.DateOnly)
		switch got.Interval {
		case "hour":
			return at.Format("2006-01-02T15:00")
		case "week":
			for at.Weekday() != time.Monday {
				at = at.AddDate(0, 0, -1)
			}
			date = at.Format(time.DateOnly)
		case "month":
			date = at.Format("2006-01") + "-01"
		}
		return max(date, from)
	}
	var starts []string
	for at := civil(from); at.Before(civil(to).AddDate(0, 0, 1)); at = at.Add(time.Hour) {
		if s := start(at); !slices.Contains(starts, s) {
			starts = append(starts, s)
		}
	}
	if len(got.Buckets) != len(starts) {
		t.Fatalf("%d buckets by %s from %s to %s, want %q", len(got.Buckets), got.Interval, from, to, starts)
	}
	for i, s := range starts {
		in := slices.DeleteFunc(slices.Clone(h), func(e store.Event) bool { return start(e.Time) != s })
		want := report.Bucket{Start: s, Counts: counted(in)}
		if got.Interval == "hour" {
			want.Visits, want.VisitsError = nil, nil
		}
		same(t, "bucket", got.Buckets[i], want)
	}
	same(t, "total", got.Total, counted(h))
}

func counted(h history) report.Counts {
	return report.Counts{
		Events: uint64(len(h)), Views: h.views(), Users: h.users(),
		Visits: pointer(uint64(len(h.visits()))), VisitsError: pointer(0.0),
	}
}

// countBy gives all rows of a breakdown, and the rest of its total.
func countBy(h history, dimension string) (rows []report.BreakdownRow, other uint64) {
	rows = []report.BreakdownRow{}
	counts, users, total := map[string]uint64{}, map[string]*uint64{}, uint64(len(h))
	count := func(r *report.BreakdownRow) **uint64 { return &r.Events }
	switch dimension {
	case "entry_page", "exit_page":
		total = uint64(len(h.visits()))
		count = func(r *report.BreakdownRow) **uint64 { return &r.Visits }
		for _, visit := range h.visits() {
			if pages := visit.pages(); len(pages) > 0 && dimension == "entry_page" {
				counts[pages[0]]++
			} else if len(pages) > 0 {
				counts[pages[len(pages)-1]]++
			}
		}
	case "path":
		total = h.views()
		count = func(r *report.BreakdownRow) **uint64 { return &r.Views }
		fallthrough
	default:
		for value, in := range h.by(dimension) {
			counts[value], users[value] = uint64(len(in)), pointer(in.users())
		}
	}
	other = total
	for value, n := range counts {
		row := report.BreakdownRow{Value: value, Share: math.Round(float64(n)/float64(total)*1e6) / 1e6, Users: users[value]}
		if row.Users != nil {
			row.UsersError = pointer(0.0)
		}
		*count(&row) = &n
		rows = append(rows, row)
		other -= n
	}
	slices.SortFunc(rows, func(a, b report.BreakdownRow) int {
		return cmp.Or(cmp.Compare(**count(&b), **count(&a)), cmp.Compare(a.Value, b.Value))
	})
	return rows, other
}

// checkCompared holds the rows of the other period against those of the same
// values there.
func checkCompared(t rapid.TB, got *report.Breakdown, before history) {
	t.Helper()
	byValue := map[string]report.BreakdownRow{}
	rows, _ := countBy(before, got.Dimension)
	for _, row := range rows {
		byValue[row.Value] = row
	}
	want := []report.BreakdownRow{}
	for _, row := range got.Rows {
		other, ok := byValue[row.Value]
		if !ok {
			other = report.BreakdownRow{Value: row.Value, Users: pointer(uint64(0)), UsersError: pointer(0.0)}
			switch got.Metric {
			case "events":
				other.Events = pointer(uint64(0))
			case "views":
				other.Views = pointer(uint64(0))
			case "visits":
				other.Visits, other.Users, other.UsersError = pointer(uint64(0)), nil, nil
			}
		}
		want = append(want, other)
	}
	same(t, "rows of the other period", got.Compare.Rows, want)
}
