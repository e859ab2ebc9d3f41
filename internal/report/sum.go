package report

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

// sumKeys is the most paths that are kept of a range of days, so that years of
// ever new paths do not fill the memory. Beyond it, as in a single day, rare
// paths are dropped and the answer says how far its counts may be off.
const sumKeys = 50_000

// sum is what an answer needs of the days it covers, merged.
type sum struct {
	events, views uint64
	users         rollup.Sketch
	paths         rollup.Table
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
	s.events += day.Events
	s.views += day.Views
	s.users.Merge(&day.Users)
	s.paths.Merge(&day.Tables[rollup.Path])
	if s.paths.Len() > 2*sumKeys {
		s.paths.Compact(sumKeys)
	}
}

// stats makes the answer.
func (s *sum) stats(q query, asOf time.Time) *Stats {
	answer := &Stats{
		Site:        q.site,
		Date:        q.date,
		TotalViews:  s.views,
		UniqueUsers: s.users.Estimate(),
		TopPaths:    []PathViews{},
		TotalEvents: s.events,
		Source:      sourceRollup,
	}
	if q.date == "" {
		answer.From, answer.To = q.from, q.to
		if q.from == "" {
			answer.From = s.first
		}
		if q.to == "" {
			answer.To = s.last
		}
	}
	top, exact := s.paths.Top(q.limit)
	answer.TopPathsExact = exact
	for _, row := range top {
		answer.TopPaths = append(answer.TopPaths, PathViews{Path: row.Key, Views: row.N, ViewsError: row.Err})
	}
	switch {
	case s.raws > 0 && s.rollups > 0:
		answer.Source = sourceMixed
	case s.raws > 0:
		answer.Source = sourceRaw
	}
	if !asOf.IsZero() {
		text := asOf.UTC().Format("2006-01-02T15:04:05.000Z")
		answer.AsOf = &text
	}
	return answer
}

// gap is a day with raw events and no rollup that can be read.
type gap struct {
	date string
	// damage is nil when the rollup is missing.
	damage *store.DamagedError
}

// read merges all days of a query.
func (r *Report) read(ctx context.Context, q query) (*sum, error) {
	s := new(sum)
	find := r.readRange
	if q.date != "" {
		find = r.readDate
	}
	gaps, err := find(ctx, q, s)
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
	return s, nil
}

// readDate merges the rollup of one day, or gives the day as a gap.
func (r *Report) readDate(ctx context.Context, q query, s *sum) ([]gap, error) {
	day, err := r.store.Day(ctx, store.DayKey{Site: q.site, Date: q.date})
	var damage *store.DamagedError
	switch {
	case err == nil:
		s.rollups++
		s.add(day)
		return nil, nil
	case errors.As(err, &damage):
		return []gap{{date: q.date, damage: damage}}, nil
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	dates, err := r.store.EventDates(ctx, q.site, q.date, q.date)
	if err != nil || len(dates) == 0 {
		return nil, err
	}
	return []gap{{date: q.date}}, nil
}

// readRange merges the rollups of a range of days, and gives the gaps in it.
func (r *Report) readRange(ctx context.Context, q query, s *sum) ([]gap, error) {
	// The dates of raw events come first: a rollup follows soon after them,
	// and a day that is just beginning is seldom taken for a gap then.
	dates, err := r.store.EventDates(ctx, q.site, q.from, q.to)
	if err != nil {
		return nil, err
	}
	var gaps []gap
	seen := make(map[string]bool)
	err = r.store.SiteDays(ctx, q.site, q.from, q.to, func(day *rollup.Day, damage *store.DamagedError) error {
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
