package app_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/importer"
	"github.com/daybook-analytics/daybook/internal/loadgen"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/transfer"
)

// export gives all that there is of an installation in one form.
func export(t *testing.T, actions admin.Actions, what, format string) string {
	t.Helper()
	var out bytes.Buffer
	sum, err := actions.Export(t.Context(), transfer.Spec{What: what, Format: format}, &out)
	if err != nil || sum.Broken > 0 {
		t.Fatalf("export of %s as %s: %v, %+v", what, format, err, sum)
	}
	return out.String()
}

// moved is everything that an installation tells of itself. Raw events are
// sorted, because an installation gives them in the order in which they came.
func moved(t *testing.T, actions admin.Actions) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, what := range []string{transfer.Events, transfer.Rollups} {
		for _, format := range []string{transfer.NDJSON, transfer.CSV, transfer.JSON} {
			text := export(t, actions, what, format)
			if what == transfer.Events {
				lines := strings.Split(strings.ReplaceAll(text, "},\n", "}\n"), "\n")
				slices.Sort(lines)
				text = strings.Join(lines, "\n")
			}
			all[what+" as "+format] = text
		}
	}
	return all
}

// verified counts the days by what verify says of them.
func verified(t *testing.T, actions admin.Actions) map[reconcile.State]int {
	t.Helper()
	states := map[reconcile.State]int{}
	if err := actions.Verify(t.Context(), reconcile.Range{}, func(day admin.Verified) error {
		states[day.State]++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return states
}

func importEvents(t *testing.T, a *app.App, site, file string) importer.Summary {
	t.Helper()
	sum, err := importer.Run(t.Context(), importer.Options{
		To: "http://" + a.IngestAddr(), Site: site, Files: []string{file}, StateFile: filepath.Join(t.TempDir(), "state"),
	})
	if err != nil || sum.Rejected > 0 {
		t.Fatalf("import of %s: %v, %+v", file, err, sum)
	}
	return sum
}

// countedAll waits until the queue is worked off.
func countedAll(t *testing.T, actions admin.Actions) {
	t.Helper()
	eventually(t, "all events are counted", func() bool {
		streams, err := actions.Streams(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return !slices.ContainsFunc(streams, func(s admin.Stream) bool { return s.Entries > 0 })
	})
}

// TestMove takes an installation, of which some raw events are gone, from the
// embedded backends to Redis and MongoDB and back, and compares all that each
// of them tells of itself.
func TestMove(t *testing.T) {
	start := func(i *installation) (*app.App, admin.Actions, func()) {
		cfg := i.config()
		cfg.Ingest, cfg.Worker, cfg.Report = i.ingest(), i.worker(), i.report()
		a, end := run(t, cfg)
		actions, endAdmin := openAdmin(t, i)
		return a, actions, func() { endAdmin(); end() }
	}
	first := installations["embedded"](t)
	a, actions, end := start(first)
	importEvents(t, a, "semicomplete", "../importer/testdata/semicomplete-2015-05.log.gz")
	load := loadgen.Options{
		To: "http://" + a.IngestAddr(), Events: 6000, Seed: 1, Sites: 2, Days: 3, End: "2026-11-20",
		Paths: 500, Users: 800, ZipfS: 1.2, Batch: 100, Parallel: 2,
	}
	if _, err := loadgen.Run(t.Context(), load); err != nil {
		t.Fatal(err)
	}
	countedAll(t, actions)
	whole := moved(t, actions)
	end()
	st := openStore(t, first)
	for site, before := range map[string]string{"semicomplete": "2015-05-19", "load-1-1": "2026-11-20"} {
		if removed, err := st.Expire(t.Context(), site, before); err != nil || removed == 0 {
			t.Fatalf("expire %s: %v, %d", site, err, removed)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}

	a, actions, end = start(first)
	want, wantStates := moved(t, actions), verified(t, actions)
	if wantStates[reconcile.Partial] != 4 || wantStates[reconcile.OK] != 6 || len(wantStates) != 2 {
		t.Errorf("verify says of the days %v", wantStates)
	}
	if want["rollups as csv"] != whole["rollups as csv"] || want["events as ndjson"] == whole["events as ndjson"] {
		t.Error("not the raw events have gone, or not only they")
	}
	if !strings.Contains(want["rollups as csv"], "\nsemicomplete,2015-05-18,2767,2767,635\n") {
		t.Errorf("the rollups are:\n%s", want["rollups as csv"])
	}

	for _, next := range []string{"redis and mongodb", "embedded"} {
		dir := t.TempDir()
		files := map[string]string{}
		for _, what := range []string{transfer.Events, transfer.Rollups} {
			files[what] = filepath.Join(dir, what)
			if err := os.WriteFile(files[what], []byte(export(t, actions, what, transfer.NDJSON)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		from, fromEnd := a, end
		a, actions, end = start(installations[next](t))
		for n, wantSum := range []transfer.Imported{{Written: 4, Whole: 6}, {Same: 4, Whole: 6}} {
			rollups, err := os.Open(files[transfer.Rollups])
			if err != nil {
				t.Fatal(err)
			}
			sum, err := actions.ImportRollups(t.Context(), rollups)
			if err = errors.Join(err, rollups.Close()); err != nil || fmt.Sprint(sum) != fmt.Sprint(wantSum) {
				t.Fatalf("%s: import %d of the rollups: %v, %+v", next, n, err, sum)
			}
			importEvents(t, a, "", files[transfer.Events])
		}
		countedAll(t, actions)
		// An event of a day that is not whole, which the rollup has counted.
		late := filepath.Join(dir, "late")
		for line := range strings.Lines(whole["events as ndjson"]) {
			if strings.Contains(line, "2015-05-17T") {
				if err := os.WriteFile(late, []byte(line), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		importEvents(t, a, "", late)
		countedAll(t, actions)
		if letters, err := admin.AllKeys(t.Context(), actions); err != nil || len(letters) != 1 {
			t.Errorf("%s: an event that cannot be told from one that was counted gives %v, dead letters %v", next, err, letters)
		}

		for form, got := range moved(t, actions) {
			if got != want[form] {
				t.Errorf("%s: %s differ: %s", next, form, firstDifference(got, want[form]))
			}
		}
		if got := verified(t, actions); fmt.Sprint(got) != fmt.Sprint(wantStates) {
			t.Errorf("%s: verify says of the days %v, and said %v", next, got, wantStates)
		}
		for _, query := range []string{"site_id=semicomplete", "site_id=load-1-1", "site_id=load-1-2&from=2026-11-19&to=2026-11-20"} {
			if got, want := getStats(t, a.ReportAddr(), query).String(), getStats(t, from.ReportAddr(), query).String(); got != want {
				t.Errorf("%s: %s:\n got %s\nwant %s", next, query, got, want)
			}
		}
		fromEnd()
	}
	end()
}

func firstDifference(got, want string) string {
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(gotLines), len(wantLines)) {
		if gotLines[i] != wantLines[i] {
			return fmt.Sprintf("line %d of %d:\n got %.300s\nwant %.300s", i+1, len(gotLines), gotLines[i], wantLines[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(gotLines), len(wantLines))
}
