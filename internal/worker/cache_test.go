package worker

import (
	"fmt"
	"testing"

	"github.com/daybook-analytics/daybook/internal/store"
)

// TestDayCache keeps what was used last, and no more than it may.
func TestDayCache(t *testing.T) {
	key := func(i int) store.DayKey { return store.DayKey{Site: fmt.Sprint("s", i), Date: "2026-11-24"} }
	one := store.NewDay(key(0)).MemorySize()
	c := newDayCache(4 * one)
	put := func(i int) { c.put(key(i), store.NewDay(key(i))) }
	check := func(when string, kept ...int) {
		t.Helper()
		c.trim()
		if len(c.days) != len(kept) || c.used.Len() != len(kept) || c.bytes != len(kept)*one {
			t.Errorf("%s: %d days, %d in the list, of %d bytes; want %d of %d", when, len(c.days), c.used.Len(), c.bytes, len(kept), len(kept)*one)
		}
		for _, i := range kept {
			if c.days[key(i)] == nil {
				t.Errorf("%s: day %d is gone", when, i)
			}
		}
	}
	for i := range 4 {
		put(i)
	}
	check("full", 0, 1, 2, 3)
	if c.get(key(0)) == nil || c.get(key(9)) != nil {
		t.Error("get gives what is not there, or not what is")
	}
	put(4)
	check("one more", 0, 2, 3, 4)
	c.drop(key(3))
	c.drop(key(9))
	check("one dropped", 0, 2, 4)
	for i := 10; i < 16; i++ {
		put(i)
	}
	check("many more", 12, 13, 14, 15)
	c.clear()
	check("cleared")
}
