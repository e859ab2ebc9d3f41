package queuetest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/rollup"
)

var appendTests = []test{
	{"gives back what was written", func(f *fixture) {
		q := f.open(1)
		lines := "1\tid\tsite\tuser\t1\tpage_view\t/Grüße?\r\x00\n2\n"
		f.append(q, queue.Group{Stream: "1:0", Lines: []byte(lines), Events: 2})
		entries := f.all(q, "1:0", rollup.EntryID{})
		if len(entries) != 1 || entries[0].Lines != lines || entries[0].Events != 2 {
			f.Fatalf("got %v", entries)
		}
	}},
	{"no groups are no error", func(f *fixture) {
		if errs := f.open(1).Append(f.ctx, nil); errs != nil {
			f.Fatal(errs)
		}
	}},
	{"does not keep the lines", func(f *fixture) {
		q := f.open(1)
		g := group("1:0", "mine")
		f.append(q, g)
		copy(g.Lines, "####")
		f.wantContents(f.all(q, "1:0", rollup.EntryID{}), []string{"mine"})
	}},
	{"IDs increase", func(f *fixture) {
		q := f.open(2)
		for range 20 {
			f.append(q, group("1:0", "a"), group("1:1", "b"), group("1:0", "c"), group("1:0", "d"))
		}
		entries := f.all(q, "1:0", rollup.EntryID{})
		f.wantIncreasing(rollup.EntryID{}, entries)
		if len(entries) != 60 {
			f.Fatalf("%d entries, want 60", len(entries))
		}
		f.wantContents(entries[:3], []string{"a", "c", "d"})
	}},
	{"IDs increase after everything was trimmed and after reopening", func(f *fixture) {
		var lastID rollup.EntryID
		for range 3 {
			f.once(1, func(q queue.Queue) {
				for range 3 {
					f.append(q, group("1:0", "a"))
					entries := f.all(q, "1:0", lastID)
					if len(entries) != 1 {
						f.Fatalf("%d entries after the last, want 1", len(entries))
					}
					f.wantIncreasing(lastID, entries)
					lastID = last(entries)
					if err := q.Trim(f.ctx, "1:0", lastID); err != nil {
						f.Fatal(err)
					}
				}
			})
		}
	}},
	{"what was confirmed is there after reopening", func(f *fixture) {
		var before []queue.Entry
		f.once(1, func(q queue.Queue) {
			f.appendEach(q, "1:0", 10)
			before = f.all(q, "1:0", rollup.EntryID{})
		})
		after := f.all(f.open(1), "1:0", rollup.EntryID{})
		f.wantContents(after, numbers(0, 9))
		for i := range after {
			if after[i].ID != before[i].ID {
				f.Fatalf("entry %d had the ID %v, and has %v", i, before[i].ID, after[i].ID)
			}
		}
	}},
	{"a group that cannot be written fails alone", func(f *fixture) {
		q := f.open(1)
		for _, stream := range []string{"1:1", "2:0", "0:0", "", "1", "1:-1", "1:00", "nonsense"} {
			errs := q.Append(f.ctx, []queue.Group{group("1:0", "a"), group(stream, "b"), group("1:0", "c")})
			if len(errs) != 3 || errs[0] != nil || errs[1] == nil || errs[2] != nil {
				f.Fatalf("stream %q: errors %v", stream, errs)
			}
			if errors.Is(errs[1], queue.ErrUnavailable) {
				f.Errorf("stream %q: %v will not go away by itself", stream, errs[1])
			}
			entries := f.all(q, "1:0", rollup.EntryID{})
			f.wantContents(entries, []string{"a", "c"})
			if err := q.Trim(f.ctx, "1:0", last(entries)); err != nil {
				f.Fatal(err)
			}
		}
	}},
	{"a cancelled append writes nothing", func(f *fixture) {
		q := f.open(1)
		ctx, cancel := context.WithCancel(f.ctx)
		cancel()
		errs := q.Append(ctx, []queue.Group{group("1:0", "a"), group("1:0", "b")})
		if len(errs) != 2 || !errors.Is(errs[0], context.Canceled) || !errors.Is(errs[1], context.Canceled) {
			f.Fatalf("errors %v, want two of a cancelled context", errs)
		}
		f.wantContents(f.all(q, "1:0", rollup.EntryID{}), nil)
	}},
	{"entries of several MB", func(f *fixture) {
		const size = 6 << 20
		lines := make([][]byte, 4)
		random := rand.NewChaCha8([32]byte{})
		for i := range lines {
			lines[i] = make([]byte, size)
			_, _ = random.Read(lines[i]) // it has no errors
			lines[i] = append(bytes.ReplaceAll(lines[i], []byte("\n"), nil), '\n')
		}
		f.once(1, func(q queue.Queue) {
			f.append(q, queue.Group{Stream: "1:0", Lines: lines[0], Events: 1})
			// Larger together than what a backend may want to take at once.
			f.append(q,
				queue.Group{Stream: "1:0", Lines: lines[1], Events: 1},
				queue.Group{Stream: "1:0", Lines: lines[2], Events: 1},
				queue.Group{Stream: "1:0", Lines: lines[3], Events: 1})
		})
		entries := f.all(f.open(1), "1:0", rollup.EntryID{})
		if len(entries) != len(lines) {
			f.Fatalf("%d entries, want %d", len(entries), len(lines))
		}
		for i, e := range entries {
			if e.Lines != string(lines[i]) {
				f.Errorf("entry %d differs", i)
			}
		}
	}},
}
