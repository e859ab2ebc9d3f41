package logq

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/queue/queuetest"
	"github.com/daybook-analytics/daybook/rollup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a queue on fs, in the directory "q".
func open(tb interface {
	Helper()
	Fatal(...any)
}, fs vfs.FS, opts Options) *Queue {
	tb.Helper()
	opts.FS = fs
	opts.Logger = slog.New(slog.DiscardHandler)
	q, err := Open("q", opts)
	if err != nil {
		tb.Fatal(err)
	}
	return q
}

func TestConformance(t *testing.T) {
	queuetest.Run(t, func(t *testing.T) queuetest.Backend {
		dir := t.TempDir()
		return queuetest.Backend{Open: func(t *testing.T, streams int) queue.Queue {
			q, err := Open(dir, Options{Streams: streams, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			return q
		}}
	})
}

func TestDefaultStreams(t *testing.T) {
	q := open(t, vfs.NewMem(), Options{})
	defer q.Close()
	layout, _ := q.Layout(t.Context())
	if len(layout.Epochs) != 1 || layout.Epochs[0].Streams != DefaultStreams {
		t.Fatalf("layout %v", layout)
	}
}

func TestWrongStreams(t *testing.T) {
	for _, streams := range []int{-1, queue.MaxStreams + 1} {
		q, err := Open("q", Options{Streams: streams, FS: vfs.NewMem()})
		if err == nil {
			q.Close()
			t.Fatalf("%d streams: no error", streams)
		}
		if want := fmt.Sprintf("%d streams: allowed are 1 to 256", streams); !strings.Contains(err.Error(), want) {
			t.Errorf("error %q, want it to say %q", err, want)
		}
	}
}

// IDs follow each other whatever the clock does.
func TestClockGoesBack(t *testing.T) {
	fs := vfs.NewMem()
	var ids []rollup.EntryID
	for _, ms := range []int64{5000, 5000, 4000, 4000, 6000, -10, 6001} {
		q := open(t, fs, Options{Streams: 1, now: func() time.Time { return time.UnixMilli(ms) }})
		var after rollup.EntryID
		if len(ids) > 0 {
			after = ids[len(ids)-1]
		}
		if errs := q.Append(t.Context(), []queue.Group{{Stream: "1:0", Lines: []byte("x\n"), Events: 1}}); errs != nil {
			t.Fatal(errs)
		}
		entries, err := q.Read(t.Context(), "1:0", after, 10, 1000, 0)
		if err != nil || len(entries) != 1 {
			t.Fatalf("at %d ms: %v, %v", ms, entries, err)
		}
		ids = append(ids, entries[0].ID)
		if err := q.Trim(t.Context(), "1:0", entries[0].ID); err != nil {
			t.Fatal(err)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
	want := []rollup.EntryID{{Ms: 5000}, {Ms: 5000, Seq: 1}, {Ms: 5000, Seq: 2}, {Ms: 5000, Seq: 3}, {Ms: 6000}, {Ms: 6000, Seq: 1}, {Ms: 6001}}
	if fmt.Sprint(ids) != fmt.Sprint(want) {
		t.Fatalf("IDs %v, want %v", ids, want)
	}
}

func TestNextIDStaysWithinTheLimits(t *testing.T) {
	if got, want := nextID(rollup.EntryID{Ms: 7, Seq: rollup.MaxSeq}, 3), (rollup.EntryID{Ms: 8}); got != want {
		t.Fatalf("ID %v, want %v", got, want)
	}
}

func TestNewerFormat(t *testing.T) {
	fs := vfs.NewMem()
	q := open(t, fs, Options{})
	if err := q.db.Set(layoutKey, []byte{2, 1}, nil); err != nil {
		t.Fatal(err)
	}
	q.Close()
	_, err := Open("q", Options{FS: fs, Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "format") {
		t.Fatalf("error %v", err)
	}
}

const benchLine = "1\t0123456789abcdef0123456789abcdef\tsite-abc\tuser-0123456789\t1764000000000\tpage_view\t/pricing/enterprise\thttps://example.com\tDE\n"

func BenchmarkAppend(b *testing.B) {
	for _, events := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(events), func(b *testing.B) {
			q, err := Open(b.TempDir(), Options{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			defer q.Close()
			g := []queue.Group{{Stream: "1:0", Lines: []byte(strings.Repeat(benchLine, events)), Events: events}}
			var trimmed rollup.EntryID
			n := 0
			for b.Loop() {
				if errs := q.Append(b.Context(), g); errs != nil {
					b.Fatal(errs)
				}
				// Trim as a worker does, so that it is paid for too.
				if n++; n%16 == 0 {
					backlog, _ := q.Backlog(b.Context())
					if err := q.Trim(b.Context(), "1:0", trimmed); err != nil {
						b.Fatal(err)
					}
					trimmed = backlog[0].Newest
				}
			}
			b.ReportMetric(float64(events*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkRead reads entries of 1,000 events over and over, by about 1 MiB, as
// a worker does that has to catch up.
func BenchmarkRead(b *testing.B) {
	const entries, events = 500, 1000
	q, err := Open(b.TempDir(), Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer q.Close()
	g := []queue.Group{{Stream: "1:0", Lines: []byte(strings.Repeat(benchLine, events)), Events: events}}
	for range entries {
		if errs := q.Append(b.Context(), g); errs != nil {
			b.Fatal(errs)
		}
	}
	var after rollup.EntryID
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		got, err := q.Read(b.Context(), "1:0", after, entries, 1<<20, 0)
		if err != nil {
			b.Fatal(err)
		}
		after = rollup.EntryID{}
		if len(got) > 0 {
			after = got[len(got)-1].ID
		}
		n += len(got) * events
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}
