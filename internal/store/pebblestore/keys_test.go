package pebblestore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// awkward draws strings that are often the beginning of each other and hold
// the bytes that have a meaning in keys.
func awkward() *rapid.Generator[string] {
	return rapid.StringOfN(rapid.SampledFrom([]rune{0, 1, 2, 'a', 'b', 0xff}), 0, 4, -1)
}

// TestKeysSortAsTheirParts proves that raw events sort by site, date, stream
// and position, and that all of it can be read back.
func TestKeysSortAsTheirParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) *store.Event {
			return &store.Event{
				Event:  event.Event{Site: awkward().Draw(t, name+" site")},
				Date:   awkward().Draw(t, name+" date"),
				Stream: awkward().Draw(t, name+" stream"),
				Position: rollup.Position{
					Entry: rollup.EntryID{Ms: rapid.Uint64().Draw(t, name+" ms"), Seq: rapid.Uint64().Draw(t, name+" seq")},
					Line:  rapid.Uint32().Draw(t, name+" line"),
				},
			}
		}
		a, b := draw("a"), draw("b")
		want := cmp.Or(strings.Compare(a.Site, b.Site), strings.Compare(a.Date, b.Date),
			strings.Compare(a.Stream, b.Stream), a.Position.Compare(b.Position))
		key := appendEventKey(nil, a)
		if got := bytes.Compare(key, appendEventKey(nil, b)); got != want {
			t.Fatalf("keys compare as %d, their parts as %d", got, want)
		}

		site, rest, ok1 := readString(key[1:])
		date, rest, ok2 := readString(rest)
		stream, rest, ok3 := readString(rest)
		position, rest, ok4 := readPosition(rest)
		if !ok1 || !ok2 || !ok3 || !ok4 || len(rest) > 0 || site != a.Site || date != a.Date || stream != a.Stream || position != a.Position {
			t.Fatalf("read back %q %q %q %v and %x", site, date, stream, position, rest)
		}
	})
}

// TestPrefixesHoldTheirKeys proves that the bounds of a site hold its own
// keys and no other site's.
func TestPrefixesHoldTheirKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		site, other := awkward().Draw(t, "site"), awkward().Draw(t, "other")
		prefix := appendSite(nil, keyEvent, site)
		key := appendEventKey(nil, &store.Event{Event: event.Event{Site: other}, Date: awkward().Draw(t, "date")})
		within := bytes.Compare(prefix, key) <= 0 && bytes.Compare(key, end(prefix)) < 0
		if within != (site == other) {
			t.Fatalf("key of site %q within the bounds of site %q: %v", other, site, within)
		}
	})
}

// TestIDLookup proves that the lookup finds what is there and nothing else,
// whichever way it takes.
func TestIDLookup(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer s.Close()
	rapid.Check(t, func(t *rapid.T) {
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		check(s.db.DeleteRange([]byte{keyEventID}, []byte{keyEventID + 1}, nil))
		key := func(n int) []byte { return append([]byte{keyEventID}, byte(n>>8), byte(n)) }
		there := map[int]bool{}
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 2000), 0, 50).Draw(t, "there") {
			there[n] = true
			check(s.db.Set(key(n), key(n), nil))
		}
		if rapid.Bool().Draw(t, "flush") {
			check(s.db.Flush())
		}
		lookup, err := s.newIDLookup(t.Context())
		check(err)
		defer lookup.it.Close()
		step := rapid.IntRange(1, 100)
		for n := 0; n <= 2000; n += step.Draw(t, "step") {
			value, err := lookup.get(key(n))
			check(err)
			if there[n] && !bytes.Equal(value, key(n)) || !there[n] && value != nil {
				t.Fatalf("key %d, there is %v: got value %x", n, there[n], value)
			}
		}
	})
}

func newDay(key store.DayKey) *rollup.Day {
	d := rollup.NewDay(key.Site, key.Date)
	d.Zone = key.Zone
	return d
}

// TestStoredForm holds the keys and values against docs/format/pebble.md: a
// store that was written once must stay readable.
func TestStoredForm(t *testing.T) {
	s := open(t, "store", Options{FS: vfs.NewMem()})
	defer s.Close()
	check(t, s.Migrate(t.Context(), func(int, string) {}))
	e := store.Event{
		Event: event.Event{ID: "id", Site: "a", Time: time.UnixMilli(7)},
		Date:  "2026-11-24", Stream: "1:0",
		Position: rollup.Position{Entry: rollup.EntryID{Ms: 5}, Line: 2},
	}
	e.Values[rollup.EventType] = "signup"
	step := s.Begin()
	defer step.Discard()
	_, err := step.Insert(t.Context(), []store.Event{e})
	check(t, err)
	check(t, step.DeadLetter(t.Context(), []store.DeadLetter{{Stream: "1:0", Position: e.Position, Reason: "bad", Line: []byte("line"), Time: time.UnixMilli(8)}}))
	check(t, step.Commit(t.Context(), store.Checkpoint{Stream: "1:0", Position: e.Position, AsOf: time.UnixMilli(9)}))
	day := newDay(store.DayKey{Site: "a", Date: "2026-11-24"})
	zoned := newDay(store.DayKey{Site: "a", Zone: "Asia/Tokyo", Date: "2026-11-24"})
	month := newDay(store.DayKey{Site: "a", Zone: "Asia/Tokyo", Date: "2026-11"})
	month.Parts = []rollup.Part{{Date: "2026-11-24", Rev: 1}}
	counted := rollup.Event{Position: e.Position}
	counted.Values[rollup.EventType] = rollup.PageView
	zoned.Fold("1:0", []rollup.Event{counted})
	for _, d := range []*rollup.Day{day, zoned} {
		check(t, s.SwapDay(t.Context(), d))
	}
	check(t, s.PutMonth(t.Context(), month))
	_, err = s.Expire(t.Context(), "a", "2026-11-24")
	check(t, err)
	check(t, s.SwapJob(t.Context(), &store.Job{ID: "7", Body: []byte("work")}))
	records := map[store.RecordKind]*store.Record{}
	for _, kind := range store.RecordKinds {
		records[kind] = &store.Record{Name: "a", Body: []byte(kind)}
		check(t, s.SwapRecord(t.Context(), kind, records[kind]))
	}

	const (
		date     = "2026-11-24" + "\x00\x01"
		november = "2026-11" + "\x00\x01"
		tokyo    = "Asia/Tokyo" + "\x00\x01"
		stream   = "1:0" + "\x00\x01"
		position = "\x00\x00\x00\x00\x00\x00\x00\x05" + "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x02"
		zeros    = "\x00\x00\x00\x00\x00\x00\x00"
	)
	rev := func(d *rollup.Day) string { return string(binary.BigEndian.AppendUint64(nil, d.Rev)) }
	record := func(kind store.RecordKind) string {
		return string(binary.BigEndian.AppendUint64(nil, records[kind].Rev)) + string(kind)
	}
	encoded := func(d *rollup.Day) string {
		b, err := d.AppendBinary(nil)
		check(t, err)
		return string(b)
	}
	want := map[string]string{
		"ea\x00\x01" + date + stream + position:  "1\tid\ta\t\t7\tsignup",
		"ia\x00\x01id\x00\x01":                   stream + position + date,
		"ra\x00\x01" + date:                      rev(day) + encoded(day),
		"za\x00\x01" + tokyo + date:              rev(zoned) + encoded(zoned),
		"ha\x00\x01" + "\x00\x01" + date:         rev(day) + zeros + "\x00" + zeros + "\x00",
		"ha\x00\x01" + tokyo + date:              rev(zoned) + zeros + "\x01" + zeros + "\x01",
		"ma\x00\x01" + tokyo + november:          encoded(month),
		"c1:0":                                   position + zeros + "\x09",
		"d1:0@000000000000005-0000000000-000002": zeros + "\x08" + "\x03bad" + "line",
		"ka":                                     "2026-11-24",
		"j7":                                     zeros + "\x01" + "work",
		"sa":                                     record(store.SiteKind),
		"aa":                                     record(store.KeyKind),
		"ta":                                     record(store.SaltKind),
		"v":                                      zeros + "\x02",
	}
	check(t, s.scan(t.Context(), []byte{0}, []byte{0xff}, func(key, value []byte) error {
		if w, ok := want[string(key)]; !ok || w != string(value) {
			t.Errorf("key %q has value %q, want %q", key, value, w)
		}
		delete(want, string(key))
		return nil
	}))
	for key := range want {
		t.Errorf("key %q is not there", key)
	}
}
