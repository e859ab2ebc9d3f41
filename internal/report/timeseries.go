package report

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

// Intervals of a time series.
const (
	byHour  = "hour"
	byDay   = "day"
	byWeek  = "week"
	byMonth = "month"
)

// maxBuckets is the most buckets of one answer: a hundred days by hour, or
// six years by day.
const maxBuckets = 2400

var intervalParam = wordParam("interval",
	"how long a bucket is; without it an hour for up to 2 days, if both ends are given, a day for up to 92, a week for up to 366, a month for more",
	[]string{byHour, byDay, byWeek, byMonth}, func(q *query) *string { return &q.interval })

var timeseriesEndpoint = endpoint{
	path:    "/stats/timeseries",
	summary: "Events, views, users and visits of a period by hour, day, week or month.",
	sample:  Timeseries{},
	params:  slices.Concat(commonParams, []parameter{intervalParam}),
	fields: func(q *query) rollup.Fields {
		// How long an open period is shows only when it is read.
		open := q.interval == "" && (q.span.from == "" || q.span.to == "")
		if open || intervalOf(q, q.span) == byHour {
			return rollup.HourUsersField | rollup.VisitsField
		}
		return rollup.VisitsField
	},
	answer: func(q *query, now, before *period) (any, error) {
		numbers, err := timeseriesNumbers(q, now)
		if err != nil {
			return nil, err
		}
		answer := &Timeseries{TimeseriesNumbers: *numbers}
		if before == nil {
			return answer, nil
		}
		if answer.Compare, err = timeseriesNumbers(q, before); err != nil {
			return nil, err
		}
		one, other := &answer.Total, &answer.Compare.Total
		answer.Change = &TimeseriesChange{
			Events: change(float64(one.Events), float64(other.Events)),
			Views:  change(float64(one.Views), float64(other.Views)),
			Users:  change(float64(one.Users), float64(other.Users)),
			Visits: change(float64(*one.Visits), float64(*other.Visits)),
		}
		return answer, nil
	},
	table: timeseriesTable,
}

// Timeseries is the answer of GET /stats/timeseries.
type Timeseries struct {
	TimeseriesNumbers
	Compare *TimeseriesNumbers `json:"compare,omitempty"`
	Change  *TimeseriesChange  `json:"change,omitempty"`
	AsOf    *string            `json:"as_of"`
}

// TimeseriesNumbers are the numbers of Timeseries for one period.
type TimeseriesNumbers struct {
	about
	Interval string   `json:"interval" enum:"hour,day,week,month" doc:"how long a bucket is"`
	Total    Counts   `json:"total" doc:"the whole period; users of several buckets count once in it"`
	Buckets  []Bucket `json:"buckets" doc:"all buckets of the period in order of time, empty ones and those of the future included"`
	origin
}

// Counts is what is counted in a bucket, or in all of them.
type Counts struct {
	Events      uint64   `json:"events" doc:"events of all types; exact"`
	Views       uint64   `json:"views" doc:"events of type page_view; exact"`
	Users       uint64   `json:"users" doc:"distinct users; an estimate"`
	UsersError  float64  `json:"users_error" doc:"the standard error of users, in users"`
	Visits      *uint64  `json:"visits" doc:"visits, see GET /stats/visits; null by hour, since a visit belongs to a day"`
	VisitsError *float64 `json:"visits_error" doc:"the standard error of visits"`
}

// Bucket is one step of a time series.
type Bucket struct {
	Start string `json:"start" doc:"the first date of the bucket in the period, as YYYY-MM-DD: weeks begin on Mondays, but the first bucket begins with the period. By hour the date and the hour that the site's clocks show, as YYYY-MM-DDTHH:00"`
	Counts
}

// TimeseriesChange tells how the totals of Timeseries have changed.
type TimeseriesChange struct {
	Events *float64 `json:"events"`
	Views  *float64 `json:"views"`
	Users  *float64 `json:"users"`
	Visits *float64 `json:"visits"`
}

func timeseriesNumbers(q *query, p *period) (*TimeseriesNumbers, error) {
	n := &TimeseriesNumbers{
		about:    aboutOf(q, p),
		Interval: intervalOf(q, p.span),
		Buckets:  []Bucket{},
		origin:   originOf(p),
	}
	var total tally
	if p.span.from == "" || p.span.to == "" {
		n.Total = total.counts()
		return n, nil // no day has data
	}
	if buckets := bucketsOf(p.span, n.Interval); buckets > maxBuckets {
		return nil, web.Invalid("interval", n.Interval, fmt.Sprintf("gives about %d buckets for %d days", buckets, p.span.days()),
			fmt.Sprintf("a longer interval or a shorter period, with at most %d buckets", maxBuckets))
	}
	if n.Interval == byHour {
		n.Buckets = hourBuckets(p)
		for _, day := range p.days {
			total.add(day)
		}
	} else {
		n.Buckets = dayBuckets(p, n.Interval, &total)
	}
	n.Total = total.counts()
	return n, nil
}

// intervalOf gives the interval that was asked for, or one that makes a chart
// of a span that can be read. Beside the asked period the other one has the
// same, as both are equally long but for a leap day. An open period has no
// hours, so that what is read does not depend on what there is.
func intervalOf(q *query, s span) string {
	open := q.span.from == "" || q.span.to == ""
	if !open {
		s = q.span
	}
	switch {
	case q.interval != "":
		return q.interval
	case s.from == "" || s.to == "":
		return byDay
	case s.days() <= 2 && !open:
		return byHour
	case s.days() <= 92:
		return byDay
	case s.days() <= 366:
		return byWeek
	}
	return byMonth
}

// bucketsOf is about how many buckets a span has.
func bucketsOf(s span, interval string) int {
	days := s.days()
	switch interval {
	case byHour:
		return 24 * days
	case byWeek:
		return (days + 6) / 7
	case byMonth:
		return (days + 27) / 28
	}
	return days
}

// hourBuckets makes a bucket for each hour that clocks show on the days of the
// span. An hour that comes twice, when clocks are put back, is one bucket with
// all of it, as in the rollups; one that is left out has none.
func hourBuckets(p *period) []Bucket {
	days := make(map[string]*rollup.Day, len(p.days))
	for _, day := range p.days {
		days[day.Date] = day
	}
	buckets := make([]Bucket, 0, 24*p.span.days())
	for date, last := civil(p.span.from), civil(p.span.to); !date.After(last); date = date.AddDate(0, 0, 1) {
		day, shown := days[dateOf(date)], hoursOf(p.span.zone, dateOf(date))
		for hour := range 24 {
			var n Counts
			if day != nil {
				users := &day.HourUsers[hour]
				n.Events, n.Views, n.Users = day.HourEvents[hour], day.HourViews[hour], users.Estimate()
				n.UsersError = round(float64(n.Users)*users.Error(), 2)
			}
			if shown[hour] || n.Events > 0 {
				buckets = append(buckets, Bucket{Start: fmt.Sprintf("%sT%02d:00", dateOf(date), hour), Counts: n})
			}
		}
	}
	return buckets
}

// hoursOf tells which hours clocks show on a date of a zone.
func hoursOf(zone, date string) [24]bool {
	var shown [24]bool
	clock, err := event.NewClock(zone, date)
	if err != nil {
		// Zones were checked when they were set, and dates when they were
		// parsed; an early date has no clock, nor any events.
		for hour := range shown {
			shown[hour] = true
		}
		return shown
	}
	// Clocks are put forward and back by quarters of an hour or more.
	for ms := clock.Begin; ms < clock.End; ms += (15 * time.Minute).Milliseconds() {
		if t := time.UnixMilli(ms); clock.Contains(t) {
			shown[clock.Hour(t)] = true
		}
	}
	return shown
}

// dayBuckets makes a bucket for each day, week or month of the span, and adds
// them up in total.
func dayBuckets(p *period, interval string, total *tally) []Bucket {
	var starts []string
	tallies := make(map[string]*tally)
	for date, last := civil(p.span.from), civil(p.span.to); !date.After(last); date = date.AddDate(0, 0, 1) {
		if key := bucketOf(date, interval); tallies[key] == nil {
			tallies[key] = new(tally)
			starts = append(starts, dateOf(date))
		}
	}
	for _, day := range p.days {
		date := day.Date
		if len(date) == len("YYYY-MM") {
			date += "-01"
		}
		tallies[bucketOf(civil(date), interval)].add(day)
	}
	buckets := make([]Bucket, len(starts))
	for i, start := range starts {
		bucket := tallies[bucketOf(civil(start), interval)]
		buckets[i] = Bucket{Start: start, Counts: bucket.counts()}
		total.join(bucket)
	}
	return buckets
}

// bucketOf gives a name to the bucket that a date is in.
func bucketOf(date time.Time, interval string) string {
	switch interval {
	case byWeek:
		sinceMonday := (int(date.Weekday()) + 6) % 7
		return dateOf(date.AddDate(0, 0, -sinceMonday))
	case byMonth:
		return date.Format("2006-01")
	}
	return dateOf(date)
}

// tally adds up days, which are only read, or other tallies.
type tally struct {
	events, views uint64
	users         rollup.Sketch
	// variance is that of visits, which may be an estimate.
	visits, variance float64
}

func (t *tally) add(day *rollup.Day) {
	t.events += day.Events
	t.views += day.Views
	t.users.Merge(&day.Users)
	stats := day.Visits.Stats()
	t.visits += stats.Visits
	t.variance += stats.Variance
}

func (t *tally) join(other *tally) {
	t.events += other.events
	t.views += other.views
	t.users.Merge(&other.users)
	t.visits += other.visits
	t.variance += other.variance
}

func (t *tally) counts() Counts {
	users, visits := t.users.Estimate(), whole(t.visits)
	visitsError := round(math.Sqrt(t.variance), 2)
	return Counts{
		Events: t.events, Views: t.views,
		Users: users, UsersError: usersError(users),
		Visits: &visits, VisitsError: &visitsError,
	}
}

// timeseriesTable puts the buckets of the other period beside those of the
// asked one, in order: both are equally long but for a leap day.
func timeseriesTable(answer any) [][]string {
	a := answer.(*Timeseries)
	header := []string{"start", "events", "views", "users", "users_error", "visits", "visits_error"}
	if a.Compare == nil {
		return append([][]string{header}, bucketRows(a.Buckets, len(a.Buckets))...)
	}
	for _, column := range header {
		header = append(header, "compare_"+column)
	}
	n := max(len(a.Buckets), len(a.Compare.Buckets))
	rows := bucketRows(a.Buckets, n)
	for i, other := range bucketRows(a.Compare.Buckets, n) {
		rows[i] = append(rows[i], other...)
	}
	return append([][]string{header}, rows...)
}

// bucketRows makes n rows of buckets, the last ones empty if there are fewer.
func bucketRows(buckets []Bucket, n int) [][]string {
	rows := make([][]string, n)
	for i := range rows {
		if i >= len(buckets) {
			rows[i] = make([]string, 7)
			continue
		}
		b := &buckets[i]
		rows[i] = cells(b.Start, b.Events, b.Views, b.Users, b.UsersError, b.Visits, b.VisitsError)
	}
	return rows
}
