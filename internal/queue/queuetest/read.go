package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/rollup"
)

var readTests = []test{
	{"gives an ordered prefix without a gap", func(f *fixture) {
		q := f.open(1)
		f.appendEach(q, "1:0", 100)
		all := f.all(q, "1:0", rollup.EntryID{})
		f.wantContents(all, numbers(0, 99))
		for from := -1; from < 100; from += 7 {
			after := rollup.EntryID{}
			if from >= 0 {
				after = all[from].ID
			}
			for _, max := range []int{1, 2, 16, 17, 99, 1000} {
				want := numbers(from+1, min(from+max, 99))
				f.wantContents(f.now(q, "1:0", after, max), want)
			}
		}
	}},
	{"starts behind an ID that no entry has", func(f *fixture) {
		q := f.open(1)
		f.appendEach(q, "1:0", 3)
		first := f.all(q, "1:0", rollup.EntryID{})[0].ID
		before := rollup.EntryID{Ms: first.Ms - 1, Seq: rollup.MaxSeq}
		f.wantContents(f.now(q, "1:0", before, 10), numbers(0, 2))
		beyond := rollup.EntryID{Ms: rollup.MaxMs, Seq: rollup.MaxSeq}
		f.wantContents(f.now(q, "1:0", beyond, 10), nil)
	}},
	{"respects maxBytes, but gives at least one", func(f *fixture) {
		q := f.open(1)
		for i := range 60 {
			f.append(q, group("1:0", fmt.Sprintf("%d %s", i, strings.Repeat("x", i*50))))
		}
		for _, maxBytes := range []int{0, 1, 1000, 10_000, 1 << 20} {
			var after rollup.EntryID
			var got []string
			for len(got) < 60 {
				entries, err := q.Read(f.ctx, "1:0", after, 1000, maxBytes, 0)
				if err != nil {
					f.Fatal(err)
				}
				if len(entries) == 0 {
					f.Fatalf("maxBytes %d: nothing after %d of 60 entries", maxBytes, len(got))
				}
				size := 0
				for _, e := range entries {
					size += len(e.Lines)
				}
				if len(entries) > 1 && size > maxBytes {
					f.Fatalf("maxBytes %d: %d entries of %d bytes", maxBytes, len(entries), size)
				}
				got = append(got, contents(entries)...)
				after = last(entries)
			}
			for i, line := range got {
				if number, _, _ := strings.Cut(line, " "); number != fmt.Sprint(i) {
					f.Fatalf("maxBytes %d: entry %d is number %s", maxBytes, i, number)
				}
			}
		}
	}},
	{"an empty stream gives nothing and no error", func(f *fixture) {
		q := f.open(1)
		for _, wait := range []time.Duration{-1, 0, 1, time.Millisecond, 50 * time.Millisecond} {
			entries, err := q.Read(f.ctx, "1:0", rollup.EntryID{}, 10, 1000, wait)
			if len(entries) > 0 || err != nil {
				f.Fatalf("wait %v: %v, %v", wait, entries, err)
			}
		}
	}},
	{"a waiting reader wakes on an append", func(f *fixture) {
		q := f.open(2)
		var after [2]rollup.EntryID
		for i := range 30 {
			stream := i % 2
			name := fmt.Sprintf("1:%d", stream)
			type result struct {
				entries []queue.Entry
				err     error
			}
			results := make(chan result, 2)
			for range cap(results) {
				go func() {
					entries, err := q.Read(f.ctx, name, after[stream], 10, 1000, deadline)
					results <- result{entries, err}
				}()
			}
			// An append to another stream must not end it.
			f.append(q, group("1:0", fmt.Sprint(i)), group("1:1", fmt.Sprint(i)))
			for range cap(results) {
				r := <-results
				if r.err != nil || len(r.entries) == 0 {
					f.Fatalf("round %d: %v, %v", i, r.entries, r.err)
				}
			}
			for s := range after {
				after[s] = last(f.all(q, fmt.Sprintf("1:%d", s), after[s]))
			}
		}
	}},
	{"cancelling ends the wait", func(f *fixture) {
		q := f.open(1)
		ctx, cancel := context.WithCancel(f.ctx)
		done := make(chan error)
		go func() {
			_, err := q.Read(ctx, "1:0", rollup.EntryID{}, 10, 1000, deadline)
			done <- err
		}()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			f.Fatalf("error %v, want a cancelled context", err)
		}
		if _, err := q.Read(ctx, "1:0", rollup.EntryID{}, 10, 1000, 0); !errors.Is(err, context.Canceled) {
			f.Fatalf("error %v, want a cancelled context", err)
		}
	}},
	{"takes nothing away", func(f *fixture) {
		q := f.open(1)
		f.appendEach(q, "1:0", 40)
		first := f.all(q, "1:0", rollup.EntryID{})
		for range 2 {
			again := f.all(q, "1:0", rollup.EntryID{})
			if !slices.EqualFunc(first, again, func(a, b queue.Entry) bool {
				return a.ID == b.ID && a.Events == b.Events && a.Lines == b.Lines
			}) {
				f.Fatal("a second reader sees something else")
			}
		}
	}},
	{"streams are apart", func(f *fixture) {
		q := f.open(12)
		for i := range 12 {
			f.append(q, group(queue.Epoch{Number: 1}.StreamName(i), fmt.Sprint(i)))
		}
		for i := range 12 {
			f.wantContents(f.all(q, queue.Epoch{Number: 1}.StreamName(i), rollup.EntryID{}), numbers(i, i))
		}
	}},
	{"a stream that is not there is an error", func(f *fixture) {
		q := f.open(1)
		for _, stream := range []string{"1:1", "2:0", "", "nonsense"} {
			if _, err := q.Read(f.ctx, stream, rollup.EntryID{}, 1, 1, deadline); err == nil {
				f.Errorf("stream %q: no error", stream)
			}
		}
	}},
}
