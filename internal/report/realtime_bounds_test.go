package report_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// come lets an event come now and, behind it, a worker fold it.
func (w *liveWorld) come(t *testing.T, e event.Event) event.Event {
	t.Helper()
	stream, _ := w.queue.append(w.now, e.Site, e)
	w.work(t, stream, -1, true)
	return e
}

// An event whose time was ahead of the clock came long before it is in the
// window, maybe in another day; a late one came long after others of its minute.
func TestRealtimeOfEventsAheadAndLate(t *testing.T) {
	for name, run := range map[string]func(w *liveWorld) []event.Event{
		"ahead, and asked for much later": func(w *liveWorld) []event.Event {
			e := w.come(t, liveEvent("a", "1", "u", "/", w.now.Add(10*time.Minute)))
			w.now = w.now.Add(40 * time.Minute)
			w.check(t, []event.Event{e}, "a")
			return []event.Event{e}
		},
		"late, and asked for at once": func(w *liveWorld) []event.Event {
			at := w.now
			first := w.come(t, liveEvent("a", "1", "u", "/", at))
			w.now = at.Add(12 * time.Minute)
			late := w.come(t, liveEvent("a", "2", "u", "/", at))
			w.now = at.Add(14 * time.Minute)
			return []event.Event{first, late}
		},
		"ahead into the next day": func(w *liveWorld) []event.Event {
			w.now = time.Date(2026, 11, 24, 23, 55, 0, 0, time.UTC)
			e := w.come(t, liveEvent("a", "1", "u", "/", w.now.Add(8*time.Minute)))
			w.check(t, []event.Event{e}, "a")
			w.now = w.now.Add(9 * time.Minute)
			return []event.Event{e}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newLiveWorld(newStore(t), 1, report.Options{})
			w.check(t, run(w), "a")
		})
	}
}

// The dates of raw events are those of the site's zone.
func TestRealtimeInAZone(t *testing.T) {
	st := newStore(t)
	st.setZone(t, "a", "Asia/Kolkata")
	w := newLiveWorld(st, 1, report.Options{})
	w.now = time.Date(2026, 11, 24, 18, 40, 0, 0, time.UTC) // 00:10 there
	e := store.Event{Event: liveEvent("a", "1", "u", "/", w.now.Add(-20*time.Minute)), Stream: "1:0"}
	e.Date, e.Position.Entry.Ms = "2026-11-24", uint64(w.now.Add(-20*time.Minute).UnixMilli())
	f := store.Event{Event: liveEvent("a", "2", "u", "/", w.now.Add(-2*time.Minute)), Stream: "1:0"}
	f.Date, f.Position.Entry.Ms = "2026-11-25", uint64(w.now.Add(-2*time.Minute).UnixMilli())
	st.putIn(t, "Asia/Kolkata", []store.Event{e, f})
	w.check(t, []event.Event{e.Event, f.Event}, "a")
}

// With more events than are read at once the last minutes are whole, and in
// time the rest becomes so.
func TestRealtimeIsBoundedInRawEvents(t *testing.T) {
	w := newLiveWorld(newStore(t), 1, report.Options{})
	var events []event.Event
	for i := range 20 {
		events = append(events, w.come(t, liveEvent("a", fmt.Sprint(i), fmt.Sprint("u", i), "/", w.now)))
		w.now = w.now.Add(time.Minute)
	}
	w.begin(report.Options{RawScanEvents: 8})
	for range 22 { // minutes; some events that came before are lacking
		got := w.ask(t, "site_id=a")
		short, _ := countLive(events, "a", w.now, 5)
		long, _ := countLive(events, "a", w.now, 30)
		if got.Last5 != short || got.Last30.Events >= long.Events || got.Complete {
			t.Fatalf("at %v the answer is %+v; want %+v, less than %+v, and not complete", w.now, got, short, long)
		}
		w.now = w.now.Add(time.Minute)
		events = append(events, w.come(t, liveEvent("a", fmt.Sprint(w.now), "u", "/", w.now)))
	}
	w.now = w.now.Add(15 * time.Minute)
	w.check(t, events, "a")
}

// Of a long backlog only some is read; the answer says up to when.
func TestRealtimeIsBoundedInBacklog(t *testing.T) {
	w := newLiveWorld(newStore(t), 1, report.Options{})
	begun := w.now
	path := "/" + strings.Repeat("x", 2000)
	for i := range 20 {
		var events []event.Event
		for j := range 250 {
			events = append(events, liveEvent("a", fmt.Sprintf("%d-%d", i, j), "u", path, w.now))
		}
		w.queue.append(w.now, "a", events...) // half a MiB
		w.now = w.now.Add(time.Second)
	}
	got := w.ask(t, "site_id=a")
	if got.Complete || got.Last5.Events < 3000 || got.Last5.Events >= 5000 {
		t.Errorf("answer is %+v", got)
	}
	if asOf := begun.Add(time.Duration(got.Last5.Events/250-1) * time.Second).Format("2006-01-02T15:04:05.000Z"); *got.AsOf != asOf {
		t.Errorf("as_of is %s, want %s with %d events", *got.AsOf, asOf, got.Last5.Events)
	}
}

// Without a queue, or while it is away, the answer ends with the checkpoints.
func TestRealtimeWithoutTheQueue(t *testing.T) {
	w := newLiveWorld(newStore(t), 1, report.Options{})
	came := w.now
	e := w.come(t, liveEvent("a", "1", "u", "/", w.now))
	w.now = w.now.Add(2 * time.Second)
	w.queue.append(w.now, "a", liveEvent("a", "2", "u", "/", w.now))
	want, _ := countLive([]event.Event{e}, "a", w.now, 5)
	check := func(name string) {
		t.Helper()
		got := w.ask(t, "site_id=a")
		if got.Last5 != want || got.IncludesQueue || !got.Complete || *got.AsOf != came.Format("2006-01-02T15:04:05.000Z") {
			t.Errorf("%s: answer is %+v as of %s", name, got, *got.AsOf)
		}
	}
	w.queue.failure = errors.New("no route to host")
	check("away")
	w.queue.failure = nil
	w.now = w.now.Add(time.Second)
	if got := w.ask(t, "site_id=a"); !got.IncludesQueue || got.Last5.Events != 2 {
		t.Errorf("there again: answer is %+v", got)
	}
	w.queue = nil
	w.begin(report.Options{})
	check("none")
}

// Lines that are no events, and those of other sites, count nothing.
func TestRealtimeOfStrangeLines(t *testing.T) {
	w := newLiveWorld(newStore(t), 1, report.Options{})
	_, entry := w.queue.append(w.now, "a", liveEvent("b", "1", "a", "/", w.now), liveEvent("a", "2", "u", "/", w.now))
	entry.Lines = "1\ta\ta\ta\n" + entry.Lines
	w.queue.entries["1:0"][0] = entry
	if got := w.ask(t, "site_id=a"); got.Last5.Events != 1 {
		t.Errorf("answer is %+v", got)
	}
	if got := w.ask(t, "site_id=nobody"); got.Last30.Events != 0 || !got.Complete {
		t.Errorf("answer about nobody is %+v", got)
	}
}

// All who ask at the same time share one reading, and so do those who ask
// within a second; a window that is there only reads what is new.
func TestRealtimeIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newSlowStore()
		at := time.Now()
		st.checkpoints = func(context.Context) (map[string]store.Checkpoint, error) {
			return map[string]store.Checkpoint{"1:0": {Stream: "1:0", Position: rollup.Position{Entry: rollup.EntryID{Ms: uint64(at.UnixMilli())}}, AsOf: at}}, nil
		}
		h := serve(st, report.Options{}, quiet)
		ask := func() <-chan *httptest.ResponseRecorder {
			answer := make(chan *httptest.ResponseRecorder, 1)
			go func() { answer <- getTarget(t.Context(), h, "/stats/realtime?site_id=a") }()
			return answer
		}
		var answers []<-chan *httptest.ResponseRecorder
		for range 20 {
			answers = append(answers, ask())
		}
		synctest.Wait()
		close(st.letGo)
		for _, answer := range answers {
			if w := <-answer; w.Code != http.StatusOK {
				t.Fatalf("answer is %d %s", w.Code, w.Body)
			}
		}
		const slices = 4
		if n := st.started.Load(); n != slices {
			t.Errorf("%d scans for 20 who ask at once, want %d", n, slices)
		}
		time.Sleep(time.Second)
		<-ask()
		if n := st.started.Load(); n != slices {
			t.Errorf("%d scans with nothing new, want no more than %d", n, slices)
		}
		at = at.Add(500 * time.Millisecond)
		time.Sleep(time.Second)
		<-ask()
		if n := st.started.Load(); n != slices+1 {
			t.Errorf("%d scans with something new, want %d", n, slices+1)
		}
	})
}

// A failure of the store is answered, and leaves nothing behind that is
// counted twice.
func TestRealtimeAfterAFailure(t *testing.T) {
	w := newLiveWorld(newStore(t), 1, report.Options{})
	var events []event.Event
	for i := range 10 {
		events = append(events, w.come(t, liveEvent("a", fmt.Sprint(i), "u", "/", w.now)))
	}
	h := w.h
	for _, after := range []int{0, 5} {
		st := &interrupted{brokenStore: w.st, after: after}
		rep := serve(st, report.Options{Now: func() time.Time { return w.now }, Queue: w.queue}, quiet)
		if got := getTarget(t.Context(), rep, "/stats/realtime?site_id=a"); got.Code != http.StatusServiceUnavailable {
			t.Errorf("answer is %d %s", got.Code, got.Body)
		}
		st.after = -1
		w.h = rep
		w.check(t, events, "a")
	}
	w.h = h
	w.check(t, events, "a")
}

// interrupted is a store whose scans break off after some events, unless that
// is negative.
type interrupted struct {
	*brokenStore
	after int
}

func (s *interrupted) ScanDay(ctx context.Context, site string, dates []string, after, upTo rollup.Marks, fn func(*store.Event) error) error {
	n := 0
	return s.brokenStore.ScanDay(ctx, site, dates, after, upTo, func(e *store.Event) error {
		if n++; s.after >= 0 && n > s.after {
			return fmt.Errorf("%w: no route to host", store.ErrUnavailable)
		}
		return fn(e)
	})
}
