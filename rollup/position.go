package rollup

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// EntryID names one entry of a stream: the time at which the queue took it,
// in milliseconds since 1970, and a number that tells apart the entries of
// one millisecond. It is what Redis Streams call an entry ID.
type EntryID struct {
	Ms  uint64
	Seq uint64
}

// Limits of what an EntryID and a Position can hold, so that their text form
// has a fixed width and sorts as they do.
const (
	MaxMs   = 999_999_999_999_999
	MaxSeq  = 9_999_999_999
	MaxLine = 999_999
)

// Compare orders entry IDs of one stream: -1, 0 or +1.
func (id EntryID) Compare(other EntryID) int {
	if c := cmp.Compare(id.Ms, other.Ms); c != 0 {
		return c
	}
	return cmp.Compare(id.Seq, other.Seq)
}

// Position is the place of one event in its stream: the entry it came in and
// its line there, counted from 0. Positions of one stream are totally
// ordered; those of different streams are not comparable. The zero Position
// lies before every event.
type Position struct {
	Entry EntryID
	Line  uint32
}

// Compare orders positions of one stream: -1, 0 or +1.
func (p Position) Compare(other Position) int {
	if c := p.Entry.Compare(other.Entry); c != 0 {
		return c
	}
	return cmp.Compare(p.Line, other.Line)
}

// IsZero tells whether p is the position before every event.
func (p Position) IsZero() bool { return p == Position{} }

// String gives the one text form of a position, which sorts as positions do:
// milliseconds, sequence and line in decimal, padded with zeros, as in
// "001732424242424-0000000003-000012".
func (p Position) String() string {
	return fmt.Sprintf("%015d-%010d-%06d", p.Entry.Ms, p.Entry.Seq, p.Line)
}

// ParsePosition reads the form that Position.String writes.
func ParsePosition(s string) (Position, error) {
	const form = "000000000000000-0000000000-000000"
	bad := fmt.Errorf("position %q is not of the form %s", s, form)
	if len(s) != len(form) {
		return Position{}, bad
	}
	var parts [3]uint64
	part := 0
	for i := range len(s) {
		switch c := s[i]; {
		case form[i] == '-' && c == '-':
			part++
		case form[i] == '0' && '0' <= c && c <= '9':
			parts[part] = parts[part]*10 + uint64(c-'0')
		default:
			return Position{}, bad
		}
	}
	return Position{Entry: EntryID{Ms: parts[0], Seq: parts[1]}, Line: uint32(parts[2])}, nil
}

// Marks tells for each stream, by name, the position up to which something is
// complete. A stream that is not in it is at the zero position.
type Marks map[string]Position

// Advance moves the mark of a stream forward to p; it never moves it back.
func (m Marks) Advance(stream string, p Position) {
	if m[stream].Compare(p) < 0 {
		m[stream] = p
	}
}

// Covers tells whether the event at position p of the stream lies at or below
// the mark.
func (m Marks) Covers(stream string, p Position) bool {
	return p.Compare(m[stream]) <= 0
}

// Join gives for each stream the farther of both marks, in a new map.
func (m Marks) Join(other Marks) Marks {
	joined := make(Marks, max(len(m), len(other)))
	maps.Copy(joined, m)
	for stream, p := range other {
		joined.Advance(stream, p)
	}
	return joined
}

// Streams lists the streams that have a mark, sorted.
func (m Marks) Streams() []string {
	return slices.Sorted(maps.Keys(m))
}
