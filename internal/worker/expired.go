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
func (s *stream) keptSince(ctx context.Context, places places) (map[string]string, error) {
	now := time.Now()
	var kept map[string]string
	for site, place := range places {
		if place.earliest == "" || place.earliest >= place.today(now) {
			continue
		}
		date, err := s.store.KeptSince(ctx, site)
		if err != nil {
			return nil, fmt.Errorf("read since when raw events of %s are kept: %w", site, err)
		}
		if kept == nil {
			kept = map[string]string{}
		}
		kept[site] = date
	}
	return kept, nil
}

// expired gives a site that has events which are too old for what is kept; ""
// is none.
func (p places) expired(kept map[string]string) string {
	for site, date := range kept {
		if p[site].earliest < date {
			return site
		}
	}
	return ""
}

// sift takes the events out that are too old for what is kept, and gives the
// others, and dead letters for those. What the rollup's mark covers was done
// with before it became too old, and needs no dead letter: this is a replay.
func (s *stream) sift(ctx context.Context, step store.Step, places places, events []store.Event, kept map[string]string) ([]store.Event, []store.DeadLetter, error) {
	if places.expired(kept) == "" {
		return events, nil, nil
	}
	var expired []store.Event
	days := map[store.DayKey]bool{}
	events = slices.DeleteFunc(events, func(e store.Event) bool {
		if places[e.Site].first(&e) >= kept[e.Site] {
			return false
		}
		expired = append(expired, e)
		days[places.key(&e)] = true
		return true
	})
	for site, date := range kept {
		places[site].earliest = max(places[site].earliest, date)
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
func (s *stream) stillKept(ctx context.Context, places places, before map[string]string) error {
	if before == nil {
		return nil
	}
	kept, err := s.keptSince(ctx, places)
	if err != nil {
		return err
	}
	if site := places.expired(kept); site != "" {
		return fmt.Errorf("raw events of %s before %s went just now", site, kept[site])
	}
	return nil
}
