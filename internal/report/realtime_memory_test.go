package report

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// busyStore has events up to its checkpoint, one each second with an ever new
// path.
type busyStore struct {
	Store
	begin, end time.Time
}

func (s *busyStore) position(t time.Time) rollup.Position {
	return rollup.Position{Entry: rollup.EntryID{Ms: uint64(t.UnixMilli())}}
}

func (s *busyStore) Checkpoints(context.Context) (map[string]store.Checkpoint, error) {
	return map[string]store.Checkpoint{"1:0": {Position: s.position(s.end), AsOf: s.end}}, nil
}

func (s *busyStore) ScanDay(_ context.Context, _ string, _ []string, after, upTo rollup.Marks, fn func(*store.Event) error) error {
	for t := s.begin; !t.After(s.end); t = t.Add(time.Second) {
		e := store.Event{Stream: "1:0", Position: s.position(t)}
		e.ID, e.Site, e.User, e.Time = fmt.Sprint(t), "a", "u", t
		e.Values[rollup.EventType], e.Values[rollup.Path] = rollup.PageView, fmt.Sprint("/", t)
		if !after.Covers(e.Stream, e.Position) && upTo.Covers(e.Stream, e.Position) {
			if err := fn(&e); err != nil {
				return err
			}
		}
	}
	return nil
}

// A window that would take too much memory has fewer minutes, says that it is
// not whole, and is kept all the same.
func TestWindowIsBoundedInMemory(t *testing.T) {
	st := &busyStore{begin: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)}
	now := st.begin.Add(35*time.Minute - time.Second)
	st.end = now
	l := newLive(st, Options{RawScans: 1, RawScanEvents: 1e6, RawScanTime: time.Minute, Now: func() time.Time { return now }}, slog.New(slog.DiscardHandler))
	ask := func() *liveAnswer {
		t.Helper()
		a, err := l.answer(t.Context(), "a", []string{""}, 10)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := ask(); !a.Complete || a.Last5.Events != 6*60 || a.Last30.Events != 31*60 {
		t.Errorf("with room enough the answer is %+v", a)
	}
	w, _ := l.windows.get("a")
	l.mostMemory = w.minutes.memory() / 2
	for range 3 {
		now = now.Add(time.Minute)
		st.end = now
		a := ask()
		if a.Complete || a.Last5.Events != 6*60 || a.Last30.Events < 10*60 || a.Last30.Events > 20*60 {
			t.Errorf("with half the room the answer is %+v", a)
		}
		if kept, _ := l.windows.get("a"); kept != w || w.minutes.memory() > l.mostMemory {
			t.Error("the window is not the same, or too large")
		}
	}
}
