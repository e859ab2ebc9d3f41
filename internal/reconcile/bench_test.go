package reconcile

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/store/pebblestore"
	"github.com/daybook-analytics/daybook/rollup"
)

// The benchmark's events: some busy days of one site.
const (
	benchDays   = 10
	benchEvents = 50_000 // a day
)

func benchKey(day int) store.DayKey {
	return store.DayKey{Site: "site", Date: time.Date(2026, 3, 1+day, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)}
}

// fillStore puts the events into a store, as a worker does.
func fillStore(b *testing.B, st store.Store) {
	b.Helper()
	if err := st.Migrate(b.Context(), func(int, string) {}); err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	paths := rand.NewZipf(rng, 1.1, 1, 20_000)
	users := rand.NewZipf(rng, 1.1, 1, 100_000)
	n := 0
	for day := range benchDays {
		key := benchKey(day)
		midnight, err := time.Parse(time.DateOnly, key.Date)
		if err != nil {
			b.Fatal(err)
		}
		for range benchEvents / 1000 {
			events := make([]store.Event, 1000)
			for i := range events {
				n++
				events[i] = store.Event{Stream: "1:0", Date: key.Date, Event: event.Event{
					ID: fmt.Sprintf("K7QZ2M4PXW3R5T6Y-%010d", n), Site: key.Site,
					User: fmt.Sprintf("user-%d", users.Uint64()),
					Time: midnight.Add(time.Duration(n%86_400) * time.Second),
				}}
				e := &events[i]
				e.Position = rollup.Position{Entry: rollup.EntryID{Ms: uint64(1 + n/1000)}, Line: uint32(n % 1000)}
				e.Values = rollup.Values{
					rollup.EventType: rollup.PageView,
					rollup.Path:      fmt.Sprintf("/blog/page-%d", paths.Uint64()),
					rollup.Referrer:  "https://www.example.com/search",
					rollup.Country:   "DE",
					rollup.Device:    "mobile",
					rollup.Browser:   "Firefox",
				}
			}
			step := st.Begin()
			if _, err := step.Insert(b.Context(), events); err != nil {
				b.Fatal(err)
			}
			if err := step.Commit(b.Context(), store.Checkpoint{Stream: "1:0", Position: events[999].Position}); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// processorTime is what this process has used of all cores.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRebuild rebuilds lost days on the embedded store, and compares that
// with less: reading the same keys and values of Pebble, and scanning the same
// events. The ratios are those of the processor's time, which say more than
// the clock where others use the machine too.
func BenchmarkRebuild(b *testing.B) {
	dir := b.TempDir()
	log := slog.New(slog.DiscardHandler)
	open := func(b *testing.B) *pebblestore.Store {
		b.Helper()
		st, err := pebblestore.Open(dir, pebblestore.Options{Logger: log})
		if err != nil {
			b.Fatal(err)
		}
		return st
	}
	st := open(b)
	fillStore(b, st)
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}

	costs := map[string]float64{} // nanoseconds of the processor an event
	measure := func(name string, before func(b *testing.B, st *pebblestore.Store), do func(b *testing.B, st *pebblestore.Store) int) {
		b.Run(name, func(b *testing.B) {
			st := open(b)
			defer st.Close()
			b.ReportAllocs()
			var used time.Duration
			for b.Loop() {
				b.StopTimer()
				before(b, st)
				b.StartTimer()
				begun := processorTime()
				if n := do(b, st); n != benchDays*benchEvents {
					b.Fatalf("%d events", n)
				}
				used += processorTime() - begun
			}
			events := float64(b.N * benchDays * benchEvents)
			costs[name] = float64(used) / events
			b.ReportMetric(events/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(costs[name], "cpu-ns/event")
			for _, other := range []string{"plain", "scan"} {
				if cost, ok := costs[other]; ok && other != name {
					b.ReportMetric(costs[name]/cost, "x-"+other)
				}
			}
		})
	}
	nothing := func(*testing.B, *pebblestore.Store) {}

	// Pebble itself, on the same directory.
	b.Run("plain", func(b *testing.B) {
		db, err := pebble.Open(dir, &pebble.Options{ReadOnly: true, CacheSize: pebblestore.DefaultCacheBytes, Logger: pebbleSilence{}})
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		var used time.Duration
		for b.Loop() {
			begun := processorTime()
			it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte("e"), UpperBound: []byte("f")}) // docs/format/pebble.md
			if err != nil {
				b.Fatal(err)
			}
			n, bytes := 0, 0
			for ok := it.First(); ok; ok = it.Next() {
				value, err := it.ValueAndErr()
				if err != nil {
					b.Fatal(err)
				}
				n, bytes = n+1, bytes+len(it.Key())+len(value)
			}
			if err := it.Close(); err != nil || n != benchDays*benchEvents {
				b.Fatal(err, n)
			}
			used += processorTime() - begun
		}
		events := float64(b.N * benchDays * benchEvents)
		costs["plain"] = float64(used) / events
		b.ReportMetric(events/b.Elapsed().Seconds(), "events/s")
		b.ReportMetric(costs["plain"], "cpu-ns/event")
	})

	measure("scan", nothing, func(b *testing.B, st *pebblestore.Store) int {
		n := 0
		for day := range benchDays {
			if err := st.ScanDay(b.Context(), benchKey(day).Site, []string{benchKey(day).Date}, nil, nil, func(*store.Event) error { n++; return nil }); err != nil {
				b.Fatal(err)
			}
		}
		return n
	})
	lose := func(b *testing.B, st *pebblestore.Store) {
		for day := range benchDays {
			if err := st.Damage(b.Context(), benchKey(day), func([]byte) []byte { return nil }); err != nil && !errors.Is(err, store.ErrNotFound) {
				b.Fatal(err)
			}
		}
	}
	measure("rebuild", lose, func(b *testing.B, st *pebblestore.Store) int {
		n := 0
		for day := range benchDays {
			check, rebuilt, err := RebuildDay(b.Context(), st, benchKey(day), Options{Limits: rollup.DefaultLimits})
			if err != nil || !rebuilt {
				b.Fatal(rebuilt, err)
			}
			n += int(check.True.Events)
		}
		return n
	})
	measure("job", lose, func(b *testing.B, st *pebblestore.Store) int {
		r := NewRunner(st, rollup.DefaultLimits, log)
		job, err := r.Create(b.Context(), Spec{}, "benchmark")
		if err != nil {
			b.Fatal(err)
		}
		if err := r.Run(b.Context(), job, 2, nil); err != nil {
			b.Fatal(err)
		}
		return int(job.Events)
	})
}

// pebbleSilence logs nothing.
type pebbleSilence struct{}

func (pebbleSilence) Infof(string, ...any)           {}
func (pebbleSilence) Errorf(string, ...any)          {}
func (pebbleSilence) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }
