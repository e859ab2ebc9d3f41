package report_test

import (
	"encoding/csv"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/rollup"
)

// getAs asks for a path with an Accept header, if any.
func getAs(t *testing.T, h http.Handler, path, accept string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, path, nil)
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

// Every table is the same table as CSV, and no cell of it is a formula.
func TestCSV(t *testing.T) {
	st := newStore(t)
	dangerous := []string{`=HYPERLINK("http://x","y")`, "+1", "-1", "@SUM(A1)", "＝1", "＠x"}
	harmless := []string{"/a,b", `say "hi"`, "é", "a=b", "1e9"}
	var events history
	for i, value := range slices.Concat(dangerous, harmless) {
		e := newEvent("a:b", "2026-11-01", "/", "u", i)
		e.Values[rollup.Referrer] = value
		events = append(events, e)
	}
	st.put(t, events)
	h := serve(st, report.Options{}, quiet)

	w := getAs(t, h, "/stats/breakdown?site_id=a:b&date=2026-11-01&dimension=referrer&limit=100&format=csv", "")
	if got := w.Header().Get("Content-Type"); got != "text/csv; charset=utf-8" {
		t.Errorf("content type is %q", got)
	}
	if got := w.Header().Get("Content-Disposition"); got != `attachment; filename="daybook-a_b-breakdown-referrer-2026-11-01.csv"` {
		t.Errorf("content disposition is %q", got)
	}
	if lines := strings.Count(w.Body.String(), "\r\n"); lines != len(events)+1 {
		t.Errorf("%d lines end with CRLF", lines)
	}
	rows, err := csv.NewReader(w.Body).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got := rows[0]; !slices.Equal(got, []string{"referrer", "events", "share", "users", "users_error", "users_at_most", "count_error", "visits_error"}) {
		t.Errorf("header is %q", got)
	}
	cells := map[string][]string{}
	for _, row := range rows[1:] {
		cells[row[0]] = row
	}
	for _, value := range dangerous {
		if cells["'"+value] == nil {
			t.Errorf("%q is not disarmed", value)
		}
	}
	for _, value := range harmless {
		if row := cells[value]; row == nil || row[1] != "1" || row[2] != "0.090909" {
			t.Errorf("%q has the row %q", value, row)
		}
	}
}

func TestCSVOfEachTable(t *testing.T) {
	st := newStore(t)
	st.put(t, history{newEvent("a", "2026-11-01", "/", "u", 0), newEvent("a", "2026-11-02", "/x", "u", 1)})
	h := serve(st, report.Options{}, quiet)
	for path, want := range map[string]string{
		"/stats?site_id=a&date=2026-11-02":                        "from,to,total_events,total_views,unique_users,bots|2026-11-02,2026-11-02,1,1,1,0",
		"/stats?site_id=a&date=2026-11-02&compare=previous":       "from,to,total_events,total_views,unique_users,bots|2026-11-02,2026-11-02,1,1,1,0|2026-11-01,2026-11-01,1,1,1,0",
		"/stats/users?site_id=a":                                  "from,to,unique_users,standard_error,relative_standard_error|2026-11-01,2026-11-02,1,0,0",
		"/stats/users?site_id=a&exact=true":                       "from,to,unique_users,standard_error,relative_standard_error|2026-11-01,2026-11-02,1,0,0",
		"/stats/users?site_id=a&date=2026-11-02&compare=previous": "from,to,unique_users,standard_error,relative_standard_error|2026-11-02,2026-11-02,1,0,0|2026-11-01,2026-11-01,1,0,0",
		"/stats/visits?site_id=a":                                 "from,to,visits,visits_error,bounce_rate,bounce_rate_error,views_per_visit,average_duration|2026-11-01,2026-11-02,2,0,1,0,1,0",
		"/stats/visits?site_id=nobody":                            "from,to,visits,visits_error,bounce_rate,bounce_rate_error,views_per_visit,average_duration|,,0,0,,,,",
		"/stats/sites?":                                           "site_id,from,to,timezone,events,views,users,users_error|a,2026-11-01,2026-11-02,UTC,2,2,1,0",
		"/stats/timeseries?site_id=a&interval=day":                "start,events,views,users,users_error,visits,visits_error|2026-11-01,1,1,1,0,1,0|2026-11-02,1,1,1,0,1,0",
		"/stats/timeseries?site_id=a&from=2026-11-01&to=2026-11-01&interval=week&compare=previous": "start,events,views,users,users_error,visits,visits_error," +
			"compare_start,compare_events,compare_views,compare_users,compare_users_error,compare_visits,compare_visits_error|2026-11-01,1,1,1,0,1,0,2026-10-31,0,0,0,0,0,0",
		"/stats/breakdown?site_id=a&dimension=entry_page": "entry_page,visits,share,users,users_error,users_at_most,count_error,visits_error|/,1,0.5,,,,0,0|/x,1,0.5,,,,0,0",
		"/stats/breakdown?site_id=a&date=2026-11-02&dimension=path&compare=previous": "path,views,share,users,users_error,users_at_most,count_error,visits_error," +
			"compare_views,compare_share,compare_users|/x,1,1,1,0,,0,0,0,0,0",
	} {
		w := getAs(t, h, path, "text/csv")
		if got := strings.ReplaceAll(strings.TrimSuffix(w.Body.String(), "\r\n"), "\r\n", "|"); got != want {
			t.Errorf("%s: %d\n%s\nwant\n%s", path, w.Code, got, want)
		}
	}
	// A browser that takes anything gets JSON.
	for _, accept := range []string{"", "*/*", "application/json", "text/html,application/xhtml+xml,*/*;q=0.8"} {
		if w := getAs(t, h, "/stats?site_id=a", accept); w.Header().Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("Accept %q gets %q", accept, w.Header().Get("Content-Type"))
		}
	}
}
