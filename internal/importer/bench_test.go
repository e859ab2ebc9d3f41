package importer

import (
	"bytes"
	"testing"
)

// BenchmarkAccessLog makes events of lines, as reading a log does.
func BenchmarkAccessLog(b *testing.B) {
	log := accessLog{site: "s", ids: newIDs()}
	lines := bytes.Split(bytes.TrimSpace([]byte(views(0, 1000))), []byte("\n"))
	batch := newBatch()
	for i := 0; b.Loop(); i++ {
		if i%len(lines) == 0 {
			batch.body.Reset()
		}
		event, err := log.event(lines[i%len(lines)])
		if err != nil {
			b.Fatal(err)
		}
		if err := batch.encode.Encode(event); err != nil {
			b.Fatal(err)
		}
	}
}
