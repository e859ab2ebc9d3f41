package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

// sumKeys is the most keys that a table of a range of days keeps, and sumBytes
// about the most that all its tables take, so that years of ever new paths do
// not fill the memory. Beyond it, as in a single day, rare keys are dropped
// and the answer says how far its counts may be off.
const (
	sumKeys  = 50_000
	sumBytes = 64 << 20
)

// period is what was read for one span.
type period struct {
	// span has the dates of the first and the last day with data where the
	// span that was asked for is open; they stay empty when there is none.
	span span
	// days are the days that have data, in the order of their dates, for an
	// endpoint that is answered from days. They are shared, and have only the
	// parts that it asked for. Months (Date YYYY-MM) stand for days only if
	// the interval is month.
	days []*rollup.Day
	// source is rollup, raw or mixed.
	source string
	// lasting tells that it is made of nothing but the rollups that the heads
	// are of: another answer with the same heads is the same.
	lasting bool
	// exactUsers is the number of users where exact=true asked for it.
	exactUsers *uint64
	// total is what sum gives.
	total *rollup.Day
}

// Values of an answer's source.
const (
	sourceRollup = "rollup"
	sourceRaw    = "raw"
	sourceMixed  = "mixed"
)

// sum gives all days merged, with the fields that the endpoint asked for, to an
// endpoint that is answered from months. It may be changed.
func (p *period) sum() *rollup.Day { return p.total }

// month is the days of one calendar month that are in a span and have a
// rollup.
type month struct {
	key   store.DayKey // with the date YYYY-MM
	heads []store.Head
	// whole tells that all days of the month are in the span and have ended,
	// so that one rollup may stand for them.
	whole bool
}

// has tells whether the heads are those of what was read of the month.
func (m *month) has(day *rollup.Day) bool {
	if day.Date == m.key.Date {
		return true // or it would not stand for its days
	}
	i, found := slices.BinarySearchFunc(m.heads, day.Date, func(h store.Head, date string) int { return cmp.Compare(h.Date, date) })
	return found && m.heads[i].Rev == day.Rev
}

// gap is a day with raw events and no rollup that can be read.
type gap struct {
	date string
	// damage is nil when the rollup is missing.
	damage *store.DamagedError
}

// read reads what an answer about a span of days is made of. heads are those
// of the span; a question that needs raw events has no use for them.
func (r *Report) read(ctx context.Context, q *query, s span, heads []store.Head) (*period, error) {
	if q.needsRaw() {
		return r.readRaw(ctx, q, s)
	}
	return r.readRollups(ctx, q, s, heads)
}

// readRollups reads the rollups of a span whose heads are known, and counts
// the days that have none from their raw events.
func (r *Report) readRollups(ctx context.Context, q *query, s span, heads []store.Head) (*period, error) {
	known := heads
	gaps, heads, err := r.missing(ctx, q, s, heads)
	if err != nil {
		return nil, err
	}
	rd := &reading{keepDays: !q.endpoint.months, total: rollup.NewDay(q.site, ""), changed: !slices.Equal(heads, known)}
	for _, m := range monthsOf(q, s, heads) {
		days, without, err := r.readMonth(ctx, q, m)
		if err != nil {
			return nil, err
		}
		for _, day := range days {
			rd.add(day)
			rd.rollups++
			rd.changed = rd.changed || !m.has(day)
		}
		gaps = append(gaps, without...)
	}
	for _, g := range gaps {
		day, err := r.readGap(ctx, q.site, s, g)
		if err != nil {
			return nil, err
		}
		if day.Folded() > 0 {
			rd.add(day)
			rd.raws++
			rd.rawDates = append(rd.rawDates, day.Date)
		}
	}
	return rd.period(s, heads), nil
}

// reading is a period that is being read.
type reading struct {
	keepDays bool
	days     []*rollup.Day
	total    *rollup.Day
	// rollups and raws count what was read by where it came from.
	rollups, raws int
	// rawDates are the dates of those that were raw.
	rawDates []string
	// changed tells that some of the rollups were written after their heads
	// were read.
	changed bool
}

// add takes in a day or month, which is only read.
func (rd *reading) add(day *rollup.Day) {
	if rd.keepDays {
		rd.days = append(rd.days, day)
		return
	}
	rd.total.Merge(day)
	rd.compact(2 * sumKeys)
}

// compact brings the sum within its limits if a table has more keys than most.
func (rd *reading) compact(most int) {
	for dim := range rd.total.Tables {
		if rd.total.Tables[dim].Len() > most {
			rd.total.Compact(rollup.Limits{Keys: sumKeys, Bytes: sumBytes})
			return
		}
	}
}

// period makes the period of a span, of which the heads are known.
func (rd *reading) period(s span, heads []store.Head) *period {
	rd.compact(sumKeys)
	p := &period{span: s, days: rd.days, total: rd.total, lasting: rd.raws == 0 && !rd.changed}
	slices.SortFunc(p.days, func(a, b *rollup.Day) int { return cmp.Compare(a.Date, b.Date) })
	switch {
	case rd.raws == 0:
		p.source = sourceRollup
	case rd.rollups == 0:
		p.source = sourceRaw
	default:
		p.source = sourceMixed
	}
	dates := rd.rawDates
	if len(heads) > 0 {
		dates = append(dates, heads[0].Date, heads[len(heads)-1].Date)
	}
	if len(dates) > 0 && s.from == "" {
		p.span.from = slices.Min(dates)
	}
	if len(dates) > 0 && s.to == "" {
		p.span.to = slices.Max(dates)
	}
	return p
}

// missing lists the days of a span that have raw events and no rollup. It
// gives the heads again, which may have become more meanwhile.
func (r *Report) missing(ctx context.Context, q *query, s span, heads []store.Head) ([]gap, []store.Head, error) {
	dates, err := r.scans.rawDays(ctx, q.site, s)
	if err != nil {
		return nil, nil, err
	}
	gaps := without(dates, heads, s, q.today)
	if len(gaps) == 0 {
		return nil, heads, nil
	}
	// A rollup follows soon after the raw events: a day that was just
	// beginning has one now.
	if heads, err = r.heads(ctx, q, s); err != nil {
		return nil, nil, err
	}
	return without(dates, heads, s, q.today), heads, nil
}

// without lists those of the dates that have no head.
func without(dates []string, heads []store.Head, s span, today string) []gap {
	var gaps []gap
	for _, date := range dates {
		// Raw events that are dated in several zones may belong to a day
		// beside theirs. None belong to a day that is yet to come.
		if len(s.zones) > 1 && date > today {
			break
		}
		_, found := slices.BinarySearchFunc(heads, date, func(h store.Head, date string) int { return cmp.Compare(h.Date, date) })
		if !found {
			gaps = append(gaps, gap{date: date})
		}
	}
	return gaps
}

// monthsOf groups the heads of a span by month.
func monthsOf(q *query, s span, heads []store.Head) []month {
	var months []month
	for len(heads) > 0 {
		name := heads[0].Date[:len("2006-01")]
		n := 1
		for n < len(heads) && heads[n].Date[:len(name)] == name {
			n++
		}
		first := civil(name + "-01")
		next := first.AddDate(0, 1, 0)
		months = append(months, month{
			key:   store.DayKey{Site: q.site, Zone: s.zone, Date: name},
			heads: heads[:n],
			whole: s.contains(dateOf(first)) && s.contains(dateOf(next.AddDate(0, 0, -1))) && dateOf(next) <= q.today,
		})
		heads = heads[n:]
	}
	return months
}

// readMonth gives what there is for the days of a month: its days, or one
// rollup for all of them, and those that have none that can be read.
func (r *Report) readMonth(ctx context.Context, q *query, m month) ([]*rollup.Day, []gap, error) {
	m.whole = m.whole && (q.endpoint.months || q.interval == "month")
	need := q.fields()
	if days, first, _ := r.recall(m, need); first == "" {
		return days, nil, nil
	}
	giveBack, err := r.reading.take(ctx, m.key)
	if err != nil {
		return nil, nil, err
	}
	defer giveBack()
	// Whoever had the turn before may have read them.
	days, first, last := r.recall(m, need)
	if first == "" {
		return days, nil, nil
	}
	if m.whole {
		sealed, err := r.store.Month(ctx, m.key, need)
		switch {
		case err == nil && monthVersion(sealed) == versionOf(m.heads):
			return []*rollup.Day{r.rollups.put(sealed, versionOf(m.heads), need)}, nil, nil
		case err != nil && !errors.Is(err, store.ErrNotFound) && !errors.As(err, new(*store.DamagedError)):
			return nil, nil, err
		}
		// Without a month that is up to date the days are as good.
	}
	return r.readDays(ctx, m, need, days, first, last)
}

// recall gives those rollups of a month that are in memory. first and last are
// the dates of the first and the last one that is not; empty if none is.
func (r *Report) recall(m month, need rollup.Fields) (days []*rollup.Day, first, last string) {
	if m.whole {
		if sealed, ok := r.rollups.get(m.key, versionOf(m.heads), need); ok {
			return []*rollup.Day{sealed}, "", ""
		}
	}
	for _, head := range m.heads {
		key := store.DayKey{Site: m.key.Site, Zone: m.key.Zone, Date: head.Date}
		if day, ok := r.rollups.get(key, head.Rev, need); ok {
			days = append(days, day)
			continue
		}
		if first == "" {
			first = head.Date
		}
		last = head.Date
	}
	return days, first, last
}

// readDays reads the days of a month from first to last, which are not all in
// recalled, and gives them together in order.
func (r *Report) readDays(ctx context.Context, m month, need rollup.Fields, recalled []*rollup.Day, first, last string) (days []*rollup.Day, gaps []gap, err error) {
	read := make(map[string]*rollup.Day, len(m.heads))
	for _, day := range recalled {
		read[day.Date] = day
	}
	damaged := make(map[string]*store.DamagedError)
	err = r.store.SiteDays(ctx, m.key.Site, m.key.Zone, first, last, need, func(day *rollup.Day, damage *store.DamagedError) error {
		if damage != nil {
			damaged[damage.Key.Date] = damage
			return nil
		}
		read[day.Date] = r.rollups.put(day, day.Rev, need)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	for _, head := range m.heads {
		if day := read[head.Date]; day != nil {
			days = append(days, day)
			continue
		}
		// It is damaged, or has gone since the heads were read.
		gaps = append(gaps, gap{date: head.Date, damage: damaged[head.Date]})
	}
	return days, gaps, nil
}

// readGap counts a day from its raw events.
func (r *Report) readGap(ctx context.Context, site string, s span, g gap) (*rollup.Day, error) {
	key := store.DayKey{Site: site, Zone: s.zone, Date: g.date}
	day, err := r.scans.day(ctx, key, s.zones, g.damage)
	if err != nil {
		return nil, err
	}
	if g.damage != nil && day.Folded() == 0 {
		return nil, &web.Error{
			Status:  http.StatusInternalServerError,
			Message: fmt.Sprintf("the rollup of %s is damaged, and there are no raw events left to count instead", key),
			Cause:   g.damage,
		}
	}
	return day, nil
}
