package event

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/daybook-analytics/daybook/rollup"
)

// lineVersion is the first field of a line. A change that is not just a new
// dimension at the end gets the next number, and ParseLine keeps reading the
// older ones.
const lineVersion = "1"

// fixedFields are those before the dimensions: version, ID, site, user, time.
const fixedFields = 5

// AppendLine appends the event as one line without its newline: fields
// separated by tabs, which no value can contain, in the order version, ID,
// site, user, time in milliseconds, and the dimensions in the order of
// rollup. Empty fields at the end are left off. The format is
// docs/format/line.md.
func (e *Event) AppendLine(b []byte) []byte {
	b = append(b, lineVersion...)
	b = append(b, '\t')
	b = append(b, e.ID...)
	b = append(b, '\t')
	b = append(b, e.Site...)
	b = append(b, '\t')
	b = append(b, e.User...)
	b = append(b, '\t')
	b = strconv.AppendInt(b, e.Time.UnixMilli(), 10)
	for _, value := range e.Values {
		b = append(b, '\t')
		b = append(b, value...)
	}
	return bytes.TrimRight(b, "\t")
}

// ParseLine reads what AppendLine wrote. Its errors are the reasons given in
// dead letters. The event's strings are parts of the line.
func ParseLine(line string) (Event, error) {
	var fields [fixedFields + rollup.NumDimensions]string
	n := 0
	begin := 0
	// Fields are short: a search for each tab would cost more than this loop.
	for i := range len(line) {
		if line[i] != '\t' {
			continue
		}
		if n == len(fields)-1 {
			return Event{}, fmt.Errorf("line has more than %d fields: it was written by a newer version", len(fields))
		}
		fields[n] = line[begin:i]
		n++
		begin = i + 1
	}
	fields[n] = line[begin:]
	n++
	if fields[0] != lineVersion {
		return Event{}, fmt.Errorf("line is of version %.20q; this program reads version %s", fields[0], lineVersion)
	}
	if n < fixedFields {
		return Event{}, fmt.Errorf("line has %d fields where at least %d belong", n, fixedFields)
	}
	ms, err := strconv.ParseInt(fields[4], 10, 64)
	if err != nil || ms < 0 || ms > rollup.MaxMs {
		return Event{}, fmt.Errorf("line's time %.30q is not a number of milliseconds from 0 to %d", fields[4], int64(rollup.MaxMs))
	}
	e := Event{ID: fields[1], Site: fields[2], User: fields[3], Time: time.UnixMilli(ms).UTC()}
	copy(e.Values[:], fields[fixedFields:])
	if e.ID == "" || e.Site == "" || e.Type() == "" {
		return Event{}, errors.New("line lacks its event ID, site or type")
	}
	return e, nil
}
