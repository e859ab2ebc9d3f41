package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// dayVersion is the version of a rollup's object. A change that readers of
// today would misunderstand gets the next number.
const dayVersion = 2

// dayObject is a rollup as a JSON object: all of it but its rev and its marks,
// which mean something only in the installation that it comes from.
type dayObject struct {
	Version int    `json:"version"`
	Site    string `json:"site_id"`
	// Timezone is the zone whose day it is; without it it is UTC.
	Timezone string `json:"timezone,omitempty"`
	Date     string `json:"date"`
	// Partial says that the raw events are not all kept any more, so that the
	// rollup is all that is left of the day.
	Partial bool   `json:"partial"`
	Events  uint64 `json:"total_events"`
	Views   uint64 `json:"total_views"`
	// Users is what the sketch says, for those who cannot read one.
	Users      uint64   `json:"unique_users"`
	HourEvents []uint64 `json:"hour_events"`
	HourViews  []uint64 `json:"hour_views"`
	// Sketches of users, and the visits, are as docs/format/rollup.md has them.
	HourUsers [][]byte `json:"hour_users"`
	Sketch    []byte   `json:"sketch"`
	Visits    []byte   `json:"visits"`
	// Tables have the names of their dimensions; empty ones are left off.
	Tables map[string]tableObject `json:"tables"`
}

type tableObject struct {
	Floor uint64      `json:"floor,omitempty"`
	Rows  []rowObject `json:"rows"`
}

type rowObject struct {
	Key   string `json:"key"`
	Count uint64 `json:"count"`
	Error uint64 `json:"error,omitempty"`
	// Users is the sketch of the key's users, if it is known, and Missed how
	// many of the counts it may lack.
	Users  []byte `json:"users,omitempty"`
	Missed uint64 `json:"missed,omitempty"`
}

// encodeDay gives a rollup as a JSON object on one line. Equal rollups give
// equal bytes.
func encodeDay(day *rollup.Day, partial bool) ([]byte, error) {
	key := store.KeyOf(day)
	o := dayObject{
		Version: dayVersion, Site: day.Site, Timezone: day.Zone, Date: day.Date, Partial: partial,
		Events: day.Events, Views: day.Views, Users: day.Users.Estimate(),
		HourEvents: day.HourEvents[:], HourViews: day.HourViews[:], HourUsers: make([][]byte, len(day.HourUsers)),
		Tables: map[string]tableObject{},
	}
	var err error
	if o.Sketch, err = day.Users.AppendBinary(nil); err != nil {
		return nil, fmt.Errorf("export %s: users: %w", key, err)
	}
	for h := range day.HourUsers {
		if o.HourUsers[h], err = day.HourUsers[h].AppendBinary(nil); err != nil {
			return nil, fmt.Errorf("export %s: users of hour %d: %w", key, h, err)
		}
	}
	if o.Visits, err = day.Visits.AppendBinary(nil); err != nil {
		return nil, fmt.Errorf("export %s: visits: %w", key, err)
	}
	for dim := range day.Tables {
		table := &day.Tables[dim]
		if table.Len() == 0 && table.Floor() == 0 {
			continue
		}
		t := tableObject{Floor: table.Floor(), Rows: []rowObject{}}
		for _, row := range table.Rows() {
			r := rowObject{Key: row.Key, Count: row.N, Error: row.Err, Missed: row.Missed}
			if row.Users != nil {
				if r.Users, err = row.Users.AppendBinary(nil); err != nil {
					return nil, fmt.Errorf("export %s: users of %.50q: %w", key, row.Key, err)
				}
			}
			t.Rows = append(t.Rows, r)
		}
		o.Tables[rollup.Dimension(dim).String()] = t
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(o); err != nil {
		return nil, fmt.Errorf("export %s: %w", key, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// decodeDay reads what encodeDay gave. The rollup has no rev and no marks.
func decodeDay(object []byte) (day *rollup.Day, partial bool, err error) {
	var o dayObject
	decoder := json.NewDecoder(bytes.NewReader(object))
	if err := decoder.Decode(&o); err != nil {
		return nil, false, fmt.Errorf("it is no rollup: %w", err)
	}
	if decoder.More() {
		return nil, false, errors.New("there is more behind the rollup: one belongs on a line")
	}
	if o.Version != dayVersion {
		return nil, false, fmt.Errorf("it is no rollup of version %d, which this program reads (its version is %d)", dayVersion, o.Version)
	}
	if !site.ValidID(o.Site) {
		return nil, false, fmt.Errorf("the site_id %.50q is none", o.Site)
	}
	if _, err := time.Parse(time.DateOnly, o.Date); err != nil {
		return nil, false, fmt.Errorf("the date %.50q is none", o.Date)
	}
	if _, err := event.Location(o.Timezone); err != nil {
		return nil, false, err
	}
	day = rollup.NewDay(o.Site, o.Date)
	day.Zone = o.Timezone
	day.Events, day.Views = o.Events, o.Views
	if len(o.HourEvents) != len(day.HourEvents) || len(o.HourViews) != len(day.HourViews) || len(o.HourUsers) != len(day.HourUsers) {
		return nil, false, fmt.Errorf("it has events of %d hours, views of %d and users of %d, not of 24", len(o.HourEvents), len(o.HourViews), len(o.HourUsers))
	}
	copy(day.HourEvents[:], o.HourEvents)
	copy(day.HourViews[:], o.HourViews)
	if err := day.Users.UnmarshalBinary(o.Sketch); err != nil {
		return nil, false, err
	}
	if users := day.Users.Estimate(); users != o.Users {
		return nil, false, fmt.Errorf("it says %d unique users, and its sketch has %d", o.Users, users)
	}
	for h, b := range o.HourUsers {
		if err := day.HourUsers[h].UnmarshalBinary(b); err != nil {
			return nil, false, fmt.Errorf("users of hour %d: %w", h, err)
		}
	}
	if err := day.Visits.UnmarshalBinary(o.Visits); err != nil {
		return nil, false, fmt.Errorf("visits: %w", err)
	}
	for dim := range day.Tables {
		name := rollup.Dimension(dim).String()
		t, ok := o.Tables[name]
		if !ok {
			continue
		}
		delete(o.Tables, name)
		rows := make([]rollup.Count, len(t.Rows))
		for i, row := range t.Rows {
			rows[i] = rollup.Count{Key: row.Key, N: row.Count, Err: row.Error, Missed: row.Missed}
			if row.Users == nil {
				continue
			}
			rows[i].Users = rollup.NewUniques(rollup.KeyPrecision)
			if err := rows[i].Users.UnmarshalBinary(row.Users); err != nil {
				return nil, false, fmt.Errorf("%s: users of %.50q: %w", name, row.Key, err)
			}
		}
		if day.Tables[dim], err = rollup.TableOf(t.Floor, rows); err != nil {
			return nil, false, fmt.Errorf("%s: %w", name, err)
		}
	}
	for name := range o.Tables {
		return nil, false, fmt.Errorf("it has a table %.50q, which this program does not know: a newer one wrote it", name)
	}
	return day, o.Partial, nil
}
