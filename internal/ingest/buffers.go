package ingest

import (
	"slices"
	"sync"
)

// buffers are the large byte slices of this package, for bodies and lines.
// They are used again, because most of what ingest would otherwise allocate is
// these. What nobody uses goes with the second garbage collection.
var buffers bufferPool

// bufferPool keeps byte slices by size. The zero value is ready, and safe for
// concurrent use.
type bufferPool struct{ pools [len(bufferSizes)]sync.Pool }

// bufferSizes are the capacities of the slices that are kept: each at most half
// as large again as the one before, so that a slice which has grown is at least
// two thirds full, and up to more than the longest body.
var bufferSizes = func() (sizes [28]int) {
	for i := range sizes {
		sizes[i] = (2 + i%2) << (9 + i/2)
	}
	return sizes
}()

// get gives an empty slice with room for at least size bytes.
func (p *bufferPool) get(size int) []byte {
	i, _ := slices.BinarySearch(bufferSizes[:], size)
	if i == len(bufferSizes) {
		return make([]byte, 0, size)
	}
	if b, ok := p.pools[i].Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 0, bufferSizes[i])
}

// put takes back a slice that get or grow gave, and that nobody uses any more.
// One that append has made larger is not kept.
func (p *bufferPool) put(b []byte) {
	if i, kept := slices.BinarySearch(bufferSizes[:], cap(b)); kept {
		b = b[:0]
		p.pools[i].Put(&b)
	}
}

// grow makes room for n more bytes behind those of b, which came from get or
// grow and must not be used any more.
func (p *bufferPool) grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	larger := append(p.get(max(cap(b)+1, len(b)+n)), b...)
	p.put(b)
	return larger
}
