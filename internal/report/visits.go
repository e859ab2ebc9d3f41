package report

import "github.com/daybook-analytics/daybook/rollup"

var visitsEndpoint = endpoint{
	path:    "/stats/visits",
	summary: "The visits of a period: how many, how long, and how many had one event only.",
	sample:  Visits{},
	params:  commonParams,
	fields:  func(*query) rollup.Fields { return rollup.VisitsField },
	months:  true,
	answer: func(q *query, now, before *period) (any, error) {
		answer := &Visits{VisitsNumbers: visitsNumbers(q, now)}
		if before != nil {
			compare := visitsNumbers(q, before)
			answer.Compare = &compare
			answer.Change = &VisitsChange{
				Visits:          change(float64(answer.Visits), float64(compare.Visits)),
				BounceRate:      changeOf(answer.BounceRate, compare.BounceRate),
				ViewsPerVisit:   changeOf(answer.ViewsPerVisit, compare.ViewsPerVisit),
				AverageDuration: changeOf(answer.AverageDuration, compare.AverageDuration),
			}
		}
		return answer, nil
	},
	table: func(answer any) [][]string {
		a := answer.(*Visits)
		rows := [][]string{
			{"from", "to", "visits", "visits_error", "bounce_rate", "bounce_rate_error", "views_per_visit", "average_duration"},
			a.row(),
		}
		if a.Compare != nil {
			rows = append(rows, a.Compare.row())
		}
		return rows
	},
}

// Visits is the answer of GET /stats/visits.
type Visits struct {
	VisitsNumbers
	Compare *VisitsNumbers `json:"compare,omitempty"`
	Change  *VisitsChange  `json:"change,omitempty"`
	AsOf    *string        `json:"as_of"`
}

// VisitsNumbers are the numbers of Visits for one period.
type VisitsNumbers struct {
	about
	Visits          uint64   `json:"visits" doc:"visits: runs of events of one user on one day with at most 30 minutes between two of them"`
	VisitsError     float64  `json:"visits_error" doc:"the standard error of visits; 0 when exact"`
	BounceRate      *float64 `json:"bounce_rate" doc:"the share of visits with one event only, 0 to 1; null without visits"`
	BounceRateError *float64 `json:"bounce_rate_error" doc:"the standard error of bounce_rate; 0 when exact"`
	ViewsPerVisit   *float64 `json:"views_per_visit" doc:"page views in a visit, on average; null without visits"`
	AverageDuration *float64 `json:"average_duration" doc:"seconds from the first event of a visit to its last, on average; null without visits"`
	Exact           bool     `json:"exact" doc:"true: all visits were counted. false: on a day with more than 4,096 users they are estimated from a sample of its users"`
	origin
}

// VisitsChange tells how the numbers of Visits have changed.
type VisitsChange struct {
	Visits          *float64 `json:"visits"`
	BounceRate      *float64 `json:"bounce_rate"`
	ViewsPerVisit   *float64 `json:"views_per_visit"`
	AverageDuration *float64 `json:"average_duration"`
}

func visitsNumbers(q *query, p *period) VisitsNumbers {
	stats := p.sum().Visits.Stats()
	n := VisitsNumbers{
		about:       aboutOf(q, p),
		Visits:      whole(stats.Visits),
		VisitsError: round(stats.VisitsError(), 2),
		Exact:       stats.Exact,
		origin:      originOf(p),
	}
	if stats.Visits > 0 {
		mean := func(total float64, decimals int) *float64 {
			x := round(total/stats.Visits, decimals)
			return &x
		}
		n.BounceRate = mean(stats.Bounces, 4)
		n.ViewsPerVisit = mean(stats.Views, 3)
		n.AverageDuration = mean(stats.Seconds, 1)
		err := round(stats.BounceRateError(), 5)
		n.BounceRateError = &err
	}
	return n
}

func (n *VisitsNumbers) row() []string {
	return n.cells(n.Visits, n.VisitsError, n.BounceRate, n.BounceRateError, n.ViewsPerVisit, n.AverageDuration)
}
