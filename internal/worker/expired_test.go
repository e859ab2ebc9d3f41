package worker

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// expire removes the raw events of what send sends.
func expire(t *testing.T, st store.Store, want int64) {
	t.Helper()
	if removed, err := st.Expire(t.Context(), sentKey.Site, "2026-03-02"); err != nil || removed != want {
		t.Fatalf("expire: %v, %d events removed, want %d", err, removed, want)
	}
}

// letters gives the dead letters when there are so many.
func letters(t *testing.T, st store.Store, want int) []store.DeadLetter {
	t.Helper()
	letters, err := st.DeadLetters(t.Context(), "", 100)
	if err != nil || len(letters) != want {
		t.Fatalf("%v, %d dead letters, want %d: %v", err, len(letters), want, letters)
	}
	return letters
}

func rawEvents(t *testing.T, st store.Store, key store.DayKey) (n int) {
	t.Helper()
	err := st.ScanDay(t.Context(), key.Site, []string{key.Date}, nil, nil, func(*store.Event) error { n++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestTooOldEventsBecomeDeadLetters sends retries and late events for a day
// whose raw events are gone.
func TestTooOldEventsBecomeDeadLetters(t *testing.T) {
	q, st := embedded(t, 1)
	w := start(t, q, st, Options{})
	send(t, q, 0, 10)
	eventually(t, "10 events in the rollup", counted(t, st, 10))
	expire(t, st, 10)

	send(t, q, 8, 4) // two retries and two that are late
	later := modelEvent(4)
	if errs := q.Append(t.Context(), []queue.Group{{Stream: "1:0", Lines: append(later.AppendLine(nil), '\n'), Events: 1}}); errs != nil {
		t.Fatal(errs)
	}
	eventually(t, "the day that is kept is counted", func() bool {
		day, err := st.Day(t.Context(), store.DayKey{Site: "a", Date: "2026-03-02"})
		return err == nil && day.Folded() == 1
	})
	for _, l := range letters(t, st, 4) {
		if l.Reason != reasonExpired {
			t.Errorf("dead letter because %q", l.Reason)
		}
	}
	if !counted(t, st, 10)() || rawEvents(t, st, sentKey) != 0 {
		t.Error("events that are too old were counted or stored")
	}
	// The step is counted just after it is committed.
	eventually(t, "4 dead letters are counted", func() bool { return w.Stats().DeadLetters == 4 })
}

// entriesOf reads all entries of the stream.
func entriesOf(t *testing.T, q queue.Queue) []queue.Entry {
	t.Helper()
	entries, err := q.Read(t.Context(), "1:0", rollup.EntryID{}, 1000, 1<<20, 0)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// TestReplayOfExpiredEvents lets a worker that was held up take a run through
// a step that another has taken through one, after its raw events are gone.
func TestReplayOfExpiredEvents(t *testing.T) {
	q, st := embedded(t, 1)
	send(t, q, 0, 5)
	entries := entriesOf(t, q)
	step := func() {
		t.Helper()
		w := New(q, st, Options{}, slog.New(slog.DiscardHandler))
		if err := w.stream("1:0").step(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
	}
	step()
	expire(t, st, 5)
	step()
	letters(t, st, 0)
	if !counted(t, st, 5)() || rawEvents(t, st, sentKey) != 0 {
		t.Error("a replay changed what was there")
	}
}

// TestExpiryDuringAStep removes the raw events after a step has asked which
// are kept and before it inserts retries of them.
func TestExpiryDuringAStep(t *testing.T) {
	q, st := embedded(t, 1)
	step := func(st Store, entries []queue.Entry) error {
		return New(q, st, Options{}, slog.New(slog.DiscardHandler)).stream("1:0").step(t.Context(), entries)
	}
	send(t, q, 0, 5)
	if err := step(st, entriesOf(t, q)); err != nil {
		t.Fatal(err)
	}
	send(t, q, 0, 5)
	retries := entriesOf(t, q)[5:]
	racing := beforeInsert{st, func() { expire(t, st, 5) }}
	if err := step(racing, retries); err == nil {
		t.Error("a step counted events whose IDs were gone")
	}
	racing.do = func() {}
	if err := step(racing, retries); err != nil {
		t.Error(err)
	}
	letters(t, st, 5)
	if !counted(t, st, 5)() || rawEvents(t, st, sentKey) != 0 {
		t.Error("retries were counted or stored")
	}
}

// beforeInsert is a store that does something before a step inserts.
type beforeInsert struct {
	store.Store
	do func()
}

func (s beforeInsert) Begin() store.Step { return insertingStep{s.Store.Begin(), s.do} }

type insertingStep struct {
	store.Step
	do func()
}

func (s insertingStep) Insert(ctx context.Context, events []store.Event) ([]store.Outcome, error) {
	s.do()
	return s.Step.Insert(ctx, events)
}

// TestTodayAsksNothing keeps the way of today's events free of lookups.
func TestTodayAsksNothing(t *testing.T) {
	s := New(nil, nil, Options{}, slog.New(slog.DiscardHandler)).stream("1:0")
	for _, zone := range []string{"", "Pacific/Kiritimati", "Pacific/Pago_Pago"} {
		today := store.Event{}
		today.Site, today.Time = "a", time.Now()
		of := new(place)
		if err := of.set("a", site.Settings{Zone: zone}); err != nil {
			t.Fatal(err)
		}
		places := places{"a": of}
		if _, undated := s.date(places, []store.Event{today}); undated != nil {
			t.Fatal(undated)
		}
		if kept, err := s.keptSince(t.Context(), places); err != nil || kept != nil {
			t.Errorf("%v, %v: a lookup for an event of today in %q", err, kept, zone)
		}
	}
}
