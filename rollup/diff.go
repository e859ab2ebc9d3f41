package rollup

import (
	"fmt"
	"math"
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

// Diff lists every reported value in which d differs from truth. Zone, Rev,
// Marks and Parts are no such values. Counts that are only known within bounds
// differ when their bounds exclude each other. The users of a key are compared
// where both know all of them, and visits of those users who are in both
// samples.
func (d *Day) Diff(truth *Day) []Difference {
	var diffs []Difference
	count := func(field string, stored, want uint64) {
		if stored != want {
			diffs = append(diffs, Difference{field,
				strconv.FormatUint(stored, 10), strconv.FormatUint(want, 10)})
		}
	}
	// A sum of seconds can depend on the order in its last digits.
	number := func(field string, stored, want float64) {
		if math.Abs(stored-want) > 0.0005 {
			diffs = append(diffs, Difference{field, thousandths(stored), thousandths(want)})
		}
	}
	count("total_events", d.Events, truth.Events)
	count("total_views", d.Views, truth.Views)
	for h := range d.HourEvents {
		count(fmt.Sprintf("hour %02d events", h), d.HourEvents[h], truth.HourEvents[h])
		count(fmt.Sprintf("hour %02d views", h), d.HourViews[h], truth.HourViews[h])
		if stored, want := &d.HourUsers[h], &truth.HourUsers[h]; !stored.Equal(want) {
			diffs = append(diffs, usersDiffer(fmt.Sprintf("hour %02d users", h), stored, want))
		}
	}
	if !d.Users.Equal(&truth.Users) {
		diffs = append(diffs, Difference{"unique_users",
			strconv.FormatUint(d.Users.Estimate(), 10), strconv.FormatUint(truth.Users.Estimate(), 10)})
	}
	for dim := range d.Tables {
		name := Dimension(dim).String()
		diffs = append(diffs, d.Tables[dim].diff(name, &truth.Tables[dim])...)
	}
	limit := min(d.Visits.limit, truth.Visits.limit)
	stored, want := d.Visits.below(limit), truth.Visits.below(limit)
	number("visits", stored.Visits, want.Visits)
	number("bounces", stored.Bounces, want.Bounces)
	number("views in visits", stored.Views, want.Views)
	number("seconds of visits", stored.Seconds, want.Seconds)
	diffs = append(diffs, stored.Entry.diff("entry page", &want.Entry)...)
	return append(diffs, stored.Exit.diff("exit page", &want.Exit)...)
}

// usersDiffer tells of two sets that are not equal. Their estimates may be.
func usersDiffer(field string, stored, want *Uniques) Difference {
	return Difference{field,
		strconv.FormatUint(stored.Estimate(), 10), strconv.FormatUint(want.Estimate(), 10)}
}

func thousandths(f float64) string {
	return strconv.FormatFloat(math.Round(f*1000)/1000, 'f', -1, 64)
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
		other := truth.index[row.Key]
		if other != nil && row.Users != nil && other.Users != nil && row.Missed == 0 && other.Missed == 0 &&
			!row.Users.Equal(other.Users) {
			diffs = append(diffs, usersDiffer("users of "+name+" "+row.Key, row.Users, other.Users))
		}
	}
	for _, row := range truth.Rows() {
		if _, both := t.index[row.Key]; !both {
			compare(row.Key)
		}
	}
	return diffs
}
