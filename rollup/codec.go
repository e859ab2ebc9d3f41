package rollup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// codecVersion is the first byte of an encoded Day. A change of the encoding
// gets the next number, and UnmarshalBinary keeps reading the older ones.
const codecVersion = 1

// castagnoli is the polynomial of the checksum, CRC-32C.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendBinary appends the canonical encoding of the day: days with equal
// contents give equal bytes. The format is docs/format/rollup.md.
func (d *Day) AppendBinary(b []byte) ([]byte, error) {
	start := len(b)
	b = append(b, codecVersion)
	b = appendString(b, d.Site)
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

	b = binary.AppendUvarint(b, d.Events)
	b = binary.AppendUvarint(b, d.Views)
	for h := range d.HourEvents {
		b = binary.AppendUvarint(b, d.HourEvents[h])
		b = binary.AppendUvarint(b, d.HourViews[h])
	}

	sketch, err := d.Users.AppendBinary(nil)
	if err != nil {
		return nil, fmt.Errorf("rollup %s|%s: users: %w", d.Site, d.Date, err)
	}
	b = binary.AppendUvarint(b, uint64(len(sketch)))
	b = append(b, sketch...)

	b = binary.AppendUvarint(b, uint64(len(d.Tables)))
	for i := range d.Tables {
		t := &d.Tables[i]
		t.sort()
		b = binary.AppendUvarint(b, t.floor)
		b = binary.AppendUvarint(b, uint64(len(t.rows)))
		for _, row := range t.rows {
			b = appendString(b, row.Key)
			b = binary.AppendUvarint(b, row.N)
			b = binary.AppendUvarint(b, row.Err)
		}
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli)), nil
}

// UnmarshalBinary reads what AppendBinary wrote. Damaged, cut off or hostile
// bytes give an error that says what is wrong, never a panic or a wrong Day.
func (d *Day) UnmarshalBinary(b []byte) error {
	const sumLen = 4
	if len(b) < 1+sumLen {
		return fmt.Errorf("rollup of %d bytes is cut off", len(b))
	}
	if b[0] != codecVersion {
		return fmt.Errorf("rollup has encoding version %d; this program reads version %d", b[0], codecVersion)
	}
	body, sum := b[:len(b)-sumLen], binary.LittleEndian.Uint32(b[len(b)-sumLen:])
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return fmt.Errorf("rollup has checksum %08x where %08x is written: it was damaged", got, sum)
	}

	// All strings of the day are parts of one.
	r := reader{rest: string(body[1:])}
	*d = Day{Site: r.string(), Date: r.string(), Rev: r.uvarint()}
	marks := r.count(4)
	d.Marks = make(Marks, marks)
	for range marks {
		stream := r.string()
		ms, seq, line := r.uvarint(), r.uvarint(), r.uvarint()
		if ms > MaxMs || seq > MaxSeq || line > MaxLine {
			return fmt.Errorf("rollup: mark of stream %.50q is out of range", stream)
		}
		d.Marks[stream] = Position{Entry: EntryID{Ms: ms, Seq: seq}, Line: uint32(line)}
	}
	d.Events, d.Views = r.uvarint(), r.uvarint()
	for h := range d.HourEvents {
		d.HourEvents[h], d.HourViews[h] = r.uvarint(), r.uvarint()
	}
	sketch := r.string()
	if r.err == nil {
		if err := d.Users.UnmarshalBinary([]byte(sketch)); err != nil {
			return fmt.Errorf("rollup: users: %w", err)
		}
	}
	tables := r.count(2)
	if tables > len(d.Tables) {
		return fmt.Errorf("rollup has %d tables; this program knows %d", tables, len(d.Tables))
	}
	for i := range tables {
		floor := r.uvarint()
		rows := make([]Count, r.count(3))
		for j := range rows {
			rows[j] = Count{Key: r.string(), N: r.uvarint(), Err: r.uvarint()}
			if err := rows[j].validate(floor); err != nil && r.err == nil {
				return fmt.Errorf("rollup: %v: %w", Dimension(i), err)
			}
		}
		d.Tables[i] = newTable(floor, rows)
	}
	if r.err == nil && r.rest != "" {
		r.err = fmt.Errorf("%d bytes too many", len(r.rest))
	}
	if r.err != nil {
		return fmt.Errorf("rollup: %w", r.err)
	}
	return nil
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// reader takes values off the front of rest. After an error it gives zero
// values.
type reader struct {
	rest string
	err  error
}

var errCutOff = errors.New("cut off")

func (r *reader) uvarint() uint64 {
	var v uint64
	for i := range min(len(r.rest), binary.MaxVarintLen64) {
		c := r.rest[i]
		if i == binary.MaxVarintLen64-1 && c > 1 {
			break
		}
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.rest = r.rest[i+1:]
			return v
		}
	}
	r.fail()
	return 0
}

func (r *reader) string() string {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

// count reads how many things of at least size bytes each follow.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.rest)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = errCutOff
	}
	r.rest = ""
}
