package ingest

import (
	"bytes"
	"testing"
)

func TestBuffers(t *testing.T) {
	var pool bufferPool
	for _, size := range []int{0, 1, bufferSizes[0], bufferSizes[0] + 1, 3 << 10, maxBatchBody, 2 * maxBatchBody} {
		b := pool.get(size)
		if len(b) != 0 || cap(b) < size {
			t.Errorf("get(%d) gives %d bytes with room for %d", size, len(b), cap(b))
		}
		pool.put(append(b, "used"...))
		if b := pool.get(size); len(b) != 0 || cap(b) < size {
			t.Errorf("get(%d) after put gives %d bytes with room for %d", size, len(b), cap(b))
		}
	}

	var b []byte
	var want []byte
	for i := range 100 {
		part := bytes.Repeat([]byte{byte(i)}, 1+i*97)
		b = append(pool.grow(b, len(part)), part...)
		want = append(want, part...)
		// A buffer that was outgrown belongs to somebody else now.
		other := pool.get(cap(b) / 2)
		clear(other[:cap(other)])
	}
	if !bytes.Equal(b, want) {
		t.Error("growing has changed what was in the buffer")
	}
}
