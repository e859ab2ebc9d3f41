// Package event says what an event is: how it is decoded from a request,
// validated and normalized (decode.go), and how it is written as one line in
// the queue and in the embedded store (line.go).
package event

import (
	"net/netip"
	"time"

	"github.com/daybook-analytics/daybook/rollup"
)

// Event is one thing that happened on a site, valid and normalized.
type Event struct {
	// ID is unique in its site: the client's event_id, or one made at ingest.
	ID string
	// Site is the site_id.
	Site string
	// User is the user_id, empty when the event has none.
	User string
	// Time is the event's own time, UTC in whole milliseconds.
	Time time.Time
	// Values are the event's type, path and all other dimensions.
	Values rollup.Values
}

// Sent is an event as it comes in, with what its sender tells of the visitor
// and what is not kept of it.
type Sent struct {
	Event
	// Host is that of the page, with its port; empty if the path was given
	// without it.
	Host string
	// UserAgent and ClientIP are those of the visitor, if the sender is somebody
	// else and tells; otherwise empty, and invalid.
	UserAgent string
	ClientIP  netip.Addr
}

// Type is the event_type.
func (e *Event) Type() string { return e.Values[rollup.EventType] }

// Date is the event's day in the time zone of its site, as YYYY-MM-DD.
func (e *Event) Date(zone *time.Location) string {
	return string(e.Time.In(zone).AppendFormat(make([]byte, 0, len(time.DateOnly)), time.DateOnly))
}

// ForFold is the event as the fold takes it: at its position, with its time
// in the day of the clock, in which it must lie.
func (e *Event) ForFold(p rollup.Position, clock Clock) rollup.Event {
	return rollup.Event{
		Position: p,
		Hour:     clock.Hour(e.Time),
		At:       clock.At(e.Time),
		User:     e.User,
		Values:   e.Values,
	}
}
