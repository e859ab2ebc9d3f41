package report_test

import (
	"fmt"
	"math"
	"net/url"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/rollup"
)

// busyDays makes three days with more users and keys than a rollup keeps one
// by one: some come each day, some values are frequent and most are not.
func busyDays() history {
	const days, users = 3, 12_000
	var events history
	for d := range days {
		for u := range users {
			user := u + d*users/2 // every day half of the users of the day before
			for view := range 1 + user%3 {
				n := len(events)
				page := n % 7
				if n%3 == 0 {
					page = 7 + n%4001
				}
				e := newEvent("busy", fmt.Sprintf("2026-11-%02d", d+1), fmt.Sprintf("/%d", page), fmt.Sprintf("user %d", user), n)
				e.Time = civil(e.Date).Add(time.Duration(user%23)*time.Hour + time.Duration(view*(user%50))*time.Minute)
				e.Values[rollup.Country] = fmt.Sprintf("C%d", user%40)
				events = append(events, e)
			}
		}
	}
	return events
}

// within fails unless an estimate is within three standard errors.
func within(t *testing.T, what string, got, standardError, want float64) {
	t.Helper()
	if math.Abs(got-want) > 3*standardError {
		t.Errorf("%s: %.4f with a standard error of %.4f, is %.4f", what, got, standardError, want)
	}
}

// What is estimated on a busy site is within three of the standard errors that
// the answer gives, and what is exact is exact.
func TestEstimatesAreWithinTheirErrors(t *testing.T) {
	st := newStore(t)
	all := busyDays()
	const slice = 10_000 // events in one step
	for i := 0; i < len(all); i += slice {
		st.put(t, all[i:min(i+slice, len(all))])
	}
	h := serve(st, report.Options{}, quiet)
	query := url.Values{"site_id": {"busy"}}

	var users report.Users
	fetch(t, h, "/stats/users", query, &users)
	within(t, "users", float64(users.UniqueUsers), users.StandardError, float64(all.users()))
	if users.Exact || users.RelativeStandardError != 0.00813 {
		t.Errorf("users are %+v", users)
	}
	query.Set("exact", "true")
	fetch(t, h, "/stats/users", query, &users)
	if users.UniqueUsers != all.users() || !users.Exact || users.StandardError != 0 {
		t.Errorf("exact users are %+v, want %d", users, all.users())
	}
	query.Del("exact")

	var visits report.Visits
	fetch(t, h, "/stats/visits", query, &visits)
	counted, bounces := all.visits(), 0
	for _, visit := range counted {
		if len(visit) == 1 {
			bounces++
		}
	}
	if visits.Exact || visits.VisitsError == 0 {
		t.Errorf("visits are %+v", visits)
	}
	within(t, "visits", float64(visits.Visits), visits.VisitsError, float64(len(counted)))
	within(t, "bounce rate", *visits.BounceRate, *visits.BounceRateError, float64(bounces)/float64(len(counted)))

	var series report.Timeseries
	query.Set("interval", "hour")
	fetch(t, h, "/stats/timeseries", query, &series)
	byHour := map[string]history{}
	for _, e := range all {
		start := e.Time.Format("2006-01-02T15:00")
		byHour[start] = append(byHour[start], e)
	}
	for _, bucket := range series.Buckets {
		in := byHour[bucket.Start]
		if bucket.Events != uint64(len(in)) || bucket.Views != in.views() {
			t.Errorf("%s has %d events, want %d", bucket.Start, bucket.Events, len(in))
		}
		within(t, "users at "+bucket.Start, float64(bucket.Users), bucket.UsersError, float64(in.users()))
	}
	query.Del("interval")

	for _, dimension := range []string{"country", "path", "entry_page"} {
		query.Set("dimension", dimension)
		query.Set("limit", "1000")
		var got report.Breakdown
		fetch(t, h, "/stats/breakdown", query, &got)
		if got.Exact != (dimension == "country") || got.Floor > 0 != (dimension == "path") {
			t.Errorf("%s: exact is %t with a floor of %d", dimension, got.Exact, got.Floor)
		}
		checkEstimates(t, &got, all)
	}
}

// checkEstimates holds each row to the bounds and errors that it gives.
func checkEstimates(t *testing.T, got *report.Breakdown, all history) {
	t.Helper()
	rows, _ := countBy(all, got.Dimension)
	truth := map[string]report.BreakdownRow{}
	for _, row := range rows {
		truth[row.Value] = row
	}
	known := 0
	for _, row := range got.Rows {
		want := truth[row.Value]
		delete(truth, row.Value)
		what := got.Dimension + " " + row.Value
		switch {
		case row.Visits != nil && want.Visits != nil:
			// One visit more or less is what rounding may make of it.
			within(t, what, float64(*row.Visits), row.VisitsError+1, float64(*want.Visits))
		case row.Visits == nil:
			n, is := deref(row.Events)+deref(row.Views), deref(want.Events)+deref(want.Views)
			if is > n || is+row.CountError < n {
				t.Errorf("%s: %d is not between %d and %d less", what, is, n, row.CountError)
			}
		}
		if row.Users == nil {
			continue
		}
		known++
		users, is, most := float64(*row.Users), float64(*want.Users), float64(*row.Users)
		if row.UsersAtMost != nil {
			most = float64(*row.UsersAtMost)
		}
		if is < users-3**row.UsersError || is > most+3**row.UsersError {
			t.Errorf("%s: %.0f users are not between %.0f and %.0f, with a standard error of %.2f", what, is, users, most, *row.UsersError)
		}
	}
	if got.Dimension != "entry_page" && known < min(200, len(got.Rows)) {
		t.Errorf("%s: the users of %d values only are known", got.Dimension, known)
	}
	// What is on no page is rarer than the last row, or has at most the floor.
	if got.Values == len(got.Rows) && got.Dimension != "entry_page" {
		for value, row := range truth {
			if n := deref(row.Events) + deref(row.Views); n > got.Floor {
				t.Errorf("%s %s is missing with %d, and the floor is %d", got.Dimension, value, n, got.Floor)
			}
		}
	}
}

func deref(n *uint64) uint64 {
	if n == nil {
		return 0
	}
	return *n
}
