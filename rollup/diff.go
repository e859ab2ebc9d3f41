package rollup

import (
	"fmt"
	"strconv"
)

// Difference is one reported value in which two Days differ.
type Difference struct {
	// Field is the value's name, for instance "total_views" or "path /pricing".
	Field string `json:"field"`
	// Stored is the first Day's value, True the second's.
	Stored string `json:"stored"`
	True   string `json:"true"`
}

// Diff lists every reported value in which d differs from truth. Rev and
// Marks are no such values. Counts that are only known within bounds differ
// when their bounds exclude each other.
func (d *Day) Diff(truth *Day) []Difference {
	var diffs []Difference
	count := func(field string, stored, want uint64) {
		if stored != want {
			diffs = append(diffs, Difference{field,
				strconv.FormatUint(stored, 10), strconv.FormatUint(want, 10)})
		}
	}
	count("total_events", d.Events, truth.Events)
	count("total_views", d.Views, truth.Views)
	for h := range d.HourEvents {
		count(fmt.Sprintf("hour %02d events", h), d.HourEvents[h], truth.HourEvents[h])
		count(fmt.Sprintf("hour %02d views", h), d.HourViews[h], truth.HourViews[h])
	}
	if !d.Users.Equal(&truth.Users) {
		diffs = append(diffs, Difference{"unique_users",
			strconv.FormatUint(d.Users.Estimate(), 10), strconv.FormatUint(truth.Users.Estimate(), 10)})
	}
	for dim := range d.Tables {
		name := Dimension(dim).String()
		diffs = append(diffs, d.Tables[dim].diff(name, &truth.Tables[dim])...)
	}
	return diffs
}

func (t *Table) diff(name string, truth *Table) []Difference {
	var diffs []Difference
	compare := func(key string) {
		stored, want := t.Bounds(key), truth.Bounds(key)
		if stored.Lo > want.Hi || want.Lo > stored.Hi {
			diffs = append(diffs, Difference{name + " " + key, stored.String(), want.String()})
		}
	}
	for _, row := range t.Rows() {
		compare(row.Key)
	}
	for _, row := range truth.Rows() {
		if _, both := t.index[row.Key]; !both {
			compare(row.Key)
		}
	}
	return diffs
}
