// Package transfer takes raw events and rollups out of one installation in
// forms that others can read, and rollups into another one.
//
// Raw events go back in by the ordinary way, as events that a client sends, so
// there is nothing here for that. Only a day whose raw events are not all kept
// any more needs its rollup to be moved (import.go). The forms are
// docs/format/export.md.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// What is exported.
const (
	Events  = "events"
	Rollups = "rollups"
)

// Formats of an export.
const (
	NDJSON = "ndjson" // a JSON object a line
	CSV    = "csv"    // a header, and then a line for each
	JSON   = "json"   // one array
)

// Spec says what to export, and in which form.
type Spec struct {
	reconcile.Range
	// What is Events or Rollups.
	What string
	// Format is NDJSON, CSV or JSON. NDJSON is the one that can be read back:
	// it has all of a rollup, of which the others have what is reported first.
	Format string
}

// Validate tells what is wrong with it.
func (s Spec) Validate() error {
	if s.What != Events && s.What != Rollups {
		return fmt.Errorf("what %q is unknown: it is %s or %s", s.What, Events, Rollups)
	}
	if s.Format != NDJSON && s.Format != CSV && s.Format != JSON {
		return fmt.Errorf("format %q is unknown: it is %s, %s or %s", s.Format, NDJSON, CSV, JSON)
	}
	return s.Range.Validate()
}

// Exported is what an export has.
type Exported struct {
	// Days is how many days, Events how many events they have.
	Days   int64 `json:"days"`
	Events int64 `json:"events"`
	// Partial is how many of the days have no whole raw events any more. An
	// export of events leaves them out.
	Partial int64 `json:"partial"`
	// Broken is how many days were left out of an export of rollups because
	// theirs is damaged, or missing where there are raw events.
	Broken int64 `json:"broken"`
}

// Source is what an export needs of a store.
type Source interface {
	store.Events
	store.Inventory
	store.Records
	Day(ctx context.Context, key store.DayKey) (*rollup.Day, error)
	KeptSince(ctx context.Context, site string) (string, error)
}

// Export writes the days of the spec to out, in the order of sites and dates,
// while workers go on. It keeps no more than one event or one rollup in memory.
// After an error what is written is not whole.
func Export(ctx context.Context, st Source, spec Spec, out io.Writer) (Exported, error) {
	if err := spec.Validate(); err != nil {
		return Exported{}, err
	}
	e := &export{st: st, sites: site.NewDirectory(st, 0), out: newWriter(out, spec.Format)}
	header, day := append(event.FieldNames(), rollup.Bot.String()), e.events
	if spec.What == Rollups {
		header, day = rollupFields, e.rollup
	}
	if err := e.out.begin(header); err != nil {
		return e.sum, err
	}
	err := reconcile.EachDay(ctx, st, spec.Range, func(key store.DayKey) error { return day(ctx, key) })
	if err != nil {
		return e.sum, err
	}
	return e.sum, e.out.end()
}

type export struct {
	st    Source
	sites *site.Directory
	out   *writer
	sum   Exported
}

// events exports the raw events of a day. Those of a day that is not whole are
// left out: they are about to be removed, and an installation that they were
// moved to would take them for all that the day had.
func (e *export) events(ctx context.Context, key store.DayKey) error {
	zones, partial, err := e.partial(ctx, key)
	if err != nil {
		return err
	}
	if partial {
		e.sum.Partial++
		return nil
	}
	n := int64(0)
	var fields []field
	err = site.EachEvent(ctx, e.st, key, zones, nil, nil, func(ev *store.Event) error {
		n++
		fields = appendEvent(fields[:0], &ev.Event)
		return e.out.record(fields)
	})
	if err != nil {
		return fmt.Errorf("export %s: %w", key, err)
	}
	// What takes events away says so before it does.
	if _, partial, err = e.partial(ctx, key); err != nil {
		return err
	}
	if partial {
		return fmt.Errorf("raw events of %s were removed while they were exported: what is written is not whole, export again", key)
	}
	if n > 0 {
		e.sum.Days++
		e.sum.Events += n
	}
	return nil
}

// partial tells whether raw events of the day may be gone, and the zones that
// those which are there may be dated in.
func (e *export) partial(ctx context.Context, key store.DayKey) (zones []string, partial bool, err error) {
	settings, err := e.sites.Get(ctx, key.Site)
	if err != nil {
		return nil, false, fmt.Errorf("export %s: %w", key, err)
	}
	kept, err := e.st.KeptSince(ctx, key.Site)
	if err != nil {
		return nil, false, fmt.Errorf("export %s: %w", key, err)
	}
	zones = settings.All()
	return zones, !site.Whole(key, zones, kept), nil
}

// timeForm is RFC 3339 with the milliseconds that events have.
const timeForm = "2006-01-02T15:04:05.000Z07:00"

// appendEvent appends an event's fields in the order of event.FieldNames, and
// at the end that of a bot.
func appendEvent(fields []field, e *event.Event) []field {
	fields = append(fields,
		field{name: "site_id", value: e.Site},
		field{name: "event_id", value: e.ID},
		field{name: "user_id", value: e.User},
		field{name: "timestamp", value: e.Time.UTC().Format(timeForm)})
	for dim, value := range e.Values {
		fields = append(fields, field{name: rollup.Dimension(dim).String(), value: value})
	}
	return fields
}

// rollupFields are the fields of a rollup in CSV and JSON.
var rollupFields = []string{"site_id", "date", "total_events", "total_views", "unique_users"}

// rollup exports the rollup of a day.
func (e *export) rollup(ctx context.Context, key store.DayKey) error {
	_, partial, err := e.partial(ctx, key)
	if err != nil {
		return err
	}
	day, err := e.st.Day(ctx, key)
	switch {
	case errors.As(err, new(*store.DamagedError)):
		e.sum.Broken++
		return nil
	case errors.Is(err, store.ErrNotFound):
		// Of a day that is not whole, all that there is may be events that
		// are about to be removed.
		if !partial {
			e.sum.Broken++
		}
		return nil
	case err != nil:
		return fmt.Errorf("export %s: %w", key, err)
	}
	if e.out.format == NDJSON {
		object, err := encodeDay(day, partial)
		if err != nil {
			return err
		}
		err = e.out.object(object)
		if err != nil {
			return err
		}
	} else if err := e.out.record([]field{
		{name: rollupFields[0], value: day.Site},
		{name: rollupFields[1], value: day.Date},
		{name: rollupFields[2], value: strconv.FormatUint(day.Events, 10), number: true},
		{name: rollupFields[3], value: strconv.FormatUint(day.Views, 10), number: true},
		{name: rollupFields[4], value: strconv.FormatUint(day.Users.Estimate(), 10), number: true},
	}); err != nil {
		return err
	}
	e.sum.Days++
	e.sum.Events += int64(day.Folded())
	if partial {
		e.sum.Partial++
	}
	return nil
}
