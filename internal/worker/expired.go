package worker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
)

// Retention removes raw events together with their IDs. An event that is dated
// before all that is kept of its site may have been counted and removed, and
// nobody could tell: counting it might count it twice. So it becomes a dead
// letter. Only an event of an earlier date than today can be one; of today's,
// which are nearly all, nothing is asked.

// reasonExpired is the reason of such a dead letter.
const reasonExpired = "older than the raw events that are kept"

// keptSince asks from which date on the raw events are kept of the sites that
// have events of earlier dates than today; nil is none of them.
func (s *stream) keptSince(ctx context.Context, events []store.Event) (map[string]string, error) {
	today := time.Now().UTC().Format(time.DateOnly)
	var kept map[string]string
	for i := range events {
		e := &events[i]
		if e.Date >= today {
			continue
		}
		if _, asked := kept[e.Site]; asked {
			continue
		}
		date, err := s.store.KeptSince(ctx, e.Site)
		if err != nil {
			return nil, fmt.Errorf("read since when raw events of %s are kept: %w", e.Site, err)
		}
		if kept == nil {
			kept = map[string]string{}
		}
		kept[e.Site] = date
	}
	return kept, nil
}

// sift takes the events out that are too old for what is kept, and gives the
// others, and dead letters for those. What the rollup's mark covers was done
// with before it became too old, and needs no dead letter: this is a replay.
func (s *stream) sift(ctx context.Context, step store.Step, events []store.Event, kept map[string]string) ([]store.Event, []store.DeadLetter, error) {
	if kept == nil {
		return events, nil, nil
	}
	var expired []store.Event
	days := map[store.DayKey]bool{}
	events = slices.DeleteFunc(events, func(e store.Event) bool {
		if e.Date >= kept[e.Site] {
			return false
		}
		expired = append(expired, e)
		days[store.DayKey{Site: e.Site, Date: e.Date}] = true
		return true
	})
	if len(expired) == 0 {
		return events, nil, nil
	}
	keys := make([]store.DayKey, 0, len(days))
	for key := range days {
		keys = append(keys, key)
	}
	stored, _, err := step.Load(ctx, keys)
	if err != nil {
		return nil, nil, fmt.Errorf("load %d rollups: %w", len(keys), err)
	}
	var letters []store.DeadLetter
	for i := range expired {
		e := &expired[i]
		if day := stored[store.DayKey{Site: e.Site, Date: e.Date}]; day == nil || !day.Marks.Covers(e.Stream, e.Position) {
			letters = append(letters, s.letter(e.Position, reasonExpired, e.AppendLine(nil)))
		}
	}
	return events, letters, nil
}

// stillKept makes sure, after the events were inserted, that none of them has
// become too old since they were sifted: its ID may have been gone before it
// was inserted. What becomes too old from now on had its ID until then.
func (s *stream) stillKept(ctx context.Context, events []store.Event, before map[string]string) error {
	if before == nil {
		return nil
	}
	kept, err := s.keptSince(ctx, events)
	if err != nil {
		return err
	}
	for i := range events {
		if e := &events[i]; e.Date < kept[e.Site] {
			return fmt.Errorf("raw events of %s before %s went just now", e.Site, kept[e.Site])
		}
	}
	return nil
}
