package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/ingest"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/internal/worker"
	"github.com/daybook-analytics/daybook/rollup"
)

var discard = slog.New(slog.DiscardHandler)

// scrape gives Daybook's own series as a scraper gets them, by name and labels.
func scrape(t *testing.T, m *Metrics) map[string]float64 {
	t.Helper()
	rt := web.NewRouter(discard)
	m.Register(rt, nil)
	w := httptest.NewRecorder()
	rt.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("GET /metrics: %d %s", w.Code, w.Body)
	}
	series := map[string]float64{}
	for line := range strings.Lines(w.Body.String()) {
		if !strings.HasPrefix(line, "daybook_") {
			continue
		}
		line = strings.TrimSpace(line)
		cut := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[cut+1:], 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		series[line[:cut]] = value
	}
	return series
}

// wantSeries checks some of the series; a negative value is one that must not
// be there.
func wantSeries(t *testing.T, m *Metrics, want map[string]float64) {
	t.Helper()
	got := scrape(t, m)
	for name, value := range want {
		n, ok := got[name]
		if ok != (value >= 0) || ok && math.Abs(n-value) > 1e-9 {
			t.Errorf("%s is %v (there: %v), want %v", name, n, ok, value)
		}
	}
}

func TestMetricsAreGuarded(t *testing.T) {
	rt := web.NewRouter(discard)
	NewMetrics("v1", discard).Register(rt, func(http.ResponseWriter, *http.Request) error {
		return &web.Error{Status: http.StatusForbidden, Message: "no"}
	})
	w := httptest.NewRecorder()
	rt.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "daybook_") {
		t.Errorf("GET /metrics: %d %s", w.Code, w.Body)
	}
}

func TestRequestsAreMeasured(t *testing.T) {
	m := NewMetrics("v1", discard)
	observe := m.Requests("report")
	event := observe("/event", "POST")
	event(202, 2*time.Millisecond)
	event(202, 40*time.Second)
	event(999, 0)
	observe("other", "other")(404, time.Second)
	wantSeries(t, m, map[string]float64{
		`daybook_http_requests_total{code="202",method="POST",role="report",route="/event"}`:                 2,
		`daybook_http_requests_total{code="999",method="POST",role="report",route="/event"}`:                 1,
		`daybook_http_requests_total{code="500",method="POST",role="report",route="/event"}`:                 0,
		`daybook_http_requests_total{code="404",method="POST",role="report",route="/event"}`:                 -1,
		`daybook_http_requests_total{code="404",method="other",role="report",route="other"}`:                 1,
		`daybook_http_request_duration_seconds_count{method="POST",role="report",route="/event"}`:            3,
		`daybook_http_request_duration_seconds_sum{method="POST",role="report",route="/event"}`:              40.002,
		`daybook_http_request_duration_seconds_bucket{method="POST",role="report",route="/event",le="30"}`:   2,
		`daybook_http_request_duration_seconds_bucket{method="POST",role="report",route="/event",le="+Inf"}`: 3,
	})
}

// Each process has its own registry: two in one program do not know each other.
func TestProcessesAreApart(t *testing.T) {
	a, b := NewMetrics("v1", discard), NewMetrics("v2", discard)
	a.Appended()(7, time.Millisecond)
	b.Appended()
	wantSeries(t, a, map[string]float64{"daybook_ingest_append_events_sum": 7})
	wantSeries(t, b, map[string]float64{"daybook_ingest_append_events_sum": 0})
}

func TestRoles(t *testing.T) {
	m := NewMetrics("v1", discard)
	m.Ingest(func() ingest.Stats {
		return ingest.Stats{Accepted: 3, Rejected: ingest.Counts{"path": 2, "syntax": 0}, Unavailable: ingest.Counts{"queue": 4}}
	}, ingest.Options{MaxBacklogEvents: 5, MaxBacklogBytes: 6})
	m.Worker(func() worker.Stats {
		return worker.Stats{Events: 1, Duplicates: 2, DeadLetters: 3, Conflicts: 4, Rebuilt: 5, Failures: 6}
	})
	m.Report(func() report.ScanStats {
		return report.ScanStats{Running: 1, Started: 2, RefusedBusy: 3, RefusedEvents: 4, RefusedTime: 5}
	})
	at := time.UnixMilli(1_795_512_600_500)
	drift := reconcile.Found{Kind: reconcile.KindCheck, State: reconcile.Drifted}
	m.Reconcile(func() reconcile.Stats {
		return reconcile.Stats{Days: map[reconcile.Found]uint64{drift: 1}, Rebuilt: 2, Succeeded: map[string]time.Time{reconcile.KindCheck: at}}
	}, func() reconcile.Stats {
		return reconcile.Stats{
			Days: map[reconcile.Found]uint64{drift: 10}, Rebuilt: 20, Refused: 30, Failed: map[string]uint64{reconcile.KindNightly: 4},
			Succeeded: map[string]time.Time{reconcile.KindCheck: at.Add(-time.Hour)},
		}
	})
	m.Scanned()(3 * time.Second)
	wantSeries(t, m, map[string]float64{
		"daybook_ingest_events_accepted_total":                             3,
		`daybook_ingest_events_rejected_total{reason="path"}`:              2,
		`daybook_ingest_events_rejected_total{reason="syntax"}`:            0,
		`daybook_ingest_requests_unavailable_total{reason="queue"}`:        4,
		"daybook_ingest_max_backlog_events":                                5,
		"daybook_ingest_max_backlog_bytes":                                 6,
		"daybook_worker_events_total":                                      1,
		"daybook_worker_duplicates_total":                                  2,
		"daybook_worker_dead_letters_total":                                3,
		"daybook_worker_conflicts_total":                                   4,
		"daybook_worker_rollups_rebuilt_total":                             5,
		"daybook_worker_failures_total":                                    6,
		"daybook_report_raw_scans_running":                                 1,
		"daybook_report_raw_scans_started_total":                           2,
		`daybook_report_raw_scans_refused_total{reason="busy"}`:            3,
		`daybook_report_raw_scans_refused_total{reason="events"}`:          4,
		`daybook_report_raw_scans_refused_total{reason="time"}`:            5,
		"daybook_report_raw_scan_duration_seconds_sum":                     3,
		`daybook_reconcile_days_total{kind="check",state="drift"}`:         11,
		`daybook_reconcile_days_total{kind="repair",state="ok"}`:           0,
		"daybook_reconcile_rebuilt_total":                                  22,
		"daybook_reconcile_refused_total":                                  30,
		`daybook_reconcile_failures_total{kind="nightly"}`:                 4,
		`daybook_reconcile_failures_total{kind="check"}`:                   0,
		`daybook_reconcile_last_success_timestamp_seconds{kind="check"}`:   1_795_512_600.5,
		`daybook_reconcile_last_success_timestamp_seconds{kind="nightly"}`: 0,
	})
}

func TestLag(t *testing.T) {
	m := NewMetrics("v1", discard)
	stepped := m.Stepped()
	entry := func(ago time.Duration, events int) queue.Entry {
		return queue.Entry{ID: rollup.EntryID{Ms: uint64(time.Now().Add(-ago).UnixMilli())}, Events: events}
	}
	// The clock of the last one's queue is ahead.
	stepped([]queue.Entry{entry(20*time.Second, 100), entry(20*time.Minute, 50), entry(-time.Minute, 1)}, time.Second)
	wantSeries(t, m, map[string]float64{
		"daybook_worker_step_events_sum":               151,
		"daybook_worker_step_duration_seconds_sum":     1,
		"daybook_worker_step_duration_seconds_count":   1,
		`daybook_worker_lag_seconds_bucket{le="0.05"}`: 1,
		`daybook_worker_lag_seconds_bucket{le="10"}`:   1,
		`daybook_worker_lag_seconds_bucket{le="60"}`:   2,
		`daybook_worker_lag_seconds_bucket{le="300"}`:  2,
		`daybook_worker_lag_seconds_bucket{le="1800"}`: 3,
	})
}

// testInstallation is a queue and a store that tell what they are given.
type testInstallation struct {
	backlog     []queue.Backlog
	checkpoints map[string]store.Checkpoint
	queueErr    error
	storeErr    error
}

func (i *testInstallation) Backlog(context.Context) ([]queue.Backlog, error) {
	return i.backlog, i.queueErr
}

func (i *testInstallation) Checkpoints(context.Context) (map[string]store.Checkpoint, error) {
	return i.checkpoints, i.storeErr
}

func TestBacklog(t *testing.T) {
	i := &testInstallation{backlog: []queue.Backlog{
		{Stream: "1:0", Entries: 2, Events: 30, Bytes: 400, Oldest: rollup.EntryID{Ms: 1}, Newest: rollup.EntryID{Ms: 2}},
		{Stream: "1:1"},
	}}
	both, onlyQueue, onlyStore := NewMetrics("v1", discard), NewMetrics("v1", discard), NewMetrics("v1", discard)
	both.Backlog(i, i)
	onlyQueue.Backlog(i, nil)
	onlyStore.Backlog(nil, i)
	wantSeries(t, both, map[string]float64{
		"daybook_queue_up":                                     1,
		"daybook_store_up":                                     1,
		`daybook_queue_entries{stream="1:0"}`:                  2,
		`daybook_queue_events{stream="1:0"}`:                   30,
		`daybook_queue_bytes{stream="1:0"}`:                    400,
		`daybook_queue_events{stream="1:1"}`:                   0,
		`daybook_queue_oldest_age_seconds{stream="1:1"}`:       0,
		`daybook_worker_oldest_unfolded_seconds{stream="1:1"}`: 0,
	})
	if got := scrape(t, both); got[`daybook_queue_oldest_age_seconds{stream="1:0"}`] < 1e9 || got[`daybook_worker_oldest_unfolded_seconds{stream="1:0"}`] < 1e9 {
		t.Errorf("an entry of 1970 is not old: %v", got)
	}
	wantSeries(t, onlyQueue, map[string]float64{
		"daybook_queue_up": 1, "daybook_store_up": -1, `daybook_queue_entries{stream="1:0"}`: 2,
		`daybook_worker_oldest_unfolded_seconds{stream="1:0"}`: -1,
	})
	wantSeries(t, onlyStore, map[string]float64{"daybook_queue_up": -1, "daybook_store_up": 1, `daybook_queue_entries{stream="1:0"}`: -1})

	// What is not known is not told; the rest is.
	i.storeErr = errors.New("away")
	wantSeries(t, both, map[string]float64{
		"daybook_queue_up": 1, "daybook_store_up": 0, `daybook_queue_entries{stream="1:0"}`: 2,
		`daybook_worker_oldest_unfolded_seconds{stream="1:0"}`: -1,
	})
	i.backlog, i.queueErr, i.storeErr = nil, errors.New("away"), nil
	wantSeries(t, both, map[string]float64{"daybook_queue_up": 0, "daybook_store_up": 1, `daybook_queue_entries{stream="1:0"}`: -1})
}

func TestUnfoldedAge(t *testing.T) {
	now := time.UnixMilli(10_000)
	id := func(ms uint64) rollup.EntryID { return rollup.EntryID{Ms: ms} }
	for _, test := range []struct {
		name           string
		oldest, newest rollup.EntryID
		entries        int64
		checkpoint     rollup.EntryID
		want           float64
	}{
		{"empty", id(0), id(0), 0, id(3000), 0},
		{"nothing is folded", id(2000), id(4000), 3, id(0), 8},
		{"all that is behind the checkpoint is there", id(2000), id(4000), 3, id(1000), 8},
		{"some is folded and not trimmed", id(2000), id(4000), 3, id(3000), 7},
		{"all is folded and not trimmed", id(2000), id(4000), 3, id(4000), 0},
		{"folded since the queue was asked", id(2000), id(4000), 3, id(5000), 0},
		{"of a clock that is ahead", id(12_000), id(12_000), 1, id(0), 0},
	} {
		backlog := queue.Backlog{Entries: test.entries, Oldest: test.oldest, Newest: test.newest}
		if got := unfoldedAge(backlog, test.checkpoint, now); got != test.want {
			t.Errorf("%s: %v s, want %v", test.name, got, test.want)
		}
	}
}

// testStore and testStep do nothing.
type (
	testStore struct{ worker.Store }
	testStep  struct{ store.Step }
)

func (testStore) Begin() store.Step { return testStep{} }

func (testStep) Insert(context.Context, []store.Event) ([]store.Outcome, error) { return nil, nil }
func (testStep) Load(context.Context, []store.DayKey) (map[store.DayKey]*rollup.Day, map[store.DayKey]*store.DamagedError, error) {
	return nil, nil, nil
}
func (testStep) Swap(context.Context, []*rollup.Day) ([]store.DayKey, error) { return nil, nil }
func (testStep) Commit(context.Context, store.Checkpoint) error              { return errors.New("a fault") }

func TestStepsAreTimed(t *testing.T) {
	m := NewMetrics("v1", discard)
	st := m.TimeSteps(testStore{})
	for n := range 4 {
		step := st.Begin()
		_, _ = step.Insert(t.Context(), nil)
		for range n {
			_, _, _ = step.Load(t.Context(), nil)
			_, _ = step.Swap(t.Context(), nil)
			_, _ = step.Swap(t.Context(), nil)
		}
		if err := step.Commit(t.Context(), store.Checkpoint{}); err == nil {
			t.Error("an error was lost")
		}
	}
	wantSeries(t, m, map[string]float64{
		`daybook_worker_store_duration_seconds_count{call="insert"}`: 4,
		`daybook_worker_store_duration_seconds_count{call="load"}`:   6,
		`daybook_worker_store_duration_seconds_count{call="swap"}`:   12,
		`daybook_worker_store_duration_seconds_count{call="commit"}`: 4,
	})
}

func BenchmarkRequest(b *testing.B) {
	observe := NewMetrics("v1", discard).Requests("ingest")("/event", "POST")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			observe(202, 800*time.Microsecond)
		}
	})
}

func BenchmarkStep(b *testing.B) {
	stepped := NewMetrics("v1", discard).Stepped()
	entries := make([]queue.Entry, 1000)
	for b.Loop() {
		stepped(entries, time.Millisecond)
	}
}
