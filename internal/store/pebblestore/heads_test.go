package pebblestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// TestHeadsOfOlderRollups proves that rollups which were written before there
// were heads are listed after the migration, whether they can be read or not.
func TestHeadsOfOlderRollups(t *testing.T) {
	s := open(t, "store", Options{FS: vfs.NewMem()})
	defer s.Close()
	check(t, s.set([]byte{keySchema}, binary.BigEndian.AppendUint64(nil, headsVersion-1), pebble.Sync))
	day := newDay(store.DayKey{Site: "a", Date: "2026-11-23"})
	day.Rev = 7
	view := rollup.Event{Position: rollup.Position{Line: 1}, User: "u"}
	view.Values[rollup.EventType] = rollup.PageView
	day.Fold("1:0", []rollup.Event{view})
	value, err := day.AppendBinary(binary.BigEndian.AppendUint64(nil, day.Rev))
	check(t, err)
	check(t, s.set(appendRollupKey(nil, store.KeyOf(day)), value, pebble.Sync))
	unreadable := store.DayKey{Site: "a", Date: "2026-11-24"}
	check(t, s.set(appendRollupKey(nil, unreadable), append(binary.BigEndian.AppendUint64(nil, 9), 1), pebble.Sync))
	cutOff := store.DayKey{Site: "b", Date: "2026-11-24"}
	check(t, s.set(appendRollupKey(nil, cutOff), []byte{1}, pebble.Sync))

	check(t, s.Migrate(t.Context(), func(int, string) {}))
	for site, want := range map[string]string{
		"a": "[{2026-11-23 7 1 1} {2026-11-24 9 0 0}]",
		"b": "[{2026-11-24 0 0 0}]",
	} {
		heads, err := s.DayHeads(t.Context(), site, "", "", "")
		check(t, err)
		if got := fmt.Sprint(heads); got != want {
			t.Errorf("heads of site %s are %s, want %s", site, got, want)
		}
	}
	sites, err := s.Sites(t.Context(), "", 10)
	check(t, err)
	if fmt.Sprint(sites) != "[a b]" {
		t.Errorf("sites are %v, want [a b]", sites)
	}
}

// TestDamagedHead proves that a head which cannot be read is no wrong answer,
// and that writing the rollup mends it.
func TestDamagedHead(t *testing.T) {
	s := open(t, "store", Options{FS: vfs.NewMem()})
	defer s.Close()
	day := newDay(store.DayKey{Site: "a", Date: "2026-11-23"})
	check(t, s.SwapDay(t.Context(), day))
	check(t, s.set(dayKey(keyHead, store.KeyOf(day)), []byte("short"), pebble.Sync))
	if heads, err := s.DayHeads(t.Context(), "a", "", "", ""); err == nil {
		t.Errorf("heads are %v and there is no error", heads)
	}
	check(t, s.SwapDay(t.Context(), day))
	heads, err := s.DayHeads(t.Context(), "a", "", "", "")
	check(t, err)
	if len(heads) != 1 || heads[0].Rev != day.Rev {
		t.Errorf("heads are %v, want one of rev %d", heads, day.Rev)
	}
}

// TestDamagedMonth proves that a month which cannot be read is told from one
// that is not there.
func TestDamagedMonth(t *testing.T) {
	s := open(t, "store", Options{FS: vfs.NewMem()})
	defer s.Close()
	key := store.DayKey{Site: "a", Zone: "Asia/Tokyo", Date: "2026-11"}
	other, err := newDay(store.DayKey{Site: "a", Date: "2026-11"}).AppendBinary(nil)
	check(t, err)
	for name, value := range map[string][]byte{"cut off": other[:len(other)/2], "empty": {}, "of another zone": other} {
		check(t, s.set(dayKey(keyMonth, key), value, pebble.Sync))
		month, err := s.Month(t.Context(), key, rollup.AllFields)
		var damaged *store.DamagedError
		if !errors.As(err, &damaged) || damaged.Key != key {
			t.Errorf("month that is %s: got %v and error %v, want a DamagedError", name, month, err)
		}
	}
}
