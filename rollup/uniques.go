package rollup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/dgryski/go-metro"
)

// Precisions of the small sets of users that a Day keeps: 2^precision
// registers.
const (
	// KeyPrecision is that of a key of a Table: a standard error of 6.5 %.
	KeyPrecision = 8
	// HourPrecision is that of an hour: a standard error of 3.2 %.
	HourPrecision = 10
)

// HashUser gives the hash under which a user is known to every sketch and
// sample of a Day. It is the one that axiomhq/hyperloglog computes, so that an
// event's user is hashed once.
func HashUser(user string) uint64 {
	const seed = 1337
	return metro.Hash64Str(user, seed)
}

// Uniques estimates how many distinct users it was shown: a HyperLogLog sketch
// for the many small sets of a Day, where Sketch is for the one large set.
//
// It looks at the upper 32 bits of a user's hash only. As long as that takes
// less room it keeps them as a sorted list, which is exact; then it turns
// into registers, 2^precision of them, for good. The estimate is Ertl's
// improved raw estimator ("New cardinality estimation algorithms for
// HyperLogLog sketches", 2017), which needs no empirical constants.
//
// Which of the two it is, and with it the estimate and the encoding, depends
// only on the set of users, not on the order or grouping of inserts and
// merges. The zero value is an empty set that takes its precision from the
// first set merged into it; NewUniques makes one to insert into.
type Uniques struct {
	// regs holds for each register the position of the first one bit seen.
	regs []uint8
	// list holds the hashes in ascending order while regs is nil.
	list []uint32
	// precision is 4 to 16, or 0 in a zero value.
	precision uint8
}

// NewUniques makes an empty set with 2^precision registers, 4 to 16.
func NewUniques(precision uint8) *Uniques {
	return &Uniques{precision: precision}
}

// UniquesError is the relative standard error of a set that is no list any
// more: sqrt(3 ln 2 - 1) / sqrt(2^precision).
func UniquesError(precision uint8) float64 {
	return math.Sqrt(3*math.Ln2-1) / math.Sqrt(float64(uint64(1)<<precision))
}

// registerBits is the size of a packed register. It holds the greatest value
// that there can be, 32 - precision + 1.
const registerBits = 5

// packedSize is how many bytes the registers take when they are packed.
func packedSize(precision uint8) int { return (1 << precision) * registerBits / 8 }

// mostListed is how many hashes take no more room than the packed registers.
func mostListed(precision uint8) int { return packedSize(precision) / 4 }

// Insert shows the set a user by HashUser.
func (u *Uniques) Insert(hash uint64) { u.insert(uint32(hash >> 32)) }

func (u *Uniques) insert(hash uint32) {
	if u.regs != nil {
		u.set(hash)
		return
	}
	i, found := slices.BinarySearch(u.list, hash)
	if found {
		return
	}
	if len(u.list) == mostListed(u.precision) {
		u.toRegisters()
		u.set(hash)
		return
	}
	u.list = slices.Insert(u.list, i, hash)
}

// set enters a hash into the registers: its upper bits choose one, the
// position of the first one bit in the rest is its value.
func (u *Uniques) set(hash uint32) {
	register := &u.regs[hash>>(32-u.precision)]
	rest := hash << u.precision
	// Mostly the rest is so large that there is nothing to count.
	if rest>>(32-*register) == 0 {
		*register = uint8(bits.LeadingZeros32(rest|1<<(u.precision-1))) + 1
	}
}

func (u *Uniques) toRegisters() {
	u.regs = make([]uint8, 1<<u.precision)
	for _, hash := range u.list {
		u.set(hash)
	}
	u.list = nil
}

// Merge makes u the set of the union of both. They must be of one precision,
// unless one is empty.
func (u *Uniques) Merge(other *Uniques) {
	if other.precision == 0 {
		return
	}
	if u.precision == 0 {
		*u = *other.clone()
		return
	}
	if u.precision != other.precision {
		panic(fmt.Sprintf("rollup: sets of users of precisions %d and %d cannot be merged", u.precision, other.precision))
	}
	if other.regs == nil {
		for _, hash := range other.list {
			u.insert(hash)
		}
		return
	}
	if u.regs == nil {
		u.toRegisters()
	}
	for i, value := range other.regs {
		if u.regs[i] < value {
			u.regs[i] = value
		}
	}
}

// Equal tells whether both stand for the same set of users, as far as the
// sets can tell them apart.
func (u *Uniques) Equal(other *Uniques) bool {
	return u.precision == other.precision && slices.Equal(u.list, other.list) && slices.Equal(u.regs, other.regs)
}

func (u *Uniques) clone() *Uniques {
	return &Uniques{precision: u.precision, list: slices.Clone(u.list), regs: slices.Clone(u.regs)}
}

// Exact tells whether the set is still a list, so that its estimate is exact.
// (Two of a hundred users have the same 32 bits once in a million sets.)
func (u *Uniques) Exact() bool { return u.regs == nil }

// Error is the relative standard error of the estimate; 0 while it is exact.
func (u *Uniques) Error() float64 {
	if u.Exact() {
		return 0
	}
	return UniquesError(u.precision)
}

// Estimate tells how many distinct users were inserted.
func (u *Uniques) Estimate() uint64 {
	if u.regs == nil {
		return uint64(len(u.list))
	}
	// q is the number of bits that a register's value counts.
	q := 32 - int(u.precision)
	var histogram [34]int
	for _, value := range u.regs {
		histogram[value]++
	}
	m := float64(len(u.regs))
	z := m * tau(1-float64(histogram[q+1])/m)
	for k := q; k >= 1; k-- {
		z = 0.5 * (z + float64(histogram[k]))
	}
	z += m * sigma(float64(histogram[0])/m)
	return uint64(math.Round(m * m / (2 * math.Ln2 * z)))
}

// sigma is x + sum over k from 1 of x^(2^k) 2^(k-1), for 0 <= x <= 1: it
// corrects for registers that are still 0.
func sigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	y, z := 1.0, x
	for before := -1.0; before != z; {
		x *= x
		before = z
		z += x * y
		y += y
	}
	return z
}

// tau is (1 - x - sum over k from 1 of (1 - x^(2^-k))^2 2^-k) / 3, for
// 0 <= x <= 1: it corrects for registers that can grow no more.
func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for before := -1.0; before != z; {
		x = math.Sqrt(x)
		before = z
		y *= 0.5
		z -= (1 - x) * (1 - x) * y
	}
	return z / 3
}

// The first byte of an encoded set is its precision, with a bit that says
// that registers follow and no list.
const (
	registersFlag = 0x80
	minPrecision  = 4
	maxPrecision  = 16
)

// encodedSize is the number of bytes that AppendBinary appends.
func (u *Uniques) encodedSize() int {
	if u.regs == nil {
		return 1 + 4*len(u.list)
	}
	return 1 + packedSize(u.precision)
}

// AppendBinary appends the canonical bytes of the set: equal sets give equal
// bytes. A zero value has none and gives an error.
func (u *Uniques) AppendBinary(b []byte) ([]byte, error) {
	if u.precision == 0 {
		return b, errors.New("set of users has no precision")
	}
	if u.regs == nil {
		b = append(b, u.precision)
		for _, hash := range u.list {
			b = binary.BigEndian.AppendUint32(b, hash)
		}
		return b, nil
	}
	b = append(b, u.precision|registersFlag)
	// Eight registers are five bytes.
	for i := 0; i < len(u.regs); i += 8 {
		var word uint64
		for _, value := range u.regs[i : i+8] {
			word = word<<registerBits | uint64(value)
		}
		b = append(b, byte(word>>32), byte(word>>24), byte(word>>16), byte(word>>8), byte(word))
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote, of u's precision, or of any
// if u is a zero value. Bytes that it could not have written give an error.
func (u *Uniques) UnmarshalBinary(b []byte) error {
	if len(b) == 0 {
		return errors.New("set of users has no bytes")
	}
	precision, dense := b[0]&^registersFlag, b[0]&registersFlag != 0
	if precision < minPrecision || precision > maxPrecision || u.precision != 0 && precision != u.precision {
		return fmt.Errorf("set of users has precision %d, not the %d that belongs here", precision, u.precision)
	}
	b = b[1:]
	set := Uniques{precision: precision}
	var err error
	if dense {
		set.regs, err = unpackRegisters(b, precision)
	} else {
		set.list, err = readList(b, precision)
	}
	if err == nil {
		*u = set
	}
	return err
}

func readList(b []byte, precision uint8) ([]uint32, error) {
	if len(b)%4 != 0 || len(b)/4 > mostListed(precision) {
		return nil, fmt.Errorf("set of users of precision %d has a list of %d bytes", precision, len(b))
	}
	list := make([]uint32, len(b)/4)
	for i := range list {
		list[i] = binary.BigEndian.Uint32(b[4*i:])
		if i > 0 && list[i] <= list[i-1] {
			return nil, errors.New("set of users has a list that is not sorted")
		}
	}
	return list, nil
}

func unpackRegisters(b []byte, precision uint8) ([]uint8, error) {
	if len(b) != packedSize(precision) {
		return nil, fmt.Errorf("set of users of precision %d has registers of %d bytes", precision, len(b))
	}
	most := 32 - precision + 1
	regs := make([]uint8, 1<<precision)
	for i := 0; i < len(regs); i, b = i+8, b[5:] {
		word := uint64(b[0])<<32 | uint64(b[1])<<24 | uint64(b[2])<<16 | uint64(b[3])<<8 | uint64(b[4])
		for j := 7; j >= 0; j-- {
			regs[i+j] = uint8(word & (1<<registerBits - 1))
			if regs[i+j] > most {
				return nil, fmt.Errorf("set of users of precision %d has a register of %d", precision, regs[i+j])
			}
			word >>= registerBits
		}
	}
	return regs, nil
}
