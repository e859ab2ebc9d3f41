package rollup

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Day is the rollup of one site on one date, or of several dates merged.
//
// A Day in memory and a stored one are the same value: what is stored is its
// canonical encoding. See the package comment for the meaning of Marks and
// Fold.
type Day struct {
	Site string
	// Zone is the IANA name of the time zone whose day this is; "" is UTC.
	Zone string
	// Date is YYYY-MM-DD in that zone, or YYYY-MM for a month.
	Date string
	// Rev counts the writes of the stored rollup; 0 is one that was never
	// stored. Stores write with compare-and-swap on it.
	Rev uint64
	// Marks tells up to where each stream is folded.
	Marks Marks

	// Events counts all events but those of bots, Views those of type page_view;
	// HourEvents and HourViews the same for each hour of the site's local time.
	Events, Views         uint64
	HourEvents, HourViews [24]uint64
	// Users is the sketch of the distinct users, HourUsers the same for each
	// hour, of HourPrecision.
	Users     Sketch
	HourUsers [24]Uniques
	// Tables holds the counts of each dimension. Events of bots are in that of
	// Bot, and nowhere else in a Day.
	Tables [NumDimensions]Table
	// Visits are the visits of the day's users.
	Visits Visits
	// Parts are the days that a month was made of, by date; nil for a day.
	Parts []Part

	// omitted are the fields that were not read, see Only.
	omitted Fields
}

// Part is a day in a month, as it was when it was merged into it: a month is
// up to date while the days in the store have the same revs.
type Part struct {
	Date string
	Rev  uint64
}

// NewDay makes an empty Day of UTC that was never stored.
func NewDay(site, date string) *Day {
	d := &Day{Site: site, Date: date, Marks: Marks{}, Visits: newVisits()}
	for h := range d.HourUsers {
		d.HourUsers[h] = *NewUniques(HourPrecision)
	}
	return d
}

// Event is what the fold needs to know of an event.
type Event struct {
	Position Position
	// Hour of the day in the day's time zone, 0 to 23.
	Hour int
	// At is the time since the day began in that zone, in milliseconds; a day
	// has up to 26 hours.
	At uint32
	// User is empty for an event of nobody known.
	User   string
	Values Values
}

// Fold counts those of the events that lie beyond the day's mark for the
// stream, moves the mark to the last of them, and tells how many it counted.
// All events must be of this day and this stream, in the order of their
// positions.
//
// An event of a bot is counted in the table of Bot and in nothing else: no
// total, hour, user, visit or other table has it. It counts as folded and moves
// the mark like any other. So what was filtered is known by its reason, and as
// exactly as all that was not, through crashes and rebuilds.
func (d *Day) Fold(stream string, events []Event) int {
	mark := d.Marks[stream]
	folded := 0
	for i := range events {
		e := &events[i]
		if e.Position.Compare(mark) <= 0 {
			continue
		}
		mark = e.Position
		d.count(e)
		folded++
	}
	if folded > 0 {
		d.Marks[stream] = mark
	}
	return folded
}

// count adds one event to every number of the day that it belongs to.
func (d *Day) count(e *Event) {
	if bot := e.Values[Bot]; bot != "" {
		d.Tables[Bot].row(bot).N++
		return
	}
	view := e.Values[EventType] == PageView
	d.Events++
	d.HourEvents[e.Hour]++
	if view {
		d.Views++
		d.HourViews[e.Hour]++
	}
	var hash uint64
	if e.User != "" {
		hash = HashUser(e.User)
		d.HourUsers[e.Hour].Insert(hash)
	}
	var page string
	for dim, value := range e.Values {
		if value == "" || !view && Dimension(dim).CountsViews() {
			continue
		}
		row := d.Tables[dim].row(value)
		row.N++
		if e.User != "" && row.Users != nil {
			row.Users.Insert(hash)
		}
		if Dimension(dim) == Path {
			page = row.Key // the event's own may be a part of something much larger
		}
	}
	// Whoever is in the sample of visits is in the sketch of users: that spares
	// it most insertions while it is sparse, when they are not cheap.
	if e.User != "" && !d.Visits.count(hash, e.At, view, page) {
		d.Users.InsertHash(hash)
	}
}

// Merge adds all that other counted, as for a range of days: users of both
// count once, and visits become totals. Identity, Rev, Marks and Parts stay as
// they are. Other is only read, so that it may be merged into several days at
// the same time.
func (d *Day) Merge(other *Day) {
	d.Events += other.Events
	d.Views += other.Views
	for h := range d.HourEvents {
		d.HourEvents[h] += other.HourEvents[h]
		d.HourViews[h] += other.HourViews[h]
	}
	d.Users.Merge(&other.Users)
	for h := range d.HourUsers {
		d.HourUsers[h].Merge(&other.HourUsers[h])
	}
	for dim := range d.Tables {
		d.Tables[dim].Merge(&other.Tables[dim])
	}
	d.Visits.add(&other.Visits)
}

// Bots is how many events of bots there are. It is exact while the table of Bot
// is, which has a row for each of a few reasons. Of a day that was read in part
// that table must have been.
func (d *Day) Bots() uint64 { return d.Tables[Bot].sum() }

// Folded is how many events were folded into the day, those of bots included.
func (d *Day) Folded() uint64 { return d.Events + d.Bots() }

// Clone gives a copy that shares nothing with d.
func (d *Day) Clone() *Day {
	c := *d
	c.Marks = maps.Clone(d.Marks)
	c.Users = d.Users.clone()
	for h := range d.HourUsers {
		c.HourUsers[h] = *d.HourUsers[h].clone()
	}
	for i := range d.Tables {
		c.Tables[i] = d.Tables[i].clone()
	}
	c.Visits = d.Visits.clone()
	c.Parts = slices.Clone(d.Parts)
	return &c
}

// Limits bounds the size of a stored Day.
type Limits struct {
	// Keys is the most keys that a table keeps.
	Keys int
	// Bytes is the most that all tables together may take in any store,
	// without the users of their rows.
	Bytes int
}

// DefaultLimits keeps a stored Day under 1 MiB whatever the traffic.
var DefaultLimits = Limits{Keys: 2000, Bytes: 400 << 10}

// MonthLimits are those of a month, which is kept once for its thirty days.
var MonthLimits = Limits{Keys: 5000, Bytes: 2 << 20}

// MaxKeys is the highest allowed bound of keys.
const MaxKeys = 10_000

// Validate tells what is wrong with the limits.
func (l Limits) Validate() error {
	if l.Keys < 100 || l.Keys > MaxKeys {
		return fmt.Errorf("%d keys a table: allowed are 100 to %d", l.Keys, MaxKeys)
	}
	if l.Bytes < 64<<10 || l.Bytes > 8<<20 {
		return fmt.Errorf("%d bytes of tables: allowed are 65536 to 8388608", l.Bytes)
	}
	return nil
}

// Compact brings the day within the limits; it must be called before a Day is
// stored. Tables that fit stay exact. When keys are so long that all tables
// together exceed the bytes, the largest is halved until they fit, down to no
// key at all. Users of keys and visits have bounds of their own.
func (d *Day) Compact(l Limits) {
	tables := make([]*Table, 0, len(d.Tables)+2)
	for dim := range d.Tables {
		tables = append(tables, &d.Tables[dim])
	}
	if totals := d.Visits.totals; totals != nil {
		tables = append(tables, &totals.Entry, &totals.Exit)
	}
	total := 0
	for _, t := range tables {
		t.Compact(l.Keys)
		total += t.size()
	}
	for total > l.Bytes {
		largest := slices.MaxFunc(tables, func(a, b *Table) int { return cmp.Compare(a.size(), b.size()) })
		total -= largest.size()
		largest.Compact(largest.Len() / 2)
		total += largest.size()
	}
	d.Visits.compact()
}

// MemorySize is about how many bytes the day takes in memory, for the bounds
// of caches.
func (d *Day) MemorySize() int {
	const (
		base     = 3 << 10
		sketches = 16<<10 + 24<<HourPrecision // of the day and of its hours, dense
	)
	size := base + int(min(sketches, 24*d.Events)) + d.Visits.memorySize()
	for i := range d.Tables {
		size += d.Tables[i].memorySize(d.Events)
	}
	return size
}
