package rollup_test

import (
	"fmt"
	"slices"
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
		switch rapid.IntRange(0, 6).Draw(t, "change") {
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
			d.Tables[dim].Add(key, 1) // of nobody known
			want = rollup.Difference{Field: fmt.Sprintf("%v %s", dim, key), Stored: fmt.Sprint(n + 1), True: fmt.Sprint(n)}
		case 6:
			d.HourUsers[hour].Insert(rollup.HashUser("a new user"))
			n := truth.HourUsers[hour].Estimate()
			want = rollup.Difference{Field: fmt.Sprintf("hour %02d users", hour), Stored: fmt.Sprint(n + 1), True: fmt.Sprint(n)}
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

// Two days with the same counts, of which only the users or the times differ.
func TestDiffFindsUsersAndVisits(t *testing.T) {
	base := func() []rollup.Event { return []rollup.Event{eventAt("u", 0, "/a"), eventAt("u", 10, "/b")} }
	for name, c := range map[string]struct {
		change func(events []rollup.Event)
		want   []string
	}{
		"nothing":       {func([]rollup.Event) {}, nil},
		"another user":  {func(e []rollup.Event) { e[0].User, e[1].User = "v", "v" }, []string{"hour 00 users 1 1", "unique_users 1 1", "users of event_type page_view 1 1", "users of path /a 1 1", "users of path /b 1 1"}},
		"two visits":    {func(e []rollup.Event) { e[1].At += 1_800_000 }, []string{"visits 2 1", "bounces 2 0", "seconds of visits 0 600", "entry page /b 1 0", "exit page /a 1 0"}},
		"another time":  {func(e []rollup.Event) { e[1].At += 1000 }, []string{"seconds of visits 601 600"}},
		"another order": {func(e []rollup.Event) { e[0].At, e[1].At = e[1].At, e[0].At }, []string{"entry page /b 1 0", "entry page /a 0 1", "exit page /a 1 0", "exit page /b 0 1"}},
	} {
		events := base()
		c.change(events)
		var got []string
		for _, diff := range foldAll(events...).Diff(foldAll(base()...)) {
			got = append(got, diff.Field+" "+diff.Stored+" "+diff.True)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: Diff found %q, want %q", name, got, c.want)
		}
	}
}

// A sample agrees with a smaller one of the same events, and with none that
// lacks a user who belongs there.
func TestDiffComparesWhatBothSampled(t *testing.T) {
	events := crowd(6000)
	all, sampled := foldAll(events...), foldAll(events...)
	sampled.Compact(rollup.DefaultLimits)
	if s := sampled.Visits.Stats(); s.Exact {
		t.Fatal("the sample has everybody; the test shows nothing")
	}
	if diffs := sampled.Diff(all); len(diffs) != 0 {
		t.Fatalf("a sample differs from a larger one: %v", diffs)
	}
	less := foldAll(events[100:]...)
	less.Compact(rollup.DefaultLimits)
	found := slices.ContainsFunc(less.Diff(sampled), func(d rollup.Difference) bool { return d.Field == "visits" })
	if !found {
		t.Error("Diff did not find that visits are missing")
	}
}

func TestDiffIgnoresRevAndMarks(t *testing.T) {
	a, b := rollup.NewDay("site", "2026-11-24"), rollup.NewDay("site", "2026-11-24")
	a.Rev, a.Zone = 7, "Europe/Berlin"
	a.Marks.Advance("1:0", rollup.Position{Line: 1})
	if diffs := a.Diff(b); len(diffs) != 0 {
		t.Fatalf("Diff found %v", diffs)
	}
}
