package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/daybook-analytics/daybook/rollup"
)

// dayVersion is the version of a rollup's object. A change that readers of
// today would misunderstand gets the next number.
const dayVersion = 1

// dayObject is a rollup as a JSON object: all of it but its rev and its marks,
// which mean something only in the installation that it comes from.
type dayObject struct {
	Version int    `json:"version"`
	Site    string `json:"site_id"`
	Date    string `json:"date"`
	// Partial says that the raw events are not all kept any more, so that the
	// rollup is all that is left of the day.
	Partial bool   `json:"partial"`
	Events  uint64 `json:"total_events"`
	Views   uint64 `json:"total_views"`
	// Users is what the sketch says, for those who cannot read one.
	Users      uint64   `json:"unique_users"`
	HourEvents []uint64 `json:"hour_events"`
	HourViews  []uint64 `json:"hour_views"`
	Sketch     []byte   `json:"sketch"`
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
}

// encodeDay gives a rollup as a JSON object on one line. Equal rollups give
// equal bytes.
func encodeDay(day *rollup.Day, partial bool) ([]byte, error) {
	sketch, err := day.Users.AppendBinary(nil)
	if err != nil {
		return nil, fmt.Errorf("export %s|%s: users: %w", day.Site, day.Date, err)
	}
	o := dayObject{
		Version: dayVersion, Site: day.Site, Date: day.Date, Partial: partial,
		Events: day.Events, Views: day.Views, Users: day.Users.Estimate(),
		HourEvents: day.HourEvents[:], HourViews: day.HourViews[:],
		Sketch: sketch, Tables: map[string]tableObject{},
	}
	for dim := range day.Tables {
		table := &day.Tables[dim]
		if table.Len() == 0 && table.Floor() == 0 {
			continue
		}
		t := tableObject{Floor: table.Floor(), Rows: []rowObject{}}
		for _, row := range table.Rows() {
			t.Rows = append(t.Rows, rowObject{Key: row.Key, Count: row.N, Error: row.Err})
		}
		o.Tables[rollup.Dimension(dim).String()] = t
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(o); err != nil {
		return nil, fmt.Errorf("export %s|%s: %w", day.Site, day.Date, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// siteForm is what a site_id may be, as ingest has it.
var siteForm = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)

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
	if !siteForm.MatchString(o.Site) {
		return nil, false, fmt.Errorf("the site_id %.50q is none", o.Site)
	}
	if _, err := time.Parse(time.DateOnly, o.Date); err != nil {
		return nil, false, fmt.Errorf("the date %.50q is none", o.Date)
	}
	day = rollup.NewDay(o.Site, o.Date)
	day.Events, day.Views = o.Events, o.Views
	if len(o.HourEvents) != len(day.HourEvents) || len(o.HourViews) != len(day.HourViews) {
		return nil, false, fmt.Errorf("it has events of %d hours and views of %d, not of 24", len(o.HourEvents), len(o.HourViews))
	}
	copy(day.HourEvents[:], o.HourEvents)
	copy(day.HourViews[:], o.HourViews)
	if err := day.Users.UnmarshalBinary(o.Sketch); err != nil {
		return nil, false, err
	}
	if users := day.Users.Estimate(); users != o.Users {
		return nil, false, fmt.Errorf("it says %d unique users, and its sketch has %d", o.Users, users)
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
			rows[i] = rollup.Count{Key: row.Key, N: row.Count, Err: row.Error}
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
