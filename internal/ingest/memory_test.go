package ingest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// heap is how many bytes are in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what is in a sync.Pool outlives the first
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// upload is a request whose body comes as it is written to it.
type upload struct {
	*io.PipeWriter
	status chan int
}

func newUpload(rt http.Handler) *upload {
	body, w := io.Pipe()
	u := &upload{w, make(chan int, 1)}
	r := httptest.NewRequest(http.MethodPost, "/events", body)
	r.Header.Set("Content-Type", typeNDJSON)
	go func() {
		w := httptest.NewRecorder()
		rt.ServeHTTP(w, r)
		body.Close() // what is written is read or fails
		u.status <- w.Code
	}()
	return u
}

// end ends the body and gives the answer.
func (u *upload) end() int {
	u.Close()
	return <-u.status
}

// TestManyUploads begins far more uploads than the server may hold, none of
// which ends. It holds as many as it may, and refuses the others at once.
func TestManyUploads(t *testing.T) {
	const uploads, size = 400, 128 << 10
	_, rt := start(t, newTestQueue(1), Options{})
	before := heap()
	chunk := []byte(strings.Repeat(" ", 16<<10))
	begun := make([]*upload, uploads)
	var all sync.WaitGroup
	for i := range begun {
		all.Go(func() {
			begun[i] = newUpload(rt)
			for range size / len(chunk) {
				if _, err := begun[i].Write(chunk); err != nil {
					return // refused
				}
			}
		})
	}
	all.Wait()
	if grown := heap() - before; grown > 2*maxHeldBytes {
		t.Errorf("the bodies take %d bytes", grown)
	}
	taken := 0
	for _, u := range begun {
		switch status := u.end(); status {
		case http.StatusAccepted:
			taken++
		case http.StatusServiceUnavailable:
		default:
			t.Errorf("answered %d", status)
		}
	}
	if taken == 0 || taken*size > maxHeldBytes {
		t.Errorf("%d uploads of %d bytes were taken at once", taken, size)
	}
}

// TestSlowSenders sends large batches and, after each, begins a request that
// then says nothing more. It must not take the memory that the batch had.
func TestSlowSenders(t *testing.T) {
	const rounds, size = 20, 1 << 20
	_, rt := start(t, newTestQueue(1), Options{})
	large := strings.Repeat(" ", size) + "\n" + small
	before := heap()
	var slow []*upload
	for range rounds {
		if w := post(rt, "/events", large, "Content-Type", typeNDJSON); w.Code != http.StatusAccepted {
			t.Fatal(w.Code)
		}
		u := newUpload(rt)
		if _, err := u.Write([]byte(" ")); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, u)
		heap() // what is only kept to be used again goes
	}
	if grown := heap() - before; grown > rounds*size/4 {
		t.Errorf("%d slow requests take %d bytes", rounds, grown)
	}
	for _, u := range slow {
		u.end()
	}
}

// slowReader reads an answer only when it is told to.
type slowReader struct {
	*httptest.ResponseRecorder
	begun, read chan struct{}
}

func (w *slowReader) Write(b []byte) (int, error) {
	w.begun <- struct{}{}
	<-w.read
	return w.ResponseRecorder.Write(b)
}

// TestSlowReaders sends large batches without reading the answers, meanwhile
// nothing of the batches is left.
func TestSlowReaders(t *testing.T) {
	const readers, size = 20, 1 << 20
	_, rt := start(t, newTestQueue(1), Options{})
	large := zip(strings.Repeat(" ", size))
	before := heap()
	read := make(chan struct{})
	var all sync.WaitGroup
	for range readers {
		w := &slowReader{httptest.NewRecorder(), make(chan struct{}), read}
		all.Go(func() {
			r := httptest.NewRequest(http.MethodPost, "/events", strings.NewReader(large))
			r.Header.Set("Content-Type", typeNDJSON)
			r.Header.Set("Content-Encoding", "gzip")
			rt.ServeHTTP(w, r)
		})
		<-w.begun
	}
	if grown := heap() - before; grown > readers*size/4 {
		t.Errorf("%d slow readers take %d bytes", readers, grown)
	}
	close(read)
	all.Wait()
}
