package rollup_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/rollup"
)

// goldenDay is a day of one event in version 2 of the encoding.
// docs/format/rollup.md walks through these bytes. beforeBots is the same as it
// was written before there was the table of bots.
const (
	goldenDay  = goldenHead + "0b" + goldenTables + "0000" + goldenVisits + "0a699b3b"
	beforeBots = goldenHead + "0a" + goldenTables + goldenVisits + "5ac35531"
)

const goldenHead = "02" + // version
	"0173" + // site "s"
	"0d4575726f70652f4265726c696e" + // zone "Europe/Berlin"
	"0a323032362d31312d3234" + // date "2026-11-24"
	"05" + // rev 5
	"01" + // one mark:
	"03313a30" + "80d0dfb4ab33" + "02" + "07" + // stream "1:0" at 1764000000000-2, line 7
	"00" + // no parts
	"01" + "01" + // one event, one view
	"000000000000000000000000000000000000" + // none in hours 0 to 8
	"0101" + // one event, one view in hour 9
	"00000000000000000000000000000000000000000000000000000000" + // none in hours 10 to 23
	"18" + "020e000100000000000000010342171c000000049cae881a" + // sketch of 24 bytes
	"010a010a010a010a010a010a010a010a010a" + // nobody in hours 0 to 8: 1 byte, precision 10
	"05" + "0a" + "d085c700" + // hour 9: 5 bytes, precision 10, the hash of "u"
	"010a010a010a010a010a010a010a010a010a010a010a010a010a010a" // nobody in hours 10 to 23

// The number of tables comes before them.
const goldenTables = "00" + "01" + "09706167655f76696577" + "01" + "00" + // event_type: floor 0, one row, "page_view" 1, error 0,
	"05" + "08" + "d085c700" + "00" + // its users: 5 bytes, precision 8, the hash; none missed
	"00" + "01" + "012f" + "01" + "00" + // path: floor 0, one row, "/" 1, error 0,
	"05" + "08" + "d085c700" + "00" + // its users
	"0000" + "0000" + "0000" + "0000" + "0000" + "0000" + "0000" + "0000" // the others are empty

const goldenVisits = "1f" + // visits of 31 bytes:
	"01" + // a sample, no totals
	"80808080808040" + // limit 2^48: everybody
	"01" + "01" + "01" + "00" + "01" + // one visit, one bounce, one view, 0 ms, 1^2
	"01" + // one user
	"faf880b8dc9034" + "01" + // the user's number, one visit
	"c094de0f" + "00" + "01" + // at 33,000,000 ms, one event, one view,
	"01" + "012f" // of page 1, which is new, "/"; behind it comes the checksum

func TestGoldenDay(t *testing.T) {
	want := rollup.NewDay("s", "2026-11-24")
	want.Zone, want.Rev = "Europe/Berlin", 5
	e := rollup.Event{Position: rollup.Position{Entry: rollup.EntryID{Ms: 1764000000000, Seq: 2}, Line: 7}, Hour: 9, At: 33_000_000, User: "u"}
	e.Values[rollup.EventType], e.Values[rollup.Path] = "page_view", "/"
	want.Fold("1:0", []rollup.Event{e})

	golden, err := hex.DecodeString(goldenDay)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, decode(t, golden), want)
	old, err := hex.DecodeString(beforeBots)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, decode(t, old), want)
	if b := encode(t, want); !bytes.Equal(b, golden) {
		t.Errorf("the day is now encoded as %x;\nanother encoding needs another version", b)
	}
}

func TestCodecRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, m := fold(streamsOf(40).Draw(t, "streams"))
		d.Rev = rapid.Uint64().Draw(t, "rev")
		overflowed := rapid.Bool().Draw(t, "overflowed")
		if overflowed {
			d.Tables[rollup.Path].Compact(2)
		}
		b := encode(t, d)
		got := decode(t, b)
		if got.Site != d.Site || got.Date != d.Date || got.Rev != d.Rev {
			t.Fatalf("%s|%s rev %d reads back as %s|%s rev %d", d.Site, d.Date, d.Rev, got.Site, got.Date, got.Rev)
		}
		wantSame(t, got, d)
		if !overflowed {
			m.check(t, got)
		}

		// It appends, and what was there before does not matter.
		prefixed, err := d.AppendBinary([]byte("prefix"))
		if err != nil || string(prefixed) != "prefix"+string(b) {
			t.Fatalf("appending to a prefix gives something else, error %v", err)
		}
	})
}

// A day that was loaded goes on like one that never left memory.
func TestFoldAfterLoading(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		streams := streamsOf(40).Draw(t, "streams")
		want, _ := fold(streams)
		d := rollup.NewDay(want.Site, want.Date)
		for name, events := range streams {
			cut := rapid.IntRange(0, len(events)).Draw(t, "cut")
			d.Fold(name, events[:cut])
			d = decode(t, encode(t, d))
			d.Fold(name, events)
		}
		wantSame(t, d, want)
	})
}

func TestDamagedBytesAreAnError(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, _ := fold(streamsOf(10).Draw(t, "streams"))
		b := encode(t, d)
		refuse := func(what string, bad []byte) {
			if err := new(rollup.Day).UnmarshalBinary(bad); err == nil {
				t.Fatalf("%s gives no error", what)
			}
		}
		bit := rapid.IntRange(0, 8*len(b)-1).Draw(t, "bit")
		flipped := bytes.Clone(b)
		flipped[bit/8] ^= 1 << (bit % 8)
		refuse("a flipped bit", flipped)
		refuse("a cut", b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")])
		refuse("a byte too many", append(bytes.Clone(b), 0))
	})
}

// Every flip and every cut of one day, not a sample.
func TestEveryDamageOfOneDayIsAnError(t *testing.T) {
	d := fullDay(20)
	b := encode(t, d)
	for cut := range b {
		if new(rollup.Day).UnmarshalBinary(b[:cut]) == nil {
			t.Fatalf("cut to %d bytes it gives no error", cut)
		}
	}
	for bit := range 8 * len(b) {
		b[bit/8] ^= 1 << (bit % 8)
		if new(rollup.Day).UnmarshalBinary(b) == nil {
			t.Fatalf("with bit %d flipped it gives no error", bit)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
}

// sealed gives the bytes with the right checksum, as an attacker or a faulty
// writer would.
func sealed(body []byte) []byte {
	sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
	return binary.LittleEndian.AppendUint32(bytes.Clone(body), sum)
}

func TestUnmarshalRefusesWhatCannotBe(t *testing.T) {
	with := func(base []byte, more ...byte) []byte { return append(bytes.Clone(base), more...) }
	// The head of a day up to its rev, and the same up to its tables: with no
	// marks, no parts, no counts, no users and none in any hour.
	head := []byte("\x02\x01s\x00\x0a2026-11-24\x00")
	counts := with(head, make([]byte, 1+1+2+48+1)...)
	counts = append(counts, bytes.Repeat([]byte{1, 10}, 24)...)
	visits := []byte{1, 0} // one byte: neither sample nor totals
	empty := with(counts, with([]byte{0}, visits...)...)
	if d := decode(t, sealed(empty)); d.Events != 0 || d.Tables[0].Len() != 0 {
		t.Fatal("a day without tables is not read as empty")
	}
	// A day with a table of one row, which continues behind its count, and one
	// without tables that ends with visits.
	row := func(floor byte, more ...byte) []byte { return with(with(counts, 1, floor, 1, 1, 'x'), more...) }
	visit := func(more ...byte) []byte { return with(with(counts, 0, byte(len(more))), more...) }
	sample := func(more ...byte) []byte { // of limit 128
		return visit(with([]byte{1, 0x80, 1}, more...)...)
	}
	for name, c := range map[string]struct {
		body    []byte
		problem string
	}{
		"newer version":           {with([]byte{3}, empty[1:]...), "version 3"},
		"older version":           {with([]byte{1}, empty[1:]...), "rebuild the day"},
		"no body":                 {[]byte{2}, "cut off"},
		"more after the end":      {with(empty, 0), "1 bytes too many"},
		"too many tables":         {with(with(counts, 12), make([]byte, 50)...), "12 tables"},
		"endless rows":            {with(counts, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f), "cut off"},
		"number of over 64 bits":  {with(counts, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0), "cut off"},
		"error above the count":   {row(0, 2, 3, 0), "error 3"},
		"count below the floor":   {row(9, 2, 0, 0), "floor 9"},
		"more missed than counts": {row(0, 2, 0, 1, 8, 3), "the users of 3"},
		"endless key users":       {row(0, 2, 0, 0xff, 0xff, 0xff, 0x0f), "cut off"},
		"key users of an hour":    {row(0, 2, 0, 1, 10, 0), "precision 10, not the 8"},
		"key users not sorted":    {row(0, 2, 0, 9, 8, 0, 0, 0, 2, 0, 0, 0, 1, 0), "not sorted"},
		"key users twice":         {row(0, 2, 0, 9, 8, 0, 0, 0, 1, 0, 0, 0, 1, 0), "not sorted"},
		"key users cut":           {row(0, 2, 0, 4, 8, 0, 0, 0, 0), "list of 3 bytes"},
		"too few registers":       {row(0, 2, 0, 2, 0x88, 0, 0), "registers of 1 bytes"},
		"register out of range":   {row(0, with(with([]byte{2, 0, 161, 1, 0x88}, bytes.Repeat([]byte{255}, 160)...), 0)...), "register of 31"},
		"mark out of range":       {with(head, 1, 1, 's', 1, 1, 0x80, 0x89, 0x7a), "mark of stream \"s\""},
		"endless parts":           {with(head, 0, 0xff, 0xff, 0x03), "cut off"},
		"sketch of other content": {with(with(head, make([]byte, 1+1+2+48)...), 3, 'a', 'b', 'c'), "users"},
		"no visits":               {visit(), "visits: cut off"},
		"unknown part of visits":  {visit(4), "parts 0x4"},
		"totals cut off":          {visit(2, 0, 0), "cut off"},
		"totals of no number":     {visit(with([]byte{2}, bytes.Repeat([]byte{255}, 43)...)...), "no number"},
		"more behind the visits":  {visit(0, 7), "1 bytes too many"},
		"limit out of range":      {visit(1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x41, 0, 0), "out of range"},
		"user at the limit":       {sample(1, 1, 0x80, 1, 1, 5, 0, 0), "out of range"},
		"user without visits":     {sample(1, 0, 7, 0, 0, 0, 0), "out of range"},
		"visit of no user":        {sample(1, 2, 7, 1, 5, 0, 0, 0, 0, 0), "out of range"},
		"more views than events":  {sample(1, 1, 7, 1, 5, 0, 2, 0), "out of range"},
		"page of no name":         {sample(1, 1, 7, 1, 5, 0, 1, 1, 0), "out of range"},
		"page that is not there":  {sample(1, 1, 7, 1, 5, 0, 1, 2), "out of range"},
		"exit of no page":         {sample(1, 1, 7, 1, 5, 1, 2, 9, 1, 1, '/', 1, 0, 0), "out of range"},
		"view after the visit":    {sample(1, 1, 7, 1, 5, 1, 1, 9, 1, 1, '/', 10), "out of range"},
		"exit before the entry":   {sample(1, 1, 7, 1, 5, 1, 2, 9, 1, 1, '/', 8, 1, 2), "out of range"},
		"endless users":           {sample(0xff, 0xff, 0x03, 0), "cut off"},
	} {
		err := new(rollup.Day).UnmarshalBinary(sealed(c.body))
		if err == nil || !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s: error %v, want one about %q", name, err, c.problem)
		}
	}
}

// FuzzDayUnmarshal reads any bytes, with their own checksum and with the
// right one: never a panic, and what can be read behaves like a Day.
func FuzzDayUnmarshal(f *testing.F) {
	for _, d := range []*rollup.Day{rollup.NewDay("s", "2026-11-24"), fullDay(3), fullDay(200)} {
		b, err := d.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var d rollup.Day
		if d.UnmarshalBinary(b) == nil {
			useDay(t, &d)
		}
		if len(b) > 4 {
			if d.UnmarshalBinary(sealed(b[:len(b)-4])) == nil {
				useDay(t, &d)
			}
		}
	})
}

func useDay(t *testing.T, d *rollup.Day) {
	b := encode(t, d)
	again := decode(t, b)
	if !bytes.Equal(encode(t, again), b) {
		t.Fatal("a day changes when it is written and read")
	}
	if diffs := d.Diff(again); len(diffs) != 0 {
		t.Fatalf("a day differs from itself: %v", diffs)
	}
	d.Merge(again)
	d.Fold("s", []rollup.Event{{Position: rollup.Position{Line: 1}, User: "u", Values: rollup.Values{"page_view", "/"}}})
	d.Compact(rollup.Limits{Keys: 100, Bytes: 64 << 10})
	if got := tableBytes(d); got > 64<<10 {
		t.Fatalf("a compacted day has tables of %d bytes", got)
	}
	d.Tables[rollup.Path].Top(10)
	d.Users.Estimate()
	d.HourUsers[0].Estimate()
	stats := d.Visits.Stats()
	stats.Entry.Top(10)
	d.Visits.Close()
	if diffs := decode(t, encode(t, d)).Diff(d.Clone()); len(diffs) != 0 {
		t.Fatalf("a closed day differs from itself: %v", diffs)
	}
}

// fullDay is a day with n keys in every table but that of bots, and 10 times as
// many users.
func fullDay(n int) *rollup.Day {
	d := rollup.NewDay("site", "2026-11-24")
	rng := rand.New(rand.NewPCG(3, 4))
	events := make([]rollup.Event, 10*n)
	for i := range events {
		e := &events[i]
		e.Position = rollup.Position{Entry: rollup.EntryID{Ms: 1_764_000_000_000 + uint64(i)}}
		e.Hour = i % 24
		e.User = longKey(i, 12)
		for dim := range rollup.Bot {
			e.Values[dim] = longKey(rng.IntN(n), 24)
		}
		e.Values[rollup.EventType] = rollup.PageView
	}
	d.Fold("1:0", events)
	return d
}

// What is read of a day in part is what the whole has there.
func TestFields(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, _ := fold(streamsOf(40).Draw(t, "streams"))
		if rapid.Bool().Draw(t, "merged") {
			other, _ := fold(streamsOf(40).Draw(t, "others"))
			d.Merge(other)
		}
		fields := rollup.Fields(rapid.Uint32Range(0, uint32(rollup.AllFields)).Draw(t, "fields"))
		b := encode(t, d)
		var part rollup.Day
		if err := part.UnmarshalFields(b, fields); err != nil {
			t.Fatal(err)
		}
		if _, err := part.AppendBinary(nil); (err == nil) != (fields == rollup.AllFields) {
			t.Fatalf("storing what was read of %#x gives %v", fields, err)
		}

		want := decode(t, b)
		for dim := range want.Tables {
			if fields&rollup.TableField(rollup.Dimension(dim)) == 0 {
				want.Tables[dim] = rollup.Table{}
			}
		}
		if fields&rollup.HourUsersField == 0 {
			want.HourUsers = rollup.NewDay("", "").HourUsers
		}
		switch {
		case fields&rollup.PagesField != 0:
		case fields&rollup.VisitsField != 0:
			want.Visits = want.Visits.WithoutPages()
		default:
			want.Visits = rollup.Visits{}
		}
		if diffs := part.Diff(want); len(diffs) > 0 {
			t.Fatalf("of %#x is read: %v", fields, diffs)
		}
		if got, stats := part.Visits.Stats(), want.Visits.Stats(); got.Visits != stats.Visits || got.Variance != stats.Variance || got.Exact != stats.Exact {
			t.Fatalf("of %#x are read the visits %+v, want %+v", fields, got, stats)
		}
	})
}
