package queuetest

import (
	"slices"
	"strings"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/rollup"
)

// wantBacklog checks the backlog of all streams against what they hold.
func (f *fixture) wantBacklog(q queue.Queue) {
	f.Helper()
	layout, err := q.Layout(f.ctx)
	if err != nil {
		f.Fatal(err)
	}
	var want []queue.Backlog
	for _, name := range layout.Names() {
		b := queue.Backlog{Stream: name}
		for _, e := range f.all(q, name, rollup.EntryID{}) {
			b.Entries++
			b.Events += int64(e.Events)
			b.Bytes += int64(len(e.Lines))
			if b.Entries == 1 {
				b.Oldest = e.ID
			}
			b.Newest = e.ID
		}
		want = append(want, b)
	}
	got, err := q.Backlog(f.ctx)
	if err != nil {
		f.Fatalf("Backlog: %v", err)
	}
	if !slices.Equal(got, want) {
		f.Fatalf("backlog\n%+v, want\n%+v", got, want)
	}
}

var backlogTests = []test{
	{"is empty at first", func(f *fixture) { f.wantBacklog(f.open(3)) }},
	{"follows appends, trims and epochs", func(f *fixture) {
		f.once(2, func(q queue.Queue) {
			for range 50 {
				f.append(q, group("1:0", "a", "bb"), group("1:1", "ccc"))
			}
			f.wantBacklog(q)
			f.openEpoch(q, 1)
			f.append(q, group("2:0", "d"))
			f.wantBacklog(q)
			f.trim(q, "1:0", f.now(q, "1:0", rollup.EntryID{}, 20)[19].ID)
			f.trim(q, "1:1", last(f.all(q, "1:1", rollup.EntryID{})))
			f.wantBacklog(q)
			f.append(q, group("1:1", "eee"))
			f.wantBacklog(q)
		})
		f.once(2, func(q queue.Queue) {
			f.wantBacklog(q)
			f.trim(q, "1:0", last(f.all(q, "1:0", rollup.EntryID{})))
			f.wantBacklog(q)
		})
		f.once(2, func(q queue.Queue) {
			f.append(q, group("1:0", "f"))
			f.wantBacklog(q)
		})
	}},
	{"is exact for entries that differ", func(f *fixture) {
		q := f.open(1)
		n := 100
		if f.Estimates {
			n = 5 // so few are not estimated
		}
		for i := range n {
			f.append(q, group("1:0", slices.Repeat([]string{strings.Repeat("x", i*i)}, i+1)...))
		}
		f.wantBacklog(q)
		f.trim(q, "1:0", f.now(q, "1:0", rollup.EntryID{}, n/2)[n/2-1].ID)
		f.wantBacklog(q)
	}},
}
