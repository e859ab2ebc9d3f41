package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
	"github.com/daybook-analytics/daybook/internal/importer"
	"github.com/daybook-analytics/daybook/internal/loadgen"
	"github.com/daybook-analytics/daybook/internal/queue/redisq/redistest"
	"github.com/daybook-analytics/daybook/internal/store/mongostore"
	"github.com/daybook-analytics/daybook/internal/store/mongostore/mongotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// installation is a choice of backends, the same for all processes on it.
type installation struct {
	queue config.Queue
	store config.Store
	data  config.Data
}

func (i *installation) config() app.Config {
	return app.Config{
		Process: config.Process{Grace: 20 * time.Second},
		Queue:   i.queue, Store: i.store, Data: i.data,
	}
}

func (i *installation) ingest() *config.Ingest { return &config.Ingest{IngestAddr: "127.0.0.1:0"} }

func (i *installation) worker() *config.Worker {
	return &config.Worker{TableKeys: 2000, Pace: 50 * time.Millisecond, LeaseTime: 5 * time.Second}
}

func (i *installation) report() *config.Report {
	return &config.Report{ReportAddr: "127.0.0.1:0", RawScans: 2, RawScanEvents: 1_000_000, RawScanTime: 10 * time.Second}
}

// installations are all the choices of backends that there are.
var installations = map[string]func(t *testing.T) *installation{
	"embedded": func(t *testing.T) *installation {
		return &installation{queue: config.Queue{Streams: 2}, data: config.Data{Data: t.TempDir()}}
	},
	"redis with embedded store": func(t *testing.T) *installation {
		return &installation{queue: redis(t), data: config.Data{Data: t.TempDir()}}
	},
	"redis and mongodb": func(t *testing.T) *installation {
		return &installation{queue: redis(t), store: mongodb(t)}
	},
}

func redis(t *testing.T) config.Queue {
	return config.Queue{Redis: redistest.Start(t), RedisPrefix: redistest.Prefix(), Streams: 2}
}

func mongodb(t *testing.T) config.Store {
	uri := mongotest.Start(t)
	st, err := mongostore.Open(t.Context(), uri, mongostore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Migrate(t.Context(), func(int, string) {}); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return config.Store{MongoDB: uri}
}

// run runs a process of Daybook until the test, or the function it gives,
// ends it. It must end without an error.
func run(t *testing.T, cfg app.Config) (*app.App, func()) {
	t.Helper()
	return runWith(t, cfg, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
}

// runWith is run with a log.
func runWith(t *testing.T, cfg app.Config, log *slog.Logger) (*app.App, func()) {
	t.Helper()
	a, err := app.New(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	end := func() {
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err, ok := <-ended; ok {
			close(ended)
			if err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(end)
	eventually(t, "it listens", func() bool {
		return (cfg.Ingest == nil || a.IngestAddr() != "") && (cfg.Report == nil || a.ReportAddr() != "")
	})
	return a, end
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for this: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// stats is what the tests look at of an answer.
type stats struct {
	Events   int    `json:"total_events"`
	Views    int    `json:"total_views"`
	Users    int    `json:"unique_users"`
	Source   string `json:"source"`
	TopPaths []struct {
		Path  string
		Views int
	} `json:"top_paths"`
}

func (s stats) String() string {
	var top []string
	for _, p := range s.TopPaths {
		top = append(top, fmt.Sprintf("%s %d", p.Path, p.Views))
	}
	return fmt.Sprintf("%d events, %d views, %d users, %s, from %s", s.Events, s.Views, s.Users, strings.Join(top, " · "), s.Source)
}

func getStats(t *testing.T, addr, query string) (s stats) {
	t.Helper()
	resp, err := http.Get("http://" + addr + "/stats?" + query)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET /stats?%s: %v, %s: %s", query, err, resp.Status, body)
	}
	if err := json.Unmarshal(body, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRealLog imports a real log twice into every installation, and compares
// what is reported with the figures of an independent count
// (internal/importer/testdata/README.md).
func TestRealLog(t *testing.T) {
	for name, install := range installations {
		t.Run(name, func(t *testing.T) {
			i := install(t)
			cfg := i.config()
			cfg.Ingest, cfg.Worker, cfg.Report = i.ingest(), i.worker(), i.report()
			a, _ := run(t, cfg)
			for range 2 {
				sum, err := importer.Run(t.Context(), importer.Options{
					To: "http://" + a.IngestAddr(), Site: "semicomplete",
					Files:     []string{"../importer/testdata/semicomplete-2015-05.log.gz"},
					StateFile: filepath.Join(t.TempDir(), "state"),
				})
				if err != nil || sum.Accepted != 9580 {
					t.Fatalf("import: %v, %+v", err, sum)
				}
			}
			// The second import is through when an event behind it is counted.
			resp, err := http.Post("http://"+a.IngestAddr()+"/event", "application/json",
				strings.NewReader(`{"site_id":"semicomplete","event_type":"end","timestamp":"2020-01-01T00:00:00Z"}`))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			// On MongoDB the days of a step are written one by one.
			eventually(t, "all events are counted", func() bool {
				return getStats(t, a.ReportAddr(), "site_id=semicomplete&date=2020-01-01").Events == 1 &&
					getStats(t, a.ReportAddr(), "site_id=semicomplete").Events >= 9581
			})
			for _, tt := range []struct{ query, want string }{
				{"date=2015-05-17", "1535 events, 1535 views, 355 users, /favicon.ico 117 · / 103 · /reset.css 92 · /style2.css 92 · /images/jordan-80.png 89, from rollup"},
				{"date=2015-05-18", "2767 events, 2767 views, 635 users, /favicon.ico 207 · / 197 · /blog/tags/puppet 181 · /style2.css 141 · /reset.css 139, from rollup"},
				{"date=2015-05-19", "2795 events, 2795 views, 564 users, /favicon.ico 241 · /style2.css 160 · /images/jordan-80.png 158 · /reset.css 156 · /images/web/2009/banner.png 154, from rollup"},
				{"from=2015-05-17&to=2015-05-20", "9580 events, 9580 views, 1792 users, /favicon.ico 799 · / 572 · /style2.css 546 · /reset.css 538 · /images/jordan-80.png 533, from rollup"},
			} {
				if got := getStats(t, a.ReportAddr(), "site_id=semicomplete&limit=5&"+tt.query).String(); got != tt.want {
					t.Errorf("%s:\n got %s\nwant %s", tt.query, got, tt.want)
				}
			}
		})
	}
}

// TestSingleRoles runs each role as a process of its own, restarts all of
// them under load, and counts.
func TestSingleRoles(t *testing.T) {
	i := installations["redis and mongodb"](t)
	health := &config.WorkerHealth{WorkerAddr: "127.0.0.1:0"}
	ingestOnly, workerOnly, reportOnly := i.config(), i.config(), i.config()
	ingestOnly.Ingest, reportOnly.Report = i.ingest(), i.report()
	workerOnly.Worker, workerOnly.WorkerHealth = i.worker(), health

	report, _ := run(t, reportOnly)
	for n := range 2 {
		ingest, endIngest := run(t, ingestOnly)
		_, endWorker := run(t, workerOnly)
		sum, err := loadgen.Run(t.Context(), loadgen.Options{
			To: "http://" + ingest.IngestAddr(), Events: 2000, Sites: 2, Days: 2,
			Paths: 50, Users: 100, ZipfS: 1.2, Seed: uint64(n + 1), Batch: 100, Parallel: 2,
		})
		if err != nil {
			t.Fatal(err)
		}
		// What was accepted and is not folded yet waits in the queue for the
		// next round's worker.
		endIngest()
		endWorker()
		_, endWorker = run(t, workerOnly)
		differences, err := loadgen.Check(t.Context(), "http://"+report.ReportAddr(), "", sum, time.Minute)
		if err != nil || len(differences) > 0 {
			t.Errorf("%v %v", err, differences)
		}
		endWorker()
	}
}

// TestSchemaIsChecked refuses stores that this program does not fit.
func TestSchemaIsChecked(t *testing.T) {
	i := &installation{queue: redis(t), store: config.Store{MongoDB: mongotest.Start(t)}}
	cfg := i.config()
	cfg.Report = i.report()
	_, err := app.New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "daybook migrate up --mongodb URI") {
		t.Errorf("a database without a schema gives %v", err)
	}
}

// TestAddressInUse gives one line that names role and address.
func TestAddressInUse(t *testing.T) {
	first := installations["embedded"](t)
	cfg := first.config()
	cfg.Ingest, cfg.Worker, cfg.Report = first.ingest(), first.worker(), first.report()
	a, _ := run(t, cfg)

	second := installations["embedded"](t)
	cfg = second.config()
	cfg.Ingest, cfg.Worker, cfg.Report = second.ingest(), second.worker(), second.report()
	cfg.Report.ReportAddr = a.ReportAddr()
	b, err := app.New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "report cannot listen on "+a.ReportAddr()) {
		t.Errorf("a report address in use gives %v", err)
	}
}
