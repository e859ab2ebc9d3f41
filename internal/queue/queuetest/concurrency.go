package queuetest

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/rollup"
)

const (
	appenders = 8
	appends   = 40
	streams   = 3
)

// appendAtOnce appends from many goroutines, each time to every stream, lines
// that are all different. It returns when all is written.
func (f *fixture) appendAtOnce(q queue.Queue) {
	var wg sync.WaitGroup
	for a := range appenders {
		wg.Go(func() {
			for i := range appends {
				var groups []queue.Group
				for s := range streams {
					line := fmt.Sprintf("%02d/%02d/%d", a, i, s)
					groups = append(groups, group(fmt.Sprintf("1:%d", s), line+"/a", line+"/b"))
				}
				if errs := q.Append(f.ctx, groups); errs != nil {
					f.Errorf("Append: %v", errs)
				}
			}
		})
	}
	wg.Wait()
}

// follow reads a stream while it grows, until it has all entries that
// appendAtOnce writes, and calls seen after each read.
func (f *fixture) follow(q queue.Queue, stream int, seen func(rollup.EntryID)) {
	name := fmt.Sprintf("1:%d", stream)
	counted := map[string]int{}
	lastOf := map[string]int{}
	var after rollup.EntryID
	for entries := 0; entries < appenders*appends; {
		got, err := q.Read(f.ctx, name, after, 7, 1000, deadline)
		if err != nil || len(got) == 0 {
			f.Errorf("stream %s: after %d entries: %v, %v", name, entries, got, err)
			return
		}
		for _, e := range got {
			if e.ID.Compare(after) <= 0 {
				f.Errorf("stream %s: entry %v follows %v", name, e.ID, after)
			}
			after = e.ID
			entries++
			for line := range strings.Lines(e.Lines) {
				counted[line]++
			}
			// Appends of one goroutine follow each other, so their entries do.
			appender, rest, _ := strings.Cut(e.Lines, "/")
			number, _, _ := strings.Cut(rest, "/")
			i, err := strconv.Atoi(number)
			if err != nil {
				f.Errorf("stream %s: entry %v holds %q", name, e.ID, e.Lines)
			}
			if last, ok := lastOf[appender]; ok && i != last+1 {
				f.Errorf("stream %s: append %d of appender %s follows %d", name, i, appender, last)
			}
			lastOf[appender] = i
		}
		seen(after)
	}
	for line, n := range counted {
		if n != 1 {
			f.Errorf("stream %s: line %q came %d times", name, line, n)
		}
	}
	if len(counted) != 2*appenders*appends {
		f.Errorf("stream %s: %d lines, want %d", name, len(counted), 2*appenders*appends)
	}
}

var concurrencyTests = []test{
	{"two readers of each stream see every append once, in order", func(f *fixture) {
		q := f.open(streams)
		var wg sync.WaitGroup
		for s := range 2 * streams {
			wg.Go(func() { f.follow(q, s%streams, func(rollup.EntryID) {}) })
		}
		f.appendAtOnce(q)
		wg.Wait()
		f.wantBacklog(q)
	}},
	{"trimming behind a reader loses nothing", func(f *fixture) {
		f.once(streams, func(q queue.Queue) {
			var wg sync.WaitGroup
			for s := range streams {
				wg.Go(func() {
					f.follow(q, s, func(id rollup.EntryID) {
						if err := q.Trim(f.ctx, fmt.Sprintf("1:%d", s), id); err != nil {
							f.Errorf("Trim: %v", err)
						}
					})
				})
			}
			f.appendAtOnce(q)
			wg.Wait()
			f.wantBacklog(q)
		})
		f.once(streams, func(q queue.Queue) {
			for s := range streams {
				f.wantContents(f.all(q, fmt.Sprintf("1:%d", s), rollup.EntryID{}), nil)
			}
		})
	}},
}
