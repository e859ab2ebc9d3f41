package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"log/slog"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/pebbledb"
)

// putEvents is the job of writing the events of row 4 to Pebble and nothing
// else: one key each, batchEvents to a batch, every batch synced, in a database
// with the options of the embedded store.
func putEvents(args []string) error {
	flags := flag.NewFlagSet("put", flag.ContinueOnError)
	dir := flags.String("dir", "", "directory of the database")
	if err := flags.Parse(args); err != nil {
		return err
	}
	// All text is one, so that the garbage collector has nothing to look at.
	// Each event has two ends in it, that of its key and that of its line.
	text, ends := make([]byte, 0, wholeEvents*256), make([]int, 0, 2*wholeEvents)
	number := 0
	for e := range busySites(wholeEvents, wholeSites).live() {
		text = appendKey(text, e, number)
		ends = append(ends, len(text))
		text = e.AppendLine(text)
		ends = append(ends, len(text))
		number++
	}
	db, err := pebbledb.Open("yardstick", *dir, storeOptions(), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	err = measureJob(wholeEvents, func() error {
		start := 0
		for batchEnds := range slices.Chunk(ends, 2*batchEvents) {
			batch := db.NewBatch()
			for pair := range slices.Chunk(batchEnds, 2) {
				if err := batch.Set(text[start:pair[0]], text[pair[0]:pair[1]], nil); err != nil {
					return err
				}
				start = pair[1]
			}
			if err := errors.Join(batch.Commit(pebble.Sync), batch.Close()); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, db.Close())
}

// appendKey appends the key that the embedded store gives an event.
func appendKey(b []byte, e *event.Event, number int) []byte {
	const end = "\x00\x01" // of a string
	b = append(append(append(b, 'e'), e.Site...), end...)
	b = append(e.Time.AppendFormat(b, time.DateOnly), end...)
	b = append(b, "1:0"+end...)
	b = binary.BigEndian.AppendUint64(b, uint64(number/batchEvents))
	b = binary.BigEndian.AppendUint64(b, 0)
	return binary.BigEndian.AppendUint32(b, uint32(number%batchEvents))
}

// storeOptions are those of pebblestore, as far as they matter for writing.
func storeOptions() *pebble.Options {
	o := &pebble.Options{
		CacheSize:                   96 << 20,
		MemTableSize:                16 << 20,
		MemTableStopWritesThreshold: 2,
		L0CompactionThreshold:       10,
		L0StopWritesThreshold:       40,
		LBaseMaxBytes:               64 << 20,
		CompactionConcurrencyRange:  func() (lower, upper int) { return 1, 2 },
	}
	o.TargetFileSizes[0] = 8 << 20
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].BlockSize = 16 << 10
		o.Levels[i].IndexBlockSize = 256 << 10
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionFastest })
	return o
}
