package report

import "slices"

var exactParam = flagParam("exact", "count each user, from the raw events", func(q *query) *bool { return &q.exact })

var usersEndpoint = endpoint{
	path:    "/stats/users",
	summary: "The distinct users of a period.",
	sample:  Users{},
	params:  slices.Concat(commonParams, []parameter{exactParam}),
	months:  true,
	answer: func(q *query, now, before *period) (any, error) {
		answer := &Users{UsersNumbers: usersNumbers(q, now)}
		if before != nil {
			compare := usersNumbers(q, before)
			answer.Compare = &compare
			answer.Change = &UsersChange{
				UniqueUsers: change(float64(answer.UniqueUsers), float64(compare.UniqueUsers)),
			}
		}
		return answer, nil
	},
	table: func(answer any) [][]string {
		a := answer.(*Users)
		rows := [][]string{
			{"from", "to", "unique_users", "standard_error", "relative_standard_error"},
			a.row(),
		}
		if a.Compare != nil {
			rows = append(rows, a.Compare.row())
		}
		return rows
	},
}

// Users is the answer of GET /stats/users.
type Users struct {
	UsersNumbers
	Compare *UsersNumbers `json:"compare,omitempty"`
	Change  *UsersChange  `json:"change,omitempty"`
	AsOf    *string       `json:"as_of"`
}

// UsersNumbers are the numbers of Users for one period.
type UsersNumbers struct {
	about
	UniqueUsers           uint64  `json:"unique_users" doc:"distinct users over the whole period: who came on three days counts once"`
	StandardError         float64 `json:"standard_error" doc:"the standard error of the estimate, in users: in 95 of 100 cases it is off by less than twice as much"`
	RelativeStandardError float64 `json:"relative_standard_error" doc:"the same as a share of unique_users"`
	Exact                 bool    `json:"exact" doc:"true: counted, not estimated"`
	origin
}

// UsersChange tells how the numbers of Users have changed.
type UsersChange struct {
	UniqueUsers *float64 `json:"unique_users"`
}

func usersNumbers(q *query, p *period) UsersNumbers {
	n := UsersNumbers{about: aboutOf(q, p), origin: originOf(p)}
	if p.exactUsers != nil {
		n.UniqueUsers, n.Exact = *p.exactUsers, true
		return n
	}
	n.UniqueUsers = p.sum().Users.Estimate()
	n.StandardError = usersError(n.UniqueUsers)
	if n.UniqueUsers > 0 {
		n.RelativeStandardError = round(n.StandardError/float64(n.UniqueUsers), 5)
	}
	return n
}

func (n *UsersNumbers) row() []string {
	return n.cells(n.UniqueUsers, n.StandardError, n.RelativeStandardError)
}
