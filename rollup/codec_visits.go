package rollup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// The first byte of encoded visits says which parts follow.
const (
	hasSample = 1 << iota
	hasTotals
)

// AppendBinary appends the canonical encoding of the visits: equal visits
// give equal bytes. The format is docs/format/rollup.md.
func (v *Visits) AppendBinary(b []byte) ([]byte, error) {
	var parts byte
	if v.open {
		parts |= hasSample
	}
	if v.totals != nil {
		parts |= hasTotals
	}
	b = append(b, parts)
	// First what VisitsField is.
	if v.open {
		b = v.sums().append(binary.AppendUvarint(b, v.limit))
	}
	if v.totals != nil {
		b = v.totals.appendNumbers(b)
	}
	if v.open {
		b = v.appendSample(b)
	}
	if v.totals != nil {
		return v.totals.appendPages(b)
	}
	return b, nil
}

func (s *sums) numbers() [5]*uint64 {
	return [5]*uint64{&s.visits, &s.bounces, &s.views, &s.ms, &s.squares}
}

func (s sums) append(b []byte) []byte {
	for _, n := range s.numbers() {
		b = binary.AppendUvarint(b, *n)
	}
	return b
}

// appendSample appends the encoding of the sample. What compact has made is
// used once and not kept.
func (v *Visits) appendSample(b []byte) []byte {
	if v.encoded != nil {
		b = append(b, v.encoded...)
		v.encoded = nil
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(v.users)))
	v.sort()
	pages := make(pageNumbers, len(v.users)/2)
	var next uint64 // the smallest number that can follow
	for _, user := range v.users {
		b = binary.AppendUvarint(b, user.id-next)
		next = user.id + 1
		b = binary.AppendUvarint(b, uint64(len(user.visits)))
		var earliest uint32 // that can follow
		for i := range user.visits {
			visit := &user.visits[i]
			b = binary.AppendUvarint(b, uint64(visit.start-earliest))
			b = visit.append(b, pages)
			earliest = visit.end + VisitGap + 1
		}
	}
	return b
}

// append appends all of a visit but its start. What follows from something
// else is left off, so that most visits of one event take four bytes.
func (v *visit) append(b []byte, pages pageNumbers) []byte {
	b = binary.AppendUvarint(b, uint64(v.events-1))
	b = binary.AppendUvarint(b, uint64(v.views))
	if v.events > 1 {
		b = binary.AppendUvarint(b, uint64(v.end-v.start))
	}
	if v.views == 0 {
		return b
	}
	if b = pages.append(b, v.entry); v.entry == "" {
		return b
	}
	if v.events > 1 {
		b = binary.AppendUvarint(b, uint64(v.entryAt-v.start))
	}
	if v.views > 1 {
		b = pages.append(b, v.exit)
		b = binary.AppendUvarint(b, uint64(v.end-v.exitAt))
	}
	return b
}

// pageNumbers numbers the pages of a sample from 1 on, in the order in which
// they first come.
type pageNumbers map[string]uint64

// append appends the number of a page, and its text when it is new; 0 for
// none.
func (p pageNumbers) append(b []byte, page string) []byte {
	if page == "" {
		return append(b, 0)
	}
	if n := p[page]; n > 0 {
		return binary.AppendUvarint(b, n)
	}
	n := uint64(len(p) + 1)
	p[page] = n
	b = binary.AppendUvarint(b, n)
	return appendString(b, page)
}

func (s *VisitStats) appendNumbers(b []byte) []byte {
	for _, f := range s.numbers() {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(*f))
	}
	exact := byte(0)
	if s.Exact {
		exact = 1
	}
	return append(b, exact)
}

func (s *VisitStats) appendPages(b []byte) ([]byte, error) {
	b, err := s.Entry.append(b)
	if err != nil {
		return nil, err
	}
	return s.Exit.append(b)
}

func (s *VisitStats) numbers() [5]*float64 {
	return [5]*float64{&s.Visits, &s.Bounces, &s.Views, &s.Seconds, &s.Variance}
}

// UnmarshalBinary reads what AppendBinary wrote. Hostile bytes give an error.
func (v *Visits) UnmarshalBinary(b []byte) error {
	r := &reader{rest: b}
	parts, sums := v.begin(r)
	if v.open {
		v.readSample(r, sums)
	}
	if parts&hasTotals != 0 {
		v.totals.Entry, v.totals.Exit = r.table(), r.table()
	}
	if err := r.end(); err != nil {
		return fmt.Errorf("visits: %w", err)
	}
	return nil
}

// visitTotals reads the visits as WithoutPages gives them.
type visitTotals struct{ visits *Visits }

func (t visitTotals) UnmarshalBinary(b []byte) error {
	r := &reader{rest: b}
	var v Visits
	_, sums := v.begin(r)
	if r.err != nil {
		return r.err
	}
	totals := &VisitStats{Exact: true}
	if v.open {
		totals = sums.stats(float64(v.limit) / allUsers)
		totals.Exact = v.limit == allUsers
	}
	if v.totals != nil {
		totals.add(v.totals)
	}
	*t.visits = Visits{totals: totals}
	return nil
}

// UnmarshalTotals reads of what AppendBinary wrote only the totals, as
// WithoutPages gives them.
func (v *Visits) UnmarshalTotals(b []byte) error { return visitTotals{v}.UnmarshalBinary(b) }

// begin reads what stands before the sample and the pages.
func (v *Visits) begin(r *reader) (parts byte, s sums) {
	if parts = r.byte(); parts > hasSample|hasTotals {
		r.fail(fmt.Errorf("visits have parts %#x, of which this program does not know all", parts))
	}
	*v = Visits{open: parts&hasSample != 0}
	if v.open {
		if v.limit = r.uvarint(); v.limit > allUsers {
			r.fail(errSample)
		}
		for _, n := range s.numbers() {
			*n = r.uvarint()
		}
	}
	if parts&hasTotals != 0 {
		v.totals = r.totals()
	}
	return parts, s
}

var errSample = errors.New("a number in the sample is out of range")

// readSample reads the visits of the sample, which must add up to the sums.
func (v *Visits) readSample(r *reader, want sums) {
	users := make([]visitor, r.count(5))
	if want.visits > uint64(len(r.rest)/3) {
		r.fail(errSample)
		return
	}
	visits := make([]visit, want.visits)
	v.users, v.sorted = make([]*visitor, len(users)), len(users)
	var pages []string // those that came so far
	var next uint64
	for i := range users {
		delta, n := r.uvarint(), r.uvarint()
		if delta >= v.limit-min(v.limit, next) || n == 0 || n > uint64(len(visits)) {
			r.fail(errSample)
			return
		}
		users[i] = visitor{id: next + delta, visits: visits[:n:n]}
		visits = visits[n:]
		next += delta + 1
		var earliest uint64
		for j := range users[i].visits {
			earliest = users[i].visits[j].read(r, earliest, &pages)
		}
		v.users[i] = &users[i]
	}
	if len(visits) > 0 || v.sums() != want {
		r.fail(errSample)
	}
}

// read reads a visit that does not begin before earliest, and tells where the
// next one can begin.
func (v *visit) read(r *reader, earliest uint64, pages *[]string) uint64 {
	start := earliest + r.below(math.MaxUint32)
	events := 1 + r.below(math.MaxInt32)
	views := r.below(events + 1)
	end := start
	if events > 1 {
		end += r.below(math.MaxUint32)
	}
	if end > math.MaxUint32 {
		r.fail(errSample)
		return 0
	}
	*v = visit{start: uint32(start), end: uint32(end), events: uint32(events), views: uint32(views)}
	if views == 0 {
		return end + VisitGap + 1
	}
	if v.entry = r.page(pages); v.entry != "" {
		at := start
		if events > 1 {
			at += r.below(end - start + 1)
		}
		v.entryAt = uint32(at)
		v.exit, v.exitAt = v.entry, v.entryAt
		if views > 1 {
			v.exit = r.page(pages)
			v.exitAt = uint32(end - r.below(end-at+1))
			if v.exit == "" {
				r.fail(errSample)
			}
		}
	}
	return end + VisitGap + 1
}

// page reads what pageNumbers wrote; pages are those that came so far.
func (r *reader) page(pages *[]string) string {
	known := uint64(len(*pages))
	n := r.below(known + 2)
	if n == 0 {
		return ""
	}
	if n == known+1 {
		page := r.string()
		if page == "" {
			r.fail(errSample)
		}
		*pages = append(*pages, page)
	}
	return (*pages)[n-1]
}

func (r *reader) totals() *VisitStats {
	s := &VisitStats{}
	for _, f := range s.numbers() {
		b := r.take(8)
		if b == nil {
			return s
		}
		*f = math.Float64frombits(binary.LittleEndian.Uint64(b))
		if math.IsNaN(*f) || *f < 0 || math.IsInf(*f, 1) {
			r.fail(errors.New("a total is no number that can be"))
		}
	}
	exact := r.byte()
	if exact > 1 {
		r.fail(errors.New("a flag is neither 0 nor 1"))
	}
	s.Exact = exact == 1
	return s
}
