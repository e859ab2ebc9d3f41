package report

import (
	"cmp"
	"slices"
	"strings"

	"github.com/daybook-analytics/daybook/rollup"
)

// dimension is what a breakdown is by: a dimension of events, or one of the
// two that visits have.
type dimension int

// The dimensions of visits follow those of events.
const (
	entryPage = dimension(rollup.NumDimensions) + iota
	exitPage
	numDimensions
)

func (d dimension) String() string {
	switch d {
	case entryPage:
		return "entry_page"
	case exitPage:
		return "exit_page"
	}
	return rollup.Dimension(d).String()
}

// metric names what the rows of the dimension count.
func (d dimension) metric() string {
	switch {
	case d >= entryPage:
		return "visits"
	case rollup.Dimension(d).CountsViews():
		return "views"
	}
	return "events"
}

// table gives the counts of the dimension, and of what they are a part.
func (d dimension) table(day *rollup.Day) (t *rollup.Table, total uint64, visits *rollup.VisitStats) {
	switch d.metric() {
	case "visits":
		visits = day.Visits.Stats()
		if d == entryPage {
			return &visits.Entry, whole(visits.Visits), visits
		}
		return &visits.Exit, whole(visits.Visits), visits
	case "views":
		return &day.Tables[d], day.Views, nil
	}
	if rollup.Dimension(d) == rollup.Bot {
		return &day.Tables[d], day.Bots(), nil
	}
	return &day.Tables[d], day.Events, nil
}

var dimensionNames = func() []string {
	names := make([]string, numDimensions)
	for d := range numDimensions {
		names[d] = d.String()
	}
	return names
}()

var dimensionParam = parameter{
	name: "dimension", required: true,
	meaning: "by what", allowed: strings.Join(dimensionNames, ", "), values: dimensionNames,
	set: func(q *query, value string) error {
		q.dimension = dimension(slices.Index(dimensionNames, value))
		return checkWord("dimension", value, dimensionNames)
	},
}

var breakdownEndpoint = endpoint{
	path:    "/stats/breakdown",
	summary: "The values of one dimension in a period, with their counts and users, most frequent first.",
	sample:  Breakdown{},
	params:  slices.Concat(commonParams, []parameter{dimensionParam, limitParam, pageParam}),
	fields: func(q *query) rollup.Fields {
		if q.dimension >= entryPage {
			return rollup.PagesField
		}
		return rollup.TableField(rollup.Dimension(q.dimension))
	},
	months: true,
	answer: func(q *query, now, before *period) (any, error) {
		table, numbers := breakdownOf(q, now)
		top, exact := table.Top(q.page * q.limit)
		numbers.Exact = numbers.Exact && exact
		for _, row := range top[min(len(top), (q.page-1)*q.limit):] {
			numbers.add(row)
		}
		answer := &Breakdown{BreakdownNumbers: *numbers}
		if before != nil {
			answer.Compare = compareRows(q, before, numbers.Rows)
			answer.Change = &BreakdownChange{Total: change(float64(numbers.Total), float64(answer.Compare.Total))}
		}
		return answer, nil
	},
	table: breakdownTable,
}

// Breakdown is the answer of GET /stats/breakdown.
type Breakdown struct {
	BreakdownNumbers
	Compare *BreakdownNumbers `json:"compare,omitempty" doc:"the same of the other period, where one is compared. Its rows are those of the same values, in the same order, whatever their place was"`
	Change  *BreakdownChange  `json:"change,omitempty"`
	AsOf    *string           `json:"as_of"`
}

// BreakdownNumbers are the numbers of Breakdown for one period.
type BreakdownNumbers struct {
	about
	Dimension string         `json:"dimension" doc:"as asked"`
	Metric    string         `json:"metric" enum:"events,views,visits" doc:"what is counted: views by path, visits by entry and exit page, events by all others"`
	Total     uint64         `json:"total" doc:"all that was counted in the period, whatever the value; by bot the events of all bots"`
	Other     uint64         `json:"other" doc:"the part of total that no value of the table has: what has no value there or, where floor is not 0, one that is not kept"`
	Values    int            `json:"values" doc:"how many values the table has, on all pages together"`
	Exact     bool           `json:"exact" doc:"true: the rows up to this page are those with the highest counts, which are exact"`
	Floor     uint64         `json:"floor" doc:"the most that a value which is not in the table can have; 0: there are no others"`
	Rows      []BreakdownRow `json:"rows" doc:"the values of the page, highest count first; equal ones by name"`
	origin

	// visits tells how exact visits are; nil where they are not counted.
	visits *rollup.VisitStats
}

// BreakdownRow is one value with its counts.
type BreakdownRow struct {
	Value       string   `json:"value" doc:"the value"`
	Events      *uint64  `json:"events,omitempty" doc:"the events with the value, where metric is events"`
	Views       *uint64  `json:"views,omitempty" doc:"the views with the value, where metric is views"`
	Visits      *uint64  `json:"visits,omitempty" doc:"the visits with the value, where metric is visits"`
	CountError  uint64   `json:"count_error,omitempty" doc:"only where the count may be too high: the true number lies between it and so many less"`
	VisitsError float64  `json:"visits_error,omitempty" doc:"the standard error of visits, where they are estimated"`
	Share       float64  `json:"share" doc:"the count as a share of total"`
	Users       *uint64  `json:"users" doc:"the distinct users of the events that are counted; an estimate. null where it is not known: of visits, and where the value was not among the first 200 of some day. Bots have none"`
	UsersError  *float64 `json:"users_error" doc:"the standard error of users, in users"`
	UsersAtMost *uint64  `json:"users_at_most,omitempty" doc:"only where not all users were seen: there are at least users and at most so many, give or take the error"`
}

// BreakdownChange tells how the total of Breakdown has changed.
type BreakdownChange struct {
	Total *float64 `json:"total"`
}

// breakdownOf begins the numbers of a period, without rows, so that they are
// exact unless visits are estimated.
func breakdownOf(q *query, p *period) (*rollup.Table, *BreakdownNumbers) {
	table, total, visits := q.dimension.table(p.sum())
	n := &BreakdownNumbers{
		about:     aboutOf(q, p),
		Dimension: q.dimension.String(),
		Metric:    q.dimension.metric(),
		Total:     total,
		Other:     total,
		Values:    table.Len(),
		Exact:     visits == nil || visits.Exact,
		Floor:     table.Floor(),
		Rows:      []BreakdownRow{},
		origin:    originOf(p),
		visits:    visits,
	}
	for _, row := range table.Rows() {
		n.Other -= min(n.Other, row.N-row.Err)
	}
	return table, n
}

// add appends the row of a value.
func (n *BreakdownNumbers) add(c rollup.Count) {
	row := BreakdownRow{Value: c.Key, CountError: c.Err}
	switch n.Metric {
	case "visits":
		row.Visits = &c.N
		row.VisitsError = round(n.visits.RowError(c.N), 2)
	case "views":
		row.Views = &c.N
	default:
		row.Events = &c.N
	}
	if n.Total > 0 {
		row.Share = round(float64(c.N)/float64(n.Total), 6)
	}
	if c.Users != nil {
		users := c.Users.Estimate()
		usersError := round(float64(users)*c.Users.Error(), 2)
		row.Users, row.UsersError = &users, &usersError
		if c.Missed > 0 {
			most := users + c.Missed
			row.UsersAtMost = &most
		}
	}
	n.Rows = append(n.Rows, row)
}

// compareRows gives the numbers of the other period for the values of rows.
func compareRows(q *query, before *period, rows []BreakdownRow) *BreakdownNumbers {
	table, numbers := breakdownOf(q, before)
	wanted := make(map[string]rollup.Count, len(rows))
	for _, row := range rows {
		// A value that is not in the table may have had up to its floor.
		c := rollup.Count{Key: row.Value, N: table.Floor(), Err: table.Floor()}
		if table.Floor() == 0 && numbers.visits == nil {
			c.Users = rollup.NewUniques(rollup.KeyPrecision) // nobody
		}
		wanted[row.Value] = c
	}
	for _, c := range table.Rows() {
		if _, ok := wanted[c.Key]; ok {
			wanted[c.Key] = c
		}
	}
	for _, row := range rows {
		c := wanted[row.Value]
		numbers.add(c)
		numbers.Exact = numbers.Exact && c.Err == 0
	}
	return numbers
}

// count is the number of the row that is not nil.
func (r *BreakdownRow) count() *uint64 {
	return cmp.Or(r.Events, r.Views, r.Visits)
}

func breakdownTable(answer any) [][]string {
	a := answer.(*Breakdown)
	header := []string{a.Dimension, a.Metric, "share", "users", "users_error", "users_at_most", "count_error", "visits_error"}
	if a.Compare != nil {
		header = append(header, "compare_"+a.Metric, "compare_share", "compare_users")
	}
	rows := [][]string{header}
	for i, r := range a.Rows {
		row := cells(r.Value, r.count(), r.Share, r.Users, r.UsersError, r.UsersAtMost, r.CountError, r.VisitsError)
		if a.Compare != nil {
			other := &a.Compare.Rows[i]
			row = append(row, cells(other.count(), other.Share, other.Users)...)
		}
		rows = append(rows, row)
	}
	return rows
}
