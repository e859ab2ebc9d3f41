package mongostore

import (
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// dayDoc is a document of daily_stats. Tables are fields by the name of their
// dimension: in a fixed order where one is written, in any where one is read.
// What was counted, such as a path, is never a field's name.
type dayDoc[Tables bson.D | map[string]tableDoc] struct {
	ID           string    `bson:"_id"`
	Site         string    `bson:"site_id"`
	Zone         string    `bson:"zone"`
	Date         string    `bson:"date"`
	Rev          uint64    `bson:"rev"`
	Marks        []markDoc `bson:"marks"`
	TotalEvents  uint64    `bson:"total_events"`
	TotalViews   uint64    `bson:"total_views"`
	HourlyEvents []uint64  `bson:"hourly_events"`
	HourlyViews  []uint64  `bson:"hourly_views"`
	Users        []byte    `bson:"users"`
	HourlyUsers  [][]byte  `bson:"hourly_users"`
	Tables       Tables    `bson:"tables"`
	Visits       []byte    `bson:"visits"`
	Parts        []partDoc `bson:"parts,omitempty"`
}

type markDoc struct {
	Stream   string `bson:"s"`
	Position string `bson:"p"`
}

type tableDoc struct {
	Floor uint64   `bson:"floor"`
	Rows  []rowDoc `bson:"rows"`
}

type rowDoc struct {
	Key    string `bson:"k"`
	N      uint64 `bson:"n"`
	Err    uint64 `bson:"e,omitempty"`
	Users  []byte `bson:"u,omitempty"`
	Missed uint64 `bson:"m,omitempty"`
}

type partDoc struct {
	Date string `bson:"d"`
	Rev  uint64 `bson:"r"`
}

// encodeDay makes the document of a day with the rev given.
func encodeDay(d *rollup.Day, rev uint64) (bson.Raw, error) {
	if err := d.Whole(); err != nil {
		return nil, err
	}
	doc := dayDoc[bson.D]{
		ID:           store.KeyOf(d).String(),
		Site:         d.Site,
		Zone:         d.Zone,
		Date:         d.Date,
		Rev:          rev,
		Marks:        encodeMarks(d.Marks),
		TotalEvents:  d.Events,
		TotalViews:   d.Views,
		HourlyEvents: d.HourEvents[:],
		HourlyViews:  d.HourViews[:],
		HourlyUsers:  make([][]byte, len(d.HourUsers)),
		Tables:       bson.D{},
	}
	var err error
	if doc.Users, err = d.Users.AppendBinary([]byte{}); err != nil {
		return nil, fmt.Errorf("rollup %s: users: %w", doc.ID, err)
	}
	for h := range d.HourUsers {
		if doc.HourlyUsers[h], err = d.HourUsers[h].AppendBinary(nil); err != nil {
			return nil, fmt.Errorf("rollup %s: users of hour %d: %w", doc.ID, h, err)
		}
	}
	if doc.Visits, err = d.Visits.AppendBinary(nil); err != nil {
		return nil, fmt.Errorf("rollup %s: visits: %w", doc.ID, err)
	}
	for _, part := range d.Parts {
		doc.Parts = append(doc.Parts, partDoc(part))
	}
	for dim := range rollup.NumDimensions {
		table := &d.Tables[dim]
		if table.Len() == 0 && table.Floor() == 0 {
			continue
		}
		t := tableDoc{Floor: table.Floor(), Rows: make([]rowDoc, 0, table.Len())}
		for _, row := range table.Rows() {
			r := rowDoc{Key: row.Key, N: row.N, Err: row.Err, Missed: row.Missed}
			if row.Users != nil {
				if r.Users, err = row.Users.AppendBinary(nil); err != nil {
					return nil, fmt.Errorf("rollup %s: users of %s %.50q: %w", doc.ID, dim, row.Key, err)
				}
			}
			t.Rows = append(t.Rows, r)
		}
		doc.Tables = append(doc.Tables, bson.E{Key: dim.String(), Value: t})
	}
	raw, err := bson.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("rollup %s: %w", doc.ID, err)
	}
	return raw, nil
}

func encodeMarks(marks rollup.Marks) []markDoc {
	docs := make([]markDoc, 0, len(marks))
	for _, stream := range marks.Streams() {
		docs = append(docs, markDoc{Stream: stream, Position: marks[stream].String()})
	}
	return docs
}

// decodeDay reads the document of a day. What is wrong with it is told as a
// DamagedError, with the rev as far as it can be read.
func decodeDay(key store.DayKey, raw bson.Raw, fields rollup.Fields) (*rollup.Day, *store.DamagedError) {
	d, err := readDay(key, raw, fields)
	if err != nil {
		return nil, &store.DamagedError{Key: key, Rev: readRev(raw), Err: err}
	}
	return d, nil
}

// readRev gives the rev of a document, or 0 when it has none that could have
// been written by encodeDay. The filter of a swap with rev 0 asks the same.
func readRev(raw bson.Raw) uint64 {
	if rev, ok := raw.Lookup("rev").AsInt64OK(); ok && rev >= 1 && raw.Lookup("rev").Type != bson.TypeDouble {
		return uint64(rev)
	}
	return 0
}

// readDay is strict: a field that is missing must not pass for a zero, since
// marks that were lost would have everything counted again.
func readDay(key store.DayKey, raw bson.Raw, fields rollup.Fields) (*rollup.Day, error) {
	var doc dayDoc[map[string]tableDoc]
	err := bson.Unmarshal(raw, &doc)
	if err != nil {
		return nil, err
	}
	if doc.Site != key.Site || doc.Zone != key.Zone || doc.Date != key.Date {
		return nil, fmt.Errorf("it says that it is of site %q, zone %q and date %q", doc.Site, doc.Zone, doc.Date)
	}
	if _, ok := raw.Lookup("zone").StringValueOK(); !ok {
		return nil, errors.New("zone is missing, so that lists of rollups do not have it")
	}
	d := rollup.NewDay(doc.Site, doc.Date)
	d.Only(fields)
	d.Zone = doc.Zone
	if d.Rev = readRev(raw); d.Rev == 0 {
		return nil, errors.New("rev is not a whole number from 1")
	}
	if doc.Marks == nil || doc.Users == nil || doc.Tables == nil {
		return nil, errors.New("marks, users or tables are missing")
	}
	hourUsers := fields&rollup.HourUsersField != 0
	visits := fields&(rollup.VisitsField|rollup.PagesField) != 0
	if hourUsers && doc.HourlyUsers == nil || visits && doc.Visits == nil {
		return nil, errors.New("hourly_users or visits are missing: it was written before there were any; rebuild the day")
	}
	for _, mark := range doc.Marks {
		p, err := rollup.ParsePosition(mark.Position)
		if err != nil {
			return nil, fmt.Errorf("mark of stream %q: %w", mark.Stream, err)
		}
		d.Marks[mark.Stream] = p
	}

	d.Events, d.Views = doc.TotalEvents, doc.TotalViews
	if err := readHours(&d.HourEvents, doc.HourlyEvents, d.Events); err != nil {
		return nil, fmt.Errorf("hourly_events: %w", err)
	}
	if err := readHours(&d.HourViews, doc.HourlyViews, d.Views); err != nil {
		return nil, fmt.Errorf("hourly_views: %w", err)
	}
	if err := d.Users.UnmarshalBinary(doc.Users); err != nil {
		return nil, err
	}
	if hourUsers {
		if len(doc.HourlyUsers) != len(d.HourUsers) {
			return nil, fmt.Errorf("hourly_users: there are %d hours", len(doc.HourlyUsers))
		}
		for h, b := range doc.HourlyUsers {
			if err := d.HourUsers[h].UnmarshalBinary(b); err != nil {
				return nil, fmt.Errorf("hourly_users: %w", err)
			}
		}
	}
	switch {
	case fields&rollup.PagesField != 0:
		err = d.Visits.UnmarshalBinary(doc.Visits)
	case visits:
		err = d.Visits.UnmarshalTotals(doc.Visits)
	default:
		d.Visits = rollup.Visits{}
	}
	if err != nil {
		return nil, err
	}
	for _, part := range doc.Parts {
		d.Parts = append(d.Parts, rollup.Part(part))
	}

	return d, readTables(d, doc.Tables, fields)
}

// without is the projection that leaves out all but the fields.
func without(fields rollup.Fields) bson.D {
	projection := bson.D{}
	omit := func(name string, of rollup.Fields) {
		if fields&of == 0 {
			projection = append(projection, bson.E{Key: name, Value: 0})
		}
	}
	omit("hourly_users", rollup.HourUsersField)
	omit("visits", rollup.VisitsField|rollup.PagesField)
	for dim := range rollup.NumDimensions {
		omit("tables."+dim.String(), rollup.TableField(dim))
	}
	return projection
}

func readTables(d *rollup.Day, docs map[string]tableDoc, fields rollup.Fields) error {
	known := 0
	for dim := range rollup.NumDimensions {
		table, ok := docs[dim.String()]
		if !ok {
			continue
		}
		known++
		if fields&rollup.TableField(dim) == 0 {
			continue
		}
		rows := make([]rollup.Count, 0, len(table.Rows))
		for _, row := range table.Rows {
			count := rollup.Count{Key: row.Key, N: row.N, Err: row.Err, Missed: row.Missed}
			if row.Users != nil {
				count.Users = rollup.NewUniques(rollup.KeyPrecision)
				if err := count.Users.UnmarshalBinary(row.Users); err != nil {
					return fmt.Errorf("table %s, %.50q: %w", dim, row.Key, err)
				}
			}
			rows = append(rows, count)
		}
		var err error
		if d.Tables[dim], err = rollup.TableOf(table.Floor, rows); err != nil {
			return fmt.Errorf("table %s: %w", dim, err)
		}
	}
	if known != len(docs) {
		return fmt.Errorf("it has %d tables of which this program knows %d", len(docs), known)
	}
	return nil
}

// readHours checks that the hours add up to the total, as they always do.
func readHours(hours *[24]uint64, stored []uint64, total uint64) error {
	if len(stored) != len(hours) {
		return fmt.Errorf("there are %d hours", len(stored))
	}
	var sum uint64
	for h, n := range stored {
		hours[h] = n
		sum += n
	}
	if sum != total {
		return fmt.Errorf("the hours add up to %d, the total is %d", sum, total)
	}
	return nil
}
