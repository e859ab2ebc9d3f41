package worker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
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
	// zones are those of settings.Folding(), the site's own first.
	zones []placeZone
	// others are the zones of settings.All() beside the site's own.
	others []*time.Location
	// earliest is the first of the dates that its events of the step have in
	// all these zones; "" if it has none.
	earliest string
}

// placeZone is a time zone with the days in it that have been asked about, the
// last one first: the next event is mostly of the same day.
type placeZone struct {
	location *time.Location
	key      store.DayKey // without the date
	days     []*dayRun
}

// dayRun are the events of a step that belong to one day: indexes into all.
type dayRun struct {
	key    store.DayKey
	clock  event.Clock
	events []int32
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
		p.zones = append(p.zones, placeZone{location: location, key: store.DayKey{Site: name, Zone: zone}})
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
		place := p[e.Site]
		date, err := place.date(e.Time)
		if err != nil {
			letters = append(letters, s.letter(e.Position, err.Error(), e.AppendLine(nil)))
			continue
		}
		e.Date = date
		if first := place.first(e); place.earliest == "" || first < place.earliest {
			place.earliest = first
		}
		if len(dated) < i {
			dated = append(dated, *e)
		} else {
			dated = events[:i+1] // it is where it belongs
		}
	}
	return dated, letters
}

// date gives the date of a time in the site's own zone, if it has one in each
// zone.
func (p *place) date(t time.Time) (date string, err error) {
	for i := range p.zones {
		day, err := p.zones[i].day(t)
		if err != nil {
			return "", err
		}
		if i == 0 {
			date = day.key.Date
		}
	}
	return date, nil
}

// day gives the run of the day that a time lies in.
func (z *placeZone) day(t time.Time) (*dayRun, error) {
	for i, day := range z.days {
		if day.clock.Contains(t) {
			z.days[0], z.days[i] = day, z.days[0]
			return day, nil
		}
	}
	day := &dayRun{key: z.key}
	day.key.Date = t.In(z.location).Format(time.DateOnly)
	var err error
	if day.clock, err = event.NewClock(day.key.Zone, day.key.Date); err != nil {
		return nil, err
	}
	z.days = append(z.days, day)
	return day, nil
}

// add adds an event, which has a date, to the runs of its days.
func (p places) add(events []store.Event, i int) {
	place := p[events[i].Site]
	for z := range place.zones {
		day, _ := place.zones[z].day(events[i].Time) // that it has a date is known
		day.events = append(day.events, int32(i))
	}
}

// runs gives the runs that have events, in a fixed order, so that a step can be
// repeated exactly.
func (p places) runs() []*dayRun {
	var runs []*dayRun
	for _, place := range p {
		for _, zone := range place.zones {
			for _, day := range zone.days {
				if len(day.events) > 0 {
					runs = append(runs, day)
				}
			}
		}
	}
	slices.SortFunc(runs, func(a, b *dayRun) int {
		return cmp.Or(cmp.Compare(a.key.Site, b.key.Site), cmp.Compare(a.key.Zone, b.key.Zone), cmp.Compare(a.key.Date, b.key.Date))
	})
	return runs
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

// first gives the first of the dates that an event, which has one, has in the
// zones that raw events of its site may be dated in.
func (p *place) first(e *store.Event) string {
	first := e.Date
	for _, zone := range p.others {
		first = min(first, e.Event.Date(zone))
	}
	return first
}

// today gives the last of the dates that it is now in these zones.
func (p *place) today(now time.Time) string {
	last := now.In(p.zones[0].location).Format(time.DateOnly)
	for _, zone := range p.others {
		last = max(last, now.In(zone).Format(time.DateOnly))
	}
	return last
}
