package report

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// Queue is what realtime answers need of the queue. They only read.
type Queue interface {
	Layout(ctx context.Context) (queue.Layout, error)
	Read(ctx context.Context, stream string, after rollup.EntryID, max, maxBytes int, wait time.Duration) ([]queue.Entry, error)
}

var realtimeEndpoint = endpoint{
	path:    "/stats/realtime",
	summary: "What happens on a site now, whatever is not in a rollup yet included.",
	sample:  Realtime{},
	params:  []parameter{siteParam, limitParam},
	run: func(ctx context.Context, r *Report, q *query) (any, error) {
		return r.live.answer(ctx, q.site, q.span.zones, q.limit)
	},
}

// Realtime is the answer of GET /stats/realtime.
type Realtime struct {
	Site          string         `json:"site_id" doc:"as asked"`
	Last5         RealtimeCounts `json:"last_5_minutes" doc:"the events whose own time is in the present minute or the five before it"`
	Last30        RealtimeCounts `json:"last_30_minutes" doc:"the same of the thirty minutes before it"`
	Pages         []PathViews    `json:"pages" doc:"the paths with the most views in the last five minutes, most first"`
	PagesExact    bool           `json:"pages_exact" doc:"true: these are the most viewed paths, with their exact counts"`
	Complete      bool           `json:"complete" doc:"false: there was more than one answer may read, and the numbers are too small"`
	IncludesQueue bool           `json:"includes_queue" doc:"true: what is accepted and not yet counted in rollups is in the numbers. false: the queue cannot be read here, and they end at as_of"`
	AsOf          *string        `json:"as_of"`
}

// liveAnswer is one with its own as_of.
type liveAnswer struct {
	Realtime
	asOf time.Time
}

func (a *liveAnswer) ownAsOf() time.Time { return a.asOf }

// RealtimeCounts are the events whose own time is in some last minutes: in the
// present one as far as it is, and in so many whole ones before it.
type RealtimeCounts struct {
	Since  string `json:"since" doc:"the beginning of the minutes; UTC"`
	Events uint64 `json:"events" doc:"events of all types"`
	Views  uint64 `json:"views" doc:"events of type page_view"`
	Users  uint64 `json:"users" doc:"distinct users; an estimate"`
}

const (
	// shortMinutes and longMinutes are how far realtime answers go back.
	shortMinutes, longMinutes = 5, 30
	// liveAge is how long a realtime answer is good for.
	liveAge = time.Second
	// lookBack is how long ago an event can have come into the queue whose time
	// is within the long window: its time may have been ahead of the clock.
	// The last minute is for clocks that differ.
	lookBack = (longMinutes+1)*time.Minute + event.MaxAhead + time.Minute
	// maxLiveEvents is the most events that one window begins with.
	maxLiveEvents = 2_000_000
	// maxLiveMemory is the most bytes that all windows take together,
	// maxWindowMemory what one may take.
	maxLiveMemory, maxWindowMemory = 64 << 20, 48 << 20
	// tailEntries and tailBytes are the most that one answer reads of what is
	// in the queue and in no checkpoint.
	tailEntries, tailBytes = 20_000, 8 << 20
)

// liveSlices are how long ago the slices begin in which a window is filled. The
// first one has the short window.
var liveSlices = []time.Duration{(shortMinutes + 1) * time.Minute, 12 * time.Minute, 24 * time.Minute, lookBack}

// liveLimits bound what is kept of a minute. Of a busy minute with more paths
// than that, rare ones are dropped, and the answer says so.
var liveLimits = rollup.Limits{Keys: 2000, Bytes: 256 << 10}

// live answers what happens now on a site.
//
// For each site that is asked about it keeps a window: a Day for each of the
// last minutes, by the time of the events, folded from the raw events up to
// the checkpoints. It is filled when it is first asked for, and after that by
// the raw events beyond what it has, which their positions tell. On top of it
// comes, for one answer and never kept, what the queue has beyond the
// checkpoints.
//
// # Nothing twice, nothing left out
//
// The queue is read between two looks at the checkpoints. It is read from the
// first ones on, the window goes up to the second ones, and of what the queue
// gave only what is beyond them counts. A worker that commits and trims in
// between moves events from one side to the other, never out of both.
//
// A client's retry has another position than the event that it repeats. Among
// the raw events there are none; of those in the queue, the ones are left out
// whose ID the window or the queue has had already. The window knows the IDs of
// its events only: a retry that says another time than the first try did, more
// than half an hour later, counts until a worker drops it.
type live struct {
	store Store
	queue Queue // nil: there is none to read
	now   func() time.Time
	log   *slog.Logger
	// mostEvents and mostTime bound the reading of raw events for one answer.
	mostEvents int
	mostTime   time.Duration
	// mostMemory is maxWindowMemory, or less in a test.
	mostMemory int

	turns   *turns[string]
	reading chan struct{} // holds a value for each answer that reads
	windows *lru[string, *window]
	seed    maphash.Seed
	// away tells that the queue could not be read when it was last tried.
	away atomic.Bool
}

func newLive(st Store, opts Options, log *slog.Logger) *live {
	return &live{
		store: st, queue: opts.Queue, now: opts.Now, log: log,
		mostEvents: min(opts.RawScanEvents, maxLiveEvents), mostTime: opts.RawScanTime,
		mostMemory: maxWindowMemory,
		turns:      newTurns[string](), reading: make(chan struct{}, opts.RawScans),
		windows: newLRU[string, *window](maxLiveMemory),
		seed:    maphash.MakeSeed(),
	}
}

// answer tells what happens on a site now. The dates of its raw events may be
// in the zones.
func (l *live) answer(ctx context.Context, site string, zones []string, limit int) (*liveAnswer, error) {
	giveBack, err := l.turns.take(ctx, site)
	if err != nil {
		return nil, err
	}
	defer giveBack()
	w, _ := l.windows.get(site)
	if w == nil {
		w = &window{site: site, marks: rollup.Marks{}, minutes: l.newMinutes(site)}
	}
	if age := l.now().Sub(w.view.at); age < 0 || age >= liveAge {
		select {
		case l.reading <- struct{}{}:
			defer func() { <-l.reading }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		// Who comes next would have to begin again.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.mostTime)
		defer cancel()
		// Nobody gets it again if this fails: it may have half of something.
		l.windows.put(site, nil, 0)
		if err := l.refresh(ctx, w, zones); err != nil {
			return nil, err
		}
		l.windows.put(site, w, w.minutes.memory())
	}
	return w.view.answer(site, limit), nil
}

// refresh brings a window up to the present.
func (l *live) refresh(ctx context.Context, w *window, zones []string) error {
	now := l.now()
	checkpoints, err := l.store.Checkpoints(ctx)
	if err != nil {
		return err
	}
	waiting := l.tail(ctx, w.site, checkpoints)
	if waiting != nil {
		if checkpoints, err = l.store.Checkpoints(ctx); err != nil {
			return err
		}
	}
	first := minuteOf(now) - longMinutes
	w.minutes.dropBefore(first)
	done := store.CheckpointMarks(checkpoints)
	if err := l.read(ctx, w, zones, now, done); err != nil {
		return err
	}
	w.minutes.compact()
	if w.minutes.shrink(l.mostMemory) {
		w.since = now
	}

	view := view{at: now, asOf: oldest(checkpoints), complete: !w.since.After(now.Add(-lookBack))}
	all := []*minutes{w.minutes}
	if waiting != nil {
		view.asOf, view.queue = waiting.asOf, true
		view.complete = view.complete && waiting.complete
		over := l.newMinutes(w.site)
		for i := range waiting.events {
			e := &waiting.events[i]
			if minuteOf(e.Time) >= first && !done.Covers(e.Stream, e.Position) && !w.minutes.has(e.ID) && !over.has(e.ID) {
				over.add(e)
			}
		}
		all = append(all, over)
	}
	for _, minutes := range all {
		for number, one := range minutes.of {
			view.add(one.day, minuteOf(now)-number)
		}
	}
	view.pages.Compact(maxLimit)
	w.view = view
	return nil
}

// read brings the raw events up to the marks into a window. The newest come
// first, in slices: where there are too many, or they take too long, the last
// minutes are whole and the earlier ones are not, and the window says so.
func (l *live) read(ctx context.Context, w *window, zones []string, now time.Time, upTo rollup.Marks) error {
	left := l.mostEvents
	first := minuteOf(now) - longMinutes
	dates := datesBetween(time.UnixMilli(first*minuteMs), now.Add(event.MaxAhead), zones)
	through, whole := upTo, now
	for _, back := range liveSlices {
		from := now.Add(-back)
		after, ahead := w.behind(through, from)
		if !ahead {
			w.marks = upTo
			return nil // the window has all that is older
		}
		// What the window has of a stream is in its own marks. Those of a
		// minute would keep the older slices out.
		w.minutes.clearMarks()
		err := l.store.ScanDay(ctx, w.site, dates, after, through, func(e *store.Event) error {
			if left == 0 {
				return errTooMany
			}
			left--
			if minuteOf(e.Time) >= first {
				w.minutes.add(e)
			}
			return nil
		})
		switch {
		case errors.Is(err, errTooMany) || errors.Is(err, context.DeadlineExceeded):
			// What comes from now on is taken in, so that the window gets
			// whole by and by.
			w.marks, w.since = upTo, whole
			return nil
		case err != nil:
			return err
		}
		through, whole = after, from
	}
	w.marks, w.since = upTo, whole
	return nil
}

// window is what is known of the last minutes of a site. Whoever has the
// site's turn may use it.
type window struct {
	site string
	// marks tells up to where each stream is read. All that came into the queue
	// at since or later, and no further than the marks, is in the minutes.
	marks   rollup.Marks
	since   time.Time
	minutes *minutes
	// view is what was last made of it.
	view view
}

// behind gives the marks at which a slice of what is not read yet begins that
// ends with through and came since from. It tells whether there is any, or
// anything older.
func (w *window) behind(through rollup.Marks, from time.Time) (after rollup.Marks, ahead bool) {
	after = make(rollup.Marks, len(through))
	begin := rollup.Position{Entry: rollup.EntryID{Ms: uint64(from.UnixMilli())}}
	for stream, end := range through {
		mark := w.marks[stream]
		ahead = ahead || mark.Compare(end) < 0
		if mark.Compare(begin) < 0 {
			mark = begin
		}
		if mark.Compare(end) > 0 {
			mark = end
		}
		after[stream] = mark
	}
	return after, ahead
}

// view is a window, and what the queue has beyond it, at one time.
type view struct {
	at, asOf        time.Time
	complete, queue bool
	short, long     tally
	pages           rollup.Table
}

// add takes in what was in a minute so many minutes ago; those to come, whose
// events were ahead of the clock, are not counted yet.
func (v *view) add(minute *rollup.Day, ago int64) {
	if 0 <= ago && ago <= longMinutes {
		v.long.add(minute)
	}
	if 0 <= ago && ago <= shortMinutes {
		v.short.add(minute)
		v.pages.Merge(&minute.Tables[rollup.Path])
	}
}

func (v *view) answer(site string, limit int) *liveAnswer {
	counts := func(t *tally, minutes int64) RealtimeCounts {
		since := time.UnixMilli((minuteOf(v.at) - minutes) * minuteMs)
		return RealtimeCounts{Since: *asOfText(since), Events: t.events, Views: t.views, Users: t.users.Estimate()}
	}
	answer := &liveAnswer{asOf: v.asOf, Realtime: Realtime{
		Site: site, Last5: counts(&v.short, shortMinutes), Last30: counts(&v.long, longMinutes), Pages: []PathViews{},
		Complete: v.complete, IncludesQueue: v.queue,
	}}
	top, exact := v.pages.Top(limit)
	for _, row := range top {
		answer.Pages = append(answer.Pages, PathViews{Path: row.Key, Views: row.N, ViewsError: row.Err})
	}
	answer.PagesExact = exact
	return answer
}

// minuteMs is a minute in milliseconds.
const minuteMs = 60_000

// minuteOf counts the minutes from 1970 to t.
func minuteOf(t time.Time) int64 { return t.UnixMilli() / minuteMs }

// minutes are events by the minute of their own time.
type minutes struct {
	site string
	seed maphash.Seed
	of   map[int64]*minute
}

type minute struct {
	day   *rollup.Day
	clock event.Clock
	// ids are the hashes of the events' IDs.
	ids map[uint64]struct{}
}

func (l *live) newMinutes(site string) *minutes {
	return &minutes{site: site, seed: l.seed, of: make(map[int64]*minute)}
}

// add takes in an event.
func (m *minutes) add(e *store.Event) {
	number := minuteOf(e.Time)
	one := m.of[number]
	if one == nil {
		date := dateOf(e.Time.UTC())
		clock, err := event.NewClock("", date)
		if err != nil {
			panic(err) // dateOf makes no other dates
		}
		one = &minute{day: rollup.NewDay(m.site, date), clock: clock, ids: make(map[uint64]struct{})}
		m.of[number] = one
	}
	one.ids[maphash.String(m.seed, e.ID)] = struct{}{}
	if e.Values[rollup.Bot] != "" {
		return // it is in no number, and a retry of it is not either
	}
	folded := e.ForFold(e.Position, one.clock)
	// No other table is asked for.
	folded.Values = rollup.Values{rollup.EventType: e.Type(), rollup.Path: e.Values[rollup.Path]}
	one.day.Fold(e.Stream, []rollup.Event{folded})
	if one.day.Events%compactEvery == 0 {
		one.compact()
	}
}

// compact brings the minute within its bounds. Its visits, which nobody asks
// for, are forgotten.
func (m *minute) compact() {
	m.day.Compact(liveLimits)
	m.day.Visits = rollup.NewDay("", "").Visits
}

func (m *minutes) compact() {
	for _, one := range m.of {
		one.compact()
	}
}

// clearMarks lets the minutes take in events that came before those they have.
func (m *minutes) clearMarks() {
	for _, one := range m.of {
		clear(one.day.Marks)
	}
}

// dropBefore forgets the minutes before the first one.
func (m *minutes) dropBefore(first int64) {
	maps.DeleteFunc(m.of, func(number int64, _ *minute) bool { return number < first })
}

// shrink forgets the oldest minutes if all take more than so many bytes. It
// tells whether it did.
func (m *minutes) shrink(most int) (forgot bool) {
	for _, number := range slices.Sorted(maps.Keys(m.of)) {
		if m.memory() <= most {
			break
		}
		delete(m.of, number)
		forgot = true
	}
	return forgot
}

// has tells whether an event with the ID is in any minute.
func (m *minutes) has(id string) bool {
	hash := maphash.String(m.seed, id)
	for _, one := range m.of {
		if _, ok := one.ids[hash]; ok {
			return true
		}
	}
	return false
}

// memory is about how many bytes the minutes take.
func (m *minutes) memory() int {
	const id = 16 // a hash and its share of what the map keeps free
	size := 1 << 10
	for _, one := range m.of {
		size += one.day.MemorySize() + id*len(one.ids)
	}
	return size
}

// datesBetween lists the dates of the times from first to last, which are less
// than a day apart, in each of the zones.
func datesBetween(first, last time.Time, zones []string) []string {
	var dates []string
	for _, zone := range zones {
		// A zone that this program does not know has no events.
		if location, err := event.Location(zone); err == nil {
			dates = append(dates, dateOf(first.In(location)), dateOf(last.In(location)))
		}
	}
	slices.Sort(dates)
	return slices.Compact(dates)
}

// oldest gives the smallest time of the checkpoints; zero if there is none.
func oldest(checkpoints map[string]store.Checkpoint) time.Time {
	var asOf time.Time
	for _, c := range checkpoints {
		if asOf.IsZero() || c.AsOf.Before(asOf) {
			asOf = c.AsOf
		}
	}
	return asOf
}
