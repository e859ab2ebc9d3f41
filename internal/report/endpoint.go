package report

import (
	"context"

	"github.com/daybook-analytics/daybook/rollup"
)

// endpoint is one kind of question, answered for GET, and as one of several
// questions in a POST.
type endpoint struct {
	path string
	// summary says in one sentence for the documentation what is answered.
	// sample is an empty answer; its type describes the answers there.
	summary string
	sample  any
	// params are all parameters that it takes.
	params []parameter
	// fields says what the answer is made of beside what is small; nil is
	// nothing.
	fields func(q *query) rollup.Fields
	// bots tells that answers have the number of events of bots.
	bots bool
	// months tells that the answer is made from the sum of the period, so
	// that months may stand for their days. Otherwise it is made from the
	// single days, and the period has no sum; with q.interval "month" months
	// may be among them.
	months bool
	// answer makes the answer, a struct that is encoded as JSON. before is
	// nil unless something is compared. The last field of every answer is
	// AsOf *string `json:"as_of"`; it is left nil, and filled in when the
	// answer is sent, because the same answer may be sent again later. An
	// answer depends on q, on the periods, and on no clock but q.today. An
	// error says what is wrong with the question.
	answer func(q *query, now, before *period) (any, error)
	// table makes the rows of the CSV of an answer, the first being the
	// header; nil if it has none.
	table func(answer any) [][]string
	// run, if set, answers instead of answer, for what is not about periods of
	// one site. Such an answer is never kept.
	run func(ctx context.Context, r *Report, q *query) (any, error)
}

// endpoints are all of them. Each has a file of its own.
var endpoints = []*endpoint{
	&statsEndpoint, &timeseriesEndpoint, &breakdownEndpoint, &usersEndpoint, &visitsEndpoint, &sitesEndpoint, &realtimeEndpoint,
}

// fields gives those that the answer is made of. The table of bots, which has a
// few rows, is always among them: so no field is read twice because one answer
// wants it with that table and another one without.
func (q *query) fields() rollup.Fields {
	bots := rollup.TableField(rollup.Bot)
	if q.endpoint.fields == nil {
		return bots
	}
	return q.endpoint.fields(q) | bots
}
