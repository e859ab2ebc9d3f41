package rollup_test

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/rollup"
)

// describe gives the rows of a table as text, with their users.
func describe(table *rollup.Table) string {
	var b strings.Builder
	for _, row := range table.Rows() {
		fmt.Fprintf(&b, "%s %d err %d users ", row.Key, row.N, row.Err)
		if row.Users == nil {
			b.WriteString("?; ")
			continue
		}
		users := row.Users.Estimate()
		fmt.Fprintf(&b, "%v; ", rollup.Bounds{Lo: users, Hi: users + row.Missed})
	}
	return b.String()
}

// counted is a Table with the truth beside it.
type counted struct {
	table rollup.Table
	truth map[string]uint64
	total uint64
	// least is the smallest number of keys that it was ever compacted to.
	least int
}

func newCounted() *counted {
	return &counted{truth: map[string]uint64{}, least: math.MaxInt32}
}

func (c *counted) add(key string, n uint64) {
	c.table.Add(key, n)
	c.truth[key] += n
	c.total += n
}

func (c *counted) merge(other *counted) {
	c.table.Merge(&other.table)
	for key, n := range other.truth {
		c.truth[key] += n
	}
	c.total += other.total
	c.least = min(c.least, other.least)
}

func (c *counted) compact(m int) {
	c.table.Compact(m)
	c.least = min(c.least, m)
}

// check proves everything that the comment of Table guarantees.
func (c *counted) check(t rapid.TB) {
	t.Helper()
	if floor, most := c.table.Floor(), c.total/uint64(c.least+1); floor > most {
		t.Fatalf("floor is %d, at most %d is allowed for %d counts in %d keys", floor, most, c.total, c.least)
	}
	rows := c.table.Rows()
	if len(rows) != c.table.Len() {
		t.Fatalf("Rows gives %d rows of %d", len(rows), c.table.Len())
	}
	if !slices.IsSortedFunc(rows, func(a, b rollup.Count) int {
		return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Key, b.Key))
	}) {
		t.Fatalf("rows are not in order: %v", rows)
	}
	kept := map[string]bool{}
	for _, row := range rows {
		kept[row.Key] = true
		if truth := c.truth[row.Key]; truth > row.N || truth < row.N-row.Err || row.Err > row.N {
			t.Fatalf("%q was counted %d times, its row says %+v", row.Key, truth, row)
		}
		want := rollup.Bounds{Lo: row.N - row.Err, Hi: row.N}
		if got := c.table.Bounds(row.Key); got != want {
			t.Fatalf("bounds of %q are %v, its row says %v", row.Key, got, want)
		}
	}
	if len(kept) != len(rows) {
		t.Fatalf("a key has two rows: %v", rows)
	}
	for key, n := range c.truth {
		if kept[key] {
			continue
		}
		if n > c.table.Floor() {
			t.Fatalf("%q was counted %d times, which is above the floor %d, and is not in the table", key, n, c.table.Floor())
		}
		if got, want := c.table.Bounds(key), (rollup.Bounds{Hi: c.table.Floor()}); got != want {
			t.Fatalf("bounds of a key that was dropped are %v, want %v", got, want)
		}
	}
	for _, n := range []int{0, 1, 2, 3, len(rows), len(rows) + 1} {
		c.checkTop(t, n)
	}
}

// checkTop proves that Top is honest: what it calls exact is the true top.
func (c *counted) checkTop(t rapid.TB, n int) {
	t.Helper()
	top, exact := c.table.Top(n)
	if len(top) != min(n, c.table.Len()) {
		t.Fatalf("Top(%d) gives %d rows of %d", n, len(top), c.table.Len())
	}
	if !exact {
		return
	}
	counts := slices.Sorted(maps.Values(c.truth))
	slices.Reverse(counts)
	if want := min(n, len(counts)); len(top) != want {
		t.Fatalf("exact Top(%d) has %d rows, want %d", n, len(top), want)
	}
	for i, row := range top {
		if row.Err != 0 || row.N != c.truth[row.Key] || row.N != counts[i] {
			t.Fatalf("exact Top(%d) has %+v at place %d; it was counted %d times, and the true count there is %d",
				n, row, i, c.truth[row.Key], counts[i])
		}
	}
}

// tableOps draws a table that any sequence of operations has made.
func tableOps(t *rapid.T, depth int) *counted {
	c := newCounted()
	key := rapid.Map(rapid.IntRange(0, 30), func(i int) string { return fmt.Sprintf("k%d", i) })
	for range rapid.IntRange(0, 60).Draw(t, "operations") {
		switch op := rapid.IntRange(0, 12).Draw(t, "operation"); {
		case op == 0:
			c.compact(rapid.IntRange(1, 12).Draw(t, "keys"))
		case op == 1 && depth > 0:
			c.merge(tableOps(t, depth-1))
		case op == 2:
			c.table.Top(3) // sorts; must change nothing
		default:
			c.add(key.Draw(t, "key"), rapid.Uint64Range(1, 20).Draw(t, "count"))
		}
		c.check(t)
	}
	return c
}

func TestTableGuarantees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { tableOps(t, 2) })
}

func TestTableMergeLeavesItsArgument(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := tableOps(t, 0), tableOps(t, 0)
		rows, floor := describe(&b.table), b.table.Floor()
		a.merge(b)
		a.check(t)
		a.add("k1", 5)
		a.compact(1)
		if got := describe(&b.table); got != rows || b.table.Floor() != floor {
			t.Fatalf("Merge changed its argument from %s to %s", rows, got)
		}
		b.check(t)
	})
}

// The most frequent keys, there from the start, stay exact however many
// others come and go, and Top says so.
func TestTableKeepsFrequentKeysExact(t *testing.T) {
	c := newCounted()
	for i := range 20_000 {
		c.add(fmt.Sprintf("top%d", i%10), 1)
		c.add(fmt.Sprintf("rare%d", i), 1)
		if i%50 == 0 {
			c.compact(100)
		}
	}
	c.check(t)
	top, exact := c.table.Top(10)
	if !exact || top[0].Key != "top0" || top[0].N != 2000 {
		t.Fatalf("Top(10) is %v, exact %t", top, exact)
	}
	if _, exact := c.table.Top(11); exact {
		t.Fatal("Top(11) claims to know the most frequent of the rare keys")
	}
}

func TestTableOf(t *testing.T) {
	table, err := rollup.TableOf(3, []rollup.Count{{Key: "b", N: 3, Err: 3}, {Key: "a", N: 9}})
	if err != nil {
		t.Fatal(err)
	}
	table.Add("b", 1)
	table.Add("c", 1)
	if got, want := describe(&table), "a 9 err 0 users ?; b 4 err 3 users ?; c 4 err 3 users 0 to 3; "; got != want {
		t.Fatalf("rows are %s, want %s", got, want)
	}

	for problem, rows := range map[string][]rollup.Count{
		"distinct keys": {{Key: "a", N: 9}, {Key: "a", N: 5}},
		"error 10":      {{Key: "a", N: 9, Err: 10}},
		"count 2":       {{Key: "a", N: 2}},
		"count 0":       {{Key: "a", N: 0}},
		"users of 1":    {{Key: "a", N: 9, Missed: 1}},
		"users of 10":   {{Key: "a", N: 9, Missed: 10, Users: rollup.NewUniques(rollup.KeyPrecision)}},
		"precision 9":   {{Key: "a", N: 9, Users: rollup.NewUniques(9)}},
	} {
		if _, err := rollup.TableOf(3, rows); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("TableOf(%v) gives %v, want an error about %s", rows, err, problem)
		}
	}
}

func TestBoundsString(t *testing.T) {
	for want, b := range map[string]rollup.Bounds{"7": {7, 7}, "2 to 9": {2, 9}} {
		if got := b.String(); got != want {
			t.Errorf("%#v prints as %q, want %q", b, got, want)
		}
	}
}
