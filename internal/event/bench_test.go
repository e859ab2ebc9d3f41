package event

import (
	"strings"
	"testing"
)

// benchBodies are events as requests have them: the least that a page view has,
// what the script of a site sends, and one with everything.
var benchBodies = []struct{ name, body string }{
	{"least", `{"site_id":"site-abc","event_type":"page_view","path":"/blog/post-1","user_id":"u-123456"}`},
	{"usual", `{"site_id":"site-abc","event_type":"page_view","path":"/blog/post-1","user_id":"u-123456",
		"timestamp":"2026-11-24T09:29:59.987Z","referrer":"https://example.org/","country":"DE","device":"phone"}`},
	{"all", `{"site_id":"site-abc","event_id":"0192f0c1-7b1e-7cc3-a2b4-5d6e7f809102","event_type":"page_view",
		"path":"/blog/post-1?utm_source=letter","user_id":"u-123456","timestamp":"2026-11-24T10:29:59.987654+01:00",
		"referrer":"https://example.org/search?q=daybook","country":"DE","device":"phone","browser":"Firefox","os":"Android",
		"utm_source":"letter","utm_medium":"email","utm_campaign":"november"}`},
}

// BenchmarkDecode is a body of POST /event, and a line of POST /events.
func BenchmarkDecode(b *testing.B) {
	for _, of := range benchBodies {
		b.Run(of.name, func(b *testing.B) {
			body := []byte(of.body)
			var d Decoder
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Decode(body, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecodeArray is a body of POST /events with 1,000 events.
func BenchmarkDecodeArray(b *testing.B) {
	for _, of := range benchBodies {
		b.Run(of.name, func(b *testing.B) {
			const size = 1000
			body := []byte("[" + strings.Repeat(of.body+",", size-1) + of.body + "]")
			var d Decoder
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				err := d.DecodeArray(body, now, func(_ Sent, bad *FieldError) error {
					if bad != nil {
						return bad
					}
					n++
					return nil
				})
				if err != nil || n != size {
					b.Fatal(n, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/event")
		})
	}
}

// benchEvents decodes benchBodies; each gets an ID, as ingest gives it.
func benchEvents(b *testing.B, run func(b *testing.B, e Event)) {
	for _, of := range benchBodies {
		var d Decoder
		e, err := d.Decode([]byte(of.body), now)
		if err != nil {
			b.Fatal(err)
		}
		e.ID = "K7QZ2M4PXW3R5T6Y-0000000001"
		b.Run(of.name, func(b *testing.B) { run(b, e.Event) })
	}
}

func BenchmarkAppendLine(b *testing.B) {
	benchEvents(b, func(b *testing.B, e Event) {
		var line []byte
		b.ReportAllocs()
		for b.Loop() {
			line = e.AppendLine(line[:0])
		}
	})
}

func BenchmarkParseLine(b *testing.B) {
	benchEvents(b, func(b *testing.B, e Event) {
		line := string(e.AppendLine(nil))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ParseLine(line); err != nil {
				b.Fatal(err)
			}
		}
	})
}
