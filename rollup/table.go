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
	// nil: they are not known. The set belongs to the table and changes with
	// it; it is only to be read.
	Users *Uniques
	// Missed is up to how many counts Users was not shown: the true number of
	// users lies between its estimate and that plus Missed. 0 if Users is nil.
	Missed uint64
}

// validate tells whether the row can stand in a table with the floor.
func (c *Count) validate(floor uint64) error {
	switch {
	case c.N == 0 || c.Err > c.N || c.N < floor:
		return fmt.Errorf("row %.50q with count %d and error %d cannot stand in a table with floor %d", c.Key, c.N, c.Err, floor)
	case c.Missed > c.N || c.Missed > 0 && c.Users == nil:
		return fmt.Errorf("row %.50q with count %d cannot have missed the users of %d", c.Key, c.N, c.Missed)
	case c.Users != nil && c.Users.precision != KeyPrecision:
		return fmt.Errorf("row %.50q has users of precision %d", c.Key, c.Users.precision)
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
// Each row also has the users of its key, as far as there is room for them:
// Compact keeps those of the first UserKeys rows, and of the rows that follow
// as long as all together take no more than 32 KiB. A row that lost its users
// gets them back only when the day is folded again.
//
// The zero value is an empty table.
type Table struct {
	floor uint64
	rows  []*Count
	// index finds a row by its key; it is made when it is first needed, since
	// a table that is only read never needs it. Rows are pointers so that
	// sorting them leaves it true.
	index map[string]*Count
	// last is the row found last, or nil: the next event often has the same
	// value.
	last *Count
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

// Add counts a key n times more, for nobody known; n is positive.
func (t *Table) Add(key string, n uint64) { t.row(key).N += n }

// AddUser counts one event of the user with the hash that HashUser gives.
func (t *Table) AddUser(key string, hash uint64) {
	row := t.row(key)
	row.N++
	if row.Users != nil {
		row.Users.Insert(hash)
	}
}

// row finds the row of a key, or makes one that was not counted yet, for the
// caller to count.
func (t *Table) row(key string) *Count {
	if t.last != nil && t.last.Key == key {
		return t.last
	}
	if t.index == nil {
		t.makeIndex()
	}
	t.last = t.index[key]
	if t.last != nil {
		return t.last
	}
	// The key is cloned because it may be a part of something much larger. The
	// users lie next to their row because the two are needed together.
	fresh := &struct {
		count Count
		users Uniques
	}{count: Count{Key: strings.Clone(key)}, users: Uniques{precision: KeyPrecision}}
	fresh.count.Users = &fresh.users
	t.last = t.insert(&fresh.count)
	return t.last
}

// insert adds a row for a key that has none. Up to now the key may have been
// counted as often as the floor says, for as many users.
func (t *Table) insert(c *Count) *Count {
	c.N += t.floor
	c.Err += t.floor
	if c.Users != nil {
		c.Missed += t.floor
	}
	row := c
	t.index[row.Key] = row
	t.rows = append(t.rows, row)
	t.keyBytes += len(row.Key)
	return row
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
			row.add(&Count{N: other.floor, Err: other.floor})
		}
	}
	for _, c := range other.rows {
		if row := t.index[c.Key]; row != nil {
			// Other knows this key: its count replaces its floor.
			row.N -= other.floor
			row.Err -= other.floor
			if row.Users != nil {
				row.Missed -= other.floor
			}
			row.add(c)
			continue
		}
		own := *c
		own.Key = strings.Clone(c.Key)
		if c.Users != nil {
			own.Users = c.Users.clone()
		}
		t.insert(&own)
	}
	t.floor += other.floor
}

// add adds the counts of the same key in another table. Where the users are
// known in one of the two only, as many as the other counted may be missing.
func (c *Count) add(other *Count) {
	switch {
	case c.Users != nil && other.Users != nil:
		c.Users.Merge(other.Users)
		c.Missed += other.Missed
	case c.Users != nil:
		c.Missed += other.N
	case other.Users != nil:
		c.Users = other.Users.clone()
		c.Missed = c.N + other.Missed
	}
	c.N += other.N
	c.Err += other.Err
}

// Compact keeps the m keys with the highest counts, drops the others, and
// raises the floor to what was dropped; then it drops users that there is no
// room for. m must not be negative.
func (t *Table) Compact(m int) {
	if len(t.rows) > m {
		t.sort()
		t.floor = max(t.floor, t.rows[m].N)
		for _, row := range t.rows[m:] {
			delete(t.index, row.Key)
			t.keyBytes -= len(row.Key)
		}
		clear(t.rows[m:])
		t.rows, t.last = t.rows[:m], nil
	}
	if len(t.rows) > UserKeys && t.sizeOfUsers() > userBytes {
		t.dropUsers()
	}
}

const (
	// UserKeys is how many rows, those with the highest counts, keep their
	// users whatever else is in the table.
	UserKeys = 200
	// userBytes is what all users of a table take at most when they are
	// encoded. UserKeys sets of the largest size are less.
	userBytes = 32 << 10
)

// sizeOfUsers is what the users of all rows take when they are encoded.
func (t *Table) sizeOfUsers() int {
	size := 0
	for _, row := range t.rows {
		if row.Users != nil {
			size += row.Users.encodedSize()
		}
	}
	return size
}

// dropUsers keeps the users of the first rows, as many as there is room for.
func (t *Table) dropUsers() {
	t.sort()
	size := 0
	for i, row := range t.rows {
		if row.Users == nil {
			continue
		}
		size += row.Users.encodedSize()
		if i >= UserKeys && size > userBytes {
			*row.Users = Uniques{} // which may lie in one piece with the row
			row.Users, row.Missed = nil, 0
		}
	}
}

// clone gives a copy that shares nothing with t.
func (t *Table) clone() Table {
	rows := make([]Count, len(t.rows))
	for i, row := range t.rows {
		rows[i] = *row
		if row.Users != nil {
			rows[i].Users = row.Users.clone()
		}
	}
	return newTable(t.floor, rows)
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

// sum adds up the counts of all rows.
func (t *Table) sum() uint64 {
	var n uint64
	for _, row := range t.rows {
		n += row.N
	}
	return n
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

// UsersExact tells whether all users of the first UserKeys rows were shown to
// their sets.
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

// rowOverhead is what a row costs beside its key and the bytes of its users in
// the widest of the stored forms (a BSON array element {k, n, e, u, m}).
const rowOverhead = 64

// size is an upper bound of the table's stored size in bytes, without users.
func (t *Table) size() int { return rowOverhead*len(t.rows) + t.keyBytes }

// memorySize is about how many bytes the table takes in memory when it has
// counted so many events.
func (t *Table) memorySize(events uint64) int {
	const (
		row   = 100                          // a Count, its pointer, and its place in the index
		users = 56                           // a Uniques without its users
		user  = 4                            // in a list
		sets  = 1 << KeyPrecision            // registers
		most  = userBytes * 8 / registerBits // all registers that are kept
	)
	return (row+users)*len(t.rows) + t.keyBytes + min(int(min(user*events, most)), sets*len(t.rows))
}
