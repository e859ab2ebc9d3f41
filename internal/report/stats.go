package report

import (
	"slices"

	"github.com/daybook-analytics/daybook/rollup"
)

var statsEndpoint = endpoint{
	path:    "/stats",
	summary: "The headline numbers and the top paths of a period.",
	sample:  Stats{},
	params:  slices.Concat(commonParams, []parameter{limitParam}),
	fields:  func(*query) rollup.Fields { return rollup.TableField(rollup.Path) },
	bots:    true,
	months:  true,
	answer: func(q *query, now, before *period) (any, error) {
		answer := &Stats{StatsNumbers: statsNumbers(q, now)}
		if before != nil {
			compare := statsNumbers(q, before)
			answer.Compare = &compare
			answer.Change = &StatsChange{
				TotalViews:  change(float64(answer.TotalViews), float64(compare.TotalViews)),
				UniqueUsers: change(float64(answer.UniqueUsers), float64(compare.UniqueUsers)),
				TotalEvents: change(float64(answer.TotalEvents), float64(compare.TotalEvents)),
				Bots:        change(float64(answer.Bots), float64(compare.Bots)),
			}
		}
		return answer, nil
	},
	table: func(answer any) [][]string {
		a := answer.(*Stats)
		rows := [][]string{
			{"from", "to", "total_events", "total_views", "unique_users", "bots"},
			a.row(),
		}
		if a.Compare != nil {
			rows = append(rows, a.Compare.row())
		}
		return rows
	},
}

// Stats is the answer of GET /stats.
type Stats struct {
	StatsNumbers
	Compare *StatsNumbers `json:"compare,omitempty"`
	Change  *StatsChange  `json:"change,omitempty"`
	AsOf    *string       `json:"as_of"`
}

// StatsNumbers are the numbers of Stats for one period.
type StatsNumbers struct {
	about
	TotalViews    uint64      `json:"total_views" doc:"events of type page_view; exact"`
	UniqueUsers   uint64      `json:"unique_users" doc:"distinct users over the whole period: who came on three days counts once; an estimate with a standard error of 0.81 %"`
	TopPaths      []PathViews `json:"top_paths" doc:"the paths with the most views, most first; equal ones by name"`
	TotalEvents   uint64      `json:"total_events" doc:"events of all types; exact"`
	Bots          uint64      `json:"bots" doc:"events of bots, which are in none of the other numbers; exact. GET /stats/breakdown with dimension=bot has them by reason"`
	TopPathsExact bool        `json:"top_paths_exact" doc:"true: these are the most viewed paths, with their exact counts. false: there were more paths than are kept, so that a row has a views_error, or a path that is not listed may have more views than the last row"`
	origin
}

// PathViews is one row of the top paths.
type PathViews struct {
	Path       string `json:"path" doc:"the path"`
	Views      uint64 `json:"views" doc:"its views"`
	ViewsError uint64 `json:"views_error,omitempty" doc:"only where views may be too high: the true number lies between views - views_error and views"`
}

// StatsChange tells how the numbers of Stats have changed.
type StatsChange struct {
	TotalViews  *float64 `json:"total_views"`
	UniqueUsers *float64 `json:"unique_users"`
	TotalEvents *float64 `json:"total_events"`
	Bots        *float64 `json:"bots"`
}

func statsNumbers(q *query, p *period) StatsNumbers {
	total := p.sum()
	n := StatsNumbers{
		about:       aboutOf(q, p),
		origin:      originOf(p),
		TotalViews:  total.Views,
		UniqueUsers: total.Users.Estimate(),
		TopPaths:    []PathViews{},
		TotalEvents: total.Events,
		Bots:        total.Bots(),
	}
	top, exact := total.Tables[rollup.Path].Top(q.limit)
	n.TopPathsExact = exact
	for _, row := range top {
		n.TopPaths = append(n.TopPaths, PathViews{Path: row.Key, Views: row.N, ViewsError: row.Err})
	}
	return n
}

func (n *StatsNumbers) row() []string {
	return n.cells(n.TotalEvents, n.TotalViews, n.UniqueUsers, n.Bots)
}
