package rollup_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/rollup"
)

func TestFoldCountsLikeTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, m := fold(streamsOf(60).Draw(t, "streams"))
		m.check(t, d)
	})
}

// However a stream is cut into batches, whatever is offered again, and however
// the streams take turns: the Day is the same, to the byte.
func TestFoldIsExactlyOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		streams := streamsOf(40).Draw(t, "streams")
		want, m := fold(streams)

		d := rollup.NewDay(want.Site, want.Date)
		counted := 0
		done := map[string]int{} // events of each stream that were offered
		open := func() []string {
			var names []string
			for name, events := range streams {
				if done[name] < len(events) {
					names = append(names, name)
				}
			}
			slices.Sort(names)
			return names
		}
		for names := open(); len(names) > 0; names = open() {
			name := rapid.SampledFrom(names).Draw(t, "stream")
			events := streams[name]
			from := rapid.IntRange(0, done[name]).Draw(t, "from")
			to := rapid.IntRange(from, len(events)).Draw(t, "to")
			fresh := max(0, to-done[name])
			if got := d.Fold(name, events[from:to]); got != fresh {
				t.Fatalf("Fold counted %d events, want %d", got, fresh)
			}
			counted += fresh
			done[name] = max(done[name], to)
			if mark, last := d.Marks[name], done[name]; last > 0 && mark != events[last-1].Position {
				t.Fatalf("mark is at %v, want %v", mark, events[last-1].Position)
			}
		}
		if uint64(counted) != m.folded {
			t.Fatalf("Fold counted %d events, want %d", counted, m.folded)
		}
		wantSame(t, d, want)

		for name, events := range streams {
			if got := d.Fold(name, events); got != 0 {
				t.Fatalf("Fold counted %d events again", got)
			}
		}
		wantSame(t, d, want)
	})
}

// The order of the events changes nothing but the marks.
func TestFoldOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := runOf(80).Draw(t, "events")
		want, _ := fold(map[string][]rollup.Event{"s": events})

		other := shuffled(t, events)
		for i := range other {
			other[i].Position = events[i].Position
		}
		got, _ := fold(map[string][]rollup.Event{"s": other})
		wantSame(t, got, want)
	})
}

// What a bot did is counted once, by its reason, and moves the mark; nothing
// else of the day changes.
func TestBotsAreCountedByReasonOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := runOf(40).Draw(t, "events")
		reasons := map[string]uint64{}
		for i := range events {
			events[i].Values[rollup.Bot] = ""
		}
		people, _ := fold(map[string][]rollup.Event{"s": events})
		if len(events) == 0 {
			return
		}
		bots := slices.Clone(events)
		for i := range bots {
			bots[i].Position.Entry.Ms += 1_000_000
			bots[i].Values[rollup.Bot] = rapid.SampledFrom([]string{"crawler", "headless"}).Draw(t, "reason")
			reasons[bots[i].Values[rollup.Bot]]++
		}
		d := people.Clone()
		if got := d.Fold("s", bots); got != len(bots) {
			t.Fatalf("Fold counted %d events of bots, want %d", got, len(bots))
		}
		if mark := bots[len(bots)-1].Position; d.Marks["s"] != mark {
			t.Fatalf("mark is at %v, want %v", d.Marks["s"], mark)
		}
		for _, row := range d.Tables[rollup.Bot].Rows() {
			if row.N != reasons[row.Key] || row.Users.Estimate() != 0 {
				t.Fatalf("%s has %d events of %d users, want %d of none", row.Key, row.N, row.Users.Estimate(), reasons[row.Key])
			}
			delete(reasons, row.Key)
		}
		if len(reasons) > 0 {
			t.Fatalf("not counted are %v", reasons)
		}
		d.Tables[rollup.Bot], d.Marks = rollup.Table{}, people.Marks
		wantSame(t, d, people)
	})
}

func TestFoldOfNothing(t *testing.T) {
	d := rollup.NewDay("site", "2026-11-24")
	if d.Fold("s", nil) != 0 || len(d.Marks) != 0 {
		t.Fatalf("folding no events left marks %v", d.Marks)
	}
	newModel().check(t, d)
}

// Days are parts of one set of events, with users who come on several of them.
func TestMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := newModel()
		var parts []*rollup.Day
		for range 3 {
			streams := streamsOf(30).Draw(t, "day")
			d, _ := fold(streams)
			parts = append(parts, d)
			all.day++
			for _, events := range streams {
				for _, e := range events {
					all.count(e)
				}
			}
		}
		merge := func(days ...*rollup.Day) *rollup.Day {
			sum := rollup.NewDay("site", "")
			for _, d := range days {
				before := encode(t, d)
				sum.Merge(d)
				if string(encode(t, d)) != string(before) {
					t.Fatal("Merge changed its argument")
				}
			}
			return sum
		}
		a, b, c := parts[0], parts[1], parts[2]
		left := merge(merge(a, b), c)
		all.check(t, left)
		for _, other := range []*rollup.Day{merge(a, merge(b, c)), merge(c, a, b)} {
			if diffs := other.Diff(left); len(diffs) != 0 {
				t.Fatalf("merged in another order: %v", diffs)
			}
		}
		if len(left.Marks) != 0 || left.Rev != 0 {
			t.Fatalf("Merge moved marks to %v and rev to %d", left.Marks, left.Rev)
		}
	})
}

// A clone goes on by itself: whatever is done to one leaves the other.
func TestClone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, _ := fold(streamsOf(30).Draw(t, "streams"))
		more, _ := fold(streamsOf(30).Draw(t, "more"))
		d.Zone, d.Rev, d.Parts = "Europe/Berlin", 3, []rollup.Part{{Date: "2026-11-23", Rev: 1}}
		if rapid.Bool().Draw(t, "merged") {
			d.Merge(more)
		}
		before := encode(t, d)
		c := d.Clone()
		if string(encode(t, c)) != string(before) {
			t.Fatal("a clone is something else")
		}
		change := func(d *rollup.Day) {
			d.Fold("3:0", runOf(30).Draw(t, "run"))
			d.Merge(more)
			d.Visits.Close()
			d.Marks.Advance("9:9", rollup.Position{Line: 1})
			d.Parts[0].Rev++
		}
		change(c)
		if string(encode(t, d)) != string(before) {
			t.Fatal("a change of the clone changed the day")
		}
		c = d.Clone()
		change(d)
		if string(encode(t, c)) != string(before) {
			t.Fatal("a change of the day changed its clone")
		}
	})
}

// One day may be merged into several at the same time: Merge only reads it.
// The race detector looks on.
func TestMergeOnlyReads(t *testing.T) {
	d := fullDay(300)
	d.Compact(rollup.DefaultLimits)
	closed := d.Clone()
	closed.Visits.Close()
	var wg sync.WaitGroup
	sums := make([]*rollup.Day, 4)
	for i := range sums {
		wg.Go(func() {
			sums[i] = rollup.NewDay("site", "")
			sums[i].Merge(d)
			sums[i].Merge(closed)
		})
	}
	wg.Wait()
	for _, sum := range sums[1:] {
		wantSame(t, sum, sums[0])
	}
}

// tableBytes is what the tables of a day cost in the widest stored form.
func tableBytes(d *rollup.Day) int {
	total := 0
	for dim := range d.Tables {
		for _, row := range d.Tables[dim].Rows() {
			total += 64 + len(row.Key)
		}
	}
	return total
}

func TestCompactBringsAnyDayWithinLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := rollup.Limits{
			Keys:  rapid.IntRange(100, 400).Draw(t, "keys"),
			Bytes: rapid.IntRange(64<<10, 256<<10).Draw(t, "bytes"),
		}
		if err := limits.Validate(); err != nil {
			t.Fatal(err)
		}
		d := rollup.NewDay("site", "2026-11-24")
		for dim := range d.Tables {
			keys := rapid.IntRange(0, 600).Draw(t, "distinct")
			length := rapid.SampledFrom([]int{8, 100, 2048}).Draw(t, "length")
			for i := range keys {
				d.Tables[dim].Add(longKey(i, length), uint64(1+keys%(i+1)))
			}
		}
		small := tableBytes(d) <= limits.Bytes
		for dim := range d.Tables {
			small = small && d.Tables[dim].Len() <= limits.Keys
		}
		before := encode(t, d)
		d.Compact(limits)

		for dim := range d.Tables {
			if n := d.Tables[dim].Len(); n > limits.Keys {
				t.Fatalf("%v has %d keys, the limit is %d", rollup.Dimension(dim), n, limits.Keys)
			}
		}
		if got := tableBytes(d); got > limits.Bytes {
			t.Fatalf("tables take %d bytes, the limit is %d", got, limits.Bytes)
		}
		if small && string(encode(t, d)) != string(before) {
			t.Fatal("Compact changed a day within its limits")
		}
	})
}

// A key longer than all the limits must not keep Compact from ending.
func TestCompactDropsWhatCannotFit(t *testing.T) {
	d := rollup.NewDay("site", "2026-11-24")
	d.Tables[rollup.Path].Add(strings.Repeat("x", 1<<20), 3)
	d.Tables[rollup.Country].Add("NO", 1)
	d.Compact(rollup.DefaultLimits)
	if got := d.Tables[rollup.Path].Floor(); d.Tables[rollup.Path].Len() != 0 || got != 3 {
		t.Fatalf("path table has %d rows and floor %d, want none and 3", d.Tables[rollup.Path].Len(), got)
	}
	if d.Tables[rollup.Country].Len() != 1 {
		t.Fatal("Compact dropped a key that fits")
	}
}

func TestLimitsValidate(t *testing.T) {
	for _, bad := range []rollup.Limits{
		{}, {Keys: 99, Bytes: 1 << 20}, {Keys: 10_001, Bytes: 1 << 20},
		{Keys: 2000, Bytes: 64<<10 - 1}, {Keys: 2000, Bytes: 8<<20 + 1},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v passed", bad)
		}
	}
	if err := rollup.DefaultLimits.Validate(); err != nil {
		t.Error(err)
	}
}

// longKey is a key of at least length bytes that is like its neighbours up to
// its end.
func longKey(i, length int) string {
	s := fmt.Sprintf("%08d", i)
	return strings.Repeat("k", max(0, length-len(s))) + s
}
