package logq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/internal/pebbledb"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/rollup"
)

// crashModel is what must be true of a log after a power cut.
type crashModel struct {
	// acked are the lines of each stream that were confirmed, in order.
	acked map[string][]string
	// trimmed is how many of them a trim was asked for.
	trimmed map[string]int
	// seen is the greatest ID of each stream that a reader was given.
	seen map[string]rollup.EntryID
	// epochs is how many were confirmed.
	epochs int
}

func (m *crashModel) clone() *crashModel {
	c := &crashModel{map[string][]string{}, map[string]int{}, map[string]rollup.EntryID{}, m.epochs}
	for stream, lines := range m.acked {
		c.acked[stream] = lines[:len(lines):len(lines)]
	}
	for stream, n := range m.trimmed {
		c.trimmed[stream] = n
	}
	for stream, id := range m.seen {
		c.seen[stream] = id
	}
	return c
}

// powerCuts is a file system that keeps copies of what a power cut would
// leave of it, taken just before operations of which the numbers are in at.
type powerCuts struct {
	mem *vfs.MemFS
	at  map[int]vfs.CrashCloneCfg

	mu    sync.Mutex // also of model
	model *crashModel
	ops   int
	left  []powerCut
}

type powerCut struct {
	op    int
	fs    *vfs.MemFS
	model *crashModel
}

func (p *powerCuts) MaybeError(op errorfs.Op) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if cfg, ok := p.at[p.ops]; ok {
		// The model first: what is confirmed while the copy is made may be
		// in it, what was confirmed before must be.
		p.left = append(p.left, powerCut{p.ops, p.mem.CrashClone(cfg), p.model.clone()})
	}
	p.ops++
	return nil
}

func (p *powerCuts) String() string { return "power cuts" }

// Whenever the power goes, what was confirmed is there after it, what a
// reader saw is there too, and new entries follow it.
func TestPowerCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &powerCuts{mem: vfs.NewCrashableMem(), at: map[int]vfs.CrashCloneCfg{}}
		p.model = (&crashModel{}).clone()
		for _, op := range rapid.SliceOfNDistinct(rapid.IntRange(0, 400), 1, 4, rapid.ID).Draw(t, "cuts") {
			p.at[op] = vfs.CrashCloneCfg{
				UnsyncedDataPercent: rapid.SampledFrom([]int{0, 30, 100}).Draw(t, "unsynced"),
				RNG:                 rand.New(rand.NewPCG(1, uint64(op))),
			}
		}
		workload(t, p)
		for _, cut := range p.left {
			checkAfterCut(t, cut)
		}
	})
}

// workload does what a program does with a queue.
func workload(t *rapid.T, p *powerCuts) {
	ctx := context.Background()
	now := time.UnixMilli(1_000_000)
	opts := Options{Streams: 2, now: func() time.Time { return now }}
	fs := errorfs.Wrap(p.mem, p)
	q := open(t, fs, opts)
	defer func() { q.Close() }()
	confirmed := func(change func(m *crashModel)) {
		p.mu.Lock()
		defer p.mu.Unlock()
		change(p.model)
	}
	confirmed(func(m *crashModel) { m.epochs = 1 })
	line := 0
	streams := rapid.SampledFrom([]string{"1:0", "1:1"})
	t.Repeat(map[string]func(*rapid.T){
		"append": func(t *rapid.T) {
			var groups []queue.Group
			for range rapid.IntRange(1, 3).Draw(t, "groups") {
				line++
				size := rapid.SampledFrom([]int{0, 100, 100_000}).Draw(t, "size")
				lines := fmt.Sprintf("%d %s\n", line, strings.Repeat("x", size))
				groups = append(groups, queue.Group{Stream: streams.Draw(t, "stream"), Lines: []byte(lines), Events: 1})
			}
			if errs := q.Append(ctx, groups); errs != nil {
				t.Fatal(errs)
			}
			confirmed(func(m *crashModel) {
				for _, g := range groups {
					m.acked[g.Stream] = append(m.acked[g.Stream], string(g.Lines))
				}
			})
		},
		"read and trim": func(t *rapid.T) {
			stream := streams.Draw(t, "stream")
			entries, err := q.Read(ctx, stream, rollup.EntryID{}, 1000, 1<<30, 0)
			if err != nil {
				t.Fatal(err)
			}
			if len(entries) == 0 {
				return
			}
			through := rapid.IntRange(0, len(entries)-1).Draw(t, "through")
			confirmed(func(m *crashModel) {
				m.seen[stream] = entries[len(entries)-1].ID
				m.trimmed[stream] = len(m.acked[stream]) - len(entries) + through + 1
			})
			if err := q.Trim(ctx, stream, entries[through].ID); err != nil {
				t.Fatal(err)
			}
		},
		"clock": func(t *rapid.T) {
			now = now.Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, "ms")) * time.Millisecond)
		},
		"open epoch": func(t *rapid.T) {
			if _, err := q.OpenEpoch(ctx, 1); err != nil {
				t.Fatal(err)
			}
			confirmed(func(m *crashModel) { m.epochs++ })
		},
		"reopen": func(t *rapid.T) {
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
			q = open(t, fs, opts)
		},
	})
}

func checkAfterCut(t *rapid.T, cut powerCut) {
	ctx := context.Background()
	// The clock went far back meanwhile.
	q := open(t, cut.fs, Options{Streams: 2, now: func() time.Time { return time.UnixMilli(1) }})
	defer q.Close()
	layout, _ := q.Layout(ctx)
	if len(layout.Epochs) < cut.model.epochs {
		t.Fatalf("cut at %d: %d epochs, confirmed were %d", cut.op, len(layout.Epochs), cut.model.epochs)
	}
	for _, stream := range []string{"1:0", "1:1"} {
		acked, trimmed := cut.model.acked[stream], cut.model.trimmed[stream]
		var lines []string
		var lastID rollup.EntryID
		entries, err := q.Read(ctx, stream, rollup.EntryID{}, 1000, 1<<30, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			lines, lastID = append(lines, e.Lines), e.ID
		}
		// Trimmed ones may be back, and unconfirmed ones may follow.
		if must := acked[trimmed:]; !contains(lines, must) {
			t.Fatalf("cut at %d: stream %s has %.10q, confirmed and not trimmed were %.10q", cut.op, stream, lines, must)
		}
		if errs := q.Append(ctx, []queue.Group{{Stream: stream, Lines: []byte("new\n"), Events: 1}}); errs != nil {
			t.Fatal(errs)
		}
		after := cut.model.seen[stream]
		if lastID.Compare(after) > 0 {
			after = lastID
		}
		entries, err = q.Read(ctx, stream, after, 1000, 1000, 0)
		if err != nil || len(entries) != 1 || entries[0].Lines != "new\n" {
			t.Fatalf("cut at %d: stream %s: a new entry does not follow %v: %v, %v", cut.op, stream, after, entries, err)
		}
	}
}

// contains tells whether part is a contiguous part of lines.
func contains(lines, part []string) bool {
	for i := 0; i+len(part) <= len(lines); i++ {
		if fmt.Sprint(lines[i:i+len(part)]) == fmt.Sprint(part) {
			return true
		}
	}
	return false
}

// A full disk is an error that goes away when there is room.
func TestDiskFull(t *testing.T) {
	fs := vfs.NewMem()
	q := open(t, fs, Options{Streams: 1})
	defer q.Close()
	one := []queue.Group{{Stream: "1:0", Lines: []byte("x\n"), Events: 1}}
	for _, step := range []struct {
		avail uint64
		ok    bool
	}{{10 << 30, true}, {pebbledb.MinFreeBytes - 1, false}, {pebbledb.MinFreeBytes, true}} {
		fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: step.avail, TotalBytes: 20 << 30})
		errs := q.Append(t.Context(), one)
		if step.ok != (errs == nil) {
			t.Fatalf("%d bytes free: %v", step.avail, errs)
		}
		if errs != nil && (!errors.Is(errs[0], queue.ErrUnavailable) || !strings.Contains(errs[0].Error(), "make room")) {
			t.Fatalf("%d bytes free: %v", step.avail, errs[0])
		}
		if _, err := q.OpenEpoch(t.Context(), 1); step.ok != (err == nil) || err != nil && !errors.Is(err, queue.ErrUnavailable) {
			t.Fatalf("%d bytes free: OpenEpoch: %v", step.avail, err)
		}
	}
}

// When the log cannot be written the process ends, and nothing that was
// confirmed is lost. The test runs itself in another process for that.
func TestLogFails(t *testing.T) {
	const variable = "LOGQ_TEST_FAILING_DISK"
	group := func(line string) []queue.Group {
		return []queue.Group{{Stream: "1:0", Lines: []byte(line), Events: 1}}
	}
	if dir := os.Getenv(variable); dir != "" {
		var failing atomic.Bool
		q, err := Open(dir, Options{Streams: 1, FS: errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if failing.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				return syscall.EIO
			}
			return nil
		}))})
		if err != nil {
			t.Fatal(err)
		}
		if errs := q.Append(t.Context(), group("confirmed\n")); errs != nil {
			t.Fatal(errs)
		}
		failing.Store(true)
		t.Fatal("an append to a failing disk returned, with errors ", q.Append(t.Context(), group("lost\n")))
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLogFails$")
	cmd.Env = append(os.Environ(), variable+"="+dir)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "the queue cannot go on and the process ends") || strings.Contains(string(out), "an append") {
		t.Fatalf("the process ended with %v and said:\n%s", err, out)
	}
	q, err := Open(dir, Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	entries, err := q.Read(t.Context(), "1:0", rollup.EntryID{}, 10, 1000, 0)
	if err != nil || len(entries) != 1 || entries[0].Lines != "confirmed\n" {
		t.Fatalf("after a restart: %v, %v", entries, err)
	}
	if errs := q.Append(t.Context(), group("more\n")); errs != nil {
		t.Fatal(errs)
	}
}
