package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/daybook-analytics/daybook/internal/ingest"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/internal/worker"
)

// Appended adds what ingest.Options.Appended tells of.
func (m *Metrics) Appended() func(events int, took time.Duration) {
	size := m.histogram("daybook_ingest_append_events", "Events of one write to the queue.", sizes)
	seconds := m.histogram("daybook_ingest_append_duration_seconds", "Time of one write to the queue.", durations)
	return func(events int, took time.Duration) {
		size.Observe(float64(events))
		seconds.Observe(took.Seconds())
	}
}

// Ingest adds what ingest counts, and the limits of the queue's backlog.
func (m *Metrics) Ingest(stats func() ingest.Stats, opts ingest.Options) {
	m.counter("daybook_ingest_events_accepted_total", "Events that were confirmed to their sender.", nil,
		func() float64 { return float64(stats().Accepted) })
	for reason := range stats().Rejected {
		m.counter("daybook_ingest_events_rejected_total", "Events, or whole requests, that were refused for what they are.",
			prometheus.Labels{"reason": reason}, func() float64 { return float64(stats().Rejected[reason]) })
	}
	for reason := range stats().Unavailable {
		m.counter("daybook_ingest_requests_unavailable_total", "Requests that could not be served, or not confirmed.",
			prometheus.Labels{"reason": reason}, func() float64 { return float64(stats().Unavailable[reason]) })
	}
	m.gauge("daybook_ingest_max_backlog_events", "Events in the queue beyond which none are taken; 0 is no limit.", nil,
		func() float64 { return float64(opts.MaxBacklogEvents) })
	m.gauge("daybook_ingest_max_backlog_bytes", "Bytes of events in the queue beyond which none are taken; 0 is no limit.", nil,
		func() float64 { return float64(opts.MaxBacklogBytes) })
}

// lags are the buckets of the time from an event to its rollup, in seconds.
var lags = []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21600}

// Stepped adds what worker.Options.Stepped tells of.
func (m *Metrics) Stepped() func(entries []queue.Entry, took time.Duration) {
	size := m.histogram("daybook_worker_step_events", "Events of one step.", sizes)
	seconds := m.histogram("daybook_worker_step_duration_seconds", "Time of one step, from the events that were read to the commit.", durations)
	lag := m.histogram("daybook_worker_lag_seconds", "Time from an entry's write to the queue to its events in the rollups.", lags)
	return func(entries []queue.Entry, took time.Duration) {
		now, events := time.Now(), 0
		for _, e := range entries {
			events += e.Events
			lag.Observe(age(e.ID, now))
		}
		size.Observe(float64(events))
		seconds.Observe(took.Seconds())
	}
}

// Worker adds what the worker counts.
func (m *Metrics) Worker(stats func() worker.Stats) {
	for _, c := range []struct {
		name, help string
		read       func(worker.Stats) uint64
	}{
		{"events", "Events of committed steps, duplicates too.", func(s worker.Stats) uint64 { return s.Events }},
		{"duplicates", "Events that were sent again and are not counted again.", func(s worker.Stats) uint64 { return s.Duplicates }},
		{"dead_letters", "Lines that could not be decoded or stored.", func(s worker.Stats) uint64 { return s.DeadLetters }},
		{"conflicts", "Rollups that another writer had changed.", func(s worker.Stats) uint64 { return s.Conflicts }},
		{"rollups_rebuilt", "Rollups that were missing or damaged and were folded again.", func(s worker.Stats) uint64 { return s.Rebuilt }},
		{"failures", "Steps and reads that failed and were tried again.", func(s worker.Stats) uint64 { return s.Failures }},
	} {
		m.counter("daybook_worker_"+c.name+"_total", c.help, nil, func() float64 { return float64(c.read(stats())) })
	}
}

// Scanned adds what report.Options.Scanned tells of.
func (m *Metrics) Scanned() func(took time.Duration) {
	seconds := m.histogram("daybook_report_raw_scan_duration_seconds", "Time of one raw scan, however it ended.", durations)
	return func(took time.Duration) { seconds.Observe(took.Seconds()) }
}

// Report adds what is known of raw scans.
func (m *Metrics) Report(scans func() report.ScanStats) {
	m.gauge("daybook_report_raw_scans_running", "Raw scans that are reading now.", nil,
		func() float64 { return float64(scans().Running) })
	m.counter("daybook_report_raw_scans_started_total", "Raw scans that began to read.", nil,
		func() float64 { return float64(scans().Started) })
	for reason, read := range map[string]func(report.ScanStats) uint64{
		"busy":   func(s report.ScanStats) uint64 { return s.RefusedBusy },
		"events": func(s report.ScanStats) uint64 { return s.RefusedEvents },
		"time":   func(s report.ScanStats) uint64 { return s.RefusedTime },
	} {
		m.counter("daybook_report_raw_scans_refused_total", "Raw scans that were not done, or not to their end.",
			prometheus.Labels{"reason": reason}, func() float64 { return float64(read(scans())) })
	}
}

// Reconcile adds what checks and rebuilds of days count, all together.
func (m *Metrics) Reconcile(all ...func() reconcile.Stats) {
	sum := func(name, help string, labels prometheus.Labels, read func(reconcile.Stats) uint64) {
		m.counter(name, help, labels, func() float64 {
			var n uint64
			for _, stats := range all {
				n += read(stats())
			}
			return float64(n)
		})
	}
	for _, kind := range reconcile.Kinds {
		for _, state := range reconcile.States {
			sum("daybook_reconcile_days_total", "Days that were compared with their raw events.",
				prometheus.Labels{"kind": kind, "state": string(state)},
				func(s reconcile.Stats) uint64 { return s.Days[reconcile.Found{Kind: kind, State: state}] })
		}
	}
	sum("daybook_reconcile_rebuilt_total", "Rollups that were replaced.", nil,
		func(s reconcile.Stats) uint64 { return s.Rebuilt })
	sum("daybook_reconcile_refused_total", "Rollups that were left wrong because their raw events give less.", nil,
		func(s reconcile.Stats) uint64 { return s.Refused })
	for _, kind := range []string{reconcile.KindCheck, reconcile.KindNightly, reconcile.KindRetention} {
		labels := prometheus.Labels{"kind": kind}
		sum("daybook_reconcile_failures_total", "Runs by schedule that failed.", labels,
			func(s reconcile.Stats) uint64 { return s.Failed[kind] })
		m.gauge("daybook_reconcile_last_success_timestamp_seconds", "When the last run by schedule of this process ended well; 0 if none has.", labels,
			func() float64 {
				var last time.Time
				for _, stats := range all {
					if at := stats().Succeeded[kind]; at.After(last) {
						last = at
					}
				}
				if last.IsZero() {
					return 0
				}
				return float64(last.UnixMilli()) / 1000
			})
	}
}
