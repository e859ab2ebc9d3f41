package report

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// The cache keeps the values used last, as many as fit, and no other.
func TestLRU(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 20
		type entry struct{ key, value, size int }
		var model []entry // the most recently used one first
		find := func(key int) int { return slices.IndexFunc(model, func(e entry) bool { return e.key == key }) }
		c := newLRU[int, int](most)
		key := rapid.IntRange(0, 9)
		t.Repeat(map[string]func(*rapid.T){
			"get": func(t *rapid.T) {
				k := key.Draw(t, "key")
				value, ok := c.get(k)
				i := find(k)
				if ok != (i >= 0) || ok && value != model[i].value {
					t.Fatalf("key %d has %d, %t; want it in %v", k, value, ok, model)
				}
				if ok {
					e := model[i]
					model = slices.Insert(slices.Delete(model, i, i+1), 0, e)
				}
			},
			"put": func(t *rapid.T) {
				e := entry{key.Draw(t, "key"), rapid.Int().Draw(t, "value"), rapid.IntRange(0, most+3).Draw(t, "size")}
				c.put(e.key, e.value, e.size)
				if i := find(e.key); i >= 0 {
					model = slices.Delete(model, i, i+1)
				}
				if e.size <= most {
					model = slices.Insert(model, 0, e)
				}
				for sum, i := 0, 0; i < len(model); i++ {
					if sum += model[i].size; sum > most {
						model = model[:i]
					}
				}
			},
			"": func(t *rapid.T) {
				size := 0
				for _, e := range model {
					size += e.size
				}
				if c.size != size || len(c.items) != len(model) || c.order.Len() != len(model) {
					t.Fatalf("%d values of %d bytes are kept, want %v", len(c.items), c.size, model)
				}
				if free := most - size; !c.room(free) || c.room(free+1) {
					t.Fatalf("with %d bytes free there is room for %t, and for one more %t", free, c.room(free), c.room(free+1))
				}
			},
		})
	})
}

// Without room for all of a rollup the parts are kept that were asked for.
func TestRollupCacheKeepsParts(t *testing.T) {
	key := store.DayKey{Site: "a", Date: "2026-11-01"}
	newDay := func() *rollup.Day {
		day := rollup.NewDay(key.Site, key.Date)
		e := rollup.Event{Position: rollup.Position{Entry: rollup.EntryID{Ms: 1}}, User: "u"}
		e.Values = rollup.Values{rollup.EventType: rollup.PageView, rollup.Path: "/", rollup.OS: "x"}
		day.Fold("1:0", []rollup.Event{e})
		return day
	}
	path, os := tablePart(rollup.Path), tablePart(rollup.OS)
	whole := newDay()
	whole.Visits.Close()

	large := newRollupCache(1 << 20)
	large.put(newDay(), 7, path)
	if day, ok := large.get(key, 7, os|pagesPart|hourUsersPart); !ok || day.Tables[rollup.OS].Len() != 1 || day.Tables[rollup.Path].Len() != 0 || day.Visits.Stats().Entry.Len() != 1 || day.HourUsers[0].Estimate() != 1 {
		t.Errorf("with room for all of it, other parts are %+v, %t", day, ok)
	}
	if _, ok := large.get(key, 8, corePart); ok {
		t.Error("another version is given")
	}

	small := newRollupCache(whole.MemorySize() - 1)
	if day := small.put(newDay(), 7, path); day.Events != 1 || day.Users.Estimate() != 1 || day.Visits.Stats().Visits != 1 || day.Tables[rollup.Path].Len() != 1 || day.Tables[rollup.OS].Len() != 0 {
		t.Errorf("what is put with one part is %+v", day)
	}
	if _, ok := small.get(key, 7, os); ok {
		t.Error("without room for it, another part is kept")
	}
	small.put(newDay(), 7, os)
	if _, ok := small.get(key, 7, path|os); !ok {
		t.Error("a part that was asked for before is not kept with a second one")
	}
}

// A turn is one's own until it is given back, and whoever waits for it can
// give up.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns[string]()
		giveBack, err := turns.take(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		other, err := turns.take(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		other()

		ctx, giveUp := context.WithCancel(t.Context())
		gaveUp, got := make(chan error), make(chan func())
		go func() {
			_, err := turns.take(ctx, "a")
			gaveUp <- err
		}()
		go func() {
			giveBack, err := turns.take(t.Context(), "a")
			if err != nil {
				t.Error(err)
			}
			got <- giveBack
		}()
		synctest.Wait()
		giveUp()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("giving up is %v", err)
		}
		select {
		case <-got:
			t.Error("two have the turn")
		default:
		}
		giveBack()
		(<-got)()
		if len(turns.held) != 0 {
			t.Errorf("what nobody has is remembered: %v", turns.held)
		}
	})
}
