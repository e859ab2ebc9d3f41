package rollup

import "fmt"

// Fields names those parts of a Day that are large, for who needs only some of
// them. What is small is always read: the identity, Rev, Marks, Parts, the
// counts, and the sketch of all users.
type Fields uint32

// The fields; TableField gives that of a dimension's table.
const (
	// HourUsersField is the users of each hour.
	HourUsersField Fields = 1 << (NumDimensions + iota)
	// VisitsField is the visits as totals without pages, which is quick to
	// read; PagesField is all of them.
	VisitsField
	PagesField
	endOfFields

	AllFields = endOfFields - 1
)

// TableField is the table of a dimension.
func TableField(d Dimension) Fields { return 1 << d }

// Only marks a day as one of which no more than the fields were read. It must
// not be folded into or compared, and cannot be stored: what it lacks would be
// lost.
func (d *Day) Only(fields Fields) { d.omitted = AllFields &^ fields }

// has tells whether one of the fields is among f.
func (f Fields) has(fields Fields) bool { return f&fields != 0 }

// Whole gives an error if only some fields of the day were read.
func (d *Day) Whole() error {
	if d.omitted == 0 {
		return nil
	}
	return fmt.Errorf("rollup %s|%s was read in part and cannot be stored", d.Site, d.Date)
}
