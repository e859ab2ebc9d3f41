package rollup_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/daybook-analytics/daybook/rollup"
)

// typicalEvents are page views of one day in the order of time, with
// Zipf-distributed paths, at the zero position.
func typicalEvents(n int) []rollup.Event {
	rng := rand.New(rand.NewPCG(7, 8))
	paths := rand.NewZipf(rng, 1.07, 1, 20_000)
	events := make([]rollup.Event, n)
	for i := range events {
		at := i * 86_400_000 / n
		events[i].Hour, events[i].At = at/3_600_000, uint32(at)
		events[i].User = fmt.Sprintf("user-%d", rng.IntN(50_000))
		events[i].Values = rollup.Values{
			rollup.EventType: rollup.PageView,
			rollup.Path:      fmt.Sprintf("/page/%d", paths.Uint64()),
			rollup.Country:   fmt.Sprintf("C%d", rng.IntN(50)),
			rollup.Device:    "desktop",
			rollup.Browser:   "firefox",
			rollup.OS:        "linux",
		}
	}
	return events
}

// benchFold folds events over and over, batch by batch, each time at new
// positions, into the day that next gives.
func benchFold(b *testing.B, events []rollup.Event, batch int, next func() *rollup.Day) {
	var p rollup.Position
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		from := i * batch % len(events)
		run := events[from : from+batch]
		for j := range run {
			p.Entry.Ms++
			run[j].Position = p
		}
		next().Fold("1:0", run)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/event")
}

// BenchmarkFold folds into a day that has nothing yet, into one that has seen
// the same users and paths already, and the same without users, which is
// without sets of users and visits.
func BenchmarkFold(b *testing.B) {
	events := typicalEvents(100_000)
	busy := func() *rollup.Day {
		d := rollup.NewDay("site", "2026-11-24")
		d.Fold("0:0", events)
		return d
	}
	b.Run("day=fresh/batch=1000", func(b *testing.B) {
		benchFold(b, events, 1000, func() *rollup.Day { return rollup.NewDay("site", "2026-11-24") })
	})
	for _, batch := range []int{1, 1000} {
		b.Run(fmt.Sprintf("day=busy/batch=%d", batch), func(b *testing.B) {
			d := busy()
			benchFold(b, events, batch, func() *rollup.Day { return d })
		})
	}
	for i := range events {
		events[i].User = ""
	}
	b.Run("day=busy/batch=1000/nousers", func(b *testing.B) {
		d := busy()
		benchFold(b, events, 1000, func() *rollup.Day { return d })
	})
}

// storedDay is a day with 2,000 keys in nine tables and 20,000 users, with the
// sets of users and visits that a stored one has.
func storedDay() *rollup.Day {
	d := fullDay(2000)
	d.Compact(rollup.Limits{Keys: 2000, Bytes: 8 << 20})
	return d
}

func BenchmarkMerge30FullDays(b *testing.B) {
	var days []*rollup.Day
	for range 30 {
		days = append(days, storedDay())
	}
	b.ReportAllocs()
	for b.Loop() {
		sum := rollup.NewDay("site", "")
		for _, d := range days {
			sum.Merge(d)
		}
		sum.Users.Estimate()
	}
}

// benchDays are a small, a middle and a busy day as they are stored.
func benchDays(b *testing.B, run func(b *testing.B, d *rollup.Day)) {
	for _, events := range []int{10, 1000, 100_000} {
		d := rollup.NewDay("site", "2026-11-24")
		all := typicalEvents(events)
		for i := range all {
			all[i].Position.Entry.Ms = uint64(i + 1)
		}
		d.Fold("1:0", all)
		d.Compact(rollup.DefaultLimits)
		b.Run(fmt.Sprintf("events=%d", events), func(b *testing.B) { run(b, d) })
	}
}

func BenchmarkAppendBinary(b *testing.B) {
	benchDays(b, func(b *testing.B, d *rollup.Day) {
		var buf []byte
		b.ReportAllocs()
		for b.Loop() {
			var err error
			if buf, err = d.AppendBinary(buf[:0]); err != nil {
				b.Fatal(err)
			}
		}
		b.SetBytes(int64(len(buf)))
	})
}

// BenchmarkUnmarshalFields reads all of a day, as a worker does, and what an
// answer to /stats is made of.
func BenchmarkUnmarshalFields(b *testing.B) {
	benchDays(b, func(b *testing.B, d *rollup.Day) {
		buf, err := d.AppendBinary(nil)
		if err != nil {
			b.Fatal(err)
		}
		for _, of := range []struct {
			name   string
			fields rollup.Fields
		}{{"all", rollup.AllFields}, {"paths", rollup.TableField(rollup.Path)}} {
			b.Run(of.name, func(b *testing.B) {
				b.SetBytes(int64(len(buf)))
				b.ReportAllocs()
				for b.Loop() {
					if err := new(rollup.Day).UnmarshalFields(buf, of.fields); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	})
}

// BenchmarkTableAdd counts 20,000 keys, a few of them often.
func BenchmarkTableAdd(b *testing.B) {
	rng := rand.New(rand.NewPCG(5, 6))
	zipf := rand.NewZipf(rng, 1.07, 1, 20_000)
	keys := make([]string, 1_000_000)
	for i := range keys {
		keys[i] = longKey(int(zipf.Uint64()), 24)
	}
	var table rollup.Table
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		table.Add(keys[i%len(keys)], 1)
	}
}

// BenchmarkTableCompact fills an empty table from another, and brings it down to
// 2,000 keys: from somewhat more, as after a step, and from all that there are.
func BenchmarkTableCompact(b *testing.B) {
	for _, keys := range []int{3000, 20_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			var full rollup.Table
			for i := range keys {
				full.Add(longKey(i, 24), uint64(i%1000+1))
			}
			b.ReportAllocs()
			for b.Loop() {
				var table rollup.Table
				table.Merge(&full)
				table.Compact(2000)
			}
		})
	}
}

// Every key is new, and every 1,000 the table is compacted, as when it is
// stored after each batch.
func BenchmarkTableAddOverflowed(b *testing.B) {
	keys := make([]string, 1_000_000)
	for i := range keys {
		keys[i] = longKey(i, 24)
	}
	var table rollup.Table
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		table.Add(keys[i%len(keys)], 1)
		if i%1000 == 0 {
			table.Compact(2000)
		}
	}
}

// What a worker's step costs on a busy day: a thousand events folded, and the
// day brought within its limits and encoded.
func BenchmarkStep(b *testing.B) {
	events := typicalEvents(100_000)
	d := rollup.NewDay("site", "2026-11-24")
	var p rollup.Position
	var buf []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		from := i * 1000 % len(events)
		run := events[from : from+1000]
		for j := range run {
			p.Entry.Ms++
			run[j].Position = p
		}
		d.Fold("1:0", run)
		d.Compact(rollup.DefaultLimits)
		var err error
		if buf, err = d.AppendBinary(buf[:0]); err != nil {
			b.Fatal(err)
		}
	}
}
