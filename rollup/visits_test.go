package rollup_test

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/rollup"
)

// plainVisits are visits as one would count them with all events of each user
// at hand, sorted.
type plainVisits struct {
	visits, bounces, views int
	seconds                float64
	entry, exit            map[string]uint64
}

func plain(byUser map[string][]rollup.Event) *plainVisits {
	p := &plainVisits{entry: map[string]uint64{}, exit: map[string]uint64{}}
	for _, events := range byUser {
		sorted := slices.SortedFunc(slices.Values(events), func(a, b rollup.Event) int {
			return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Values[rollup.Path], b.Values[rollup.Path]))
		})
		for len(sorted) > 0 {
			n := 1
			for n < len(sorted) && sorted[n].At-sorted[n-1].At <= 30*60*1000 {
				n++
			}
			p.add(sorted[:n])
			sorted = sorted[n:]
		}
	}
	return p
}

// add adds the visit of the events, in order.
func (p *plainVisits) add(events []rollup.Event) {
	p.visits++
	if len(events) == 1 {
		p.bounces++
	}
	p.seconds += float64(events[len(events)-1].At-events[0].At) / 1000
	var pages []string
	for _, e := range events {
		if e.Values[rollup.EventType] == "page_view" {
			p.views++
			if page := e.Values[rollup.Path]; page != "" {
				pages = append(pages, page)
			}
		}
	}
	if len(pages) > 0 {
		p.entry[pages[0]]++
		p.exit[pages[len(pages)-1]]++
	}
}

func pageCounts(table *rollup.Table) map[string]uint64 {
	counts := map[string]uint64{}
	for _, row := range table.Rows() {
		counts[row.Key] = row.N
	}
	return counts
}

// check compares stats that must be exact.
func (p *plainVisits) check(t rapid.TB, s *rollup.VisitStats) {
	t.Helper()
	if !s.Exact || s.Variance != 0 || s.VisitsError() != 0 || s.RowError(3) != 0 || s.BounceRateError() != 0 {
		t.Fatalf("stats of all visits say that they are estimated: %+v", s)
	}
	if s.Visits != float64(p.visits) || s.Bounces != float64(p.bounces) || s.Views != float64(p.views) {
		t.Fatalf("%v visits, %v bounces, %v views; want %d, %d, %d", s.Visits, s.Bounces, s.Views, p.visits, p.bounces, p.views)
	}
	if math.Abs(s.Seconds-p.seconds) > 1e-6 {
		t.Fatalf("visits of %v seconds, want %v", s.Seconds, p.seconds)
	}
	if got := pageCounts(&s.Entry); !maps.Equal(got, p.entry) {
		t.Fatalf("entry pages are %v, want %v", got, p.entry)
	}
	if got := pageCounts(&s.Exit); !maps.Equal(got, p.exit) {
		t.Fatalf("exit pages are %v, want %v", got, p.exit)
	}
}

// checkVisits compares the visits of a day that was not merged from others.
func (m *model) checkVisits(t rapid.TB, d *rollup.Day) {
	t.Helper()
	plain(m.byUser).check(t, d.Visits.Stats())
}

// eventAt is a page view, or a click when the page is empty.
func eventAt(user string, minutes float64, page string) rollup.Event {
	e := rollup.Event{User: user, At: uint32(minutes * 60_000)}
	e.Values[rollup.EventType] = "click"
	if page != "" {
		e.Values[rollup.EventType], e.Values[rollup.Path] = rollup.PageView, page
	}
	return e
}

// foldAll folds the events, in this order, into a new day.
func foldAll(events ...rollup.Event) *rollup.Day {
	d := rollup.NewDay("site", "2026-11-24")
	for i := range events {
		events[i].Position = rollup.Position{Line: uint32(i + 1)}
	}
	d.Fold("1:0", events)
	return d
}

func TestVisits(t *testing.T) {
	const ms = 1.0 / 60_000 // in minutes
	for _, c := range []struct {
		name                     string
		events                   []rollup.Event
		visits, bounces, seconds float64
		entry, exit              string
	}{
		{"a gap of 30 minutes", []rollup.Event{eventAt("u", 0, "/a"), eventAt("u", 30, "/b")}, 1, 0, 1800, "/a 1", "/b 1"},
		{"a millisecond more", []rollup.Event{eventAt("u", 0, "/a"), eventAt("u", 30+ms, "/b")}, 2, 2, 0, "/a 1 /b 1", "/a 1 /b 1"},
		{"two users", []rollup.Event{eventAt("u", 0, "/a"), eventAt("v", 1, "/a")}, 2, 2, 0, "/a 2", "/a 2"},
		{"nobody known", []rollup.Event{eventAt("", 0, "/a")}, 0, 0, 0, "", ""},
		{"a late event that joins two visits", []rollup.Event{
			eventAt("u", 0, "/a"), eventAt("u", 60, "/b"), eventAt("u", 30, "/c"),
		}, 1, 0, 3600, "/a 1", "/b 1"},
		{"a late event that is near one", []rollup.Event{
			eventAt("u", 0, "/a"), eventAt("u", 61, "/b"), eventAt("u", 31, "/c"),
		}, 2, 1, 1800, "/a 1 /c 1", "/a 1 /b 1"},
		{"a late event before the first", []rollup.Event{eventAt("u", 100, "/a"), eventAt("u", 1, "/b")}, 2, 2, 0, "/a 1 /b 1", "/a 1 /b 1"},
		{"no page view", []rollup.Event{eventAt("u", 0, ""), eventAt("u", 1, "")}, 1, 0, 60, "", ""},
		{"a click after the last page view", []rollup.Event{
			eventAt("u", 0, ""), eventAt("u", 1, "/a"), eventAt("u", 2, "/b"), eventAt("u", 3, ""),
		}, 1, 0, 180, "/a 1", "/b 1"},
		{"two pages at one time", []rollup.Event{eventAt("u", 5, "/b"), eventAt("u", 5, "/a")}, 1, 0, 0, "/a 1", "/b 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := foldAll(c.events...).Visits.Stats()
			if s.Visits != c.visits || s.Bounces != c.bounces || s.Seconds != c.seconds {
				t.Errorf("%v visits, %v bounces, %v seconds; want %v, %v, %v", s.Visits, s.Bounces, s.Seconds, c.visits, c.bounces, c.seconds)
			}
			for _, side := range []struct {
				name, want string
				table      *rollup.Table
			}{{"entry", c.entry, &s.Entry}, {"exit", c.exit, &s.Exit}} {
				var got []string
				for _, row := range side.table.Rows() {
					got = append(got, fmt.Sprint(row.Key, " ", row.N))
				}
				if got := strings.Join(got, " "); got != side.want {
					t.Errorf("%s pages are %q, want %q", side.name, got, side.want)
				}
			}
		})
	}
}

// crowd makes events of n users, in the order of time, with a visit or two
// each.
func crowd(n int) []rollup.Event {
	rng := rand.New(rand.NewPCG(11, 12))
	var events []rollup.Event
	for u := range n {
		user := fmt.Sprint("user ", u)
		for range 1 + rng.IntN(2) {
			start := rng.IntN(1300)
			for range 1 + rng.IntN(3) {
				events = append(events, eventAt(user, float64(start+rng.IntN(20)), fmt.Sprint("/", rng.IntN(30))))
			}
		}
	}
	slices.SortFunc(events, func(a, b rollup.Event) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.User, b.User)) })
	return events
}

func visitBytes(t testing.TB, d *rollup.Day) string {
	t.Helper()
	b, err := d.Visits.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The sample depends only on the set of events: not on their order, not on
// the batches, and not on how often the day was stored between them.
func TestSampleOfVisitsIsOfTheSet(t *testing.T) {
	events := crowd(12_000)
	rng := rand.New(rand.NewPCG(13, 14))
	var want string
	for round, batch := range []int{len(events), 1000, 7777} {
		d := rollup.NewDay("site", "2026-11-24")
		if round > 0 {
			rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		}
		for i := range events {
			events[i].Position = rollup.Position{Line: uint32(i + 1)}
		}
		for run := range slices.Chunk(events, batch) {
			d.Fold("1:0", run)
			d.Compact(rollup.DefaultLimits)
			d = decode(t, encode(t, d))
		}
		got := visitBytes(t, d)
		if round == 0 {
			want = got
		} else if got != want {
			t.Fatalf("round %d gives another sample", round)
		}
	}
	if len(want) > 128<<10 || len(want) < 64<<10 {
		t.Fatalf("the visits of %d users take %d bytes", rollup.SampledUsers, len(want))
	}
}

// The estimates of a day with more users than are sampled lie within three
// standard errors of the truth, and most of them within one.
func TestEstimatesOfVisits(t *testing.T) {
	within := 0
	const rounds = 15
	for round := range rounds {
		events := crowd(6000 + 800*round)
		byUser := map[string][]rollup.Event{}
		for i := range events {
			events[i].User = fmt.Sprint(round, events[i].User)
			byUser[events[i].User] = append(byUser[events[i].User], events[i])
		}
		d := foldAll(events...)
		d.Compact(rollup.DefaultLimits)
		s, want := d.Visits.Stats(), plain(byUser)
		if s.Exact || s.Variance <= 0 {
			t.Fatalf("stats of a sample say that they are exact: %+v", s)
		}
		near := func(name string, got, want, sigma float64) {
			if math.Abs(got-want) > 3*sigma {
				t.Errorf("%s is %.4g, three times %.3g off at most, want %.4g", name, got, sigma, want)
			}
		}
		visits := float64(want.visits)
		near("visits", s.Visits, visits, s.VisitsError())
		near("bounce rate", s.Bounces/s.Visits, float64(want.bounces)/visits, s.BounceRateError())
		if math.Abs(s.Visits-visits) < s.VisitsError() {
			within++
		}
		if got := s.VisitsError() / visits; got > 0.02 {
			t.Errorf("the standard error of the visits is %.1f %%", 100*got)
		}
		if page := s.Entry.Rows()[0]; page.N > 0 {
			// The largest of thirty is likely one that was estimated too high.
			if got, want := float64(page.N), float64(want.entry[page.Key]); math.Abs(got-want) > 4*s.RowError(page.N) {
				t.Errorf("%s has %v entries, want %v; the standard error is %.1f", page.Key, got, want, s.RowError(page.N))
			}
		}
		if math.Abs(s.Views/s.Visits-float64(want.views)/visits) > 0.1 || math.Abs(s.Seconds/s.Visits-want.seconds/visits) > 30 {
			t.Errorf("%v views and %v seconds a visit, want %v and %v", s.Views/s.Visits, s.Seconds/s.Visits, float64(want.views)/visits, want.seconds/visits)
		}
	}
	// 68 % are expected: 10 of 15, give or take 1.8.
	if within < 5 {
		t.Errorf("%d of %d estimates lie within one standard error", within, rounds)
	}
}

// Pages that are too long for the room make the sample smaller, not wrong.
func TestVisitsWithLongPages(t *testing.T) {
	var events []rollup.Event
	for u := range 3000 {
		events = append(events, eventAt(fmt.Sprint("user ", u), 1, fmt.Sprint("/", u, strings.Repeat("x", 500))))
	}
	d := foldAll(events...)
	d.Compact(rollup.DefaultLimits)
	if got := len(visitBytes(t, d)); got > 256<<10 || got < 64<<10 {
		t.Fatalf("visits take %d bytes", got)
	}
	s := d.Visits.Stats()
	if s.Exact || math.Abs(s.Visits-3000) > 3*s.VisitsError() {
		t.Fatalf("%v visits, standard error %v, exact %t", s.Visits, s.VisitsError(), s.Exact)
	}
}

// Closing changes nothing that is reported, and days that are merged add up.
func TestCloseAndMergeVisits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, ma := fold(streamsOf(40).Draw(t, "a"))
		b, mb := fold(streamsOf(40).Draw(t, "b"))
		pa, pb := plain(ma.byUser), plain(mb.byUser)
		if rapid.Bool().Draw(t, "closed") {
			a.Visits.Close()
			pa.check(t, a.Visits.Stats())
			a = decode(t, encode(t, a))
		}
		sum := rollup.NewDay("site", "")
		sum.Merge(a)
		sum.Merge(b)
		for page, n := range pb.entry {
			pa.entry[page] += n
		}
		for page, n := range pb.exit {
			pa.exit[page] += n
		}
		pa.visits, pa.bounces, pa.views, pa.seconds = pa.visits+pb.visits, pa.bounces+pb.bounces, pa.views+pb.views, pa.seconds+pb.seconds
		pa.check(t, sum.Visits.Stats())
		pb.check(t, b.Visits.Stats())
		pa.check(t, decode(t, encode(t, sum)).Visits.Stats())
	})
}

func TestClosedVisitsCountNoMore(t *testing.T) {
	d := foldAll(eventAt("u", 1, "/"))
	d.Visits.Close()
	defer func() {
		if recover() == nil {
			t.Error("an event was folded into closed visits")
		}
	}()
	d.Fold("2:0", []rollup.Event{{Position: rollup.Position{Line: 1}, User: "u"}})
}
