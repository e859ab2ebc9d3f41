package pebblestore

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// source makes events of 50 sites, mixed as the worker hands them to a step.
type source struct {
	n                          int
	randomID                   bool
	rng                        *rand.Rand
	sites, users, paths, dates []string
}

func newSource(randomID bool) *source {
	names := func(format string, n int) []string {
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf(format, i)
		}
		return names
	}
	return &source{
		randomID: randomID,
		rng:      rand.New(rand.NewPCG(1, 2)),
		sites:    names("site-%02d.example", 50),
		users:    names("user-%d", 100_000),
		paths:    names("/section/article-%d", 20_000),
		dates:    names("2026-11-2%d", 3),
	}
}

// next makes n events with generated IDs, which ascend, or with random ones.
func (s *source) next(n int) []store.Event {
	pick := func(from []string) string { return from[s.rng.IntN(len(from))] }
	events := make([]store.Event, n)
	for i := range events {
		s.n++
		id := binary.BigEndian.AppendUint64(nil, uint64(1_790_000_000_000+s.n/1000))
		id = binary.BigEndian.AppendUint64(id, uint64(s.n))
		if s.randomID {
			binary.BigEndian.PutUint64(id, s.rng.Uint64())
		}
		e := &events[i]
		e.Event = event.Event{
			ID:   hex.EncodeToString(id),
			Site: pick(s.sites),
			User: pick(s.users),
			Time: time.UnixMilli(1_790_000_000_000 + int64(s.n)),
			Values: rollup.Values{
				rollup.EventType: rollup.PageView,
				rollup.Path:      pick(s.paths),
				rollup.Referrer:  "https://www.example.com/search",
				rollup.Country:   "NL",
				rollup.Device:    "mobile",
				rollup.Browser:   "Firefox",
			},
		}
		e.Stream = "1:0"
		e.Position = rollup.Position{Entry: rollup.EntryID{Ms: uint64(1_790_000_000_000 + s.n/1000)}, Line: uint32(s.n % 1000)}
		e.Date = pick(s.dates)
	}
	return events
}

// BenchmarkYardstick writes the keys of raw events alone, in batches of 1,000
// with a sync each: what Pebble could do at best on this machine.
func BenchmarkYardstick(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	defer s.Close()
	src := newSource(false)
	const size = 1000
	before := processorTime()
	for b.Loop() {
		b.StopTimer()
		events := src.next(size)
		b.StartTimer()
		batch := s.db.NewBatch()
		var key []byte
		for i := range events {
			key = appendEventKey(key[:0], &events[i])
			check(b, batch.Set(key, nil, nil))
		}
		check(b, batch.Commit(pebble.Sync))
		batch.Close()
	}
	perSecond(b, size, before)
}

// perSecond reports the rate, and the processor time that an event costs on
// all cores, compactions and the making of the event included. The latter says
// more on a machine that does other things too.
func perSecond(b *testing.B, n int, before time.Duration) {
	n *= b.N
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(processorTime()-before)/float64(n), "cpu-ns/event")
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkStep inserts new events and commits.
func BenchmarkStep(b *testing.B) {
	for _, ids := range []string{"generated", "random"} {
		for _, size := range []int{1, 100, 1000, 10_000} {
			b.Run(fmt.Sprintf("ids=%s/size=%d", ids, size), func(b *testing.B) {
				b.ReportAllocs()
				s := open(b, b.TempDir(), Options{})
				defer s.Close()
				src := newSource(ids == "random")
				before := processorTime()
				for b.Loop() {
					b.StopTimer()
					events := src.next(size)
					b.StartTimer()
					step := s.Begin()
					_, err := step.Insert(b.Context(), events)
					check(b, err)
					check(b, step.Commit(b.Context(), store.Checkpoint{Stream: "1:0", Position: events[size-1].Position}))
				}
				perSecond(b, size, before)
			})
		}
	}
}

// busyDay makes a rollup as a site with many paths has it: 2,000 paths and
// some thousand users.
func busyDay(site, date string) *rollup.Day {
	d := rollup.NewDay(site, date)
	e := make([]rollup.Event, 1)
	for i := range 10_000 {
		e[0] = rollup.Event{Hour: i % 24, User: fmt.Sprintf("user-%d", i)}
		e[0].Position.Entry.Ms = uint64(i + 1)
		e[0].Values = rollup.Values{rollup.EventType: rollup.PageView, rollup.Path: fmt.Sprintf("/section/%d/article-%d", i%20, i)}
		d.Fold("1:0", e)
	}
	d.Compact(rollup.DefaultLimits)
	return d
}

// BenchmarkLoad loads 30 busy days.
func BenchmarkLoad(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	defer s.Close()
	var keys []store.DayKey
	for i := range 30 {
		d := busyDay("site", fmt.Sprintf("2026-11-%02d", i+1))
		check(b, s.SwapDay(b.Context(), d))
		keys = append(keys, store.DayKey{Site: d.Site, Date: d.Date})
	}
	for b.Loop() {
		step := s.Begin()
		days, _, err := step.Load(b.Context(), keys)
		check(b, err)
		if len(days) != len(keys) {
			b.Fatal(len(days))
		}
		step.Discard()
	}
}

// BenchmarkSwap swaps 50 busy days in one step.
func BenchmarkSwap(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	defer s.Close()
	var days []*rollup.Day
	for i := range 50 {
		days = append(days, busyDay(fmt.Sprint("site", i), "2026-11-24"))
	}
	bytes := 0
	for b.Loop() {
		t := s.Begin()
		_, err := t.Swap(b.Context(), days)
		check(b, err)
		bytes = t.(*step).rest.Len()
		check(b, t.Commit(b.Context(), store.Checkpoint{Stream: "1:0"}))
	}
	b.SetBytes(int64(bytes))
}

// BenchmarkScanDay reads the raw events of a day: of one date, and of two that
// take turns.
func BenchmarkScanDay(b *testing.B) {
	for _, dates := range [][]string{{"2026-11-24"}, {"2026-11-23", "2026-11-24"}} {
		b.Run(fmt.Sprint("dates=", len(dates)), func(b *testing.B) { benchmarkScanDay(b, dates) })
	}
}

func benchmarkScanDay(b *testing.B, dates []string) {
	s := open(b, b.TempDir(), Options{})
	defer s.Close()
	const size = 500_000
	src := newSource(false)
	for range size / 10_000 {
		events := src.next(10_000)
		for i := range events {
			events[i].Site, events[i].Date = "site", dates[i%len(dates)]
		}
		step := s.Begin()
		_, err := step.Insert(b.Context(), events)
		check(b, err)
		check(b, step.Commit(b.Context(), store.Checkpoint{Stream: "1:0"}))
	}
	b.ReportAllocs()
	before := processorTime()
	for b.Loop() {
		n := 0
		check(b, s.ScanDay(b.Context(), "site", dates, nil, nil, func(*store.Event) error {
			n++
			return nil
		}))
		if n != size {
			b.Fatal(n)
		}
	}
	perSecond(b, size, before)
}

// BenchmarkDayHeads lists the rollups of a year.
func BenchmarkDayHeads(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	defer s.Close()
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for day := range 365 {
		check(b, s.SwapDay(b.Context(), rollup.NewDay("site", begin.AddDate(0, 0, day).Format(time.DateOnly))))
	}
	check(b, s.db.Flush())
	b.ReportAllocs()
	for b.Loop() {
		heads, err := s.DayHeads(b.Context(), "site", "", "", "")
		check(b, err)
		if len(heads) != 365 {
			b.Fatal(len(heads))
		}
	}
}

// BenchmarkRemove removes the raw events of a day: all of them, and those of
// one user in ten. The sweeps rest for half of the time.
func BenchmarkRemove(b *testing.B) {
	const size = 100_000
	key := store.DayKey{Site: "a", Date: "2026-11-23"}
	for name, remove := range map[string]func(*Store) error{
		"Expire":    func(s *Store) error { _, err := s.Expire(b.Context(), "a", "2026-11-24"); return err },
		"EraseUser": func(s *Store) error { _, err := s.EraseUser(b.Context(), "a", "often", ""); return err },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s := open(b, b.TempDir(), Options{})
				stock(b, s, key, size)
				check(b, s.db.Flush())
				b.StartTimer()
				check(b, remove(s))
				b.StopTimer()
				check(b, s.Close())
				b.StartTimer()
			}
			b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
