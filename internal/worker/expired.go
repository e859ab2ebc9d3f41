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
//
// Where raw events of a site are dated in several zones, an event counts by the
// first of the dates that it has in them: it may be a retry of one that was
// stored with this date.

// reasonExpired is the reason of such a dead letter.
const reasonExpired = "older than the raw events that are kept"

// keptSince asks from which date on the raw events are kept of the sites that
// have events of earlier dates than today; nil is none of them.
func (s *stream) keptSince(ctx context.Context, places places, events []store.Event) (map[string]string, error) {
	now := time.Now()
	var kept map[string]string
	today := make(map[string]string, len(places))
	for site := range places {
		today[site] = places.today(site, now)
	}
	for i := range events {
		e := &events[i]
		if _, asked := kept[e.Site]; asked || places.earliest(e) >= today[e.Site] {
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
func (s *stream) sift(ctx context.Context, step store.Step, places places, events []store.Event, kept map[string]string) ([]store.Event, []store.DeadLetter, error) {
	if kept == nil {
		return events, nil, nil
	}
	var expired []store.Event
	days := map[store.DayKey]bool{}
	events = slices.DeleteFunc(events, func(e store.Event) bool {
		if places.earliest(&e) >= kept[e.Site] {
			return false
		}
		expired = append(expired, e)
		days[places.key(&e)] = true
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
		if day := stored[places.key(e)]; day == nil || !day.Marks.Covers(e.Stream, e.Position) {
			letters = append(letters, s.letter(e.Position, reasonExpired, e.AppendLine(nil)))
		}
	}
	return events, letters, nil
}

// stillKept makes sure, after the events were inserted, that none of them has
// become too old since they were sifted: its ID may have been gone before it
// was inserted. What becomes too old from now on had its ID until then.
func (s *stream) stillKept(ctx context.Context, places places, events []store.Event, before map[string]string) error {
	if before == nil {
		return nil
	}
	kept, err := s.keptSince(ctx, places, events)
	if err != nil {
		return err
	}
	for i := range events {
		if e := &events[i]; places.earliest(e) < kept[e.Site] {
			return fmt.Errorf("raw events of %s before %s went just now", e.Site, kept[e.Site])
		}
	}
	return nil
}
