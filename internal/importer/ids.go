package importer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// idBytes is how much of a SHA-256 is kept of an event's ID and of a user:
// enough that no two are ever the same by chance.
const idBytes = 16

// ids makes the event_id of lines: a hash of the site, the line and its
// ordinal among identical lines of the import. So the same line has the same
// ID when it is imported again, while of lines that stand in a log twice,
// such as two requests of one client in one second, each has its own.
//
// Ordinals count through all files of an import, in their order. A line that
// stands in two files which are imported one by one has ordinal 0 in both,
// and counts once.
//
// This takes about 25 bytes of memory for each event. The maps' keys are the
// first 8 bytes of the hash. If two different lines ever share them, one gets
// an ordinal higher than it should: still the same in every import of these
// files.
type ids struct {
	// seen holds every line, repeated how often it came again. Few do, and an
	// entry of seen takes half the memory that it would with a count.
	seen     map[uint64]struct{}
	repeated map[uint64]uint64
}

func newIDs() *ids {
	return &ids{seen: map[uint64]struct{}{}, repeated: map[uint64]uint64{}}
}

// next is the ID of the line, which then counts as seen.
func (s *ids) next(site string, line []byte) string {
	h := sha256.New()
	h.Write([]byte(site))
	h.Write([]byte{'\n'}) // no site and no line contains it
	h.Write(line)
	var sum [sha256.Size + 8]byte
	h.Sum(sum[:0])

	key := binary.BigEndian.Uint64(sum[:])
	ordinal := uint64(0)
	if _, ok := s.seen[key]; ok {
		s.repeated[key]++
		ordinal = s.repeated[key]
	}
	s.seen[key] = struct{}{}

	binary.BigEndian.PutUint64(sum[sha256.Size:], ordinal)
	id := sha256.Sum256(sum[:])
	return hex.EncodeToString(id[:idBytes])
}

// userOf is the user of an access log's line: a hash of the client's address
// and its user agent, as both stand in the log. It hides neither from someone
// who tries all addresses: there is no key in it, nor in the event_id, because
// then only who has the key could import again without counting twice.
func userOf(client, agent []byte) string {
	h := sha256.New()
	h.Write(client)
	h.Write([]byte{' '}) // no client's address contains it
	h.Write(agent)
	var sum [sha256.Size]byte
	return hex.EncodeToString(h.Sum(sum[:0])[:idBytes])
}
