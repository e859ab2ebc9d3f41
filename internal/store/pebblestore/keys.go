package pebblestore

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// The first byte of a key says what it is the key of. docs/format/pebble.md
// describes each of them with its value.
const (
	keyEvent       = 'e' // site, date, stream, position: the event's line
	keyEventID     = 'i' // site, event ID: stream, position, date
	keyRollup      = 'r' // site, date, of the zone "": rev, the encoded rollup.Day
	keyZonedRollup = 'z' // site, zone, date, of all other zones: the same
	keyHead        = 'h' // site, zone, date: rev, events and views of the rollup
	keyMonth       = 'm' // site, zone, month: the encoded rollup.Day
	keyCheckpoint  = 'c' // stream: position, as-of time
	keyDeadLetter  = 'd' // store.DeadLetter.Key: time, reason, line
	keyKept        = 'k' // site, as it is: date of store.Retention.KeptSince
	keySite        = 's' // site, as it is: rev, body of its record
	keyAccess      = 'a' // ID of a key that gives access, as it is: the same
	keySalt        = 't' // date of a salt, as it is: the same
	keyJob         = 'j' // store.Job.ID: rev, body
	keySchema      = 'v' // nothing more: the schema version
)

// A string in a key ends with a terminator that sorts before everything that
// could go on in its place, so that keys sort as their parts do and no string
// is the beginning of another one. A zero byte in the string is escaped.
const (
	escape     = 0x00
	terminator = 0x01
	zeroByte   = 0xff
)

func appendString(b []byte, s string) []byte {
	for {
		i := strings.IndexByte(s, 0)
		if i < 0 {
			break
		}
		b = append(b, s[:i]...)
		b = append(b, escape, zeroByte)
		s = s[i+1:]
	}
	b = append(b, s...)
	return append(b, escape, terminator)
}

// readString takes a string off the front of a key; ok is false when there is
// none.
func readString(b []byte) (s string, rest []byte, ok bool) {
	var escaped []byte
	for {
		i := bytes.IndexByte(b, escape)
		if i < 0 || i+1 == len(b) {
			return "", nil, false
		}
		switch b[i+1] {
		case terminator:
			if escaped == nil {
				return string(b[:i]), b[i+2:], true
			}
			return string(append(escaped, b[:i]...)), b[i+2:], true
		case zeroByte:
			escaped = append(append(escaped, b[:i]...), 0)
			b = b[i+2:]
		default:
			return "", nil, false
		}
	}
}

// positionLen is the length of a position: milliseconds, sequence and line,
// big-endian so that they sort.
const positionLen = 8 + 8 + 4

func appendPosition(b []byte, p rollup.Position) []byte {
	b = binary.BigEndian.AppendUint64(b, p.Entry.Ms)
	b = binary.BigEndian.AppendUint64(b, p.Entry.Seq)
	return binary.BigEndian.AppendUint32(b, p.Line)
}

func readPosition(b []byte) (p rollup.Position, rest []byte, ok bool) {
	if len(b) < positionLen {
		return p, nil, false
	}
	p.Entry.Ms = binary.BigEndian.Uint64(b)
	p.Entry.Seq = binary.BigEndian.Uint64(b[8:])
	p.Line = binary.BigEndian.Uint32(b[16:])
	return p, b[positionLen:], true
}

// end gives the first key behind all that begin with the prefix, which must
// not end with 0xff.
func end(prefix []byte) []byte {
	e := bytes.Clone(prefix)
	e[len(e)-1]++
	return e
}

func appendSite(b []byte, kind byte, site string) []byte {
	return appendString(append(b, kind), site)
}

func appendZone(b []byte, kind byte, site, zone string) []byte {
	return appendString(appendSite(b, kind, site), zone)
}

// appendRollups appends the beginning of the keys of a site's rollups in a
// zone, which go on with the date.
func appendRollups(b []byte, site, zone string) []byte {
	if zone == "" {
		return appendSite(b, keyRollup, site)
	}
	return appendZone(b, keyZonedRollup, site, zone)
}

func appendRollupKey(b []byte, key store.DayKey) []byte {
	return appendString(appendRollups(b, key.Site, key.Zone), key.Date)
}

// dayKey makes a key of the kind keyHead or keyMonth.
func dayKey(kind byte, key store.DayKey) []byte {
	return appendString(appendZone(nil, kind, key.Site, key.Zone), key.Date)
}

func appendEventKey(b []byte, e *store.Event) []byte {
	b = appendString(appendSite(b, keyEvent, e.Site), e.Date)
	b = appendString(b, e.Stream)
	return appendPosition(b, e.Position)
}

func appendEventID(b []byte, site, id string) []byte {
	return appendString(appendSite(b, keyEventID, site), id)
}

// appendOrigin appends the part of an event ID's value that tells a replay
// from a client's retry.
func appendOrigin(b []byte, e *store.Event) []byte {
	return appendPosition(appendString(b, e.Stream), e.Position)
}
