package app_test

import (
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/daybook-analytics/daybook/internal/config"
	"github.com/daybook-analytics/daybook/internal/event"
)

// metric is what a process tells of a metric, or docs/metrics.md.
type metric struct {
	kind   string
	labels string // in order, with commas between
}

var (
	labelName = regexp.MustCompile(`([a-z_]+)="`)
	// labelValue finds those labels of which all values are known.
	labelValue = regexp.MustCompile(`\b(?:reason|kind|state|call)="([^"]*)"`)
)

// getMetrics gives the metrics of a process by their names, and the text.
func getMetrics(t *testing.T, addr string) (map[string]metric, string) {
	t.Helper()
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET /metrics: %v, %s: %s", err, resp.Status, body)
	}
	metrics := map[string]metric{}
	var name string
	for line := range strings.Lines(string(body)) {
		if fields := strings.Fields(line); fields[0] == "#" {
			if name = fields[2]; fields[1] == "TYPE" {
				metrics[name] = metric{kind: fields[3]}
			}
			continue
		}
		labels := []string{}
		for _, match := range labelName.FindAllStringSubmatch(line, -1) {
			if match[1] != "le" {
				labels = append(labels, match[1])
			}
		}
		slices.Sort(labels)
		m := metrics[name]
		m.labels = strings.Join(labels, ",")
		metrics[name] = m
	}
	return metrics, string(body)
}

// documentedMetrics reads the tables of docs/metrics.md.
func documentedMetrics(t *testing.T) map[string]metric {
	t.Helper()
	metrics := map[string]metric{}
	for line := range strings.Lines(readDoc(t, "metrics.md")) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|\n"), "|")
		if len(cells) != 5 {
			t.Fatalf("docs/metrics.md: %d cells where 5 belong: %s", len(cells), line)
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(strings.ReplaceAll(cells[i], "`", ""))
			if cells[i] == "" && i != 2 {
				t.Errorf("docs/metrics.md: an empty cell: %s", line)
			}
		}
		labels := strings.Split(cells[2], ", ")
		slices.Sort(labels)
		metrics[cells[0]] = metric{kind: cells[1], labels: strings.Join(labels, ",")}
	}
	return metrics
}

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestMetricsAreDocumented holds docs/metrics.md against a running process, in
// both directions.
func TestMetricsAreDocumented(t *testing.T) {
	i := installations["embedded"](t)
	cfg := i.config()
	cfg.Ingest, cfg.Worker, cfg.Report = i.ingest(), i.worker(), i.report()
	a, _ := run(t, cfg)
	getMetrics(t, a.IngestAddr()) // so that there is a request to count
	running, text := getMetrics(t, a.ReportAddr())
	inDocs, page := documentedMetrics(t), readDoc(t, "metrics.md")
	for _, match := range labelValue.FindAllStringSubmatch(text, -1) {
		if !strings.Contains(page, "`"+match[1]+"`") && !slices.Contains(event.FieldNames(), match[1]) {
			t.Errorf("docs/metrics.md does not say what %s means", match[0])
		}
	}
	for name, m := range running {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		if inDocs[name] != m {
			t.Errorf("%s is a %+v, and docs/metrics.md has %+v", name, m, inDocs[name])
		}
	}
	for name := range inDocs {
		if _, ok := running[name]; !ok {
			t.Errorf("docs/metrics.md has %s, which there is not", name)
		}
	}
}

// TestRolesHaveTheirMetrics looks at each role as a process of its own.
func TestRolesHaveTheirMetrics(t *testing.T) {
	i := installations["redis and mongodb"](t)
	ingestOnly, workerOnly, reportOnly := i.config(), i.config(), i.config()
	ingestOnly.Ingest, reportOnly.Report = i.ingest(), i.report()
	ingestApp, _ := run(t, ingestOnly)
	reportApp, _ := run(t, reportOnly)
	workerOnly.Worker, workerOnly.WorkerHealth = i.worker(), &config.WorkerHealth{WorkerAddr: "127.0.0.1:0"}
	workerApp, _ := run(t, workerOnly)
	eventually(t, "the worker listens", func() bool { return workerApp.WorkerAddr() != "" })
	for role, test := range map[string]struct {
		addr     string
		has, not []string
	}{
		"ingest": {ingestApp.IngestAddr(), []string{"daybook_ingest_events_accepted_total", "daybook_queue_up", "daybook_queue_events", "daybook_store_up"},
			[]string{"daybook_worker_events_total", "daybook_report_raw_scans_running", "daybook_reconcile_days_total"}},
		"worker": {workerApp.WorkerAddr(), []string{"daybook_worker_events_total", "daybook_worker_oldest_unfolded_seconds", "daybook_queue_up", "daybook_store_up", "daybook_reconcile_days_total"},
			[]string{"daybook_ingest_events_accepted_total", "daybook_report_raw_scans_running"}},
		"report": {reportApp.ReportAddr(), []string{"daybook_report_raw_scans_running", "daybook_store_up", "daybook_queue_up", "daybook_reconcile_days_total"},
			[]string{"daybook_worker_events_total", "daybook_ingest_events_accepted_total"}},
	} {
		getMetrics(t, test.addr)
		metrics, text := getMetrics(t, test.addr)
		for _, name := range append(test.has, "daybook_build_info", "go_goroutines", "process_cpu_seconds_total") {
			if _, ok := metrics[name]; !ok {
				t.Errorf("%s lacks %s", role, name)
			}
		}
		for _, name := range test.not {
			if _, ok := metrics[name]; ok {
				t.Errorf("%s has %s", role, name)
			}
		}
		want := `daybook_http_requests_total{code="200",method="GET",role="` + role + `",route="/metrics"} 1`
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%s lacks %s:\n%s", role, want, text)
		}
	}
}

// TestMetricsTellWhatHappens follows events through all roles.
func TestMetricsTellWhatHappens(t *testing.T) {
	i := installations["embedded"](t)
	cfg := i.config()
	cfg.Version = "v1.2.3"
	cfg.Ingest, cfg.Worker, cfg.Report = i.ingest(), i.worker(), i.report()
	a, _ := run(t, cfg)
	const event = `{"site_id":"s","event_type":"page_view","event_id":"%","timestamp":"2026-11-20T12:00:00Z"}`
	for _, body := range []string{
		strings.ReplaceAll(event, "%", "a") + "\n" + strings.ReplaceAll(event, "%", "b") + "\n{}",
		strings.ReplaceAll(event, "%", "a"),
	} {
		resp, err := http.Post("http://"+a.IngestAddr()+"/events", "application/x-ndjson", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	for _, path := range []string{"/nothing/here", "/stats?site_id=s&date=2026-11-20"} {
		resp, err := http.Get("http://" + a.ReportAddr() + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	var text string
	for _, want := range []string{
		`daybook_build_info{go_version="[^"]+",version="v1.2.3"} 1`,
		`daybook_ingest_events_accepted_total 3`,
		`daybook_ingest_events_rejected_total\{reason="site_id"} 1`,
		`daybook_ingest_append_events_sum 3`,
		`daybook_worker_events_total 3`,
		`daybook_worker_duplicates_total 1`,
		`daybook_worker_step_events_sum 3`,
		`daybook_worker_lag_seconds_count 2`,
		`daybook_queue_events\{stream="1:0"} 0`,
		`daybook_worker_oldest_unfolded_seconds\{stream="1:0"} 0`,
		`daybook_http_requests_total\{code="202",method="POST",role="ingest",route="/events"} 2`,
		`daybook_http_requests_total\{code="404",method="other",role="report",route="other"} 1`,
		`daybook_http_request_duration_seconds_count\{method="GET",role="report",route="/stats"} 1`,
	} {
		line := regexp.MustCompile(`(?m)^` + strings.ReplaceAll(want, "build_info{", `build_info\{`) + `$`)
		eventually(t, want, func() bool {
			_, text = getMetrics(t, a.IngestAddr())
			return line.MatchString(text)
		})
	}
	if strings.Contains(text, "nothing") {
		t.Error("the path of a request became a label")
	}
}

var metricName = regexp.MustCompile(`daybook_[a-z_]+`)

// TestRulesNameMetrics holds the alert rules, the dashboard and the runbook
// against docs/metrics.md. test/rules parses their expressions.
func TestRulesNameMetrics(t *testing.T) {
	inDocs := documentedMetrics(t)
	shown := map[string]bool{}
	for _, page := range []string{"prometheus/alerts.yml", "grafana/daybook.json", "runbook.md"} {
		for _, name := range metricName.FindAllString(readDoc(t, page), -1) {
			m, ok := inDocs[name]
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if of, found := strings.CutSuffix(name, suffix); found && inDocs[of].kind == "histogram" {
					name, m, ok = of, metric{}, true
				}
			}
			if !ok || m.kind == "histogram" {
				t.Errorf("docs/%s names %s, which is no series that there is", page, name)
			}
			if page == "grafana/daybook.json" {
				shown[name] = true
			}
		}
	}
	for name := range inDocs {
		if !shown[name] {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}

// TestAlertsAreInTheRunbook wants a section for each alert and none for others.
func TestAlertsAreInTheRunbook(t *testing.T) {
	rules := readDoc(t, "prometheus/alerts.yml")
	alerts, links, sections := map[string]bool{}, map[string]bool{}, map[string]bool{}
	find := func(text, pattern string, in map[string]bool) {
		for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			in[match[1]] = true
		}
	}
	find(rules, `(?m)^ +- alert: (\w+)$`, alerts)
	find(strings.ToLower(rules), `(?m)^ +runbook: runbook\.md#(\w+)$`, links)
	find(readDoc(t, "runbook.md"), `(?m)^### (Daybook\w+)$`, sections)
	if len(alerts) == 0 || !maps.Equal(alerts, sections) {
		t.Errorf("alerts   %v\nsections %v", slices.Sorted(maps.Keys(alerts)), slices.Sorted(maps.Keys(sections)))
	}
	for name := range alerts {
		if !links[strings.ToLower(name)] {
			t.Errorf("%s has no link to its section of the runbook", name)
		}
	}
}
