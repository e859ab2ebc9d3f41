package report

import (
	"slices"

	"github.com/daybook-analytics/daybook/rollup"
)

var statsEndpoint = endpoint{
	path:   "/stats",
	params: slices.Concat(commonParams, []parameter{limitParam}),
	parts:  func(*query) parts { return tablePart(rollup.Path) },
	months: true,
	answer: func(q *query, now, _ *period) (any, error) { return stats(q, now), nil },
}

// Stats is the answer of GET /stats; docs/api-report.md has the meaning of its
// fields.
type Stats struct {
	Site          string      `json:"site_id"`
	Date          string      `json:"date,omitempty"`
	From          string      `json:"from,omitempty"`
	To            string      `json:"to,omitempty"`
	TotalViews    uint64      `json:"total_views"`
	UniqueUsers   uint64      `json:"unique_users"`
	TopPaths      []PathViews `json:"top_paths"`
	TotalEvents   uint64      `json:"total_events"`
	TopPathsExact bool        `json:"top_paths_exact"`
	Source        string      `json:"source"`
	// AsOf is nil when the store has no checkpoint yet.
	AsOf *string `json:"as_of"`
}

// PathViews is one row of the top paths.
type PathViews struct {
	Path  string `json:"path"`
	Views uint64 `json:"views"`
	// ViewsError is how far Views may be too high.
	ViewsError uint64 `json:"views_error,omitempty"`
}

func stats(q *query, now *period) *Stats {
	total := now.sum()
	answer := &Stats{
		Site:        q.site,
		TotalViews:  total.Views,
		UniqueUsers: total.Users.Estimate(),
		TopPaths:    []PathViews{},
		TotalEvents: total.Events,
		Source:      now.source,
	}
	if now.span.date {
		answer.Date = now.span.from
	} else {
		answer.From, answer.To = now.span.from, now.span.to
	}
	top, exact := total.Tables[rollup.Path].Top(q.limit)
	answer.TopPathsExact = exact
	for _, row := range top {
		answer.TopPaths = append(answer.TopPaths, PathViews{Path: row.Key, Views: row.N, ViewsError: row.Err})
	}
	return answer
}
