package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/retention"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// putEvents puts three events of site-abc, of users u1, u2 and u3, for each of
// the dates into the queue of a directory on which no daybook runs.
func putEvents(t *testing.T, dir string, dates ...string) {
	t.Helper()
	q, err := app.OpenQueue(t.Context(), config.Queue{Streams: 2}, config.Data{Data: dir}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for _, date := range dates {
		group := queue.Group{Stream: "1:0", Events: 3}
		for i := range 3 {
			at, err := time.Parse(time.DateOnly, date)
			if err != nil {
				t.Fatal(err)
			}
			e := event.Event{ID: fmt.Sprint(date, i), Site: "site-abc", User: fmt.Sprintf("u%d", i+1), Time: at}
			e.Values[rollup.EventType], e.Values[rollup.Path] = rollup.PageView, "/"
			group.Lines = append(e.AppendLine(group.Lines), '\n')
		}
		if errs := q.Append(t.Context(), []queue.Group{group}); errs != nil {
			t.Fatal(errs)
		}
	}
}

// drained waits until a daybook that runs on the directory has counted all.
func drained(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, stdout, _ := command("streams", "list", "--data", dir); regexp.MustCompile(`1:0 +0 .*\n.*1:1 +0 `).MatchString(stdout) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the queue is not worked off")
		}
	}
}

// TestRetentionAndErase runs both commands with a server and without.
func TestRetentionAndErase(t *testing.T) {
	date := func(ago int) string { return time.Now().UTC().AddDate(0, 0, -ago).Format(time.DateOnly) }
	dir := t.TempDir()
	t.Setenv("DAYBOOK_KEEP_RAW_DAYS_OF", "site-abc=30,other=0")
	putEvents(t, dir, date(41), date(40), date(3), date(2))
	stop := serve(t, dir)
	// What the server was told is not what this command was told.
	if err := os.Unsetenv("DAYBOOK_KEEP_RAW_DAYS_OF"); err != nil {
		t.Fatal(err)
	}
	drained(t, dir)

	table := "SITE +KEEPS +DATES +EVENTS +KEPT SINCE +NOTE\n" +
		"site-abc +30 days +" + date(41) + " to " + date(40) + " +6 +" + date(30) + " *\n"
	want(t, dir, "retention --dry-run", table+"raw events of 2 days would go, about 6 events by the rollups; nothing was changed\n")
	want(t, dir, "retention --dry-run --keep-raw-days 2", "SITE.*\nsite-abc +2 days +"+date(41)+" to "+date(40)+", "+date(3)+" +9 .*\nraw events of 3 days .*\n")
	want(t, dir, "retention --dry-run --keep-raw-days 2 --keep-raw-days-of site-abc=0", "raw events of 0 days would go.*\n")
	want(t, dir, "retention", table+"removed 6 raw events of 2 days\n")
	want(t, dir, "retention --json", `{"policy":{"days":0,"of":{"other":0,"site-abc":30}},"sites":null}`+"\n")
	if code, stdout, _ := command("verify", "--site", "site-abc", "--to", date(40), "--data", dir); code != exitUnchecked || !strings.Contains(stdout, " 0 not right, 2 not checkable, 0 with errors") {
		t.Errorf("verify: exit code %d\n%s", code, stdout)
	}

	receipt := want(t, dir, "erase --site site-abc --user u2 --yes --json", "{.*}\n")
	var r retention.Receipt
	if err := json.Unmarshal([]byte(receipt), &r); err != nil || r.User != "u2" || r.Events != 2 || len(r.Days) != 2 || r.Days[0].State != "ok" || r.Problem != "" {
		t.Errorf("%v, receipt %s", err, receipt)
	}
	stop()

	want(t, dir, "retention", "nothing is to go: raw events are kept for ever .*\n")
	want(t, dir, "retention --keep-raw-days 30", "removed 0 raw events of 0 days\n")
	want(t, dir, "erase --site site-abc --user u3 --yes", `erased everything of user u3 of site site-abc, \S+ to \S+
DATE +EVENTS +ROLLUP
`+date(3)+` +1 +rebuilt and checked: ok
`+date(2)+` +1 +rebuilt and checked: ok
went: 2 raw events, 0 rollups, 0 dead letters, 0 records of jobs
not recomputed, because their raw events are not all kept: `+date(41)+" to "+date(40)+`; .*
Copies and backups .*
`)
	want(t, dir, "erase --site site-abc --yes --before "+date(2), `erased everything of site site-abc before `+date(2)+`.*
DATE +EVENTS +ROLLUP
`+date(41)+` +3 +went
`+date(40)+` +3 +went
`+date(3)+` +1 +went
went: 1 raw events, 3 rollups, 0 dead letters, 0 records of jobs
Copies and backups .*
`)
	want(t, dir, "erase --site site-abc --yes", "(?s).*went: 1 raw events, 1 rollups, .*")
	want(t, dir, "erase --site site-abc --yes", "(?s)erased [^\n]*\nwent: 0 raw events, 0 rollups, 0 dead letters, 0 records of jobs\n.*")
}

// TestRetentionLeavesWhatIsNotRight tells of a day that holds up retention.
func TestRetentionLeavesWhatIsNotRight(t *testing.T) {
	dir := t.TempDir()
	putEvents(t, dir, "2026-01-01", "2026-01-02")
	stop := serve(t, dir)
	drained(t, dir)
	stop()
	st, err := app.OpenStore(t.Context(), config.Store{}, config.Data{Data: dir}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	day, err := st.Day(t.Context(), store.DayKey{Site: "site-abc", Date: "2026-01-02"})
	if err == nil {
		day.Events++
		day.HourEvents[0]++
		err = st.SwapDay(t.Context(), day)
	}
	if err := errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := command("retention", "--keep-raw-days", "30", "--data", dir)
	if code != exitFailed || !strings.Contains(stdout, "not right and left: site-abc|2026-01-02 has 4 events and its raw events give 3") ||
		!strings.Contains(stdout, "removed 3 raw events of 1 days") || !strings.Contains(stderr, "`daybook rebuild --force` accepts") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if code, _, stderr := command("rebuild", "--site", "site-abc", "--from", "2026-01-02", "--force", "--data", dir); code != 0 {
		t.Errorf("rebuild: %s", stderr)
	}
	want(t, dir, "retention --keep-raw-days 30", "SITE.*\nsite-abc .*\nremoved 3 raw events of 1 days\n")
}

func TestRetentionAndEraseMistakes(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir)()
	future := time.Now().UTC().AddDate(0, 0, 2).Format(time.DateOnly)
	for args, message := range map[string]string{
		"retention --keep-raw-days=-1":          "allowed are 1 to 100000, and 0 for ever",
		"retention --keep-raw-days-of a=-1":     `site "a" kept for -1 days`,
		"retention --keep-raw-days-of a":        "a",
		"serve --keep-raw-days=-1":              "--keep-raw-days, --keep-raw-days-of",
		"serve --retention-schedule x":          "schedule of the retention",
		"erase":                                 "a site is needed",
		"erase --site a --user= --yes":          "--user is empty",
		"erase --site a --before 2026-02-30":    "is not a date",
		"erase --site a --before " + future:     "is in the future",
		"erase --site a --yes --redis nonsense": "--redis",
	} {
		wantFailure(t, exitUsage, message, strings.Fields(args)...)
	}
	// Without a terminal and --yes nothing happens, also not by variables that
	// are set for something else.
	t.Setenv("DAYBOOK_YES", "true")
	t.Setenv("DAYBOOK_SITE", "a")
	wantFailure(t, exitFailed, "this erases everything of user u of site a before 2026-01-01 for good: say that it is meant with --yes",
		"erase", "--site", "a", "--user", "u", "--before", "2026-01-01", "--data", dir)
	wantFailure(t, exitUsage, "a site is needed", "erase", "--yes", "--data", dir)
}
