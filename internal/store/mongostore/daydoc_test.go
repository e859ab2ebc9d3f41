package mongostore

import (
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/daybook-analytics/daybook/rollup"
)

// busyDay makes a day that exceeds every limit: many users, and more keys in
// each dimension than are kept, each as long as keyLen.
func busyDay(keyLen int) *rollup.Day {
	d := rollup.NewDay("site-abc", "2026-11-24")
	tail := strings.Repeat("é", keyLen/2)
	for i := range 30_000 {
		e := rollup.Event{
			Position: rollup.Position{Entry: rollup.EntryID{Ms: 1}, Line: uint32(i + 1)},
			Hour:     i % 24,
			User:     fmt.Sprint(i),
		}
		for dim := range e.Values {
			e.Values[dim] = fmt.Sprint("/", i%(i%5000+1), tail)[:keyLen]
		}
		e.Values[rollup.EventType] = rollup.PageView
		d.Fold("1:0", []rollup.Event{e})
	}
	return d
}

func TestDayStaysUnderOneMebibyte(t *testing.T) {
	for _, keyLen := range []int{8, 40, 500} {
		d := busyDay(keyLen)
		d.Compact(rollup.DefaultLimits)
		doc, err := encodeDay(d, 1)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("keys of %d bytes: document of %d bytes", keyLen, len(doc))
		if len(doc) >= 1<<20 {
			t.Errorf("keys of %d bytes: document of %d bytes", keyLen, len(doc))
		}
	}
}

// TestDayDocument fixes the form that docs/format/mongodb.md describes.
func TestDayDocument(t *testing.T) {
	d := rollup.NewDay("site-abc", "2026-11-24")
	for i, path := range []string{"/a.b/$c", "/", "/"} {
		e := rollup.Event{Position: rollup.Position{Entry: rollup.EntryID{Ms: 1732424242424, Seq: 3}, Line: uint32(i)}, Hour: 1}
		e.Values[rollup.EventType] = rollup.PageView
		e.Values[rollup.Path] = path
		d.Fold("1:0", []rollup.Event{e})
	}
	d.Compact(rollup.Limits{Keys: 1, Bytes: 1 << 20})
	d.Tables[rollup.Path].Add("/new", 1)

	doc, err := encodeDay(d, 7)
	if err != nil {
		t.Fatal(err)
	}
	got, err := bson.MarshalExtJSON(doc, false, false)
	if err != nil {
		t.Fatal(err)
	}
	zeros := strings.Repeat("0,", 22) + "0"
	want := `{"_id":"site-abc|2026-11-24","site_id":"site-abc","date":"2026-11-24","rev":7,` +
		`"marks":[{"s":"1:0","p":"001732424242424-0000000003-000002"}],` +
		`"total_events":3,"total_views":3,"hourly_events":[0,3,` + zeros[2:] + `],"hourly_views":[0,3,` + zeros[2:] + `],` +
		`"users":{"$binary":{"base64":"","subType":"00"}},` +
		`"tables":{"event_type":{"floor":0,"rows":[{"k":"page_view","n":3}]},` +
		`"path":{"floor":1,"rows":[{"k":"/","n":2},{"k":"/new","n":2,"e":1}]}}}`
	if string(got) != want {
		t.Errorf("document is\n%s\nwant\n%s", got, want)
	}
}

func BenchmarkEncodeDay(b *testing.B) {
	d := busyDay(40)
	d.Compact(rollup.DefaultLimits)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encodeDay(d, 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeDay(b *testing.B) {
	d := busyDay(40)
	d.Compact(rollup.DefaultLimits)
	doc, err := encodeDay(d, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := readDay(dayKey(d), doc); err != nil {
			b.Fatal(err)
		}
	}
}
