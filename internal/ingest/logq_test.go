package ingest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/queue/logq"
	"github.com/daybook-analytics/daybook/rollup"
)

// TestOnTheEmbeddedQueue proves that what is confirmed is there after the
// queue was opened again, once, on the stream of its site.
func TestOnTheEmbeddedQueue(t *testing.T) {
	const senders, each = 16, 25
	dir := t.TempDir()
	q, err := logq.Open(dir, logq.Options{})
	if err != nil {
		t.Fatal(err)
	}
	in, rt := start(t, q, Options{MaxBacklogEvents: 1 << 30, Wait: time.Minute})
	var all sync.WaitGroup
	for s := range senders {
		all.Go(func() {
			for i := range each {
				one := fmt.Sprintf(`{"site_id":"site-%d","event_type":"e","event_id":"%d"}`, s, 2*i)
				if w := post(rt, "/event", one, "Content-Type", typeJSON); w.Code != 202 {
					t.Errorf("%d %s", w.Code, w.Body)
				}
				many := fmt.Sprintf(`[{"site_id":"site-%d","event_type":"e","event_id":"%d"}]`, s, 2*i+1)
				if w := post(rt, "/events", many, "Content-Type", typeJSON); w.Code != 202 {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			}
		})
	}
	all.Wait()
	if err := in.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}

	q, err = logq.Open(dir, logq.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	layout, err := q.Layout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next := map[string]int{}
	for i, stream := range layout.Names() {
		var after rollup.EntryID
		for {
			entries, err := q.Read(t.Context(), stream, after, 1000, 1<<20, 0)
			if err != nil {
				t.Fatal(err)
			}
			if len(entries) == 0 {
				break
			}
			after = entries[len(entries)-1].ID
			for _, entry := range entries {
				for _, e := range eventsOf(t, []byte(entry.Lines), entry.Events) {
					if e.ID != fmt.Sprint(next[e.Site]) || queue.Partition(e.Site, len(layout.Names())) != i {
						t.Fatalf("event %s of %s in stream %s, where %d comes next", e.ID, e.Site, stream, next[e.Site])
					}
					next[e.Site]++
				}
			}
		}
	}
	for s := range senders {
		if got := next[fmt.Sprintf("site-%d", s)]; got != 2*each {
			t.Errorf("site %d has %d events, want %d", s, got, 2*each)
		}
	}
}
