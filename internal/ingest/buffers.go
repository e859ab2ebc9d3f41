package ingest

import (
	"math/bits"
	"sync"
)

// buffers are the large byte slices of this package, for bodies and lines.
// They are used again, because most of what ingest would otherwise allocate is
// these. What nobody uses goes with the second garbage collection.
var buffers bufferPool

// bufferPool keeps byte slices by size. The zero value is ready, and safe for
// concurrent use.
type bufferPool struct{ classes [bufferClasses]sync.Pool }

// Class i holds slices whose capacity is minBuffer<<i; the largest is that of
// the longest body. Larger ones are not kept.
const (
	minBuffer     = 1 << 10
	bufferClasses = 14
)

const _ = uint(minBuffer<<(bufferClasses-1) - maxBatchBody)

// get gives an empty slice with room for at least size bytes.
func (p *bufferPool) get(size int) []byte {
	class := bits.Len(uint(max(size, minBuffer)-1) / minBuffer)
	if class >= bufferClasses {
		return make([]byte, 0, size)
	}
	if b, ok := p.classes[class].Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 0, minBuffer<<class)
}

// put takes back a slice that get or grow gave, and that nobody uses any more.
func (p *bufferPool) put(b []byte) {
	class := bits.Len(uint(cap(b))/minBuffer) - 1
	if class < 0 || class >= bufferClasses || cap(b) != minBuffer<<class {
		return
	}
	b = b[:0]
	p.classes[class].Put(&b)
}

// grow makes room for n more bytes behind those of b, which came from get or
// grow and must not be used any more.
func (p *bufferPool) grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	larger := append(p.get(max(2*cap(b), len(b)+n)), b...)
	p.put(b)
	return larger
}
