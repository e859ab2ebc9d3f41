package report

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

// sumKeys is the most keys that a table of a range of days keeps, so that
// years of ever new paths do not fill the memory. Beyond it, as in a single
// day, rare keys are dropped and the answer says how far its counts may be
// off.
const sumKeys = 50_000

// period is what was read for one span.
type period struct {
	// span has the dates of the first and the last day with data where the
	// span that was asked for is open; they stay empty when there is none.
	span span
	// days are the days that have data, in the order of their dates, for an
	// endpoint that asked for them: with its parts and without tables of
	// others, shared and not to be changed. Among them may be months (Date
	// YYYY-MM) if the interval is month.
	days []*rollup.Day
	// total is all days merged; it belongs to whoever has the period.
	total *rollup.Day
	// source is rollup, raw or mixed.
	source string
}

// sum gives all days merged, with the parts that the endpoint asked for. It
// may be changed.
func (p *period) sum() *rollup.Day { return p.total }

// Values of an answer's source.
const (
	sourceRollup = "rollup"
	sourceRaw    = "raw"
	sourceMixed  = "mixed"
)

// sum is what is read for a period so far.
type sum struct {
	total *rollup.Day
	// first and last are the dates of the days that have data.
	first, last string
	// rollups and raws count the days by where they came from.
	rollups, raws int
}

// add merges a day, which is only read.
func (s *sum) add(day *rollup.Day) {
	if s.first == "" || day.Date < s.first {
		s.first = day.Date
	}
	s.last = max(s.last, day.Date)
	s.total.Merge(day)
	for dim := range s.total.Tables {
		if table := &s.total.Tables[dim]; table.Len() > 2*sumKeys {
			table.Compact(sumKeys)
		}
	}
}

// period makes the period of a span.
func (s *sum) period(asked span) *period {
	p := &period{span: asked, total: s.total, source: sourceRollup}
	if asked.from == "" {
		p.span.from = s.first
	}
	if asked.to == "" {
		p.span.to = s.last
	}
	switch {
	case s.raws > 0 && s.rollups > 0:
		p.source = sourceMixed
	case s.raws > 0:
		p.source = sourceRaw
	}
	return p
}

// gap is a day with raw events and no rollup that can be read.
type gap struct {
	date string
	// damage is nil when the rollup is missing.
	damage *store.DamagedError
}

// read reads all days of a span.
func (r *Report) read(ctx context.Context, q *query, asked span) (*period, error) {
	s := &sum{total: rollup.NewDay(q.site, "")}
	find := r.readRange
	if asked.date {
		find = r.readDate
	}
	gaps, err := find(ctx, q.site, asked, s)
	if err != nil {
		return nil, err
	}
	for _, g := range gaps {
		key := store.DayKey{Site: q.site, Date: g.date}
		day, err := r.scans.day(ctx, key, g.damage)
		if err != nil {
			return nil, err
		}
		if g.damage != nil && day.Events == 0 {
			return nil, &web.Error{
				Status:  http.StatusInternalServerError,
				Message: fmt.Sprintf("the rollup of %s is damaged, and there are no raw events left to count instead", key),
				Cause:   g.damage,
			}
		}
		s.raws++
		s.add(day)
	}
	return s.period(asked), nil
}

// readDate merges the rollup of one day, or gives the day as a gap.
func (r *Report) readDate(ctx context.Context, site string, asked span, s *sum) ([]gap, error) {
	day, err := r.store.Day(ctx, store.DayKey{Site: site, Date: asked.from})
	var damage *store.DamagedError
	switch {
	case err == nil:
		s.rollups++
		s.add(day)
		return nil, nil
	case errors.As(err, &damage):
		return []gap{{date: asked.from, damage: damage}}, nil
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	dates, err := r.store.EventDates(ctx, site, asked.from, asked.to)
	if err != nil || len(dates) == 0 {
		return nil, err
	}
	return []gap{{date: asked.from}}, nil
}

// readRange merges the rollups of a range of days, and gives the gaps in it.
func (r *Report) readRange(ctx context.Context, site string, asked span, s *sum) ([]gap, error) {
	// The dates of raw events come first: a rollup follows soon after them,
	// and a day that is just beginning is seldom taken for a gap then.
	dates, err := r.store.EventDates(ctx, site, asked.from, asked.to)
	if err != nil {
		return nil, err
	}
	var gaps []gap
	seen := make(map[string]bool)
	err = r.store.SiteDays(ctx, site, asked.zone, asked.from, asked.to, func(day *rollup.Day, damage *store.DamagedError) error {
		if damage != nil {
			seen[damage.Key.Date] = true
			gaps = append(gaps, gap{date: damage.Key.Date, damage: damage})
			return nil
		}
		seen[day.Date] = true
		s.rollups++
		s.add(day)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, date := range dates {
		if !seen[date] {
			gaps = append(gaps, gap{date: date})
		}
	}
	return gaps, nil
}
