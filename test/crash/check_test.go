package crash

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/daybook-analytics/daybook/rollup"
)

// settle waits until everything that was acknowledged by now must be in the
// statistics.
func (c *client) settle(tend func()) {
	c.t.Helper()
	now := time.Now()
	c.eventually("as_of passes what was acknowledged last", tend, func() bool {
		got, ok := c.dayStats(c.ledger.days[0])
		return ok && got.AsOf.After(now)
	})
}

// check compares all days with what was acknowledged, and tells every
// difference, and how many of the events that were given up are counted.
func (c *client) check(tend func()) (differences []string, counted int) {
	c.t.Helper()
	for _, d := range c.ledger.days {
		var got stats
		c.eventually("a report", tend, func() (ok bool) {
			got, ok = c.dayStats(d)
			return ok
		})
		found, n := d.compare(got)
		for _, difference := range found {
			differences = append(differences, fmt.Sprintf("%s on %s: %s", d.site, d.date, difference))
		}
		counted += n
	}
	return differences, counted
}

// compare tells where an answer differs from what was acknowledged. Of the
// events that were given up each may be counted once.
func (d *day) compare(got stats) (differences []string, counted int) {
	differ := func(format string, args ...any) { differences = append(differences, fmt.Sprintf(format, args...)) }
	gotPaths := map[string]int{}
	for _, row := range got.TopPaths {
		gotPaths[row.Path] += row.Views
	}

	accepted := slices.Clone(d.acked)
	for _, e := range d.givenUp {
		if gotPaths[e.path] > 0 {
			accepted = append(accepted, e)
		}
	}
	counted = len(accepted) - len(d.acked)

	views, wantPaths := 0, map[string]int{}
	// The estimate of a sketch depends only on the set of its users.
	var sketch rollup.Sketch
	for _, e := range accepted {
		sketch.Insert(e.user)
		if e.view {
			views++
			wantPaths[e.path]++
		}
	}
	if got.Events != len(accepted) {
		differ("%d events, want %d", got.Events, len(accepted))
	}
	if got.Views != views {
		differ("%d views, want %d", got.Views, views)
	}
	if want := int(sketch.Estimate()); got.Users != want {
		differ("%d users, want %d", got.Users, want)
	}
	for path := range gotPaths {
		if wantPaths[path] == 0 {
			differ("%s has %d views, want none", path, gotPaths[path])
		}
	}
	for _, path := range slices.Sorted(maps.Keys(wantPaths)) {
		if got, want := gotPaths[path], wantPaths[path]; got != want {
			differ("%s has %d views, want %d", path, got, want)
		}
	}
	if !got.Exact || got.Source != "rollup" {
		differ("exact is %t and the source %s, want exact numbers of the rollup", got.Exact, got.Source)
	}
	return differences, counted
}
