package event

import (
	"fmt"
	"sync"
	"time"
	_ "time/tzdata" // the time zones, for machines that have none
)

// zones holds the time zones that were asked for, by their names.
var zones sync.Map

// Location gives the time zone with an IANA name such as "Europe/Berlin"; ""
// is UTC. The error says what is wrong with the name.
func Location(zone string) (*time.Location, error) {
	if zone == "" {
		return time.UTC, nil
	}
	if known, ok := zones.Load(zone); ok {
		return known.(*time.Location), nil
	}
	location, err := time.LoadLocation(zone)
	// "Local" would be another zone on each machine.
	if err != nil || location == time.Local {
		return nil, fmt.Errorf("there is no time zone %.100q; give its IANA name, as in Europe/Berlin", zone)
	}
	zones.Store(zone, location)
	return location, nil
}

// Clock tells times on one day of one time zone. The zero value is of no use;
// a Clock is small, never changes, and is safe for concurrent use.
type Clock struct {
	// Begin and End are the day's first instant and the first one after it,
	// in milliseconds since 1970. Between them lie 24 hours, up to two more
	// or less where the clocks are changed, and none on a day that the zone
	// has skipped: both are 0 then.
	Begin, End int64

	date string
	// location is nil on a day on which the clocks are not changed. Then
	// first is what they show at Begin, in milliseconds: mostly 0, but there
	// are places where midnight is skipped.
	location *time.Location
	first    int64
}

const hourMs, dayMs = 3_600_000, 24 * 3_600_000

// NewClock makes the clock of a date, as YYYY-MM-DD, in a zone that Location
// knows.
func NewClock(zone, date string) (Clock, error) {
	location, err := Location(zone)
	if err != nil {
		return Clock{}, err
	}
	midnight, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return Clock{}, fmt.Errorf("date %.40q is not of the form YYYY-MM-DD", date)
	}
	c := Clock{date: date}
	utc := midnight.UnixMilli()
	// A zone's time is a chain of spans that have one offset each. In a span
	// the date is where the UTC date is, shifted by the offset. No offset
	// was ever greater than 16 hours.
	const most = 16 * time.Hour
	spans := 0
	for t := midnight.Add(-most).In(location); t.UnixMilli() < utc+dayMs+most.Milliseconds(); {
		_, seconds := t.Zone()
		offset := int64(seconds) * 1000
		first, end := t.ZoneBounds()
		from, to := utc-offset, utc-offset+dayMs
		if !first.IsZero() {
			from = max(from, first.UnixMilli())
		}
		if !end.IsZero() {
			to = min(to, end.UnixMilli())
		}
		if from < to {
			if spans == 0 {
				c.Begin, c.first = from, from+offset-utc
			} else {
				c.location = location
			}
			c.End = to
			spans++
		}
		if end.IsZero() {
			break
		}
		t = end
	}
	return c, nil
}

// Contains tells whether t lies in the day. It is the same as asking whether
// the date of t in the zone is the clock's.
func (c Clock) Contains(t time.Time) bool {
	ms := t.UnixMilli()
	if ms < c.Begin || ms >= c.End {
		return false
	}
	// Where clocks are put back just after midnight, an hour of the day
	// before comes once more in the middle of this one.
	return c.location == nil || t.In(c.location).Format(time.DateOnly) == c.date
}

// Hour gives the hour that clocks show at t, 0 to 23. The day must contain t.
func (c Clock) Hour(t time.Time) int {
	if c.location != nil {
		return t.In(c.location).Hour()
	}
	return int((t.UnixMilli() - c.Begin + c.first) / hourMs)
}

// At gives the time from Begin to t in milliseconds. The day must contain t.
func (c Clock) At(t time.Time) uint32 { return uint32(t.UnixMilli() - c.Begin) }
