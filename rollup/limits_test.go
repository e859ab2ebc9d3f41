package rollup_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/daybook-analytics/daybook/rollup"
)

// foldAsStored folds a million events as the worker does: in batches, each
// time into the day as it comes from the store, within the limits.
func foldAsStored(t *testing.T, next func(i int) rollup.Event) *rollup.Day {
	t.Helper()
	const events, batch = 1_000_000, 20_000
	d := rollup.NewDay("site", "2026-11-24")
	buf := make([]rollup.Event, 0, batch)
	for i := range events {
		e := next(i)
		e.Position = rollup.Position{Entry: rollup.EntryID{Ms: 1_764_000_000_000 + uint64(i/1000)}, Line: uint32(i % 1000)}
		buf = append(buf, e)
		if len(buf) < batch {
			continue
		}
		if n := d.Fold("1:0", buf); n != batch {
			t.Fatalf("Fold counted %d events of %d", n, batch)
		}
		buf = buf[:0]
		d.Compact(rollup.DefaultLimits)
		b := encode(t, d)
		if len(b) >= 1<<20 {
			t.Fatalf("after %d events the day is encoded in %d bytes", i+1, len(b))
		}
		d = decode(t, b)
	}
	if d.Events != events {
		t.Fatalf("day has %d events, want %d", d.Events, events)
	}
	return d
}

// A day with a million distinct paths and users, and every other dimension
// full too, stays under 1 MiB and is right in all totals.
func TestMillionDistinctPathsAndUsers(t *testing.T) {
	filler := strings.Repeat("x", 200)
	values := make([]string, 5000)
	for i := range values {
		values[i] = fmt.Sprint("value ", i)
	}
	d := foldAsStored(t, func(i int) rollup.Event {
		e := rollup.Event{Hour: i % 24, At: uint32(i%24*3_600_000 + i%1_000_000), User: fmt.Sprintf("user-%d", i)}
		for dim := range rollup.Bot {
			e.Values[dim] = values[i%len(values)]
		}
		e.Values[rollup.EventType] = rollup.PageView
		e.Values[rollup.Path] = fmt.Sprintf("/%d/%s", i, filler[:i%200])
		e.Values[rollup.Referrer] = fmt.Sprintf("%d.%s.example", i, filler[:50])
		return e
	})
	t.Logf("encoded in %d bytes", len(encode(t, d)))
	const n = 1_000_000
	if d.Views != n || d.HourViews[5] != 41_667 {
		t.Errorf("day has %d views, %d of them at 5, want %d and 41667", d.Views, d.HourViews[5], n)
	}
	if got := float64(d.Users.Estimate()); got < n*(1-3*rollup.SketchError) || got > n*(1+3*rollup.SketchError) {
		t.Errorf("estimate of a million users is %.0f", got)
	}
	if got := float64(d.HourUsers[5].Estimate()); math.Abs(got-n/24) > 3*d.HourUsers[5].Error()*n/24 {
		t.Errorf("estimate of 41,667 users from 5 to 6 is %.0f", got)
	}
	visits := d.Visits.Stats()
	if visits.Exact || math.Abs(visits.Visits-n) > 3*visits.VisitsError() || visits.Bounces != visits.Visits {
		t.Errorf("%.0f visits with standard error %.0f and %.0f bounces", visits.Visits, visits.VisitsError(), visits.Bounces)
	}
	if users := d.Tables[rollup.EventType].Rows()[0].Users; math.Abs(float64(users.Estimate())-n) > 3*users.Error()*n {
		t.Errorf("estimate of a million users of an event type is %d", users.Estimate())
	}
	if table := &d.Tables[rollup.Path]; table.Floor() == 0 || table.Floor() > n/uint64(table.Len()) {
		t.Errorf("floor of the paths is %d with %d keys", table.Floor(), table.Len())
	}
	if rows := d.Tables[rollup.EventType].Rows(); len(rows) != 1 || rows[0].N != n || rows[0].Err != 0 {
		t.Errorf("event types are %v", rows)
	}
}

// The true top 100 of a Zipf-distributed day of a million paths is in the
// top, with bounds that hold.
func TestZipfTop100(t *testing.T) {
	const distinct, top = 1_000_000, 100
	rng := rand.New(rand.NewPCG(5, 6))
	zipf := rand.NewZipf(rng, 1.07, 1, distinct-1)
	truth := map[string]uint64{}
	d := foldAsStored(t, func(i int) rollup.Event {
		e := rollup.Event{Hour: i % 24, At: uint32(i * 86), User: fmt.Sprintf("user-%d", i%1000)}
		e.Values[rollup.EventType], e.Values[rollup.Path] = rollup.PageView, fmt.Sprintf("/page/%d", zipf.Uint64())
		truth[e.Values[rollup.Path]]++
		return e
	})
	type pair struct {
		path  string
		views uint64
	}
	var pairs []pair
	for path, views := range truth {
		pairs = append(pairs, pair{path, views})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return int(b.views) - int(a.views) })

	table := &d.Tables[rollup.Path]
	t.Logf("%d distinct paths, floor %d, the 100th has %d views", len(truth), table.Floor(), pairs[top-1].views)
	if table.Floor() == 0 {
		t.Fatal("the table did not overflow; the test shows nothing")
	}
	rows, _ := table.Top(top)
	inTop := map[string]bool{}
	for _, row := range rows {
		inTop[row.Key] = true
		if truth := truth[row.Key]; truth > row.N || truth < row.N-row.Err {
			t.Errorf("%s was viewed %d times, its row says %+v", row.Key, truth, row)
		}
	}
	for i, p := range pairs[:top] {
		// Paths with as many views as the 100th may stand for each other.
		if !inTop[p.path] && p.views > pairs[top-1].views {
			t.Errorf("%s, number %d with %d views, is not in the top %d", p.path, i+1, p.views, top)
		}
	}
}

// Every part of a day at its largest: all tables full of keys that are as long
// as fit, all of their users and those of the hours dense, and visits that
// fill their room.
func TestLargestDay(t *testing.T) {
	for _, length := range []int{8, 500} {
		d := largestDay(length)
		size := len(encode(t, d))
		t.Logf("keys of %d bytes: %d bytes", length, size)
		if size >= 1<<20 {
			t.Errorf("keys of %d bytes: a day of %d bytes", length, size)
		}
	}
}

func largestDay(length int) *rollup.Day {
	d := rollup.NewDay("site", "2026-11-24")
	var events []rollup.Event
	for i := range 50_000 {
		e := rollup.Event{Position: rollup.Position{Line: uint32(i + 1)}, Hour: i % 24, At: uint32(i%24*3_600_000 + i/24), User: fmt.Sprint("user-", i)}
		for dim := range rollup.Bot {
			e.Values[dim] = longKey(i%(i%2500+1), length)
		}
		e.Values[rollup.EventType] = rollup.PageView
		events = append(events, e)
	}
	d.Fold("1:0", events)
	for i := range 2500 {
		d.Tables[rollup.Bot].Add(longKey(i, length), 1)
	}
	d.Compact(rollup.DefaultLimits)
	return d
}
