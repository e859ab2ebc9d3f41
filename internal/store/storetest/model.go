package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// testModel runs random steps, swaps and reads against the store and against
// a model that says in the plainest way what the contract says, and compares
// all that both tell. All runs share a store; each has sites and streams of
// its own in it.
func (b Backend) testModel(t *testing.T) {
	s := b.open(t)
	runs := 0
	rapid.Check(t, func(r *rapid.T) {
		runs++
		m := model{
			s: s, atomic: b.Atomic, run: fmt.Sprintf("%06d", runs),
			queue:       map[string]store.Event{},
			events:      map[string]store.Event{},
			days:        map[store.DayKey]*rollup.Day{},
			months:      map[store.DayKey]*rollup.Day{},
			checkpoints: map[string]rollup.Position{},
			kept:        map[string]string{},
		}
		r.Repeat(map[string]func(*rapid.T){
			"step":    m.step,
			"swapDay": m.swapDay,
			"month":   m.putMonth,
			"drop":    m.dropRollups,
			"retain":  m.retain,
			"":        m.compare,
		})
	})
}

// model is what the store must hold of one run.
type model struct {
	s      store.Store
	atomic bool
	// run begins the names of all sites and streams of the run. It has always
	// the same length, so that no other site sorts between those of a run.
	run string

	// queue is what stands in the streams, by stream and position; events is
	// what of it is stored, by site and ID.
	queue, events map[string]store.Event

	days, months map[store.DayKey]*rollup.Day
	checkpoints  map[string]rollup.Position
	// kept is the date of each site's KeptSince.
	kept map[string]string
}

// Few of everything, so that the random choices often meet.
func (m *model) site(r *rapid.T) string {
	return m.run + rapid.SampledFrom([]string{"", ".", ".a", "a"}).Draw(r, "site")
}

func (m *model) stream(r *rapid.T) string {
	return m.run + rapid.SampledFrom([]string{":0", ":1", ":10"}).Draw(r, "stream")
}

func drawZone(r *rapid.T) string {
	return rapid.SampledFrom([]string{"", "Asia/Kolkata", "Asia/Tokyo"}).Draw(r, "zone")
}

func drawDate(r *rapid.T) string {
	return rapid.SampledFrom([]string{"2026-11-23", "2026-11-24", "2026-12-01"}).Draw(r, "date")
}

func drawPosition(r *rapid.T) rollup.Position {
	return at(rapid.IntRange(0, 20).Draw(r, "position"))
}

func (m *model) key(r *rapid.T) store.DayKey {
	return store.DayKey{Site: m.site(r), Zone: drawZone(r), Date: drawDate(r)}
}

// newDay makes a day that may be written with the rev given.
func (m *model) newDay(r *rapid.T, key store.DayKey) *rollup.Day {
	d := newDay(key, m.stream(r), rapid.IntRange(0, 5).Draw(r, "folded"))
	if stored := m.days[key]; stored != nil {
		d.Rev = stored.Rev
	}
	switch rapid.IntRange(0, 9).Draw(r, "stale") {
	case 0:
		d.Rev = 0
	case 1:
		d.Rev++
	case 2:
		d.Rev = max(d.Rev, 1) - 1
	}
	return d
}

// swapIn is what a compare-and-swap must do, but for the rev of a new rollup,
// which stays 0 until newRev.
func swapIn(t tb, days map[store.DayKey]*rollup.Day, key store.DayKey, d *rollup.Day) (ok bool) {
	var rev uint64
	if stored := days[key]; stored != nil {
		rev = stored.Rev
	}
	if d.Rev != rev {
		return false
	}
	after := &rollup.Day{}
	check(t, after.UnmarshalBinary(encode(t, d)))
	if rev > 0 {
		after.Rev++
	}
	days[key] = after
	return true
}

// newRev takes in the rev that the store has given a new rollup.
func newRev(days map[store.DayKey]*rollup.Day, written *rollup.Day) {
	if stored := days[store.KeyOf(written)]; stored != nil && stored.Rev == 0 {
		stored.Rev = written.Rev
	}
}

// read gives the event that stands at a position of a stream; what was read
// there once stays there.
func (m *model) read(r *rapid.T, stream string, p rollup.Position) store.Event {
	place := stream + "@" + p.String()
	e, ok := m.queue[place]
	if !ok {
		e = newEvent(fmt.Sprint(rapid.IntRange(0, 9).Draw(r, "id")), 0)
		e.User = drawUser(r)
		e.Site, e.Stream, e.Date, e.Position = m.site(r), stream, drawDate(r), p
		m.queue[place] = e
	}
	return e
}

// step is a worker's step that inserts, swaps, and commits or, where that
// undoes it, discards.
func (m *model) step(r *rapid.T) {
	events, days := maps.Clone(m.events), maps.Clone(m.days)
	stream := m.stream(r)
	step := m.s.Begin()
	defer step.Discard()

	var batch []store.Event
	var want []store.Result
	for range rapid.IntRange(0, 5).Draw(r, "events") {
		e := m.read(r, stream, drawPosition(r))
		// A run of a stream has each position once.
		if slices.ContainsFunc(batch, func(b store.Event) bool { return b.Position == e.Position }) {
			continue
		}
		batch = append(batch, e)
		key := e.Site + "|" + e.ID
		stored, taken := events[key]
		switch {
		case !taken:
			events[key] = e
			want = append(want, store.Inserted)
		case stored.Stream == e.Stream && stored.Position == e.Position:
			want = append(want, store.Replayed)
		default:
			want = append(want, store.Duplicate)
		}
	}
	outcomes, err := step.Insert(r.Context(), batch)
	check(r, err)
	wantEqual(r, "results", results(outcomes), want)

	var swaps []*rollup.Day
	var keys, conflicts []store.DayKey
	for i := range batch {
		key := store.DayKey{Site: batch[i].Site, Zone: drawZone(r), Date: batch[i].Date}
		if slices.Contains(keys, key) {
			continue
		}
		keys = append(keys, key)
		d := m.newDay(r, key)
		swaps = append(swaps, d)
		if !swapIn(r, days, key, d) {
			conflicts = append(conflicts, key)
		}
	}
	loaded, damaged, err := step.Load(r.Context(), keys)
	check(r, err)
	wantEqual(r, "damaged", len(damaged), 0)
	for _, key := range keys {
		m.wantSame(r, loaded[key], m.days[key])
	}
	got, err := step.Swap(r.Context(), swaps)
	check(r, err)
	for i, key := range keys {
		newRev(days, swaps[i])
		switch {
		case slices.Contains(conflicts, key) == slices.Contains(got, key):
		case slices.Contains(got, key):
			r.Fatalf("swap of %v tells of a conflict where none is", key)
		default:
			// A day that is there already, as it would have been written, may
			// pass for written.
			m.wantSame(r, swaps[i], m.days[key])
		}
	}

	if m.atomic && rapid.Bool().Draw(r, "discard") {
		return
	}
	p := drawPosition(r)
	commit(r, step, stream, p)
	m.events, m.days = events, days
	if stored, ok := m.checkpoints[stream]; !ok || stored.Compare(p) < 0 {
		m.checkpoints[stream] = p
	}
}

func (m *model) swapDay(r *rapid.T) {
	key := m.key(r)
	d := m.newDay(r, key)
	ok := swapIn(r, m.days, key, d)
	err := m.s.SwapDay(r.Context(), d)
	if ok {
		check(r, err)
		newRev(m.days, d)
	} else {
		wantErr(r, err, store.ErrConflict)
	}
}

func (m *model) month(r *rapid.T) store.DayKey {
	return store.DayKey{Site: m.site(r), Zone: drawZone(r), Date: rapid.SampledFrom([]string{"2026-11", "2026-12"}).Draw(r, "month")}
}

func (m *model) putMonth(r *rapid.T) {
	key := m.month(r)
	head := store.Head{Date: key.Date + "-24", Rev: uint64(rapid.IntRange(1, 1<<50).Draw(r, "rev"))}
	m.months[key] = newMonth(key, head)
	check(r, m.s.PutMonth(r.Context(), m.months[key]))
}

func (m *model) dropRollups(r *rapid.T) {
	site, zone := m.site(r), drawZone(r)
	check(r, m.s.DropRollups(r.Context(), site, zone))
	for _, rollups := range []map[store.DayKey]*rollup.Day{m.days, m.months} {
		maps.DeleteFunc(rollups, func(key store.DayKey, _ *rollup.Day) bool {
			return key.Site == site && key.Zone == zone
		})
	}
}

// compare reads the store in all ways.
func (m *model) compare(r *rapid.T) {
	m.compareInventory(r)
	key := m.key(r)
	d, err := m.s.Day(r.Context(), key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		r.Fatal(err)
	}
	m.wantSame(r, d, m.days[key])
	month := m.month(r)
	if want := m.months[month]; want != nil {
		wantMonth(r, m.s, month, want)
	} else {
		_, err := m.s.Month(r.Context(), month, rollup.AllFields)
		wantErr(r, err, store.ErrNotFound)
	}

	from := rapid.SampledFrom([]string{"", "2026-11-24"}).Draw(r, "from")
	to := rapid.SampledFrom([]string{"", "2026-11-24"}).Draw(r, "to")
	in := func(date string) bool { return date >= from && (to == "" || date <= to) }
	var days, eventDates []string
	var heads []store.Head
	for k, d := range m.days {
		if k.Site == key.Site && k.Zone == key.Zone && in(k.Date) {
			days = append(days, k.Date)
			heads = append(heads, headOf(d))
		}
	}
	slices.Sort(days)
	slices.SortFunc(heads, func(a, b store.Head) int { return cmp.Compare(a.Date, b.Date) })
	wantEqual(r, "dates of rollups", siteDates(r, m.s, key.Site, key.Zone, from, to), days)
	wantEqual(r, "heads of rollups", dayHeads(r, m.s, key.Site, key.Zone, from, to), heads)
	for _, e := range m.events {
		if e.Site == key.Site && in(e.Date) && !slices.Contains(eventDates, e.Date) {
			eventDates = append(eventDates, e.Date)
		}
	}
	slices.Sort(eventDates)
	dates, err := m.s.EventDates(r.Context(), key.Site, from, to)
	check(r, err)
	if !slices.Equal(dates, eventDates) {
		r.Fatalf("dates of events are %v, want %v", dates, eventDates)
	}

	after, upTo := m.marks(r), m.marks(r)
	scanned := rapid.SliceOfNDistinct(rapid.Custom(drawDate), 0, 3, rapid.ID).Draw(r, "dates")
	slices.Sort(scanned)
	var want []store.Event
	for _, e := range m.events {
		if e.Site == key.Site && slices.Contains(scanned, e.Date) && !after.Covers(e.Stream, e.Position) {
			if _, read := upTo[e.Stream]; upTo == nil || read && upTo.Covers(e.Stream, e.Position) {
				want = append(want, e)
			}
		}
	}
	slices.SortFunc(want, func(a, b store.Event) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), a.Position.Compare(b.Position))
	})
	wantEqual(r, "events", scanDates(r, m.s, key.Site, scanned, after, upTo), want)

	checkpoints, err := m.s.Checkpoints(r.Context())
	check(r, err)
	for stream, p := range m.checkpoints {
		wantEqual(r, "checkpoint of "+stream, checkpoints[stream].Position, p)
	}
}

// marks draws marks, which are nil at times.
func (m *model) marks(r *rapid.T) rollup.Marks {
	n := rapid.IntRange(0, 3).Draw(r, "marks")
	if n == 0 {
		return nil
	}
	marks := rollup.Marks{}
	for range n - 1 {
		marks[m.stream(r)] = drawPosition(r)
	}
	return marks
}

func (m *model) wantSame(r *rapid.T, got, want *rollup.Day) {
	if (got == nil) != (want == nil) {
		r.Fatalf("rollup is %v, want %v", got, want)
	}
	if got != nil {
		wantDay(r, got, want)
	}
}
