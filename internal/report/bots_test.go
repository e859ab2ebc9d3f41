package report_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// botsOn has three people on one day, with two events of a crawler and one of a
// headless browser between theirs, and on the next day nobody but a crawler.
func botsOn(site string) []store.Event {
	var events []store.Event
	add := func(date, path, bot string) *store.Event {
		n := len(events)
		e := newEvent(site, date, path, fmt.Sprintf("u%d", n), n)
		e.Values[rollup.Bot] = bot
		events = append(events, e)
		return &events[n]
	}
	add("2026-11-01", "/a", "")
	add("2026-11-01", "/a", "crawler")
	add("2026-11-01", "/a", "").Values[rollup.Country] = "DE"
	add("2026-11-01", "/b", "headless").Values[rollup.Country] = "DE"
	add("2026-11-01", "/c", "crawler")
	add("2026-11-01", "/b", "")
	add("2026-11-02", "/d", "crawler")
	return events
}

// What bots did is in the numbers of bots only, unless a filter asks for it;
// from raw events as from rollups.
func TestBots(t *testing.T) {
	st := newStore(t)
	st.put(t, botsOn("a"))
	const (
		head    = `{"site_id":"a","from":"2026-11-01","to":"2026-11-02",`
		tail    = `,"timezone":"UTC","as_of":"2026-11-24T10:00:00.005Z"}`
		rollups = `,"source":"rollup"` + tail
		raw     = `,"source":"raw"` + tail
		people  = `"total_views":3,"unique_users":3,"top_paths":[{"path":"/a","views":2},{"path":"/b","views":1}],"total_events":3,"bots":%d,"top_paths_exact":true`
		byBot   = `"dimension":"bot","metric":"events","total":%d,"other":0,"values":%d,"exact":true,"floor":0,"rows":[%s]`
		row     = `{"value":%q,"events":%d,"share":%v,"users":0,"users_error":0}`
	)
	reasons := func(rows ...string) string { return strings.Join(rows, ",") }
	crawler, headless := fmt.Sprintf(row, "crawler", 3, 0.75), fmt.Sprintf(row, "headless", 1, 0.25)
	ask := func(query, want string) {
		t.Helper()
		// A new one, because it keeps what it has read.
		h := serve(st, report.Options{}, quiet)
		if got := strings.TrimSuffix(answerOf(t, h, query+"&site_id=a"), "\n"); got != want {
			t.Errorf("%s\n got %s\nwant %s", query, got, want)
		}
	}
	for _, source := range []string{rollups, raw} {
		ask("/stats?from=2026-11-01&to=2026-11-02", head+fmt.Sprintf(people, 4)+source)
		ask("/stats/breakdown?dimension=bot&from=2026-11-01&to=2026-11-02", head+fmt.Sprintf(byBot, 4, 2, reasons(crawler, headless))+source)
		ask("/stats/users?from=2026-11-01&to=2026-11-02", head+`"unique_users":3,"standard_error":0,"relative_standard_error":0,"exact":false`+source)
		// And then without rollups.
		st.lost[store.DayKey{Site: "a", Date: "2026-11-01"}] = true
		st.lost[store.DayKey{Site: "a", Date: "2026-11-02"}] = true
	}
	clear(st.lost)

	const days = "&from=2026-11-01&to=2026-11-02"
	ask("/stats?filter=path~*"+days, head+fmt.Sprintf(people, 4)+raw)
	ask("/stats?filter=bot=="+days, head+fmt.Sprintf(people, 0)+raw)
	ask("/stats?filter=bot==crawler"+days, head+`"total_views":3,"unique_users":3,"top_paths":[{"path":"/a","views":1},{"path":"/c","views":1},{"path":"/d","views":1}],"total_events":3,"bots":3,"top_paths_exact":true`+raw)
	ask("/stats?filter=bot!=&filter=country==DE"+days, head+`"total_views":1,"unique_users":1,"top_paths":[{"path":"/b","views":1}],"total_events":1,"bots":1,"top_paths_exact":true`+raw)
	ask("/stats/breakdown?dimension=bot&filter=country==DE"+days, head+fmt.Sprintf(byBot, 1, 1, fmt.Sprintf(row, "headless", 1, 1))+raw)
	ask("/stats/breakdown?dimension=bot&filter=bot==headless"+days, head+fmt.Sprintf(byBot, 1, 1, fmt.Sprintf(row, "headless", 1, 1))+raw)
	ask("/stats/users?exact=true"+days, head+`"unique_users":3,"standard_error":0,"relative_standard_error":0,"exact":true`+raw)
	ask("/stats/users?exact=true&filter=bot!=crawler"+days, head+`"unique_users":4,"standard_error":0,"relative_standard_error":0,"exact":true`+raw)

	h := serve(st, report.Options{}, quiet)
	if got, want := getTarget(t.Context(), h, "/stats?site_id=a&date=2026-11-01&format=csv").Body.String(),
		"from,to,total_events,total_views,unique_users,bots\r\n2026-11-01,2026-11-01,3,3,3,3\r\n"; got != want {
		t.Errorf("CSV is %q, want %q", got, want)
	}
	var answer report.Stats
	body := answerOf(t, h, "/stats?site_id=a&date=2026-11-02&compare=previous")
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Bots != 1 || answer.Compare.Bots != 3 || *answer.Change.Bots != -0.6667 {
		t.Errorf("compared is %s", body)
	}
}

// An answer with a number of bots needs all raw events of days that have nothing
// but bots, too; others do not.
func TestFilteredBotsNeedAllRawEvents(t *testing.T) {
	st := newStore(t)
	events := botsOn("a")
	for i := range events { // the day of bots first
		events[i].Date = map[string]string{"2026-11-01": "2026-11-02", "2026-11-02": "2026-11-01"}[events[i].Date]
		events[i].Time = civil(events[i].Date)
	}
	st.put(t, events)
	if _, err := st.Expire(t.Context(), "a", "2026-11-02"); err != nil {
		t.Fatal(err)
	}
	h := serve(st, report.Options{}, quiet)
	for query, want := range map[string]int{
		"/stats?filter=path==/a":                                  http.StatusUnprocessableEntity,
		"/stats?filter=path==/a&from=2026-11-02":                  http.StatusOK,
		"/stats?date=2026-11-02&filter=path==/a&compare=previous": http.StatusUnprocessableEntity,
		"/stats?date=2026-11-01":                                  http.StatusOK,
		"/stats/timeseries?filter=path==/a":                       http.StatusOK,
		"/stats/users?exact=true":                                 http.StatusOK,
		"/stats/breakdown?dimension=bot":                          http.StatusOK,
		"/stats?filter=bot==crawler":                              http.StatusUnprocessableEntity,
		"/stats/breakdown?dimension=bot&filter=path==/a":          http.StatusUnprocessableEntity,
		"/stats?filter=bot==crawler&from=2026-11-02":              http.StatusOK,
		"/stats/breakdown?dimension=path&filter=path==/a&":        http.StatusOK,
	} {
		if w := getTarget(t.Context(), h, query+"&site_id=a"); w.Code != want {
			t.Errorf("%s: %d %s, want %d", query, w.Code, w.Body, want)
		}
	}
}

// Events of bots do not stand in for raw events of people that are gone.
func TestBotsDoNotHideLostRawEvents(t *testing.T) {
	st := newStore(t)
	st.put(t, botsOn("a"))
	day, err := st.Day(t.Context(), store.DayKey{Site: "a", Date: "2026-11-01"})
	if err != nil {
		t.Fatal(err)
	}
	day.Events++
	day.HourEvents[1]++
	if err := st.SwapDay(t.Context(), day); err != nil {
		t.Fatal(err)
	}
	w := get(t.Context(), serve(st, report.Options{}, quiet), "site_id=a&filter=path==/a")
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "only 3 of the 4 that its rollup counts") {
		t.Errorf("with 3 of 4 events of people, and 3 of bots: %d %s", w.Code, w.Body)
	}
}
