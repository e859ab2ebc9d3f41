package app_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestRealtime asks for what happens now while nothing is counted yet: there
// is no worker. Where the backends allow it, report is a process of its own.
func TestRealtime(t *testing.T) {
	for name, install := range installations {
		t.Run(name, func(t *testing.T) {
			i := install(t)
			cfg := i.config()
			cfg.Ingest = i.ingest()
			alone := cfg.Queue.Redis != "" && cfg.Store.MongoDB != ""
			if !alone {
				cfg.Report = i.report()
			}
			ingest, _ := run(t, cfg)
			report := ingest
			if alone {
				own := i.config()
				own.Report = i.report()
				report, _ = run(t, own)
			}

			resp, err := http.Post("http://"+ingest.IngestAddr()+"/event", "application/json",
				strings.NewReader(`{"site_id":"a","event_type":"page_view","path":"/now","user_id":"u"}`))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusAccepted {
				t.Fatalf("the event is answered with %s", resp.Status)
			}

			resp, err = http.Get("http://" + report.ReportAddr() + "/stats/realtime?site_id=a")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			var answer struct {
				Last5         struct{ Events, Users int } `json:"last_5_minutes"`
				Pages         []struct{ Path string }
				IncludesQueue bool `json:"includes_queue"`
			}
			if err := json.Unmarshal(body, &answer); err != nil {
				t.Fatal(err)
			}
			if answer.Last5.Events != 1 || answer.Last5.Users != 1 || !answer.IncludesQueue || len(answer.Pages) != 1 || answer.Pages[0].Path != "/now" {
				t.Errorf("answer is %s", body)
			}
		})
	}
}
