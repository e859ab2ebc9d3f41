package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// Queue is what the metrics of the backlog need of the queue.
type Queue interface {
	Backlog(ctx context.Context) ([]queue.Backlog, error)
}

// Store is what the metrics of the backlog need of the store.
type Store interface {
	Checkpoints(ctx context.Context) (map[string]store.Checkpoint, error)
}

// askTime is how long a queue or a store has to answer; Prometheus itself
// waits for ten seconds unless told otherwise.
const askTime = 3 * time.Second

// Backlog adds what waits in the queue, and whether queue and store answer.
// Either may be nil if the process does not have it.
func (m *Metrics) Backlog(q Queue, st Store) {
	m.registry.MustRegister(&backlog{q, st})
}

// backlog asks queue and store whenever the metrics are read, so that they
// also tell the truth of a process that does nothing.
type backlog struct {
	queue Queue
	store Store
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	queueUp      = desc("daybook_queue_up", "1 if the queue answered when it was asked for this, else 0.")
	queueEntries = desc("daybook_queue_entries", "Entries in a stream that are not trimmed.", "stream")
	queueEvents  = desc("daybook_queue_events", "Events in a stream that are not trimmed.", "stream")
	queueBytes   = desc("daybook_queue_bytes", "Bytes of the events in a stream that are not trimmed.", "stream")
	queueOldest  = desc("daybook_queue_oldest_age_seconds", "Age of the oldest entry of a stream; 0 if it is empty.", "stream")
	storeUp      = desc("daybook_store_up", "1 if the store answered when it was asked for this, else 0.")
	unfolded     = desc("daybook_worker_oldest_unfolded_seconds", "Age of the oldest entry of a stream whose events are not in the rollups, at most; 0 if there is none.", "stream")
)

// Describe implements prometheus.Collector.
func (b *backlog) Describe(descs chan<- *prometheus.Desc) {
	if b.queue != nil {
		for _, d := range []*prometheus.Desc{queueUp, queueEntries, queueEvents, queueBytes, queueOldest} {
			descs <- d
		}
	}
	if b.store != nil {
		descs <- storeUp
	}
	if b.queue != nil && b.store != nil {
		descs <- unfolded
	}
}

// Collect implements prometheus.Collector.
func (b *backlog) Collect(metrics chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	up := func(d *prometheus.Desc, err error) {
		if err != nil {
			send(d, 0)
			return
		}
		send(d, 1)
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()

	var streams []queue.Backlog
	if b.queue != nil {
		var err error
		streams, err = b.queue.Backlog(ctx)
		up(queueUp, err)
	}
	now := time.Now()
	for _, s := range streams {
		send(queueEntries, float64(s.Entries), s.Stream)
		send(queueEvents, float64(s.Events), s.Stream)
		send(queueBytes, float64(s.Bytes), s.Stream)
		oldest := 0.0
		if s.Entries > 0 {
			oldest = age(s.Oldest, now)
		}
		send(queueOldest, oldest, s.Stream)
	}

	if b.store == nil {
		return
	}
	// After the queue, so that what is folded meanwhile is not taken for
	// waiting.
	checkpoints, err := b.store.Checkpoints(ctx)
	up(storeUp, err)
	if err != nil {
		return
	}
	for _, s := range streams {
		send(unfolded, unfoldedAge(s, checkpoints[s.Stream].Position.Entry, now), s.Stream)
	}
}

// unfoldedAge is the age of the oldest entry behind the checkpoint. When the
// queue still has entries before it that are to be trimmed, the oldest behind
// it is not known, but is not older than the checkpoint.
func unfoldedAge(s queue.Backlog, checkpoint rollup.EntryID, now time.Time) float64 {
	switch {
	case s.Entries == 0 || s.Newest.Compare(checkpoint) <= 0:
		return 0
	case s.Oldest.Compare(checkpoint) > 0:
		return age(s.Oldest, now)
	}
	return age(checkpoint, now)
}

// age is how many seconds ago an entry was written. Its time is that of the
// queue's clock, which may be a little ahead.
func age(id rollup.EntryID, now time.Time) float64 {
	return max(0, now.Sub(time.UnixMilli(int64(id.Ms))).Seconds())
}
