package ingest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/queue/logq"
)

// benchQueue is a queue whose Append takes as long as Redis on the same
// machine, and keeps nothing.
func benchQueue() *testQueue {
	q := newTestQueue(4)
	q.delay = 200 * time.Microsecond
	q.forget = true
	return q
}

// parallel runs op on n goroutines, or a few more for each CPU to have the same
// number; op is given the number of its goroutine.
func parallel(b *testing.B, n int, op func(worker int) error) {
	perCPU := (n + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0)
	b.SetParallelism(perCPU)
	b.ReportAllocs()
	var workers atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		i := int(workers.Add(1)) - 1
		for pb.Next() {
			if err := op(i); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{2, 32, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			in, _ := start(b, benchQueue(), Options{})
			all := make([]*lines, n+runtime.GOMAXPROCS(0))
			for i := range all {
				all[i] = testLines(fmt.Sprintf("1:%d=%s", i%4, strings.Repeat("x", 150)))
			}
			parallel(b, n, func(worker int) error { return in.committer.commit(all[worker]) })
		})
	}
}

const benchBody = `{"site_id":"site-abc","event_type":"page_view","path":"/blog/post-1","user_id":"u-123456","referrer":"https://example.org/"}`

// BenchmarkHandler calls the handler without a network.
func BenchmarkHandler(b *testing.B) {
	for _, n := range []int{32, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			_, rt := start(b, benchQueue(), Options{})
			parallel(b, n, func(int) error {
				if w := post(rt, "/event", benchBody, "Content-Type", typeJSON); w.Code != 202 {
					return fmt.Errorf("%d %s", w.Code, w.Body)
				}
				return nil
			})
		})
	}
}

// BenchmarkBatch decodes 1,000 events of a request and commits them to a queue
// that costs nothing, without a network.
func BenchmarkBatch(b *testing.B) {
	const size = 1000
	for _, of := range []struct{ name, media, body string }{
		{"ndjson", typeNDJSON, strings.Repeat(benchBody+"\n", size)},
		{"array", typeJSON, "[" + strings.Repeat(benchBody+",", size-1) + benchBody + "]"},
	} {
		b.Run(of.name, func(b *testing.B) {
			q := newTestQueue(4)
			q.forget = true
			_, rt := start(b, q, Options{})
			b.SetBytes(int64(len(of.body)))
			b.ReportAllocs()
			for b.Loop() {
				if w := post(rt, "/events", of.body, "Content-Type", of.media); w.Code != 202 {
					b.Fatal(w.Code, w.Body)
				}
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkHTTP sends events over connections of this machine: to a handler
// that only answers, to ingest on a queue that takes 0.2 ms, and to ingest on
// the embedded queue.
func BenchmarkHTTP(b *testing.B) {
	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		answerOne(w, 1, nil)
	})
	role := func(b *testing.B, q queue.Queue) http.Handler {
		_, rt := start(b, q, Options{})
		return rt
	}
	for _, server := range []struct {
		name    string
		handler func(*testing.B) http.Handler
	}{
		{"bare", func(*testing.B) http.Handler { return bare }},
		{"memory", func(b *testing.B) http.Handler { return role(b, benchQueue()) }},
		{"logq", func(b *testing.B) http.Handler {
			q, err := logq.Open(b.TempDir(), logq.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() {
				if err := q.Close(); err != nil {
					b.Error(err)
				}
			})
			return role(b, q)
		}},
	} {
		for _, n := range []int{32, 256} {
			b.Run(fmt.Sprint(server.name, "/", n), func(b *testing.B) {
				srv := httptest.NewServer(server.handler(b))
				defer srv.Close()
				client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}}
				defer client.CloseIdleConnections()
				parallel(b, n, func(int) error {
					resp, err := client.Post(srv.URL+"/event", typeJSON, strings.NewReader(benchBody))
					if err != nil {
						return err
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					if resp.StatusCode != http.StatusAccepted {
						return fmt.Errorf("status %d", resp.StatusCode)
					}
					return resp.Body.Close()
				})
			})
		}
	}
}
