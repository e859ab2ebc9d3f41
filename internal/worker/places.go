package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// places tells to which days the events of one step belong, by their sites.
type places map[string]*place

// place is what a step knows of one site.
type place struct {
	settings site.Settings
	// days has for each zone of settings.Folding() the day of the last event
	// that was asked about: the next one is mostly of the same day.
	days []placeDay
	// others are the zones of settings.All() beside the site's own.
	others []*time.Location
}

type placeDay struct {
	location *time.Location
	clock    event.Clock
	key      store.DayKey
}

// dayRun are the events of a step that belong to one day: indexes into all.
type dayRun struct {
	clock  event.Clock
	events []int
}

// places reads the settings of the events' sites. That must be after the
// events were read from the queue (doc.go).
func (s *stream) places(ctx context.Context, events []store.Event) (places, error) {
	p := places{}
	var sites []string
	for i := range events {
		if name := events[i].Site; p[name] == nil {
			p[name] = new(place)
			sites = append(sites, name)
		}
	}
	if len(sites) == 0 {
		return p, nil
	}
	all, err := s.sites.GetAll(ctx, sites)
	if err != nil {
		return nil, err
	}
	for name, settings := range all {
		if err := p[name].set(name, settings); err != nil {
			return nil, fmt.Errorf("site %s: %w", name, err)
		}
	}
	return p, nil
}

func (p *place) set(name string, settings site.Settings) error {
	p.settings = settings
	for _, zone := range settings.Folding() {
		location, err := event.Location(zone)
		if err != nil {
			return err
		}
		p.days = append(p.days, placeDay{location: location, key: store.DayKey{Site: name, Zone: zone}})
	}
	for _, zone := range settings.All() {
		if zone == settings.Zone {
			continue
		}
		location, err := event.Location(zone)
		if err != nil {
			return err
		}
		p.others = append(p.others, location)
	}
	return nil
}

// date dates the events in the zones of their sites. Those that have no date
// are taken out, and become dead letters.
func (s *stream) date(p places, events []store.Event) ([]store.Event, []store.DeadLetter) {
	var letters []store.DeadLetter
	dated := events[:0]
	for i := range events {
		e := &events[i]
		if err := p[e.Site].find(e.Time); err != nil {
			letters = append(letters, s.letter(e.Position, err.Error(), e.AppendLine(nil)))
			continue
		}
		e.Date = p[e.Site].days[0].key.Date
		dated = append(dated, *e)
	}
	return dated, letters
}

// find brings the days to those that a time lies in.
func (p *place) find(t time.Time) (err error) {
	for i := range p.days {
		d := &p.days[i]
		if d.clock.Contains(t) {
			continue
		}
		d.key.Date = t.In(d.location).Format(time.DateOnly)
		if d.clock, err = event.NewClock(d.key.Zone, d.key.Date); err != nil {
			return err
		}
	}
	return nil
}

// add adds an event, which has a date, to the runs of its days.
func (p places) add(runs map[store.DayKey]*dayRun, events []store.Event, i int) {
	place := p[events[i].Site]
	_ = place.find(events[i].Time) // that it has a date is known
	for _, day := range place.days {
		run := runs[day.key]
		if run == nil {
			run = &dayRun{clock: day.clock}
			runs[day.key] = run
		}
		run.events = append(run.events, i)
	}
}

// key names the rollup that answers for the date of an event are read from.
func (p places) key(e *store.Event) store.DayKey {
	return store.DayKey{Site: e.Site, Zone: p[e.Site].settings.Zone, Date: e.Date}
}

// fold gives the events of the run as a rollup takes them.
func (r *dayRun) fold(into []rollup.Event, events []store.Event) []rollup.Event {
	for _, i := range r.events {
		into = append(into, events[i].ForFold(events[i].Position, r.clock))
	}
	return into
}

// earliest gives the first of the dates that an event has in the zones that
// raw events of its site may be dated in.
func (p places) earliest(e *store.Event) string {
	first := e.Date
	for _, zone := range p[e.Site].others {
		first = min(first, e.Event.Date(zone))
	}
	return first
}

// today gives the last of the dates that it is now in these zones.
func (p places) today(site string, now time.Time) string {
	last := now.In(p[site].days[0].location).Format(time.DateOnly)
	for _, zone := range p[site].others {
		last = max(last, now.In(zone).Format(time.DateOnly))
	}
	return last
}
