// Package queuetest is the conformance suite of queue.Queue: what every
// backend must do, and all that the rest of the program may rely on. A
// backend's own tests call Run.
package queuetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/rollup"
)

// Backend is one queue's data, empty at first, and what the backend can do.
type Backend struct {
	// Open opens the queue, with the given number of streams if it is new.
	// After a queue was closed it opens the same data again.
	Open func(t *testing.T, streams int) queue.Queue
	// Shared tells that the data may be open several times at once.
	Shared bool
	// Estimates tells that the backlog's events and bytes may be off when
	// many entries differ much.
	Estimates bool
}

// Run runs the suite. Each test gets data of its own from newBackend.
func Run(t *testing.T, newBackend func(t *testing.T) Backend) {
	for _, theme := range []struct {
		name  string
		tests []test
	}{
		{"Append", appendTests},
		{"Read", readTests},
		{"Trim", trimTests},
		{"Layout", layoutTests},
		{"Backlog", backlogTests},
		{"Concurrency", concurrencyTests},
	} {
		t.Run(theme.name, func(t *testing.T) {
			for _, test := range theme.tests {
				t.Run(test.name, func(t *testing.T) {
					f := &fixture{T: t, Backend: newBackend(t)}
					f.ctx, f.cancel = context.WithTimeout(t.Context(), deadline)
					t.Cleanup(f.cancel)
					test.run(f)
				})
			}
		})
	}
}

// deadline bounds each test, and waits that a working backend ends early.
const deadline = time.Minute

type test struct {
	name string
	run  func(*fixture)
}

// fixture is what a test works with: its data, and the queue it has open.
type fixture struct {
	*testing.T
	Backend
	ctx    context.Context
	cancel context.CancelFunc
}

// open opens the data for the rest of the test.
func (f *fixture) open(streams int) queue.Queue {
	f.Helper()
	q := f.Open(f.T, streams)
	f.Cleanup(func() { f.close(q) })
	return q
}

func (f *fixture) close(q queue.Queue) {
	f.Helper()
	if err := q.Close(); err != nil {
		f.Errorf("Close: %v", err)
	}
}

// once opens the data only while it calls use.
func (f *fixture) once(streams int, use func(queue.Queue)) {
	f.Helper()
	q := f.Open(f.T, streams)
	defer f.close(q)
	use(q)
}

// group makes a group of the given lines.
func group(stream string, lines ...string) queue.Group {
	return queue.Group{
		Stream: stream,
		Lines:  []byte(strings.Join(lines, "\n") + "\n"),
		Events: len(lines),
	}
}

func (f *fixture) append(q queue.Queue, groups ...queue.Group) {
	f.Helper()
	if errs := q.Append(f.ctx, groups); errs != nil {
		f.Fatalf("Append: %v", errs)
	}
}

// appendEach appends n entries one after the other, with the lines "0", "1"
// and so on.
func (f *fixture) appendEach(q queue.Queue, stream string, n int) {
	f.Helper()
	for i := range n {
		f.append(q, group(stream, fmt.Sprint(i)))
	}
}

// now reads without waiting.
func (f *fixture) now(q queue.Queue, stream string, after rollup.EntryID, max int) []queue.Entry {
	f.Helper()
	entries, err := q.Read(f.ctx, stream, after, max, 64<<20, 0)
	if err != nil {
		f.Fatalf("Read: %v", err)
	}
	return entries
}

// all reads what a stream holds after the position, until there is no more.
func (f *fixture) all(q queue.Queue, stream string, after rollup.EntryID) []queue.Entry {
	f.Helper()
	var all []queue.Entry
	for {
		entries := f.now(q, stream, after, 1000)
		if len(entries) == 0 {
			return all
		}
		all = append(all, entries...)
		after = all[len(all)-1].ID
	}
}

// contents gives the lines of entries, one string an entry, without the last
// newline.
func contents(entries []queue.Entry) []string {
	lines := make([]string, len(entries))
	for i, e := range entries {
		lines[i] = strings.TrimSuffix(e.Lines, "\n")
	}
	return lines
}

// numbers gives the strings from first up to and including last, as
// appendEach writes them.
func numbers(first, last int) []string {
	var s []string
	for i := first; i <= last; i++ {
		s = append(s, fmt.Sprint(i))
	}
	return s
}

func (f *fixture) wantContents(entries []queue.Entry, want []string) {
	f.Helper()
	if got := contents(entries); !slices.Equal(got, want) {
		f.Fatalf("entries hold %q, want %q", got, want)
	}
}

// wantIncreasing checks that the IDs of entries increase and follow after.
func (f *fixture) wantIncreasing(after rollup.EntryID, entries []queue.Entry) {
	f.Helper()
	for _, e := range entries {
		if e.ID.Compare(after) <= 0 {
			f.Fatalf("entry %v does not follow %v", e.ID, after)
		}
		after = e.ID
	}
}

func last(entries []queue.Entry) rollup.EntryID { return entries[len(entries)-1].ID }
