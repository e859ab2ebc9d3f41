package rollup

import (
	"bytes"
	"fmt"

	"github.com/axiomhq/hyperloglog"
)

// sketchPrecision is the number of bits that choose a register: 2^14
// registers of one byte, so that a dense sketch has 16 KiB.
const sketchPrecision = 14

// Sketch estimates how many distinct users it was shown, by HyperLogLog
// (Flajolet et al. 2007, with the LogLog-Beta estimator of Qin et al. 2016
// and the sparse representation of Heule et al. 2013, as implemented by
// axiomhq/hyperloglog). Its standard error is 0.81 % when dense; while it is
// sparse, up to some thousand users, it is nearly exact.
//
// The estimate depends only on the set of users, not on the order or grouping
// of inserts and merges. The zero value is an empty sketch. Not safe for
// concurrent use, Estimate and AppendBinary included: they compact.
type Sketch struct {
	hll hyperloglog.Sketch
}

// SketchError is the standard error of a dense sketch as a share of its
// estimate: 1.04 / sqrt(2^14).
const SketchError = 0.008125

// Insert shows the sketch a user. The empty user is no user.
func (s *Sketch) Insert(user string) {
	if user != "" {
		s.InsertHash(HashUser(user))
	}
}

// InsertHash shows the sketch the user with the hash that HashUser gives.
func (s *Sketch) InsertHash(hash uint64) { s.hll.InsertHash(hash) }

// Merge makes s the sketch of the union of both sets of users.
func (s *Sketch) Merge(other *Sketch) {
	// The only error is a difference in precision, and UnmarshalBinary lets
	// no other precision in.
	if err := s.hll.Merge(&other.hll); err != nil {
		panic(err)
	}
}

func (s *Sketch) clone() Sketch {
	if s.Estimate() == 0 {
		return Sketch{} // the library cannot clone a sketch that was never used
	}
	return Sketch{hll: *s.hll.Clone()}
}

// Estimate tells how many distinct users were inserted.
func (s *Sketch) Estimate() uint64 { return s.hll.Estimate() }

// AppendBinary appends the canonical bytes of the sketch: equal sets of users
// give equal bytes, and an empty sketch gives none.
func (s *Sketch) AppendBinary(b []byte) ([]byte, error) {
	// Dense registers are canonical as they are. It is worth asking first,
	// since an estimate of them takes longer than all else here. A sketch that
	// was never used gives an error, and is treated as a sparse one.
	const sparseFlag = 3 // the place of the flag in the library's format
	if out, err := s.hll.AppendBinary(b); err == nil && out[len(b)+sparseFlag] == 0 {
		return out, nil
	}
	// An estimate leaves a sparse sketch in the one form that its set has:
	// all of its list merged and sorted, or dense when that list is longer
	// than the registers.
	if s.Estimate() == 0 {
		return b, nil
	}
	return s.hll.AppendBinary(b)
}

// UnmarshalBinary reads what AppendBinary wrote. Hostile bytes give an error.
func (s *Sketch) UnmarshalBinary(b []byte) error {
	*s = Sketch{}
	if len(b) == 0 {
		return nil
	}
	// Every version of the library's format has the precision in its second
	// byte.
	if len(b) < 2 || b[1] != sketchPrecision {
		return fmt.Errorf("sketch of %d bytes is not of precision %d", len(b), sketchPrecision)
	}
	if err := s.hll.UnmarshalBinary(b); err != nil {
		return fmt.Errorf("sketch of %d bytes: %w", len(b), err)
	}
	return nil
}

// Equal tells whether both sketches stand for the same set of users, as far
// as a sketch can tell sets apart.
func (s *Sketch) Equal(other *Sketch) bool {
	a, errA := s.AppendBinary(nil)
	b, errB := other.AppendBinary(nil)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}
