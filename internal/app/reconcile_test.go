package app_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/loadgen"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/store/pebblestore"
)

// loseToday counts events of some sites of today, and then loses the rollup of
// one of them, which it names with its events.
func loseToday(t *testing.T, i *installation) (store.DayKey, int) {
	t.Helper()
	cfg := i.config()
	cfg.Ingest, cfg.Worker, cfg.Report = i.ingest(), i.worker(), i.report()
	a, end := run(t, cfg)
	sum, err := loadgen.Run(t.Context(), loadgen.Options{
		To: "http://" + a.IngestAddr(), Events: 600, Sites: 3, Days: 1,
		Paths: 50, Users: 100, ZipfS: 1.2, Seed: 1, Batch: 100, Parallel: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	if differences, err := loadgen.Check(t.Context(), "http://"+a.ReportAddr(), "", sum, time.Minute); err != nil || len(differences) > 0 {
		t.Fatal(err, differences)
	}
	end()
	key := store.DayKey{Site: sum.Days[1].Site, Date: sum.Days[1].Date}
	st := openStore(t, i)
	if err := st.(*pebblestore.Store).Damage(t.Context(), key, func([]byte) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return key, sum.Days[1].Events
}

// TestReconciliationBySchedule lets a process find and mend a lost rollup by
// itself.
func TestReconciliationBySchedule(t *testing.T) {
	i := installations["embedded"](t)
	loseToday(t, i)
	cfg := i.config()
	cfg.Ingest, cfg.Worker, cfg.Report = i.ingest(), i.worker(), i.report()
	cfg.Worker.CheckSchedule = "@every 1s"
	run(t, cfg)
	actions, _ := openAdmin(t, i)
	var runs []*reconcile.Job
	eventually(t, "a reconciliation is done", func() bool {
		var err error
		if runs, err = actions.Reconciliations(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		return len(runs) > 0 && runs[len(runs)-1].State == reconcile.Done
	})
	if first := runs[len(runs)-1]; first.Kind != reconcile.KindCheck || first.Finished != 3 || first.Faulty != 1 || first.Rebuilt != 1 {
		t.Errorf("the first run: %+v", first)
	}
	days := 0
	if err := actions.Verify(t.Context(), reconcile.Range{}, func(day admin.Verified) error {
		days++
		if day.State != reconcile.OK {
			t.Errorf("%+v", day)
		}
		return nil
	}); err != nil || days != 3 {
		t.Errorf("verify: %v, %d days", err, days)
	}
}

// TestQueryRepairs answers from raw events where a rollup is missing, and has
// it restored.
func TestQueryRepairs(t *testing.T) {
	i := installations["embedded"](t)
	key, events := loseToday(t, i)
	cfg := i.config()
	cfg.Ingest, cfg.Worker, cfg.Report = i.ingest(), i.worker(), i.report()
	a, _ := run(t, cfg)
	query := "site_id=" + key.Site + "&date=" + key.Date
	first := getStats(t, a.ReportAddr(), query)
	if first.Source != "raw" || first.Events != events {
		t.Errorf("without a rollup the answer is %s", first)
	}
	var last stats
	eventually(t, "the rollup is restored", func() bool {
		last = getStats(t, a.ReportAddr(), query)
		return last.Source == "rollup"
	})
	first.Source = last.Source
	if first.String() != last.String() {
		t.Errorf("the restored rollup gives %s, the raw events %s", last, first)
	}
	resp, err := http.Get("http://" + a.ReportAddr() + "/status")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("GET /status: %s", resp.Status)
	}
}
