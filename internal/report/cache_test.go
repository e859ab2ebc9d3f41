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
			},
		})
	})
}

// What was read of a rollup before is kept together with what is read of it now.
func TestRollupCacheKeepsFields(t *testing.T) {
	key := store.DayKey{Site: "a", Date: "2026-11-01"}
	whole := rollup.NewDay(key.Site, key.Date)
	e := rollup.Event{Position: rollup.Position{Entry: rollup.EntryID{Ms: 1}}, User: "u"}
	e.Values = rollup.Values{rollup.EventType: rollup.PageView, rollup.Path: "/", rollup.OS: "x"}
	whole.Fold("1:0", []rollup.Event{e})
	encoded, err := whole.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	read := func(fields rollup.Fields) *rollup.Day {
		day := new(rollup.Day)
		if err := day.UnmarshalFields(encoded, fields); err != nil {
			t.Fatal(err)
		}
		return day
	}
	path, os, pages := rollup.TableField(rollup.Path), rollup.TableField(rollup.OS), rollup.PagesField

	cache := newRollupCache(1 << 20)
	if day := cache.put(read(path), 7, path); day.Events != 1 || day.Users.Estimate() != 1 || day.Tables[rollup.Path].Len() != 1 || day.Tables[rollup.OS].Len() != 0 {
		t.Errorf("what is put with one field is %+v", day)
	}
	if _, ok := cache.get(key, 7, os); ok {
		t.Error("a field that was not read is given")
	}
	cache.put(read(os|pages), 7, os|pages)
	cache.put(read(rollup.VisitsField), 7, rollup.VisitsField)
	day, ok := cache.get(key, 7, path|os|pages)
	if !ok || day.Tables[rollup.OS].Len() != 1 || day.Tables[rollup.Path].Len() != 1 || day.Visits.Stats().Entry.Len() != 1 {
		t.Errorf("fields that were read one after the other are %+v, %t", day, ok)
	}
	if day, ok := cache.get(key, 7, rollup.VisitsField); !ok || day.Visits.Stats().Visits != 1 || day.Visits.Stats().Entry.Len() != 0 || day.Tables[rollup.OS].Len() != 0 {
		t.Errorf("visits alone are %+v, %t", day, ok)
	}
	if _, ok := cache.get(key, 8, path); ok {
		t.Error("another version is given")
	}
	cache.put(read(os), 8, os)
	if _, ok := cache.get(key, 8, path); ok {
		t.Error("a field of an older version is given")
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
