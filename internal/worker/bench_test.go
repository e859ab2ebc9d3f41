package worker

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/queue/logq"
	"github.com/daybook-analytics/daybook/internal/store/pebblestore"
	"github.com/daybook-analytics/daybook/rollup"
)

// BenchmarkStep is the worker's share of the way of an event on the embedded
// backends: from the queue into raw events and rollups, synced.
func BenchmarkStep(b *testing.B) {
	for _, sites := range []int{1, 50, 1000} {
		b.Run(fmt.Sprintf("sites=%d", sites), func(b *testing.B) { benchmarkStep(b, sites) })
	}
}

func benchmarkStep(b *testing.B, sites int) {
	const perEntry = 1000
	log := slog.New(slog.DiscardHandler)
	dir := b.TempDir()
	q, err := logq.Open(filepath.Join(dir, "queue"), logq.Options{Streams: 1, Logger: log})
	if err != nil {
		b.Fatal(err)
	}
	defer q.Close()
	st, err := pebblestore.Open(filepath.Join(dir, "store"), pebblestore.Options{Logger: log})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()

	rng := rand.New(rand.NewPCG(1, 2))
	paths := rand.NewZipf(rng, 1.1, 1, 20_000)
	users := rand.NewZipf(rng, 1.1, 1, 100_000)
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	id := 0
	for appended := 0; appended < b.N; appended += perEntry {
		group := queue.Group{Stream: "1:0", Events: perEntry}
		for range perEntry {
			id++
			e := event.Event{
				ID:   fmt.Sprintf("K7QZ2M4PXW3R5T6Y-%010d", id),
				Site: fmt.Sprintf("site-%d", rng.IntN(sites)),
				User: fmt.Sprintf("user-%d", users.Uint64()),
				Time: noon.Add(time.Duration(id) * time.Millisecond),
			}
			e.Values[rollup.EventType] = rollup.PageView
			e.Values[rollup.Path] = fmt.Sprintf("/blog/page-%d", paths.Uint64())
			e.Values[rollup.Country] = "DE"
			e.Values[rollup.Browser] = "Firefox"
			group.Lines = append(e.AppendLine(group.Lines), '\n')
		}
		if errs := q.Append(b.Context(), []queue.Group{group}); errs != nil {
			b.Fatal(errs)
		}
	}

	w := New(q, st, Options{}, log)
	s := w.stream("1:0")
	b.ResetTimer()
	for int(w.stats.events.Load()) < b.N {
		if _, err := w.once(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(w.stats.events.Load())/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(w.stats.events.Load())/float64(w.stats.steps.Load()), "events/step")
}
