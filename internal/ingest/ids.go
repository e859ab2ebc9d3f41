package ingest

import (
	"crypto/rand"
	"strconv"
	"sync/atomic"
)

// idPrefixLen is how many characters of crypto/rand.Text begin an ID: 80
// random bits.
const idPrefixLen = 16

// ids makes the IDs of events that come without an event_id, such as
// "Q5BWYTO6UCLDMHJX-00000000002a". They are unique across processes and
// ascend within one. The random part is never told to senders, so that none
// can take an ID before it is given to somebody's event, which would then be
// dropped as a duplicate. Safe for concurrent use.
type ids struct {
	prefix string
	count  atomic.Uint64
}

func newIDs() *ids { return &ids{prefix: rand.Text()[:idPrefixLen]} }

// next gives a new ID.
func (s *ids) next() string {
	// A one above the counter's 12 hexadecimal digits gives it its leading
	// zeros; it is written over the dash, and the dash over it.
	const digits, one = 12, 1 << (4 * 12)
	var buf [idPrefixLen + 1 + digits]byte
	dash := copy(buf[:], s.prefix)
	id := strconv.AppendUint(buf[:dash], one|s.count.Add(1), 16)
	id[dash] = '-'
	return string(id)
}
