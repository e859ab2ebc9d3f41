package mongostore

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// busyDay makes a day that exceeds every limit: many users, and more keys in
// each dimension but that of bots than are kept, each as long as keyLen.
func busyDay(keyLen int) *rollup.Day {
	d := rollup.NewDay("site-abc", "2026-11-24")
	tail := strings.Repeat("é", keyLen/2)
	for i := range 30_000 {
		e := rollup.Event{
			Position: rollup.Position{Entry: rollup.EntryID{Ms: 1}, Line: uint32(i + 1)},
			Hour:     i % 24,
			At:       uint32(i%24*3_600_000 + i),
			User:     fmt.Sprint(i),
		}
		for dim := range rollup.Bot {
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
	d.Zone = "Europe/Berlin"
	d.Parts = []rollup.Part{{Date: "2026-11-23", Rev: 4}}
	for i, path := range []string{"/a.b/$c", "/", "/"} {
		e := rollup.Event{Position: rollup.Position{Entry: rollup.EntryID{Ms: 1732424242424, Seq: 3}, Line: uint32(i)}, Hour: 1, At: 3_600_000, User: "u"}
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
	binary := func(base64 string) string {
		return `{"$binary":{"base64":"` + base64 + `","subType":"00"}}`
	}
	nobody := binary("Cg==")
	want := `{"_id":"site-abc|2026-11-24|Europe/Berlin","site_id":"site-abc","zone":"Europe/Berlin","date":"2026-11-24","rev":7,` +
		`"marks":[{"s":"1:0","p":"001732424242424-0000000003-000002"}],` +
		`"total_events":3,"total_views":3,"hourly_events":[0,3,` + zeros[2:] + `],"hourly_views":[0,3,` + zeros[2:] + `],` +
		`"users":` + binary("Ag4AAQAAAAAAAAABA0IXHAAAAAScroga") + `,"hourly_users":[` + nobody + `,` + binary("CtCFxwA=") + strings.Repeat(","+nobody, 22) + `],` +
		`"tables":{"event_type":{"floor":0,"rows":[{"k":"page_view","n":3,"u":` + binary("CNCFxwA=") + `}]},` +
		`"path":{"floor":1,"rows":[{"k":"/","n":2,"u":` + binary("CNCFxwA=") + `},{"k":"/new","n":2,"e":1,"u":` + binary("CA==") + `,"m":1}]}},` +
		`"visits":` + binary("AYCAgICAgEABAAMAAQH6+IC43JA0AYDd2wECAwABAS8AAgcvYS5iLyRjAA==") + `,"parts":[{"d":"2026-11-23","r":4}]}`
	if string(got) != want {
		t.Errorf("document is\n%s\nwant\n%s", got, want)
	}

	read, err := readDay(store.KeyOf(d), doc, rollup.AllFields)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := encodeDay(read, 7); err != nil || !bytes.Equal(again, doc) {
		t.Errorf("what was read is written as\n%s\nerror %v", again, err)
	}
	// A field that is missing must not pass for one that is empty.
	elements, err := doc.Elements()
	if err != nil {
		t.Fatal(err)
	}
	for i, element := range elements {
		if key := element.Key(); key == "_id" || key == "parts" {
			continue
		}
		var cut bson.D
		for j, e := range elements {
			if j != i {
				cut = append(cut, bson.E{Key: e.Key(), Value: e.Value()})
			}
		}
		raw, err := bson.Marshal(cut)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readDay(store.KeyOf(d), raw, rollup.AllFields); err == nil {
			t.Errorf("a document without %s is read", element.Key())
		}
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
		if _, err := readDay(store.KeyOf(d), doc, rollup.AllFields); err != nil {
			b.Fatal(err)
		}
	}
}
