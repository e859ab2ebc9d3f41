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

// forms are the exports by which installations are compared.
var forms = []transfer.Spec{
	{What: transfer.Events, Format: transfer.NDJSON},
	{What: transfer.Rollups, Format: transfer.NDJSON},
	{What: transfer.Rollups, Format: transfer.CSV},
	{What: transfer.Rollups, Format: transfer.JSON},
}

// export gives all that there is of an installation, in all forms.
func export(t *testing.T, actions admin.Actions) map[transfer.Spec]string {
	t.Helper()
	all := map[transfer.Spec]string{}
	for _, form := range forms {
		var out bytes.Buffer
		sum, err := actions.Export(t.Context(), form, &out)
		if err != nil || sum.Broken > 0 {
			t.Fatalf("export of %s as %s: %v, %+v", form.What, form.Format, err, sum)
		}
		all[form] = out.String()
	}
	return all
}

// sortedLines is an export without the order of the events, which is that in
// which they came.
func sortedLines(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
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
		To: "http://" + a.IngestAddr(), Events: 1200, Seed: 1, Sites: 2, Days: 3, End: "2026-11-20",
		Paths: 500, Users: 800, ZipfS: 1.2, Batch: 100, Parallel: 2,
	}
	if _, err := loadgen.Run(t.Context(), load); err != nil {
		t.Fatal(err)
	}
	countedAll(t, actions)
	whole := export(t, actions)
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
	events, rollups, table := forms[0], forms[1], forms[2]
	want, wantStates := export(t, actions), verified(t, actions)
	if wantStates[reconcile.Partial] != 4 || wantStates[reconcile.OK] != 6 || len(wantStates) != 2 {
		t.Errorf("verify says of the days %v", wantStates)
	}
	if want[table] != whole[table] || len(want[events]) >= len(whole[events]) {
		t.Error("not the raw events have gone, or not only they")
	}
	if !strings.Contains(want[table], "\nsemicomplete,2015-05-18,2767,2767,635\n") {
		t.Errorf("the rollups are:\n%s", want[table])
	}

	got := want
	for _, next := range []string{"redis and mongodb", "embedded"} {
		dir := t.TempDir()
		files := map[transfer.Spec]string{events: filepath.Join(dir, "events"), rollups: filepath.Join(dir, "rollups")}
		for form, name := range files {
			if err := os.WriteFile(name, []byte(got[form]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		from, fromEnd := a, end
		a, actions, end = start(installations[next](t))
		for n, wantSum := range []transfer.Imported{{Written: 4, Whole: 6}, {Same: 4, Whole: 6}} {
			file, err := os.Open(files[rollups])
			if err != nil {
				t.Fatal(err)
			}
			sum, err := actions.ImportRollups(t.Context(), file)
			if err = errors.Join(err, file.Close()); err != nil || fmt.Sprint(sum) != fmt.Sprint(wantSum) {
				t.Fatalf("%s: import %d of the rollups: %v, %+v", next, n, err, sum)
			}
		}
		importEvents(t, a, "", files[events])
		countedAll(t, actions)
		// An event of a day that is not whole: nobody can tell if it is counted.
		late := filepath.Join(dir, "late")
		_, line, _ := strings.Cut(whole[events], `"timestamp":"2015-05-17T`)
		line, _, _ = strings.Cut(line, "\n")
		line = `{"site_id":"semicomplete","event_id":"late","timestamp":"2015-05-17T` + line + "\n"
		if err := os.WriteFile(late, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		importEvents(t, a, "", late)
		countedAll(t, actions)
		if letters, err := admin.AllKeys(t.Context(), actions); err != nil || len(letters) != 1 {
			t.Errorf("%s: an event of a day that is not whole gives %v, dead letters %v", next, err, letters)
		}

		got = export(t, actions)
		for _, form := range forms {
			got, want := got[form], want[form]
			if form == events {
				got, want = sortedLines(got), sortedLines(want)
			}
			if got != want {
				t.Errorf("%s: %s as %s differ: %s", next, form.What, form.Format, firstDifference(got, want))
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
