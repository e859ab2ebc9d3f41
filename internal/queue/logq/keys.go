package logq

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/rollup"
)

// The first byte of a key tells what it is of. docs/format/queue.md has the
// whole format.
const (
	kindLayout = 'L'
	kindHead   = 'H'
	kindEntry  = 'E'
)

// formatVersion is the first byte of the layout's value. A change of any key
// or value of the log gets the next number.
const formatVersion = 1

var layoutKey = []byte{kindLayout}

// streamID is a stream's place in keys.
type streamID struct{ epoch, stream uint32 }

func appendStreamKey(b []byte, kind byte, s streamID) []byte {
	b = append(b, kind)
	b = binary.BigEndian.AppendUint32(b, s.epoch)
	return binary.BigEndian.AppendUint32(b, s.stream)
}

func headKey(s streamID) []byte { return appendStreamKey(nil, kindHead, s) }

// entryKeyLen is the length of an entry's key.
const entryKeyLen = 1 + 4 + 4 + 8 + 8

func entryKey(s streamID, id rollup.EntryID) []byte {
	b := appendStreamKey(make([]byte, 0, entryKeyLen+1), kindEntry, s)
	b = binary.BigEndian.AppendUint64(b, id.Ms)
	return binary.BigEndian.AppendUint64(b, id.Seq)
}

// keyBehind is the least key that comes after the entry's.
func keyBehind(s streamID, id rollup.EntryID) []byte { return append(entryKey(s, id), 0) }

// entryID gives the ID in an entry's key.
func entryID(key []byte) rollup.EntryID {
	return rollup.EntryID{
		Ms:  binary.BigEndian.Uint64(key[entryKeyLen-16:]),
		Seq: binary.BigEndian.Uint64(key[entryKeyLen-8:]),
	}
}

// counts are totals since the stream began, trimmed entries included. What a
// stream holds is the difference of two of them, so that it need never be
// counted.
type counts struct{ entries, events, bytes uint64 }

func (c counts) plus(events, bytes int) counts {
	return counts{entries: c.entries + 1, events: c.events + uint64(events), bytes: c.bytes + uint64(bytes)}
}

// head is the newest entry of a stream and the counts up to and including it.
// It is written with every entry, and stays when all entries are trimmed.
type head struct {
	id rollup.EntryID
	counts
}

func (h head) append(b []byte) []byte {
	b = binary.AppendUvarint(b, h.id.Ms)
	b = binary.AppendUvarint(b, h.id.Seq)
	return h.counts.append(b)
}

func decodeHead(b []byte) (head, error) {
	r := reader{b: b}
	h := head{id: rollup.EntryID{Ms: r.uvarint(), Seq: r.uvarint()}, counts: r.counts()}
	return h, r.err
}

func (c counts) append(b []byte) []byte {
	b = binary.AppendUvarint(b, c.entries)
	b = binary.AppendUvarint(b, c.events)
	return binary.AppendUvarint(b, c.bytes)
}

// entry is the value of an entry: what came before it in the stream, how many
// events it has, and its lines.
type entry struct {
	before counts
	events uint64
	lines  []byte
}

// maxFront is the most bytes that stand before the lines, and maxEntryExtra the
// most that an entry takes in a batch beside its lines, with its stream's head.
const (
	maxFront      = 4 * binary.MaxVarintLen64
	maxEntryExtra = 2*(entryKeyLen+maxFront) + 4*binary.MaxVarintLen64
)

// appendFront appends all that stands before the lines.
func (e entry) appendFront(b []byte) []byte {
	return binary.AppendUvarint(e.before.append(b), e.events)
}

// decodeEntry reads the value of an entry. The lines are a part of b.
func decodeEntry(b []byte) (entry, error) {
	r := reader{b: b}
	e := entry{before: r.counts(), events: r.uvarint()}
	e.lines = r.b
	return e, r.err
}

// encodeLayout writes the number of streams of each epoch, in order.
func encodeLayout(l queue.Layout) []byte {
	b := []byte{formatVersion}
	for _, epoch := range l.Epochs {
		b = binary.AppendUvarint(b, uint64(epoch.Streams))
	}
	return b
}

func decodeLayout(b []byte) (queue.Layout, error) {
	if len(b) == 0 || b[0] != formatVersion {
		return queue.Layout{}, fmt.Errorf("log is of format %.1q; this program reads format %d", b, formatVersion)
	}
	var l queue.Layout
	r := reader{b: b[1:]}
	for len(r.b) > 0 && r.err == nil {
		l.Epochs = append(l.Epochs, queue.Epoch{Number: len(l.Epochs) + 1, Streams: int(r.uvarint())})
	}
	return l, r.err
}

// reader takes numbers off the front of b. After an error it gives zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.err = nil, errors.New("value in the log is cut off")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) counts() counts {
	return counts{entries: r.uvarint(), events: r.uvarint(), bytes: r.uvarint()}
}
