package rollup_test

import (
	"bytes"
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/rollup"
)

// model is a Day as one would count it with all memory in the world: a plain
// map for every table and for the users, and all events for the visits.
type model struct {
	// folded is how many events there were, bots of them are those of bots.
	folded, bots          uint64
	events, views         uint64
	hourEvents, hourViews [24]uint64
	users                 map[string]bool
	hourUsers             [24]map[string]bool
	tables                [rollup.NumDimensions]map[string]uint64
	keyUsers              [rollup.NumDimensions]map[string]map[string]bool
	// byUser has the events of each user on each day. day is the day that is
	// counted now; it matters to visits only, which end with it.
	byUser map[string][]rollup.Event
	day    int
}

func newModel() *model {
	m := &model{users: map[string]bool{}, byUser: map[string][]rollup.Event{}}
	for h := range m.hourUsers {
		m.hourUsers[h] = map[string]bool{}
	}
	for dim := range m.tables {
		m.tables[dim] = map[string]uint64{}
		m.keyUsers[dim] = map[string]map[string]bool{}
	}
	return m
}

func (m *model) count(e rollup.Event) {
	m.folded++
	if bot := e.Values[rollup.Bot]; bot != "" {
		m.bots++
		m.tables[rollup.Bot][bot]++
		return
	}
	view := e.Values[rollup.EventType] == "page_view"
	m.events++
	m.hourEvents[e.Hour]++
	if view {
		m.views++
		m.hourViews[e.Hour]++
	}
	if e.User != "" {
		m.users[e.User] = true
		m.hourUsers[e.Hour][e.User] = true
		key := fmt.Sprint(m.day, " ", e.User)
		m.byUser[key] = append(m.byUser[key], e)
	}
	for dim, value := range e.Values {
		if value != "" && (view || rollup.Dimension(dim) != rollup.Path) {
			m.tables[dim][value]++
			if m.keyUsers[dim][value] == nil {
				m.keyUsers[dim][value] = map[string]bool{}
			}
			if e.User != "" {
				m.keyUsers[dim][value][e.User] = true
			}
		}
	}
}

// check compares a Day whose tables have not overflowed with the model. The
// tests use few enough users for the sketch to be exact.
func (m *model) check(t rapid.TB, d *rollup.Day) {
	t.Helper()
	if d.Events != m.events || d.Views != m.views {
		t.Fatalf("day has %d events and %d views, want %d and %d", d.Events, d.Views, m.events, m.views)
	}
	if d.HourEvents != m.hourEvents || d.HourViews != m.hourViews {
		t.Fatalf("hours are %v and %v, want %v and %v", d.HourEvents, d.HourViews, m.hourEvents, m.hourViews)
	}
	if got := d.Users.Estimate(); got != uint64(len(m.users)) {
		t.Fatalf("day has %d users, want %d", got, len(m.users))
	}
	for h := range d.HourUsers {
		if got := d.HourUsers[h].Estimate(); got != uint64(len(m.hourUsers[h])) {
			t.Fatalf("hour %d has %d users, want %d", h, got, len(m.hourUsers[h]))
		}
	}
	if d.Bots() != m.bots || d.Folded() != m.folded {
		t.Fatalf("day has %d events of bots and %d in all, want %d and %d", d.Bots(), d.Folded(), m.bots, m.folded)
	}
	for dim := range d.Tables {
		got := map[string]uint64{}
		for _, row := range d.Tables[dim].Rows() {
			if row.Err != 0 {
				t.Fatalf("%v %q has error %d in a table that did not overflow", rollup.Dimension(dim), row.Key, row.Err)
			}
			got[row.Key] = row.N
			want := len(m.keyUsers[dim][row.Key])
			if row.Users == nil || row.Missed != 0 || row.Users.Estimate() != uint64(want) {
				t.Fatalf("%v %q has users %+v with %d missed, want %d and none", rollup.Dimension(dim), row.Key, row.Users, row.Missed, want)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(m.tables[dim]) {
			t.Fatalf("%v is %v, want %v", rollup.Dimension(dim), got, m.tables[dim])
		}
	}
	m.checkVisits(t, d)
}

// times draws times of a day that are often as far apart as a visit allows, or
// a millisecond more or less.
var times = rapid.Custom(func(t *rapid.T) uint32 {
	const quarter = 900_000
	return uint32(max(0, quarter*rapid.IntRange(0, 99).Draw(t, "quarter")+rapid.IntRange(-1, 1).Draw(t, "off")))
})

// runOf draws the events of one stream, in the order of their positions.
func runOf(most int) *rapid.Generator[[]rollup.Event] {
	word := func(words ...string) *rapid.Generator[string] { return rapid.SampledFrom(words) }
	types := word("page_view", "page_view", "click", "signup")
	paths := word("/", "/a", "/b", "/a.b$c", "/é", "/pricing", "")
	others := word("", "", "x", "y", "z|1")
	users := rapid.Map(rapid.IntRange(0, 40), func(i int) string {
		if i == 0 {
			return ""
		}
		return fmt.Sprintf("u%d", i)
	})
	event := rapid.Custom(func(t *rapid.T) rollup.Event {
		e := rollup.Event{At: times.Draw(t, "at"), User: users.Draw(t, "user")}
		e.Hour = int(e.At/3_600_000) % 24
		e.Values[rollup.EventType] = types.Draw(t, "type")
		e.Values[rollup.Path] = paths.Draw(t, "path")
		dim := rapid.IntRange(int(rollup.Referrer), int(rollup.NumDimensions)-1).Draw(t, "dimension")
		e.Values[dim] = others.Draw(t, "value")
		return e
	})
	return rapid.Custom(func(t *rapid.T) []rollup.Event {
		events := rapid.SliceOfN(event, 0, most).Draw(t, "events")
		at := rollup.EntryID{Ms: 1_700_000_000_000}
		line := uint32(0)
		for i := range events {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				at, line = rollup.EntryID{Ms: at.Ms + 1}, 0
			case 1:
				at.Seq, line = at.Seq+1, 0
			}
			events[i].Position = rollup.Position{Entry: at, Line: line}
			line++
		}
		return events
	})
}

// streamsOf draws the runs of three streams by their names.
func streamsOf(most int) *rapid.Generator[map[string][]rollup.Event] {
	return rapid.Custom(func(t *rapid.T) map[string][]rollup.Event {
		streams := map[string][]rollup.Event{}
		for _, name := range []string{"1:0", "1:1", "2:0"} {
			streams[name] = runOf(most).Draw(t, name)
		}
		return streams
	})
}

// fold folds each stream in one go into a new Day.
func fold(streams map[string][]rollup.Event) (*rollup.Day, *model) {
	d, m := rollup.NewDay("site", "2026-11-24"), newModel()
	for name, events := range streams {
		d.Fold(name, events)
		for _, e := range events {
			m.count(e)
		}
	}
	return d, m
}

func encode(t rapid.TB, d *rollup.Day) []byte {
	t.Helper()
	b, err := d.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decode(t rapid.TB, b []byte) *rollup.Day {
	t.Helper()
	d := new(rollup.Day)
	if err := d.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	return d
}

// wantSame fails unless both days have equal contents.
func wantSame(t rapid.TB, got, want *rollup.Day) {
	t.Helper()
	if diffs := got.Diff(want); len(diffs) != 0 {
		t.Fatalf("days differ: %v", diffs)
	}
	if !bytes.Equal(encode(t, got), encode(t, want)) {
		t.Fatal("days of equal contents have different encodings")
	}
}

// shuffled gives a permutation of the events.
func shuffled[E any](t *rapid.T, s []E) []E {
	return rapid.Permutation(slices.Clone(s)).Draw(t, "order")
}
