package rollup

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Count is one row of a Table.
type Count struct {
	Key string
	// N is an upper bound of how often the key was counted; the true count
	// lies in [N-Err, N].
	N uint64
	// Err is how far N may be too high; 0 means that N is exact.
	Err uint64
	// Users are the users of the events that were counted, of KeyPrecision;
	// nil: they are not known. The set belongs to the table: it is to be read,
	// not changed.
	Users *Uniques
	// Missed is up to how many counts Users was not shown: the true number of
	// users lies between its estimate and that plus Missed. 0 if Users is nil.
	Missed uint64
}

// validate tells whether the row can stand in a table with the floor.
func (c *Count) validate(floor uint64) error {
	if c.N == 0 || c.Err > c.N || c.N < floor {
		return fmt.Errorf("row %.50q with count %d and error %d cannot stand in a table with floor %d", c.Key, c.N, c.Err, floor)
	}
	return nil
}

// Table counts keys. It is exact until Compact has to drop keys; from then on
// it is a summary of frequent items with an error bound for each key.
//
// The algorithm is Misra-Gries in the batched form of Anderson et al. ("A
// High-Performance Algorithm for Identifying Frequent Items in Data Streams",
// 2017), with the counts kept as Space-Saving keeps them (Metwally et al.
// 2005; the two are isomorphic: Agarwal et al., "Mergeable Summaries", 2012).
// Dropping all but the largest m keys raises Floor to the largest count that
// was dropped, and a key that comes (back) starts at Floor, with Floor as its
// possible error.
//
// What this guarantees after any sequence of Add, Merge and Compact to m keys
// or more, of N counts in all: Floor <= N/(m+1); every key counted more than
// Floor times is in the table; and each key's bounds hold. Keys that were in
// the table from their first count on, the most frequent ones, stay exact.
//
// The zero value is an empty table.
type Table struct {
	floor uint64
	rows  []*Count
	// index finds a row by its key; it is made when it is first needed, since
	// a table that is only read never needs it. Rows are pointers so that
	// sorting them leaves it true.
	index map[string]*Count
	// keyBytes is the length of all keys together.
	keyBytes int
}

// newTable makes a table of rows with distinct keys; it keeps the slice.
func newTable(floor uint64, rows []Count) Table {
	t := Table{floor: floor, rows: make([]*Count, len(rows))}
	for i := range rows {
		t.rows[i] = &rows[i]
		t.keyBytes += len(rows[i].Key)
	}
	return t
}

// TableOf makes a table of the given rows, which it keeps. It fails on a key
// that is there twice, on an error above its count, and on a count that could
// not be kept beside the floor.
func TableOf(floor uint64, rows []Count) (Table, error) {
	t := newTable(floor, rows)
	t.makeIndex()
	if len(t.index) != len(rows) {
		return Table{}, fmt.Errorf("table of %d rows has only %d distinct keys", len(rows), len(t.index))
	}
	for _, c := range rows {
		if err := c.validate(floor); err != nil {
			return Table{}, err
		}
	}
	return t, nil
}

func (t *Table) makeIndex() {
	t.index = make(map[string]*Count, len(t.rows))
	for _, c := range t.rows {
		t.index[c.Key] = c
	}
}

// Floor is the most often that a key which is not in the table can have been
// counted. It is 0 as long as the table is complete.
func (t *Table) Floor() uint64 { return t.floor }

// Len is the number of keys.
func (t *Table) Len() int { return len(t.rows) }

// Add counts a key n times more; n is positive.
func (t *Table) Add(key string, n uint64) {
	if t.index == nil {
		t.makeIndex()
	}
	if row := t.index[key]; row != nil {
		row.N += n
		return
	}
	t.insert(Count{Key: key, N: n})
}

// AddUser counts one event of the user with the hash that HashUser gives.
func (t *Table) AddUser(key string, hash uint64) { t.Add(key, 1) }

// insert adds a row for a key that has none. Up to now the key may have been
// counted as often as the floor says.
func (t *Table) insert(c Count) {
	// The key is cloned because it may be a part of something much larger.
	row := &Count{Key: strings.Clone(c.Key), N: c.N + t.floor, Err: c.Err + t.floor}
	t.index[row.Key] = row
	t.rows = append(t.rows, row)
	t.keyBytes += len(row.Key)
}

// Merge adds all counts of other, which is another table and is only read.
// Bounds stay true: a key that only one of the two has may have been counted
// up to the other's floor there.
func (t *Table) Merge(other *Table) {
	if t.index == nil {
		t.makeIndex()
	}
	if other.floor > 0 {
		for _, row := range t.rows {
			row.N += other.floor
			row.Err += other.floor
		}
	}
	for _, c := range other.rows {
		if row := t.index[c.Key]; row != nil {
			// Other knows this key: its count replaces its floor.
			row.N += c.N - other.floor
			row.Err = row.Err - other.floor + c.Err
			continue
		}
		t.insert(*c)
	}
	t.floor += other.floor
}

// Compact keeps the m keys with the highest counts, drops the others, and
// raises the floor to what was dropped. m must not be negative.
func (t *Table) Compact(m int) {
	if len(t.rows) <= m {
		return
	}
	t.sort()
	t.floor = max(t.floor, t.rows[m].N)
	for _, row := range t.rows[m:] {
		delete(t.index, row.Key)
		t.keyBytes -= len(row.Key)
	}
	clear(t.rows[m:])
	t.rows = t.rows[:m]
}

// sort orders the rows by falling count, and by key where counts are equal.
func (t *Table) sort() {
	slices.SortFunc(t.rows, func(a, b *Count) int {
		if c := cmp.Compare(b.N, a.N); c != 0 {
			return c
		}
		return cmp.Compare(a.Key, b.Key)
	})
}

// Top gives the n rows with the highest counts, highest first, rows of equal
// count in the order of their keys; fewer when there are fewer. The second
// result tells whether they are exactly the true top: each count exact, and
// no other key counted more than the last of them.
func (t *Table) Top(n int) ([]Count, bool) {
	t.sort()
	top := make([]Count, 0, min(n, len(t.rows)))
	exact := true
	for _, row := range t.rows[:cap(top)] {
		top = append(top, *row)
		exact = exact && row.Err == 0
	}
	// Every row has at least the floor, so that a key which is not in the
	// table can be missing behind the last of them, not among them.
	return top, exact && (len(top) == n || t.floor == 0)
}

// RowsExact tells whether every count in the table is exact, whatever keys it
// may lack.
func (t *Table) RowsExact() bool {
	for _, row := range t.rows {
		if row.Err > 0 {
			return false
		}
	}
	return true
}

// UserKeys is of how many keys, those with the highest counts, a table keeps
// the users whatever its size.
const UserKeys = 200

// UsersExact tells whether the users of the first UserKeys rows are known,
// all of them.
func (t *Table) UsersExact() bool {
	t.sort()
	for _, row := range t.rows[:min(UserKeys, len(t.rows))] {
		if row.Users == nil || row.Missed > 0 {
			return false
		}
	}
	return true
}

// Rows gives all rows in the order of Top.
func (t *Table) Rows() []Count {
	rows, _ := t.Top(len(t.rows))
	return rows
}

// Bounds is what is known of a count: it is at least Lo and at most Hi.
type Bounds struct{ Lo, Hi uint64 }

// String gives the number, or both where they differ.
func (b Bounds) String() string {
	if b.Lo == b.Hi {
		return strconv.FormatUint(b.Lo, 10)
	}
	return fmt.Sprintf("%d to %d", b.Lo, b.Hi)
}

// Bounds tells what the table knows of a key's count.
func (t *Table) Bounds(key string) Bounds {
	if t.index == nil {
		t.makeIndex()
	}
	if row := t.index[key]; row != nil {
		return Bounds{Lo: row.N - row.Err, Hi: row.N}
	}
	return Bounds{Hi: t.floor}
}

// rowOverhead is what a row costs beside its key in the widest of the stored
// forms (a BSON array element {k, n, e}).
const rowOverhead = 48

// size is an upper bound of the table's stored size in bytes.
func (t *Table) size() int { return rowOverhead*len(t.rows) + t.keyBytes }
