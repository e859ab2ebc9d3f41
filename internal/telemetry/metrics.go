package telemetry

import (
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/daybook-analytics/daybook/internal/web"
)

// Metrics are those of one process, for Prometheus; docs/metrics.md says what
// each means. Those of a role are there once the role was added.
//
// The roles know nothing of Prometheus. They count for themselves, and what
// they counted is read when the metrics are asked for; only what must be seen
// as it happens, such as how long something took, goes through a function that
// a role is given.
type Metrics struct {
	registry *prometheus.Registry
	handler  http.Handler

	requests       *prometheus.CounterVec
	requestSeconds *prometheus.HistogramVec
}

// NewMetrics makes the metrics of a process that runs a version of Daybook.
func NewMetrics(version string, log *slog.Logger) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		// What cannot be told must not hide the rest.
		ErrorHandling: promhttp.ContinueOnError,
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelError),
		// Each asks the queue and the store.
		MaxRequestsInFlight: 4,
	})
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "daybook_http_requests_total", Help: "Requests that were answered.",
	}, []string{"role", "route", "method", "code"})
	m.requestSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "daybook_http_request_duration_seconds", Help: "Time from the header of a request to the end of its answer.",
		Buckets: durations,
	}, []string{"role", "route", "method"})
	m.registry.MustRegister(m.requests, m.requestSeconds,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.gauge("daybook_build_info", "Always 1; the labels tell what runs.",
		prometheus.Labels{"version": version, "go_version": runtime.Version()}, func() float64 { return 1 })
	return m
}

// durations are the buckets of what takes time, in seconds. sizes are those
// of numbers of events.
var (
	durations = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	sizes     = []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536}
)

// Register adds GET /metrics to a router, behind a guard.
func (m *Metrics) Register(rt *web.Router, guard web.Guard) {
	rt.Handle("/metrics", web.Methods{http.MethodGet: guard.Before(func(w http.ResponseWriter, r *http.Request) error {
		m.handler.ServeHTTP(w, r)
		return nil
	})})
}

// Requests counts and times the requests to the server of a role.
func (m *Metrics) Requests(role string) web.Observe {
	return func(route, method string) func(int, time.Duration) {
		seconds := m.requestSeconds.WithLabelValues(role, route, method)
		codes := m.requests.MustCurryWith(prometheus.Labels{"role": role, "route": route, "method": method})
		// Looked up once for each status, and not for each request.
		var counters [1000]atomic.Pointer[prometheus.Counter]
		counter := func(status int) prometheus.Counter {
			if c := counters[status].Load(); c != nil {
				return *c
			}
			c := codes.WithLabelValues(strconv.Itoa(status))
			counters[status].Store(&c)
			return c
		}
		// The increase from nothing to one is none that Prometheus can see.
		counter(http.StatusInternalServerError)
		return func(status int, took time.Duration) {
			counter(status).Inc()
			seconds.Observe(took.Seconds())
		}
	}
}

// counter adds a counter that is read by a function, which may be called at
// any time.
func (m *Metrics) counter(name, help string, labels prometheus.Labels, read func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, read))
}

// gauge adds a gauge that is read by a function.
func (m *Metrics) gauge(name, help string, labels prometheus.Labels, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, read))
}

// histogram adds a histogram.
func (m *Metrics) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	m.registry.MustRegister(h)
	return h
}
