package report

import (
	"time"

	"github.com/daybook-analytics/daybook/internal/web"
)

// span is a period of days in the time zone of a site.
type span struct {
	// from and to are dates, both inclusive. An empty one is open: the first
	// or the last day that has data.
	from, to string
	// zone is the IANA name of the time zone whose days these are; "" is UTC.
	zone string
	// zones are all zones that the dates of the site's raw events may be in.
	zones []string
	// date tells that one day is asked for as such, and not as a range.
	date bool
}

// asked is a period as it stands in a query, before the zone of the site and
// with it the date of today is known.
type asked struct {
	date, from, to string
	// word is one of periodWords, compare one of compareWords, or empty.
	word, compare string
}

// Words for periods and for what is compared with one.
var (
	periodWords  = []string{"today", "yesterday", "7d", "30d", "month", "year", "all"}
	compareWords = []string{"previous", "year"}
)

// check refuses what contradicts itself.
func (a asked) check() error {
	const either = "either date, or from and to, or period, or none of them"
	switch {
	case a.word != "" && (a.date != "" || a.from != "" || a.to != ""):
		return web.Invalid("period", a.word, "cannot be combined with date, from and to", either)
	case a.date != "" && (a.from != "" || a.to != ""):
		return web.Invalid("date", a.date, "cannot be combined with from and to", either)
	case a.from != "" && a.to != "" && a.from > a.to:
		return web.Invalid("from", a.from, "is later than to", "a date not later than "+a.to)
	case a.compare != "" && a.date == "" && (a.from == "" || a.to == "") && (a.word == "" || a.word == "all"):
		return web.Invalid("compare", a.compare, "needs a period with a first and a last day", "with date, from and to, or a period other than all")
	}
	return nil
}

// span gives the days that are asked for. today is a date of the site's zone.
func (a asked) span(today string) span {
	day := civil(today)
	since := func(first time.Time) span { return span{from: dateOf(first), to: today} }
	switch a.word {
	case "today":
		return span{from: today, to: today, date: true}
	case "yesterday":
		yesterday := dateOf(day.AddDate(0, 0, -1))
		return span{from: yesterday, to: yesterday, date: true}
	case "7d":
		return since(day.AddDate(0, 0, -6))
	case "30d":
		return since(day.AddDate(0, 0, -29))
	case "month":
		return since(day.AddDate(0, 0, 1-day.Day()))
	case "year":
		return since(day.AddDate(0, 0, 1-day.YearDay()))
	}
	if a.date != "" {
		return span{from: a.date, to: a.date, date: true}
	}
	return span{from: a.from, to: a.to}
}

// compared gives the span that s is compared with by one of compareWords:
// as many days just before it, or the same dates a year earlier. s is not
// open.
func (s span) compared(word string) (span, error) {
	from, to := civil(s.from), civil(s.to)
	if word == "year" {
		from, to = yearEarlier(from), yearEarlier(to)
	} else {
		from, to = from.AddDate(0, 0, -s.days()), from.AddDate(0, 0, -1)
	}
	if from.Year() < 0 {
		return span{}, web.Invalid("compare", word, "goes back before the year 0", "a later period")
	}
	s.from, s.to = dateOf(from), dateOf(to)
	return s, nil
}

// yearEarlier gives the same date of the year before; of a 29 February the
// 28th.
func yearEarlier(t time.Time) time.Time {
	earlier := t.AddDate(-1, 0, 0)
	if earlier.Day() != t.Day() {
		return earlier.AddDate(0, 0, -1)
	}
	return earlier
}

// days counts the days of a span that is not open.
func (s span) days() int {
	// A time.Duration holds no more than 292 years.
	const day = 24 * 60 * 60
	return int((civil(s.to).Unix()-civil(s.from).Unix())/day) + 1
}

// contains tells whether a date lies in the span.
func (s span) contains(date string) bool {
	return s.from <= date && (s.to == "" || date <= s.to)
}

// civil gives a date, which is valid, as its midnight in UTC, to reckon with.
// Every day has 24 hours there.
func civil(date string) time.Time {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		panic(err)
	}
	return t
}

func dateOf(t time.Time) string { return t.Format(time.DateOnly) }
