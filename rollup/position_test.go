package rollup_test

import (
	"cmp"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/rollup"
)

var positions = rapid.Custom(func(t *rapid.T) rollup.Position {
	// Few different values, so that equal parts are common, and the extremes.
	part := func(label string, most uint64) uint64 {
		return rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64Range(0, most), rapid.Just(most)).Draw(t, label)
	}
	return rollup.Position{
		Entry: rollup.EntryID{Ms: part("ms", rollup.MaxMs), Seq: part("seq", rollup.MaxSeq)},
		Line:  uint32(part("line", rollup.MaxLine)),
	}
})

func TestPositionTextRoundTripsAndSorts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := positions.Draw(t, "a"), positions.Draw(t, "b")
		got, err := rollup.ParsePosition(a.String())
		if err != nil || got != a {
			t.Fatalf("%v reads back as %v, %v", a, got, err)
		}
		want := cmp.Or(cmp.Compare(a.Entry.Ms, b.Entry.Ms), cmp.Compare(a.Entry.Seq, b.Entry.Seq), cmp.Compare(a.Line, b.Line))
		if got := a.Compare(b); got != want {
			t.Fatalf("%v compares to %v as %d, want %d", a, b, got, want)
		}
		if got := strings.Compare(a.String(), b.String()); got != want {
			t.Fatalf("the text of %v sorts to that of %v as %d, want %d", a, b, got, want)
		}
		if a.IsZero() != (a.String() == "000000000000000-0000000000-000000") {
			t.Fatalf("IsZero of %v is %t", a, a.IsZero())
		}
	})
}

func TestPositionString(t *testing.T) {
	p := rollup.Position{Entry: rollup.EntryID{Ms: 1732424242424, Seq: 3}, Line: 12}
	if got, want := p.String(), "001732424242424-0000000003-000012"; got != want {
		t.Fatalf("position prints as %q, want %q", got, want)
	}
}

func TestParsePositionRefuses(t *testing.T) {
	for _, bad := range []string{
		"", "0", "1732424242424-3-12",
		"001732424242424-0000000003-00001",
		"001732424242424-0000000003-0000012",
		"001732424242424_0000000003-000012",
		"0017324242424240-000000003-000012",
		"00173242424242a-0000000003-000012",
		"+01732424242424-0000000003-000012",
		"00173242424242--0000000003-000012",
		"٠01732424242424-0000000003-00012",
	} {
		if p, err := rollup.ParsePosition(bad); err == nil {
			t.Errorf("%q was read as %v", bad, p)
		} else if bad != "" && !strings.Contains(err.Error(), "000000000000000-0000000000-000000") {
			t.Errorf("error %q does not show the form", err)
		}
	}
}

func TestMarks(t *testing.T) {
	marks := rapid.MapOfN(rapid.SampledFrom([]string{"1:0", "1:1", "2:0"}), positions, 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		a := rollup.Marks(marks.Draw(t, "a"))
		b := rollup.Marks(marks.Draw(t, "b"))
		p := positions.Draw(t, "position")
		beforeA, beforeB := maps.Clone(a), maps.Clone(b)

		joined := a.Join(b)
		for _, stream := range []string{"1:0", "1:1", "2:0"} {
			covered := a.Covers(stream, p) || b.Covers(stream, p)
			if joined.Covers(stream, p) != covered {
				t.Fatalf("join of %v and %v covers %v of %s: %t, want %t", a, b, p, stream, !covered, covered)
			}
			if a.Covers(stream, p) != (p.Compare(a[stream]) <= 0) {
				t.Fatalf("%v covers %v of %s wrongly", a, p, stream)
			}
		}
		joined.Advance("1:0", p)
		if !joined.Covers("1:0", p) || !joined.Covers("1:0", a["1:0"]) {
			t.Fatalf("after Advance to %v the mark is %v", p, joined["1:0"])
		}
		if !maps.Equal(a, beforeA) || !maps.Equal(b, beforeB) {
			t.Fatal("Join or Advance changed one of the joined marks")
		}
		if streams := joined.Streams(); len(streams) != len(joined) {
			t.Fatalf("streams of %v are %v", joined, streams)
		}
	})
}
