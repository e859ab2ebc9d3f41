package rollup

import (
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
)

// codecVersion is the first byte of an encoded Day. A change of the encoding
// gets the next number.
const codecVersion = 2

// castagnoli is the polynomial of the checksum, CRC-32C.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendBinary appends the canonical encoding of the day: days with equal
// contents give equal bytes. The format is docs/format/rollup.md.
func (d *Day) AppendBinary(b []byte) ([]byte, error) {
	if err := d.Whole(); err != nil {
		return nil, err
	}
	start := len(b)
	b = append(b, codecVersion)
	b = appendString(b, d.Site)
	b = appendString(b, d.Zone)
	b = appendString(b, d.Date)
	b = binary.AppendUvarint(b, d.Rev)

	b = binary.AppendUvarint(b, uint64(len(d.Marks)))
	for _, stream := range d.Marks.Streams() {
		p := d.Marks[stream]
		b = appendString(b, stream)
		b = binary.AppendUvarint(b, p.Entry.Ms)
		b = binary.AppendUvarint(b, p.Entry.Seq)
		b = binary.AppendUvarint(b, uint64(p.Line))
	}

	b = binary.AppendUvarint(b, uint64(len(d.Parts)))
	for _, part := range d.Parts {
		b = appendString(b, part.Date)
		b = binary.AppendUvarint(b, part.Rev)
	}

	b = binary.AppendUvarint(b, d.Events)
	b = binary.AppendUvarint(b, d.Views)
	for h := range d.HourEvents {
		b = binary.AppendUvarint(b, d.HourEvents[h])
		b = binary.AppendUvarint(b, d.HourViews[h])
	}

	var err error
	if b, err = appendPart(b, &d.Users); err != nil {
		return nil, fmt.Errorf("rollup %s|%s: users: %w", d.Site, d.Date, err)
	}
	for h := range d.HourUsers {
		if b, err = appendPart(b, &d.HourUsers[h]); err != nil {
			return nil, fmt.Errorf("rollup %s|%s: users of hour %d: %w", d.Site, d.Date, h, err)
		}
	}

	b = binary.AppendUvarint(b, uint64(len(d.Tables)))
	for i := range d.Tables {
		if b, err = d.Tables[i].append(b); err != nil {
			return nil, fmt.Errorf("rollup %s|%s: %v: %w", d.Site, d.Date, Dimension(i), err)
		}
	}
	if b, err = appendPart(b, &d.Visits); err != nil {
		return nil, fmt.Errorf("rollup %s|%s: visits: %w", d.Site, d.Date, err)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli)), nil
}

func (t *Table) append(b []byte) ([]byte, error) {
	t.sort()
	b = binary.AppendUvarint(b, t.floor)
	b = binary.AppendUvarint(b, uint64(len(t.rows)))
	for _, row := range t.rows {
		b = appendString(b, row.Key)
		b = binary.AppendUvarint(b, row.N)
		b = binary.AppendUvarint(b, row.Err)
		if row.Users == nil {
			b = append(b, 0)
			continue
		}
		b = binary.AppendUvarint(b, uint64(row.Users.encodedSize()))
		var err error
		if b, err = row.Users.AppendBinary(b); err != nil {
			return nil, fmt.Errorf("row %.50q: %w", row.Key, err)
		}
		b = binary.AppendUvarint(b, row.Missed)
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote. Damaged, cut off or hostile
// bytes give an error that says what is wrong, never a panic or a wrong Day.
func (d *Day) UnmarshalBinary(b []byte) error { return d.UnmarshalFields(b, AllFields) }

// UnmarshalFields reads some fields of what AppendBinary wrote, see Only.
func (d *Day) UnmarshalFields(b []byte, fields Fields) error {
	const sumLen = 4
	if len(b) < 1+sumLen {
		return fmt.Errorf("rollup of %d bytes is cut off", len(b))
	}
	switch b[0] {
	case codecVersion:
	case 1:
		return errors.New("rollup has encoding version 1, which lacks the visits and the users of each hour and key; rebuild the day")
	default:
		return fmt.Errorf("rollup has encoding version %d; this program reads version %d", b[0], codecVersion)
	}
	body, sum := b[:len(b)-sumLen], binary.LittleEndian.Uint32(b[len(b)-sumLen:])
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return fmt.Errorf("rollup has checksum %08x where %08x is written: it was damaged", got, sum)
	}

	r := &reader{rest: body[1:]}
	*d = *NewDay(r.string(), "")
	d.Only(fields)
	d.Zone, d.Date, d.Rev = r.string(), r.string(), r.uvarint()
	for range r.count(4) {
		stream := r.string()
		ms, seq, line := r.uvarint(), r.uvarint(), r.uvarint()
		if ms > MaxMs || seq > MaxSeq || line > MaxLine {
			return fmt.Errorf("rollup: mark of stream %.50q is out of range", stream)
		}
		d.Marks[stream] = Position{Entry: EntryID{Ms: ms, Seq: seq}, Line: uint32(line)}
	}
	if parts := r.count(2); parts > 0 {
		d.Parts = make([]Part, parts)
		for i := range d.Parts {
			d.Parts[i] = Part{Date: r.string(), Rev: r.uvarint()}
		}
	}
	d.Events, d.Views = r.uvarint(), r.uvarint()
	for h := range d.HourEvents {
		d.HourEvents[h], d.HourViews[h] = r.uvarint(), r.uvarint()
	}
	r.part("users", &d.Users)
	for h := range d.HourUsers {
		if fields.has(HourUsersField) {
			r.part("users of an hour", &d.HourUsers[h])
		} else {
			r.skip()
		}
	}
	tables := r.count(2)
	if tables > len(d.Tables) {
		return fmt.Errorf("rollup has %d tables; this program knows %d", tables, len(d.Tables))
	}
	for i := range tables {
		if fields.has(TableField(Dimension(i))) {
			d.Tables[i] = r.table()
		} else {
			r.skipTable()
		}
	}
	d.Visits = Visits{}
	switch {
	case fields.has(PagesField):
		r.part("visits", &d.Visits)
	case fields.has(VisitsField):
		r.part("visits", visitTotals{&d.Visits})
	default:
		r.skip()
	}
	if err := r.end(); err != nil {
		return fmt.Errorf("rollup: %w", err)
	}
	return nil
}

// appendPart appends what has its length before it, which is known only when
// the rest is there.
func appendPart(b []byte, part encoding.BinaryAppender) ([]byte, error) {
	start := len(b)
	b, err := part.AppendBinary(b)
	if err != nil {
		return nil, err
	}
	var length [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(length[:], uint64(len(b)-start))
	return slices.Insert(b, start, length[:n]...), nil
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// reader takes values off the front of what it was given. After an error it
// gives zero values.
type reader struct {
	rest []byte
	err  error
}

var errCutOff = errors.New("cut off")

// take takes n bytes, which are a part of what the reader was given.
func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.fail(errCutOff)
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail(errCutOff)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// below reads a number that must be less than end.
func (r *reader) below(end uint64) uint64 {
	n := r.uvarint()
	if n >= end {
		r.fail(errSample)
		return 0
	}
	return n
}

func (r *reader) string() string { return string(r.take(r.uvarint())) }

// count reads how many things of at least size bytes each follow.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.rest)/size) {
		r.fail(errCutOff)
		return 0
	}
	return int(n)
}

// part reads what has its length before it.
func (r *reader) part(name string, into encoding.BinaryUnmarshaler) {
	b := r.take(r.uvarint())
	if r.err != nil {
		return
	}
	if err := into.UnmarshalBinary(b); err != nil {
		r.fail(fmt.Errorf("%s: %w", name, err))
	}
}

// skip leaves out what has its length before it.
func (r *reader) skip() { r.take(r.uvarint()) }

// skipTable leaves out a table.
func (r *reader) skipTable() {
	r.uvarint()
	for range r.count(4) {
		r.skip()
		r.uvarint()
		r.uvarint()
		if n := r.uvarint(); n > 0 {
			r.take(n)
			r.uvarint()
		}
	}
}

func (r *reader) table() Table {
	floor := r.uvarint()
	rows := make([]Count, r.count(4))
	// All keys are parts of one string, which is much faster than a string for
	// each. It is that of no other table, nor of the whole day, which would
	// stay in memory as long as one of the keys does.
	text := make([]byte, 0, 32*len(rows))
	ends := make([]int, len(rows))
	for i := range rows {
		row := &rows[i]
		key := r.take(r.uvarint())
		text = append(text, key...)
		ends[i] = len(text)
		*row = Count{N: r.uvarint(), Err: r.uvarint()}
		if n := r.uvarint(); n > 0 {
			row.Users = NewUniques(KeyPrecision)
			if err := row.Users.UnmarshalBinary(r.take(n)); err != nil {
				r.fail(fmt.Errorf("row %.50q: %w", key, err))
			}
			row.Missed = r.uvarint()
		}
		if r.err != nil {
			return Table{}
		}
	}
	keys, begin := string(text), 0
	for i, end := range ends {
		rows[i].Key = keys[begin:end]
		begin = end
		if err := rows[i].validate(floor); err != nil {
			r.fail(err)
		}
	}
	return newTable(floor, rows)
}

// end gives the first error, which may be that something is left.
func (r *reader) end() error {
	if len(r.rest) > 0 {
		r.fail(fmt.Errorf("%d bytes too many", len(r.rest)))
	}
	return r.err
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}
