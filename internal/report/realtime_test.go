package report_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// fakeQueue is a queue in memory, with its IDs by a clock of the test.
type fakeQueue struct {
	layout queue.Layout

	mu      sync.Mutex
	entries map[string][]queue.Entry  // protected by mu
	last    map[string]rollup.EntryID // that was ever given; protected by mu
	failure error                     // protected by mu
	// afterRead, if set, is called after each read.
	afterRead func()
}

// newFakeQueue makes a queue with one epoch of one stream.
func newFakeQueue(epoch int) *fakeQueue {
	return &fakeQueue{
		layout:  queue.Layout{Epochs: []queue.Epoch{{Number: epoch, Streams: 1}}},
		entries: map[string][]queue.Entry{}, last: map[string]rollup.EntryID{},
	}
}

func (q *fakeQueue) Layout(context.Context) (queue.Layout, error) { return q.layout, nil }

func (q *fakeQueue) Read(_ context.Context, stream string, after rollup.EntryID, most, maxBytes int, wait time.Duration) ([]queue.Entry, error) {
	if wait != 0 {
		panic("a realtime answer must not wait for events")
	}
	q.mu.Lock()
	var found []queue.Entry
	size := 0
	for _, entry := range q.entries[stream] {
		if size += len(entry.Lines); len(found) > 0 && (size > maxBytes || len(found) == most) {
			break
		}
		if entry.ID.Compare(after) > 0 {
			found = append(found, entry)
		} else {
			size -= len(entry.Lines)
		}
	}
	err := q.failure
	q.mu.Unlock()
	if q.afterRead != nil {
		q.afterRead()
	}
	return found, err
}

// append adds an entry to the stream of a site, in the newest epoch.
func (q *fakeQueue) append(now time.Time, site string, events ...event.Event) (stream string, entry queue.Entry) {
	newest := q.layout.Epochs[len(q.layout.Epochs)-1]
	stream = newest.StreamName(queue.Partition(site, newest.Streams))
	entry.ID = rollup.EntryID{Ms: uint64(now.UnixMilli())}
	q.mu.Lock()
	defer q.mu.Unlock()
	if last := q.last[stream]; entry.ID.Compare(last) <= 0 {
		entry.ID = last
		entry.ID.Seq++
	}
	q.last[stream] = entry.ID
	var lines []byte
	for i := range events {
		lines = append(events[i].AppendLine(lines), '\n')
	}
	entry.Lines = string(lines)
	entry.Events = len(events)
	q.entries[stream] = append(q.entries[stream], entry)
	return stream, entry
}

// trim removes the entries up to through.
func (q *fakeQueue) trim(stream string, through rollup.EntryID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.entries[stream] = slices.DeleteFunc(q.entries[stream], func(e queue.Entry) bool { return e.ID.Compare(through) <= 0 })
}

// liveWorld is a site's traffic, what a worker has done of it, and a clock.
type liveWorld struct {
	now   time.Time
	st    *brokenStore
	queue *fakeQueue
	h     http.Handler
}

// newLiveWorld makes a world shortly before midnight, with a queue whose first
// epoch has the number.
func newLiveWorld(st *brokenStore, epoch int, opts report.Options) *liveWorld {
	w := &liveWorld{now: time.Date(2026, 11, 24, 23, 40, 0, 0, time.UTC), st: st, queue: newFakeQueue(epoch)}
	w.begin(opts)
	return w
}

// begin makes a report that knows nothing.
func (w *liveWorld) begin(opts report.Options) {
	opts.Now = func() time.Time { return w.now }
	if opts.Queue == nil && w.queue != nil {
		opts.Queue = w.queue
	}
	w.h = serve(w.st, opts, quiet)
}

// work takes up to n entries behind the checkpoint of a stream into the store
// as a worker does. Without commit it dies just before the checkpoint.
func (w *liveWorld) work(t rapid.TB, stream string, n int, commit bool) {
	t.Helper()
	ctx := context.Background()
	checkpoints, err := w.st.Checkpoints(ctx)
	if err != nil {
		t.Fatal(err)
	}
	at := checkpoints[stream]
	at.Stream = stream
	last := at
	var events []store.Event
	for _, entry := range w.queue.entries[stream] {
		if entry.ID.Compare(at.Position.Entry) <= 0 || n == 0 {
			continue
		}
		n--
		p := rollup.Position{Entry: entry.ID}
		for line := range strings.Lines(entry.Lines) {
			e, err := event.ParseLine(strings.TrimSuffix(line, "\n"))
			if err != nil {
				t.Fatal(err)
			}
			events = append(events, store.Event{Event: e, Stream: stream, Position: p, Date: e.Date(time.UTC)})
			p.Line++
		}
		last.Position = p
		last.AsOf = time.UnixMilli(int64(entry.ID.Ms)).UTC()
	}
	step := w.st.Begin()
	defer step.Discard()
	if len(events) > 0 {
		if _, err := step.Insert(ctx, events); err != nil {
			t.Fatal(err)
		}
	}
	if !commit {
		last.Position = rollup.Position{}
	}
	if err := step.Commit(ctx, last); err != nil {
		t.Fatal(err)
	}
}

func (w *liveWorld) ask(t rapid.TB, query string) report.Realtime {
	t.Helper()
	var answer report.Realtime
	body := answerOf(t, w.h, "/stats/realtime?"+query)
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func liveEvent(site, id, user, path string, at time.Time) event.Event {
	e := event.Event{ID: id, Site: site, User: user, Time: at.Truncate(time.Millisecond)}
	e.Values[rollup.EventType], e.Values[rollup.Path] = rollup.PageView, path
	return e
}

// countLive is what should be answered, counted with maps: the events of people
// whose minute is the present one or one of so many before it.
func countLive(events []event.Event, site string, now time.Time, minutes int) (c report.RealtimeCounts, pages []report.PathViews) {
	since := now.Truncate(time.Minute).Add(-time.Duration(minutes) * time.Minute)
	c.Since = since.Format("2006-01-02T15:04:05.000Z")
	users, views := map[string]bool{}, map[string]uint64{}
	seen := map[string]bool{}
	for _, e := range events {
		if e.Site != site || seen[e.ID] || e.Time.Before(since) || !e.Time.Before(now.Truncate(time.Minute).Add(time.Minute)) {
			continue
		}
		seen[e.ID] = true
		if e.Values[rollup.Bot] != "" {
			continue
		}
		c.Events++
		if e.User != "" {
			users[e.User] = true
		}
		if e.Type() == rollup.PageView {
			c.Views++
			views[e.Values[rollup.Path]]++
		}
	}
	c.Users = uint64(len(users))
	for path, n := range views {
		pages = append(pages, report.PathViews{Path: path, Views: n})
	}
	slices.SortFunc(pages, func(a, b report.PathViews) int {
		return cmp.Or(cmp.Compare(b.Views, a.Views), cmp.Compare(a.Path, b.Path))
	})
	return c, pages
}

func (w *liveWorld) check(t rapid.TB, events []event.Event, site string) {
	t.Helper()
	got := w.ask(t, "limit=3&site_id="+site)
	want := report.Realtime{Site: site, Complete: true, IncludesQueue: true, PagesExact: true}
	want.Last5, want.Pages = countLive(events, site, w.now, 5)
	want.Last30, _ = countLive(events, site, w.now, 30)
	want.Pages = want.Pages[:min(3, len(want.Pages))]
	asOf := w.now.Format("2006-01-02T15:04:05.000Z")
	if got.AsOf == nil || *got.AsOf != asOf {
		t.Fatalf("as_of is %v, want %s", got.AsOf, asOf)
	}
	got.AsOf = nil
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Fatalf("at %v the answer is\n%+v, want\n%+v", w.now, got, want)
	}
}

// Whatever comes when, early or late, again or at another time than it says,
// and however far a worker is and dies and trims, also while the question is
// being answered: each event is counted once, in the minute that it says.
func TestRealtimeIsRight(t *testing.T) {
	// One store for all runs, with other sites and streams in each.
	st := newStore(t)
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		w := newLiveWorld(st, 10*run, report.Options{})
		sites := []string{fmt.Sprintf("a%d", run), fmt.Sprintf("b%d", run)}
		var events []event.Event
		ids := 0
		work := func(t *rapid.T) {
			for _, stream := range slices.Sorted(maps.Keys(w.queue.entries)) {
				n := rapid.IntRange(0, 5).Draw(t, "entries")
				w.work(t, stream, n, rapid.IntRange(0, 4).Draw(t, "dies") > 0)
				if rapid.Bool().Draw(t, "trims") {
					checkpoints, err := w.st.Checkpoints(context.Background())
					if err != nil {
						t.Fatal(err)
					}
					w.queue.trim(stream, checkpoints[stream].Position.Entry)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"time passes": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.OneOf(rapid.IntRange(0, 3000), rapid.IntRange(0, 600_000), rapid.IntRange(0, 3_000_000)).Draw(t, "ms")) * time.Millisecond)
			},
			"events come": func(t *rapid.T) {
				site := rapid.SampledFrom(sites).Draw(t, "site")
				var entry []event.Event
				for range rapid.IntRange(1, 4).Draw(t, "events") {
					ids++
					at := w.now.Add(time.Duration(rapid.IntRange(-36*60_000, 10*60_000).Draw(t, "own time")) * time.Millisecond)
					e := liveEvent(site, fmt.Sprint(ids), rapid.SampledFrom([]string{"", "u1", "u2", "u3"}).Draw(t, "user"), rapid.SampledFrom([]string{"/", "/a", "/b", "/c"}).Draw(t, "path"), at)
					e.Values[rollup.EventType] = rapid.SampledFrom([]string{rollup.PageView, "click"}).Draw(t, "type")
					e.Values[rollup.Bot] = rapid.SampledFrom([]string{"", "", "crawler"}).Draw(t, "bot")
					entry = append(entry, e)
				}
				w.queue.append(w.now, site, entry...)
				events = append(events, entry...)
			},
			"a client tries again": func(t *rapid.T) {
				if len(events) > 0 {
					e := rapid.SampledFrom(events).Draw(t, "event")
					again := e
					again.Values[rollup.Bot] = rapid.SampledFrom([]string{"", "crawler"}).Draw(t, "taken for")
					w.queue.append(w.now, e.Site, e, again)
				}
			},
			"the queue gets more streams": func(t *rapid.T) {
				if n := len(w.queue.layout.Epochs); n < 3 {
					w.queue.layout.Epochs = append(w.queue.layout.Epochs, queue.Epoch{Number: 10*run + n, Streams: n + 2})
				}
			},
			"a worker works": work,
			"report begins again": func(*rapid.T) {
				w.begin(report.Options{})
			},
			"somebody asks": func(t *rapid.T) {
				w.now = w.now.Add(time.Second)
				w.check(t, events, rapid.SampledFrom(sites).Draw(t, "site"))
			},
			"somebody asks while a worker works": func(t *rapid.T) {
				w.now = w.now.Add(time.Second)
				w.queue.afterRead = func() { work(t) }
				defer func() { w.queue.afterRead = nil }()
				w.check(t, events, rapid.SampledFrom(sites).Draw(t, "site"))
			},
		})
	})
}
