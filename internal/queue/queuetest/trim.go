package queuetest

import (
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/rollup"
)

func (f *fixture) trim(q queue.Queue, stream string, through rollup.EntryID) {
	f.Helper()
	if err := q.Trim(f.ctx, stream, through); err != nil {
		f.Fatalf("Trim: %v", err)
	}
}

var trimTests = []test{
	{"removes up to and including through", func(f *fixture) {
		q := f.open(2)
		// Several entries a millisecond, so that the sequence counts too.
		var groups []queue.Group
		for _, n := range numbers(0, 49) {
			groups = append(groups, group("1:0", n), group("1:1", n))
		}
		f.append(q, groups...)
		all := f.all(q, "1:0", rollup.EntryID{})
		trimmed := 0
		for _, through := range []int{0, 1, 20, 20, 7, 48, 49} {
			f.trim(q, "1:0", all[through].ID)
			trimmed = max(trimmed, through)
			f.wantContents(f.all(q, "1:0", rollup.EntryID{}), numbers(trimmed+1, 49))
		}
		f.wantContents(f.all(q, "1:1", rollup.EntryID{}), numbers(0, 49))
	}},
	{"through need not be an entry's ID", func(f *fixture) {
		q := f.open(1)
		f.trim(q, "1:0", rollup.EntryID{Ms: 1}) // of an empty stream
		f.appendEach(q, "1:0", 3)
		all := f.all(q, "1:0", rollup.EntryID{})
		f.trim(q, "1:0", rollup.EntryID{})
		f.trim(q, "1:0", rollup.EntryID{Ms: all[0].ID.Ms - 1, Seq: rollup.MaxSeq})
		f.wantContents(f.all(q, "1:0", rollup.EntryID{}), numbers(0, 2))
		f.trim(q, "1:0", rollup.EntryID{Ms: last(all).Ms, Seq: last(all).Seq + 1})
		f.wantContents(f.all(q, "1:0", rollup.EntryID{}), nil)
		f.appendEach(q, "1:0", 2)
		f.wantContents(f.all(q, "1:0", last(all)), numbers(0, 1))
	}},
	{"a reader behind it gets what is left", func(f *fixture) {
		q := f.open(1)
		f.appendEach(q, "1:0", 10)
		all := f.all(q, "1:0", rollup.EntryID{})
		f.trim(q, "1:0", all[6].ID)
		for i := range 7 {
			f.wantContents(f.now(q, "1:0", all[i].ID, 2), numbers(7, 8))
		}
	}},
	{"a reader of a trimmed stream waits for the next entry", func(f *fixture) {
		q := f.open(1)
		f.appendEach(q, "1:0", 5)
		f.trim(q, "1:0", last(f.all(q, "1:0", rollup.EntryID{})))
		done := make(chan []queue.Entry, 1)
		go func() {
			entries, err := q.Read(f.ctx, "1:0", rollup.EntryID{}, 10, 1000, deadline)
			if err != nil {
				f.Errorf("Read: %v", err)
			}
			done <- entries
		}()
		f.append(q, group("1:0", "next"))
		f.wantContents(<-done, []string{"next"})
	}},
	{"lasts when the queue is closed", func(f *fixture) {
		f.once(1, func(q queue.Queue) {
			f.appendEach(q, "1:0", 10)
			f.trim(q, "1:0", f.all(q, "1:0", rollup.EntryID{})[4].ID)
		})
		f.once(1, func(q queue.Queue) {
			left := f.all(q, "1:0", rollup.EntryID{})
			f.wantContents(left, numbers(5, 9))
			f.trim(q, "1:0", left[1].ID)
			f.wantContents(f.all(q, "1:0", rollup.EntryID{}), numbers(7, 9))
		})
	}},
	{"a stream that is not there is an error", func(f *fixture) {
		if f.open(1).Trim(f.ctx, "1:1", rollup.EntryID{Ms: 1}) == nil {
			f.Error("no error")
		}
	}},
}
