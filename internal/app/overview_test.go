package app_test

import (
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/store/pebblestore"
)

// TestOverviews asks for what is about all sites together: everybody may while
// there is no key, and then keys for reading of all sites only. The way of
// events closes its own metrics too.
func TestOverviews(t *testing.T) {
	i := installations["embedded"](t)
	cfg := i.config()
	cfg.Ingest, cfg.Worker, cfg.Report = i.ingest(), i.worker(), i.report()
	a, end := run(t, cfg)
	check := func(what, token string, ingestMetrics, reportMetrics int) {
		t.Helper()
		for url, want := range map[string]int{
			a.IngestAddr() + "/metrics": ingestMetrics,
			a.ReportAddr() + "/metrics": reportMetrics,
			a.ReportAddr() + "/status":  reportMetrics,
			a.IngestAddr() + "/healthz": 200,
			a.ReportAddr() + "/readyz":  200,
		} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+url, nil)
			if err != nil {
				t.Fatal(err)
			}
			if token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != want {
				t.Errorf("%s, %s: %d %v, want %d", what, url, resp.StatusCode, err, want)
			}
			if resp.StatusCode != http.StatusOK && (strings.Contains(string(body), "daybook_") || strings.Contains(string(body), "schema_version")) {
				t.Errorf("%s, %s tells all the same: %s", what, url, body)
			}
		}
	}
	create := func(scope access.Scope, site string) (token string) {
		t.Helper()
		end()
		st, err := pebblestore.Open(filepath.Join(i.data.Data, "store"), pebblestore.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		_, token, err = access.NewKeys(st).Create(t.Context(), access.Key{Scope: scope, Site: site})
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		a, end = run(t, cfg)
		return token
	}

	check("without keys", "", 200, 200)
	ingest := create(access.Ingest, access.EverySite)
	check("with a key for ingest", "", 401, 200)
	check("by a key for ingest", ingest, 403, 403)
	one := create(access.Read, "a")
	check("with a key for reading", "", 401, 401)
	check("by a key of one site", one, 403, 403)
	check("by a key of all sites", create(access.Read, access.EverySite), 200, 200)
	check("by an admin's key", create(access.Admin, access.EverySite), 200, 200)
}
