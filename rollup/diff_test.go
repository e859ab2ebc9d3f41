package rollup_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/rollup"
)

// Every single change of a reported value is found, under its name.
func TestDiffFindsEveryChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		streams := streamsOf(30).Draw(t, "streams")
		truth, _ := fold(streams)
		d := decode(t, encode(t, truth))

		var want rollup.Difference
		number := func(field string, n *uint64) {
			want = rollup.Difference{Field: field, Stored: fmt.Sprint(*n + 1), True: fmt.Sprint(*n)}
			*n++
		}
		hour := rapid.IntRange(0, 23).Draw(t, "hour")
		switch rapid.IntRange(0, 5).Draw(t, "change") {
		case 0:
			number("total_events", &d.Events)
		case 1:
			number("total_views", &d.Views)
		case 2:
			number(fmt.Sprintf("hour %02d events", hour), &d.HourEvents[hour])
		case 3:
			number(fmt.Sprintf("hour %02d views", hour), &d.HourViews[hour])
		case 4:
			d.Users.Insert("a new user")
			n := truth.Users.Estimate()
			want = rollup.Difference{Field: "unique_users", Stored: fmt.Sprint(n + 1), True: fmt.Sprint(n)}
		case 5:
			dim := rollup.Dimension(rapid.IntRange(0, int(rollup.NumDimensions)-1).Draw(t, "dimension"))
			key := "a new key"
			if rows := d.Tables[dim].Rows(); len(rows) > 0 && rapid.Bool().Draw(t, "old key") {
				key = rapid.SampledFrom(rows).Draw(t, "row").Key
			}
			n := truth.Tables[dim].Bounds(key).Hi
			d.Tables[dim].Add(key, 1)
			want = rollup.Difference{Field: fmt.Sprintf("%v %s", dim, key), Stored: fmt.Sprint(n + 1), True: fmt.Sprint(n)}
		}
		if got := d.Diff(truth); len(got) != 1 || got[0] != want {
			t.Fatalf("Diff found %v, want %v", got, want)
		}
		want.Stored, want.True = want.True, want.Stored
		if got := truth.Diff(d); len(got) != 1 || got[0] != want {
			t.Fatalf("Diff the other way round found %v, want %v", got, want)
		}
	})
}

// A table that dropped keys agrees with the full one as long as its bounds
// hold.
func TestDiffKnowsBounds(t *testing.T) {
	full := rollup.NewDay("site", "2026-11-24")
	for i := range 300 {
		full.Tables[rollup.Path].Add(fmt.Sprintf("/%d", i), uint64(300-i))
	}
	d := decode(t, encode(t, full))
	d.Compact(rollup.Limits{Keys: 100, Bytes: 1 << 20})
	if diffs := d.Diff(full); len(diffs) != 0 {
		t.Fatalf("a compacted day differs from the full one: %v", diffs)
	}
	// The floor is 200, the count of "/100".
	full.Tables[rollup.Path].Add("/250", 150)
	if diffs := d.Diff(full); len(diffs) != 0 {
		t.Fatalf("a count of 200 differs where up to 200 are possible: %v", diffs)
	}
	full.Tables[rollup.Path].Add("/250", 1)
	want := rollup.Difference{Field: "path /250", Stored: "0 to 200", True: "201"}
	if diffs := d.Diff(full); len(diffs) != 1 || diffs[0] != want {
		t.Fatalf("Diff found %v, want %v", diffs, want)
	}
}

func TestDiffIgnoresRevAndMarks(t *testing.T) {
	a, b := rollup.NewDay("site", "2026-11-24"), rollup.NewDay("site", "2026-11-24")
	a.Rev = 7
	a.Marks.Advance("1:0", rollup.Position{Line: 1})
	if diffs := a.Diff(b); len(diffs) != 0 {
		t.Fatalf("Diff found %v", diffs)
	}
}
