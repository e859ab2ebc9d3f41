package report

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"slices"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

// Bounds of the memory that one answer from raw events may take.
const (
	// maxExactUsers is the most users that are told apart one by one.
	maxExactUsers = 4_000_000
	// maxScanMemory is the most bytes that the days of an answer may take.
	maxScanMemory = 128 << 20
)

// needsRaw tells whether a question is one that no rollup can answer.
func (q *query) needsRaw() bool { return len(q.filters) > 0 || q.exact }

// filtersBots tells whether a filter is about bots. Then what bots did is
// counted like what people did, as far as the filters let it pass: so a filter
// on bot looks at the bots that it names, and any other one has none of them in
// its numbers, as there are none without filters.
func (q *query) filtersBots() bool {
	return slices.ContainsFunc(q.filters, func(f filter) bool { return f.dim == rollup.Bot })
}

// countsBots tells whether the answer counts what bots did, so that days with
// nobody else matter.
func (q *query) countsBots() bool {
	return q.endpoint.bots || q.dimension == dimension(rollup.Bot) || q.filtersBots()
}

// readRaw answers from the raw events of a span, those that pass the filters of
// the query. If exact users are asked for, the period has nothing but them.
func (r *Report) readRaw(ctx context.Context, q *query, asked span) (*period, error) {
	found, err := r.scans.span(ctx, q, asked)
	if err != nil {
		return nil, err
	}
	p := &period{
		span: asked, days: found.days, total: rollup.NewDay(q.site, ""),
		source: sourceRaw, exactUsers: found.users,
	}
	if found.total != nil {
		p.total.Merge(found.total)
	}
	if asked.from == "" {
		p.span.from = found.first
	}
	if asked.to == "" {
		p.span.to = found.last
	}
	return p, nil
}

// found is what the raw events of a span gave. It is shared.
type found struct {
	// days has a Day for each date with events that pass the filters, with the
	// fields that the endpoint asked for. One that wants nothing but their sum
	// gets that as total and no days.
	days  []*rollup.Day
	total *rollup.Day
	// first and last are the dates of the first and the last such event.
	first, last string
	// users is how many distinct users there are; nil unless asked for.
	users *uint64
}

// add takes in a day that has events.
func (f *found) add(day *rollup.Day, sum bool) {
	if f.first == "" {
		f.first = day.Date
	}
	f.last = day.Date
	if !sum {
		f.days = append(f.days, day)
		return
	}
	if f.total == nil {
		f.total = rollup.NewDay(day.Site, "")
	}
	f.total.Merge(day)
	f.total.Compact(rollup.Limits{Keys: sumKeys, Bytes: maxScanMemory / 4})
}

// memory is about how many bytes it takes.
func (f *found) memory() int {
	size := 0
	for _, day := range f.days {
		size += day.MemorySize()
	}
	return size
}

// span reads the raw events of a span, once for all who ask the same question
// at the same time. What it gives must not be changed.
func (s *scans) span(ctx context.Context, q *query, asked span) (*found, error) {
	filters := sortFilters(q.filters)
	want := q.fields()
	question := fmt.Sprintf("%s %s..%s %q %q exact=%t fields=%b sum=%t bots=%t",
		q.site, asked.from, asked.to, asked.zone, filters, q.exact, want, q.endpoint.months, q.countsBots())
	return shared(ctx, s, question, func(ctx context.Context) (*found, error) {
		days, err := s.survey(ctx, q, asked)
		if err != nil {
			return nil, err
		}
		f := new(found)
		err = s.bound(ctx, func(ctx context.Context) error {
			spanScan := &spanScan{scans: s, query: q, span: asked, filters: filters, bots: q.filtersBots(), left: s.opts.RawScanEvents}
			if q.exact {
				return spanScan.users(ctx, days, f)
			}
			return spanScan.days(ctx, days, want, f)
		})
		switch {
		case errors.Is(err, errBusy):
			return nil, &web.Error{Status: http.StatusServiceUnavailable, RetryAfter: 2 * time.Second,
				Message: fmt.Sprintf("%d other scans of raw events are under way, which is the most at once; try again soon", s.opts.RawScans)}
		case errors.Is(err, errTooMany):
			return nil, s.tooLarge(q, fmt.Sprintf("more than %d", s.opts.RawScanEvents))
		case errors.Is(err, context.DeadlineExceeded):
			return nil, &web.Error{Status: http.StatusServiceUnavailable, RetryAfter: time.Minute, Cause: err,
				Message: fmt.Sprintf("the raw events could not be read within %s: %s", s.opts.RawScanTime, narrower)}
		}
		return f, err
	})
}

const narrower = "ask about a shorter period, without filter and exact, or with async=true"

// tooLarge is the answer to a question about too many raw events.
func (s *scans) tooLarge(q *query, events string) error {
	return rawRefusal(q, fmt.Sprintf("takes reading %s raw events, and %d is the most for one answer: %s", events, s.opts.RawScanEvents, narrower),
		fmt.Sprintf("a period with at most %d raw events", s.opts.RawScanEvents))
}

// rawRefusal is the answer to a question that only raw events could answer, and
// they cannot.
func rawRefusal(q *query, problem, allowed string) error {
	if q.exact {
		return web.Invalid("exact", "true", problem, allowed)
	}
	return web.Invalid("filter", q.filters[0].String(), problem, allowed)
}

// rawDay is a day of which the raw events are to be read.
type rawDay struct {
	date string
	// events is how many its rollup counts, without those of bots.
	events uint64
}

// survey lists the days of a span that have raw events, in order. It refuses
// spans with too many, and those of which not all are kept any more.
func (s *scans) survey(ctx context.Context, q *query, asked span) ([]rawDay, error) {
	// Before the raw events, of which there are never fewer than are counted.
	heads, err := s.store.DayHeads(ctx, q.site, asked.zone, asked.from, asked.to)
	if err != nil {
		return nil, err
	}
	kept, err := s.store.KeptSince(ctx, q.site)
	if err != nil {
		return nil, err
	}
	dates, err := s.rawDays(ctx, q.site, asked)
	if err != nil {
		return nil, err
	}
	counted := make(map[string]uint64, len(heads))
	var events uint64
	for _, head := range heads {
		// Of bots a head says nothing: a day without events may have some.
		if head.Events > 0 || q.countsBots() {
			counted[head.Date] = head.Events
			events += head.Events
			dates = append(dates, head.Date)
		}
	}
	slices.Sort(dates)
	dates = slices.Compact(dates)

	days := make([]rawDay, len(dates))
	for i, date := range dates {
		if key := (store.DayKey{Site: q.site, Zone: asked.zone, Date: date}); !site.Whole(key, asked.zones, kept) {
			first := kept
			if key.Date = first; !site.Whole(key, asked.zones, kept) {
				first = site.Shift(first, 1)
			}
			return nil, rawRefusal(q, fmt.Sprintf("needs raw events from %s on, and those before %s are not all kept any more", date, kept),
				fmt.Sprintf("a period that begins on %s or later", first))
		}
		days[i] = rawDay{date: date, events: counted[date]}
	}
	s.expected.Add(events)
	if events > uint64(s.opts.RawScanEvents) {
		s.tooManyEvents.Add(1)
		return nil, s.tooLarge(q, fmt.Sprint(events))
	}
	return days, nil
}

// rawDays lists the days of the span of which there may be raw events, in
// order.
func (s *scans) rawDays(ctx context.Context, name string, asked span) ([]string, error) {
	return site.EventDays(ctx, s.store, name, asked.zone, asked.zones, asked.from, asked.to)
}

// spanScan reads the raw events of a span.
type spanScan struct {
	scans   *scans
	query   *query
	span    span
	filters []filter
	// bots tells that bots count like people.
	bots bool
	// left is how many events may yet be read.
	left int
}

// each calls fn for the events of a day that pass the filters, those of bots
// included.
func (s *spanScan) each(ctx context.Context, day rawDay, fn func(*store.Event) error) error {
	key := store.DayKey{Site: s.query.site, Zone: s.span.zone, Date: day.date}
	var read uint64 // of people, as in day.events
	err := site.EachEvent(ctx, s.scans.store, key, s.span.zones, nil, nil, func(e *store.Event) error {
		if s.left == 0 {
			return errTooMany
		}
		s.left--
		s.scans.read.Add(1)
		if e.Values[rollup.Bot] == "" {
			read++
		}
		if !matchAll(s.filters, &e.Values) {
			return nil
		}
		return fn(e)
	})
	if err != nil {
		return err
	}
	// Rollups that were imported have no raw events, and some may have gone
	// since the survey. Either way the answer would be too small.
	if read < day.events {
		return rawRefusal(s.query, fmt.Sprintf("needs all raw events of %s, and only %d of the %d that its rollup counts are there", day.date, read, day.events),
			"a period whose raw events are all kept")
	}
	return nil
}

// days folds the events into a Day for each date, as everything is folded.
func (s *spanScan) days(ctx context.Context, days []rawDay, want rollup.Fields, f *found) error {
	for _, d := range days {
		day := store.NewDay(store.DayKey{Site: s.query.site, Zone: s.span.zone, Date: d.date})
		clock, err := event.NewClock(s.span.zone, d.date)
		if err != nil {
			return err
		}
		var one [1]rollup.Event
		n := 0
		err = s.each(ctx, d, func(e *store.Event) error {
			one[0] = e.ForFold(e.Position, clock)
			bot := e.Values[rollup.Bot]
			if s.bots {
				one[0].Values[rollup.Bot] = ""
			}
			day.Fold(e.Stream, one[:])
			if s.bots && bot != "" {
				day.Tables[rollup.Bot].Add(bot, 1)
			}
			if n++; n%compactEvery == 0 {
				day.Compact(scanLimits)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		day.Compact(scanLimits)
		readOnly(day)
		f.add(only(day, want), s.query.endpoint.months)
		if f.memory() > maxScanMemory {
			return rawRefusal(s.query, fmt.Sprintf("takes more than %d MiB of memory", maxScanMemory>>20), "a shorter period")
		}
	}
	return nil
}

// users counts the distinct users. They are told apart by hashes of 64 bits:
// among four million it happens once in two million times that two of them
// have the same.
func (s *spanScan) users(ctx context.Context, days []rawDay, f *found) error {
	seed := maphash.MakeSeed()
	users := make(map[uint64]struct{})
	for _, day := range days {
		err := s.each(ctx, day, func(e *store.Event) error {
			if f.first == "" {
				f.first = day.date
			}
			f.last = day.date
			if e.User == "" || e.Values[rollup.Bot] != "" && !s.bots {
				return nil
			}
			users[maphash.String(seed, e.User)] = struct{}{}
			if len(users) > maxExactUsers {
				return rawRefusal(s.query, fmt.Sprintf("takes telling apart more than %d users, which is the most; without it they are estimated", maxExactUsers), "a shorter period")
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	n := uint64(len(users))
	f.users = &n
	return nil
}
