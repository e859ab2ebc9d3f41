package report

import (
	"fmt"
	"math"
	"strconv"

	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/rollup"
)

// about says what numbers are about. All numbers of a period of a site begin
// with it.
type about struct {
	Site string `json:"site_id" doc:"as asked"`
	Date string `json:"date,omitempty" doc:"the day, if one was asked for"`
	From string `json:"from,omitempty" doc:"otherwise the first day; if it was left open the first that has data, and left out when there is none"`
	To   string `json:"to,omitempty" doc:"the last day, in the same way"`
}

func aboutOf(q *query, p *period) about {
	if p.span.date {
		return about{Site: q.site, Date: p.span.from}
	}
	return about{Site: q.site, From: p.span.from, To: p.span.to}
}

// origin says where numbers come from. All numbers of a period end with it.
type origin struct {
	Source   string `json:"source" enum:"rollup,raw,mixed" doc:"read from rollups, counted from raw events, or some days this way and some that way; the numbers mean the same"`
	Timezone string `json:"timezone" doc:"the time zone whose days and hours these are"`
}

func originOf(p *period) origin {
	return origin{Source: p.source, Timezone: site.ZoneName(p.span.zone)}
}

// change tells how much more now is than before, as a share of that; nil when
// there was nothing.
func change(now, before float64) *float64 {
	if before == 0 {
		return nil
	}
	ratio := round((now-before)/before, 4)
	return &ratio
}

// changeOf is change for numbers that there may not be.
func changeOf(now, before *float64) *float64 {
	if now == nil || before == nil {
		return nil
	}
	return change(*now, *before)
}

// round cuts a number to some decimals; more of an estimate would only look
// precise.
func round(x float64, decimals int) float64 {
	unit := math.Pow10(decimals)
	return math.Round(x*unit) / unit
}

// whole gives an estimated count as a whole number.
func whole(x float64) uint64 { return uint64(math.Round(x)) }

// sparseUsers is the number of users up to which a sketch is surely sparse.
const sparseUsers = 5000

// usersError is the standard error of an estimate of n users by the sketch of
// a day or a range, as a number of users.
func usersError(n uint64) float64 {
	if n > sparseUsers {
		return round(float64(n)*rollup.SketchError, 2)
	}
	// A sparse sketch has 2^25 places. It errs by the number of users who fell
	// on the same one, n^2/2^26 as a mean and, as these are rare, as the
	// variance.
	return round(float64(n)/8192, 2)
}

// cells makes a row of a table, of the period that an answer is about and of
// numbers and texts.
func (a *about) cells(values ...any) []string {
	from, to := a.From, a.To
	if a.Date != "" {
		from, to = a.Date, a.Date
	}
	return append([]string{from, to}, cells(values...)...)
}

// cells makes a row of a table. A pointer that is nil is an empty cell.
func cells(values ...any) []string {
	row := make([]string, len(values))
	for i, value := range values {
		row[i] = cell(value)
	}
	return row
}

func cell(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case uint64:
		return strconv.FormatUint(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case *uint64:
		if v == nil {
			return ""
		}
		return cell(*v)
	case *float64:
		if v == nil {
			return ""
		}
		return cell(*v)
	}
	panic(fmt.Sprintf("a table has a cell of type %T", value))
}
