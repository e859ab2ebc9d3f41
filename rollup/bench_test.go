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

func BenchmarkFold(b *testing.B) {
	for _, batch := range []int{1, 1000} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			events := typicalEvents(100_000)
			d := rollup.NewDay("site", "2026-11-24")
			var p rollup.Position
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				from := i * batch % len(events)
				run := events[from : from+batch]
				for j := range run {
					p.Entry.Ms++
					run[j].Position = p
				}
				d.Fold("1:0", run)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/event")
		})
	}
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

func BenchmarkAppendBinary(b *testing.B) {
	d := storedDay()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = d.AppendBinary(buf[:0]); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkUnmarshalBinary(b *testing.B) {
	buf, err := storedDay().AppendBinary(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if err := new(rollup.Day).UnmarshalBinary(buf); err != nil {
			b.Fatal(err)
		}
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
