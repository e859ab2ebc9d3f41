package transfer

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/store/pebblestore"
	"github.com/daybook-analytics/daybook/rollup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newStore(t *testing.T) store.Store {
	t.Helper()
	st, err := pebblestore.Open(t.TempDir(), pebblestore.Options{Logger: slog.New(slog.DiscardHandler)})
	check(t, err)
	t.Cleanup(func() { check(t, st.Close()) })
	check(t, st.Migrate(t.Context(), func(int, string) {}))
	return st
}

// newEvent makes an event of the site s with the path.
func newEvent(id, date, path string) event.Event {
	at, err := time.Parse(time.DateOnly, date)
	if err != nil {
		panic(err)
	}
	e := event.Event{ID: id, Site: "s", User: "u" + id, Time: at.Add(9*time.Hour + 5*time.Millisecond)}
	e.Values[rollup.EventType], e.Values[rollup.Path] = rollup.PageView, path
	return e
}

// count puts events into the store and its rollups, as a worker does.
func count(t *testing.T, st store.Store, events ...event.Event) {
	t.Helper()
	step := st.Begin()
	defer step.Discard()
	raw := make([]store.Event, len(events))
	days := map[string]*rollup.Day{}
	for i, e := range events {
		raw[i] = store.Event{Event: e, Stream: "1:0", Position: rollup.Position{Entry: rollup.EntryID{Ms: uint64(i + 1)}}, Date: e.Date(time.UTC)}
		day := days[raw[i].Date]
		if day == nil {
			day = rollup.NewDay(e.Site, raw[i].Date)
			days[raw[i].Date] = day
		}
		clock, err := event.NewClock("", raw[i].Date)
		check(t, err)
		day.Fold("1:0", []rollup.Event{e.ForFold(raw[i].Position, clock)})
	}
	_, err := step.Insert(t.Context(), raw)
	check(t, err)
	for _, day := range days {
		_, err := step.Swap(t.Context(), []*rollup.Day{day})
		check(t, err)
	}
	check(t, step.Commit(t.Context(), store.Checkpoint{Stream: "1:0", Position: raw[len(raw)-1].Position}))
}

func exported(t *testing.T, st Source, what, format string) (string, Exported) {
	t.Helper()
	var out bytes.Buffer
	sum, err := Export(t.Context(), st, Spec{What: what, Format: format}, &out)
	check(t, err)
	return out.String(), sum
}

// Events in JSON are decoded to what they were.
func TestEventsCanBeReadBack(t *testing.T) {
	st := newStore(t)
	events := []event.Event{
		newEvent("1", "2026-11-20", `/"quoted"\ and <html> & ünïcödé  `),
		newEvent("=2", "2026-11-21", "/"),
	}
	for dim := range rollup.Bot {
		if events[0].Values[dim] == "" {
			events[0].Values[dim] = "value of " + dim.String()
		}
	}
	events[1].User = ""
	count(t, st, events...)

	lines, sum := exported(t, st, Events, NDJSON)
	if sum != (Exported{Days: 2, Events: 2}) {
		t.Errorf("exported %+v", sum)
	}
	array, _ := exported(t, st, Events, JSON)
	var objects []json.RawMessage
	check(t, json.Unmarshal([]byte(array), &objects))
	for i, line := range strings.SplitAfter(strings.TrimSuffix(lines, "\n"), "\n") {
		var d event.Decoder
		for _, text := range []string{line, string(objects[i])} {
			if e, err := d.Decode([]byte(text), time.Now()); err != nil || e.Event != events[i] {
				t.Errorf("%s\ngives %+v, %v\nwant  %+v", text, e, err, events[i])
			}
		}
	}
	if want := `{"site_id":"s","event_id":"=2","timestamp":"2026-11-21T09:00:00.005Z","event_type":"page_view","path":"/"}` + "\n"; !strings.HasSuffix(lines, want) {
		t.Errorf("the export is\n%swant at its end\n%s", lines, want)
	}
}

// No value in CSV is a formula.
func TestCSVIsHarmless(t *testing.T) {
	st := newStore(t)
	e := newEvent("1", "2026-11-20", "/a,b")
	values := []string{"=1+1", "+1", "-1", "@SUM(A1)", `=HYPERLINK("http://x","y")`, "a=b", "'", ""}
	e.User = "=cmd|' /C calc'!A0"
	copy(e.Values[rollup.Referrer:], values)
	e.Values[rollup.Bot] = "crawler"
	count(t, st, e)
	text, _ := exported(t, st, Events, CSV)
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	check(t, err)
	want := []string{"s", "1", "'=cmd|' /C calc'!A0", "2026-11-20T09:00:00.005Z", "page_view", "/a,b",
		"'=1+1", "'+1", "'-1", "'@SUM(A1)", `'=HYPERLINK("http://x","y")`, "a=b", "'", "", "crawler"}
	if len(records) != 2 || !reflect.DeepEqual(records[0], append(event.FieldNames(), "bot")) || !reflect.DeepEqual(records[1], want) {
		t.Errorf("CSV:\n%s", text)
	}
	for _, value := range []string{"\t=1", "\r=1"} {
		if got := harmless(value); got != "'"+value {
			t.Errorf("%q becomes %q", value, got)
		}
	}
}

func TestNothingToExport(t *testing.T) {
	st := newStore(t)
	for format, want := range map[string]string{NDJSON: "", JSON: "[\n]\n", CSV: strings.Join(rollupFields, ",") + "\n"} {
		if got, sum := exported(t, st, Rollups, format); got != want || sum != (Exported{}) {
			t.Errorf("nothing as %s is %q, %+v", format, got, sum)
		}
	}
	for _, spec := range []Spec{{}, {What: Events}, {What: "all", Format: CSV}, {What: Events, Format: CSV, Range: reconcile.Range{From: "today"}}} {
		if _, err := Export(t.Context(), st, spec, new(bytes.Buffer)); err == nil {
			t.Errorf("no error of %+v", spec)
		}
	}
}

// Days that are not whole have no events in an export; rollups that are
// missing are told.
func TestPartialAndBrokenDays(t *testing.T) {
	st := newStore(t)
	count(t, st, newEvent("1", "2026-11-19", "/"), newEvent("2", "2026-11-20", "/"), newEvent("3", "2026-11-21", "/"))
	_, err := st.Expire(t.Context(), "s", "2026-11-20")
	check(t, err)
	text, sum := exported(t, st, Events, NDJSON)
	if sum != (Exported{Days: 2, Events: 2, Partial: 1}) || strings.Contains(text, "2026-11-19") {
		t.Errorf("exported %+v:\n%s", sum, text)
	}
	table, sum := exported(t, st, Rollups, CSV)
	if want := "site_id,date,total_events,total_views,unique_users\ns,2026-11-19,1,1,1\ns,2026-11-20,1,1,1\ns,2026-11-21,1,1,1\n"; table != want || sum != (Exported{Days: 3, Events: 3, Partial: 1}) {
		t.Errorf("exported %+v:\n%s", sum, table)
	}
	if _, sum = exported(t, withoutDay{st, "2026-11-21"}, Rollups, CSV); sum != (Exported{Days: 2, Events: 2, Partial: 1, Broken: 1}) {
		t.Errorf("without a rollup exported %+v", sum)
	}

	// Events that go meanwhile must not be missed silently.
	_, err = Export(t.Context(), &expiring{Source: st}, Spec{What: Events, Format: CSV}, new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "raw events of s|2026-11-20 were removed") {
		t.Errorf("events that went during the export give %v", err)
	}
}

// withoutDay lacks the rollup of a date.
type withoutDay struct {
	store.Store
	date string
}

func (s withoutDay) Day(ctx context.Context, key store.DayKey) (*rollup.Day, error) {
	if key.Date == s.date {
		return nil, store.ErrNotFound
	}
	return s.Store.Day(ctx, key)
}

// expiring removes events once the first day is begun.
type expiring struct {
	Source
	begun bool
}

func (s *expiring) ScanDay(ctx context.Context, site string, dates []string, after, upTo rollup.Marks, fn func(*store.Event) error) error {
	s.begun = true
	return s.Source.ScanDay(ctx, site, dates, after, upTo, fn)
}

func (s *expiring) KeptSince(ctx context.Context, site string) (string, error) {
	if s.begun {
		return "2026-11-21", nil
	}
	return s.Source.KeptSince(ctx, site)
}

// bigDay has overflowed tables and a dense sketch.
func bigDay() *rollup.Day {
	day := rollup.NewDay("s", "2026-11-20")
	clock, err := event.NewClock("", day.Date)
	if err != nil {
		panic(err)
	}
	var events []rollup.Event
	for i := range 30_000 {
		e := newEvent(fmt.Sprint(i), "2026-11-20", fmt.Sprintf("/%d", i*i%5000))
		e.Values[rollup.Country] = `"<` + fmt.Sprint(i%300)
		events = append(events, e.ForFold(rollup.Position{Entry: rollup.EntryID{Ms: uint64(i + 1)}}, clock))
	}
	for len(events) > 0 {
		day.Fold("1:0", events[:1000])
		events = events[1000:]
		day.Compact(rollup.Limits{Keys: 100, Bytes: 1 << 20})
	}
	day.Rev = 7
	return day
}

func TestDayCanBeReadBack(t *testing.T) {
	for _, day := range []*rollup.Day{bigDay(), rollup.NewDay("s", "2026-11-21")} {
		for _, wantPartial := range []bool{true, false} {
			object, err := encodeDay(day, wantPartial)
			check(t, err)
			got, partial, err := decodeDay(object)
			check(t, err)
			same, err := sameContents(got, day)
			if err != nil || !same || partial != wantPartial || got.Rev != 0 || len(got.Marks) != 0 {
				t.Errorf("%s %s changed: %v, rev %d, marks %v, %v", day.Site, day.Date, err, got.Rev, got.Marks, got.Diff(day))
			}
			if again, err := encodeDay(got, partial); err != nil || !bytes.Equal(again, object) {
				t.Errorf("%s %s is written in another way the second time: %v", day.Site, day.Date, err)
			}
		}
	}
}

func TestDecodeDayRefuses(t *testing.T) {
	object, err := encodeDay(bigDay(), true)
	check(t, err)
	for _, tt := range []struct{ old, new, want string }{
		{string(object), `{"site_id":"s","event_id":"1"}`, "no rollup of version 2"},
		{string(object), `[]`, "it is no rollup"},
		{string(object), `{"version":2`, "it is no rollup"},
		{`"version":2`, `"version":1`, "its version is 1"},
		{`"site_id":"s"`, `"site_id":"a|b"`, `site_id "a|b"`},
		{`"2026-11-20"`, `"2026-11-31"`, `date "2026-11-31"`},
		{`"hour_views":[0,`, `"hour_views":[`, "views of 23"},
		{`"sketch":"Ag4`, `"sketch":"Ag0`, "precision"},
		{`"unique_users":`, `"unique_users":1`, "unique users"},
		{`"total_views":`, `"total_views":-`, "it is no rollup"},
		{`"country":{`, `"colour":{`, `table "colour"`},
		{`"event_type":{"rows":[`, `"event_type":{"rows":[{"key":"page_view","count":1},`, "distinct keys"},
		{`"event_type":{`, `"event_type":{"floor":99999999,`, "event_type: row"},
	} {
		line := strings.Replace(string(object), tt.old, tt.new, 1)
		if _, _, err := decodeDay([]byte(line)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60s gives %v, want %s", tt.new, err, tt.want)
		}
	}
}

func lineOf(t *testing.T, day *rollup.Day, partial bool) string {
	t.Helper()
	object, err := encodeDay(day, partial)
	check(t, err)
	return string(object) + "\n"
}

func importLines(t *testing.T, st Target, lines ...string) Imported {
	t.Helper()
	sum, err := Import(t.Context(), st, strings.NewReader(strings.Join(lines, "")))
	check(t, err)
	return sum
}

func TestImport(t *testing.T) {
	st := newStore(t)
	day := func(date string, events uint64) *rollup.Day {
		d := rollup.NewDay("s", date)
		d.Events = events
		return d
	}
	today := time.Now().UTC().Format(time.DateOnly)
	first := []string{lineOf(t, bigDay(), true), "\n", lineOf(t, day("2026-11-21", 3), false)}
	if sum := importLines(t, st, first...); sum.Written != 1 || sum.Whole != 1 || sum.Refused != 0 {
		t.Fatalf("imported %+v", sum)
	}
	stored, err := st.Day(t.Context(), store.DayKey{Site: "s", Date: "2026-11-20"})
	check(t, err)
	if same, err := sameContents(stored, bigDay()); err != nil || !same || len(stored.Marks) != 0 {
		t.Errorf("stored is another rollup, with the marks %v: %v, %v", stored.Marks, err, stored.Diff(bigDay()))
	}
	if kept, err := st.KeptSince(t.Context(), "s"); err != nil || kept != "2026-11-21" {
		t.Errorf("raw events are kept since %q, %v", kept, err)
	}
	if found, err := reconcile.CheckDay(t.Context(), st, store.DayKey{Site: "s", Date: "2026-11-20"}); err != nil || found.State != reconcile.Partial {
		t.Errorf("a check finds %v, %+v", err, found)
	}

	// Again, and days beside it.
	count(t, st, newEvent("1", "2026-11-21", "/"))
	other := bigDay()
	other.Views++
	sum := importLines(t, st, first[0], lineOf(t, other, true), lineOf(t, day("2026-11-19", 1), true),
		lineOf(t, day("2026-11-21", 1), true), lineOf(t, day("2026-11-22", 1), true), lineOf(t, day(today, 1), true))
	reasons := []string{"another rollup", "another rollup", "raw events of the site up to this day, the first of 2026-11-21", "not over"}
	if sum.Written != 1 || sum.Same != 1 || sum.Removed != 0 || sum.Refused != 4 || len(sum.Refusals) != 4 {
		t.Fatalf("imported %+v", sum)
	}
	for i, reason := range reasons {
		if !strings.Contains(sum.Refusals[i].Reason, reason) {
			t.Errorf("refused %+v, want %s", sum.Refusals[i], reason)
		}
	}
	if dates, err := st.EventDates(t.Context(), "s", "", ""); err != nil || len(dates) != 1 {
		t.Errorf("raw events are left of %v, %v", dates, err)
	}
	if kept, err := st.KeptSince(t.Context(), "s"); err != nil || kept != "2026-11-21" {
		t.Errorf("raw events are kept since %q, %v", kept, err)
	}
}

// What is wrong with a file is told with its line, and what stands before it
// is imported.
func TestImportOfBadInput(t *testing.T) {
	long := strings.Repeat("x", maxLine+1)
	for _, bad := range []string{"{}\n", long} {
		st := newStore(t)
		sum, err := Import(t.Context(), st, strings.NewReader(lineOf(t, bigDay(), true)+bad))
		var input *InputError
		if !errors.As(err, &input) || input.Line != 2 || sum.Written != 1 {
			t.Errorf("%.10q gives %v, %+v", bad, err, sum)
		}
	}
}
