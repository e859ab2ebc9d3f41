package report

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// answersVersion is part of every ETag. It is raised when the same rollups
// give another answer than before, so that nobody keeps the old one.
const answersVersion = 2

// etagOf names the answer to a question. Equal names mean equal answers but
// for as_of, and so it is a weak one (RFC 9110, 8.8.3).
//
// The heads tell the revs of all rollups that the answer is made of. Whether a
// month stands for its days makes no other answer, but for the bounds of counts
// that are not exact: both are right.
func etagOf(q *query, now, before []store.Head) string {
	h := fnv.New128a()
	// The period as it is asked for and the dates that it stands for: the
	// first decides how the answer gives it, the second what day it is.
	fmt.Fprintf(h, "%d %s %s %+v %s %+v %+v %s %v %d %d %t\n", answersVersion, q.endpoint.path, q.site,
		q.asked, q.today, q.span, q.compare, q.interval, q.dimension, q.limit, q.page, q.csv)
	for _, heads := range [][]store.Head{now, before} {
		var version [8]byte
		binary.LittleEndian.PutUint64(version[:], versionOf(heads))
		h.Write(version[:])
	}
	return `W/"` + hex.EncodeToString(h.Sum(nil)) + `"`
}

// versionOf tells apart all states that days can be in, by their dates and
// revs.
func versionOf(heads []store.Head) uint64 {
	h := fnv.New64a()
	for _, head := range heads {
		addVersion(h.Write, head.Date, head.Rev)
	}
	return h.Sum64()
}

// monthVersion is versionOf the days that a month was made of.
func monthVersion(month *rollup.Day) uint64 {
	h := fnv.New64a()
	for _, part := range month.Parts {
		addVersion(h.Write, part.Date, part.Rev)
	}
	return h.Sum64()
}

func addVersion(write func([]byte) (int, error), date string, rev uint64) {
	// A hash never gives an error.
	_, _ = write(binary.LittleEndian.AppendUint64([]byte(date), rev))
}

// matchesETag tells whether an If-None-Match header names the ETag.
func matchesETag(header, etag string) bool {
	for named := range strings.SplitSeq(header, ",") {
		if "W/"+strings.TrimPrefix(strings.TrimSpace(named), "W/") == etag {
			return true
		}
	}
	return false
}
