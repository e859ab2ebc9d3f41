package app_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
)

// TestIngestWaitsForItsStore starts ingest while MongoDB is away: it runs, and
// takes nothing before it knows who may send.
func TestIngestWaitsForItsStore(t *testing.T) {
	i := &installation{queue: redis(t), store: config.Store{MongoDB: "mongodb://127.0.0.1:1/daybook?serverSelectionTimeoutMS=200"}}
	cfg := i.config()
	cfg.Ingest = i.ingest()
	a, _ := run(t, cfg)
	resp, err := http.Post("http://"+a.IngestAddr()+"/event", "application/json", strings.NewReader(`{"site_id":"s","event_type":"e"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("an event: %s", resp.Status)
	}
	cfg = i.config()
	cfg.Report = i.report()
	if _, err := app.New(t.Context(), cfg, discard); err == nil {
		t.Error("a report role starts without a store")
	}
}

// TestOpenToOthers refuses addresses of other machines until there is a key.
func TestOpenToOthers(t *testing.T) {
	for flag, set := range map[string]func(*app.Config){
		"--ingest-addr": func(cfg *app.Config) { cfg.Ingest.IngestAddr = "0.0.0.0:0" },
		"--report-addr": func(cfg *app.Config) { cfg.Report.ReportAddr = "0.0.0.0:0" },
	} {
		i := installations["embedded"](t)
		cfg := i.config()
		cfg.Ingest, cfg.Worker, cfg.Report = i.ingest(), i.worker(), i.report()
		set(&cfg)
		if _, err := app.New(t.Context(), cfg, discard); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s of other machines without keys: %v", flag, err)
		}
		for _, mode := range []access.Mode{access.None, access.Always} {
			cfg.Access.Auth = mode
			_, end := run(t, cfg)
			end()
		}
	}
}
