package pebblestore

import (
	"bytes"
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// idLookup looks up the keys of event IDs, which must ascend from call to
// call.
//
// Nearly all of them are not in the store, and there are two cheap ways to
// find that out. IDs made at ingest ascend, so that a run of them falls into
// one gap between two keys of the store: one seek finds the gap, and the rest
// of the run costs a comparison each. IDs of clients are spread, each with a
// gap of its own; of those the bloom filters tell that they are not there,
// mostly without reading any block. Which way fits is learned from the keys:
// a gap that answers for no other key makes the next ones use the filters,
// the longer the more often it happens.
type idLookup struct {
	it *pebble.Iterator
	// end is where the gap ends that the last seek found: no key from the one
	// that was sought up to end is in the store. Empty is no gap.
	end []byte
	// answered counts the keys that the gap answered for.
	answered int
	// filters is for how many keys the filters are used next, misses for how
	// many after the next gap that answers for none.
	filters, misses int
}

// maxMisses bounds how long a gap is not tried again.
const maxMisses = 128

// newIDLookup starts a lookup in the store as it is now.
func (s *Store) newIDLookup(ctx context.Context) (*idLookup, error) {
	it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: []byte{keyEventID},
		UpperBound: []byte{keyEventID + 1},
		// The lowest level has most of the IDs, and is read for every lookup
		// unless its filters are used as well.
		UseL6Filters: true,
	})
	if err != nil {
		return nil, fmt.Errorf("reading from the store: %w", err)
	}
	// A single key has nobody to share a gap with.
	return &idLookup{it: it, filters: 1, misses: 1}, nil
}

// get gives the value of a key, nil when it is not there. The value is valid
// until the next call.
func (l *idLookup) get(key []byte) ([]byte, error) {
	if len(l.end) > 0 {
		if bytes.Compare(key, l.end) < 0 {
			l.answered++
			return nil, nil
		}
		if l.answered > 0 {
			l.misses = 1
		} else {
			l.filters, l.misses = l.misses, min(2*l.misses, maxMisses)
		}
		l.end, l.answered = l.end[:0], 0
	}
	if l.filters > 0 {
		l.filters--
		if !l.it.SeekPrefixGE(key) {
			return nil, l.it.Error()
		}
		return l.it.ValueAndErr()
	}
	switch found := l.it.SeekGE(key); {
	case !found:
		l.end = append(l.end, keyEventID+1)
		return nil, l.it.Error()
	case !bytes.Equal(l.it.Key(), key):
		l.end = append(l.end, l.it.Key()...)
		return nil, nil
	}
	return l.it.ValueAndErr()
}
