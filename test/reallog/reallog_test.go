// Package reallog holds what Daybook reports of a real web server's log, in
// every breakdown and in several time zones, against an independent count of
// the same log, by a script in another language (count.py).
package reallog

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
	"github.com/daybook-analytics/daybook/internal/importer"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store/pebblestore"
)

const (
	log    = "../../internal/importer/testdata/semicomplete-2015-05.log.gz"
	siteID = "semicomplete"
	events = 9580
)

// zones are time zones with their offsets to UTC in May 2015, in minutes.
var zones = map[string]int{"UTC": 0, "Asia/Kolkata": 330, "America/New_York": -240}

// truth is what the script counts, of one day or of all.
type truth struct {
	Events     int
	Users      int
	HourEvents []int `json:"hour_events"`
	HourUsers  []int `json:"hour_users"`
	Visits     int
	Bounces    int
	Seconds    float64
	Path       map[string]row
	Referrer   map[string]row
	EventType  map[string]row `json:"event_type"`
	EntryPage  map[string]int `json:"entry_page"`
	ExitPage   map[string]int `json:"exit_page"`
}

type row struct{ Count, Users int }

// count runs the script.
func count(t *testing.T, offset int) map[string]truth {
	t.Helper()
	script := exec.CommandContext(t.Context(), "python3", "count.py", log, strconv.Itoa(offset))
	script.Stderr = os.Stderr
	out, err := script.Output()
	if err != nil {
		t.Fatalf("count.py: %v", err)
	}
	var counted map[string]truth
	if err := json.Unmarshal(out, &counted); err != nil {
		t.Fatal(err)
	}
	return counted
}

// serve runs Daybook with the log imported, for a site in the zone.
func serve(t *testing.T, zone string) *client {
	t.Helper()
	data := t.TempDir()
	quiet := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	if zone != "UTC" {
		st, err := pebblestore.Open(filepath.Join(data, "store"), pebblestore.Options{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		_, err = site.NewDirectory(st, 0).Change(t.Context(), siteID, func(s *site.Settings) error {
			s.Zone = zone
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
	a, err := app.New(t.Context(), app.Config{
		Process: config.Process{Grace: 20 * time.Second},
		Queue:   config.Queue{Streams: 2},
		Data:    config.Data{Data: data},
		Ingest:  &config.Ingest{IngestAddr: "127.0.0.1:0"},
		Worker:  &config.Worker{TableKeys: 2000, Pace: 50 * time.Millisecond, LeaseTime: 5 * time.Second},
		Report:  &config.Report{ReportAddr: "127.0.0.1:0", RawScans: 2, RawScanEvents: 1_000_000, RawScanTime: 10 * time.Second},
	}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	c := &client{T: t}
	eventually(t, "it listens", func() bool { return a.IngestAddr() != "" && a.ReportAddr() != "" })
	c.base = "http://" + a.ReportAddr()
	sum, err := importer.Run(t.Context(), importer.Options{
		To: "http://" + a.IngestAddr(), Site: siteID, Files: []string{log},
		StateFile: filepath.Join(t.TempDir(), "state"),
	})
	if err != nil || sum.Accepted != events {
		t.Fatalf("import: %v, %+v", err, sum)
	}
	eventually(t, "all events are counted", func() bool {
		var all struct {
			Events int `json:"total_events"`
		}
		c.get("/stats", nil, &all)
		return all.Events == events
	})
	return c
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for this: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// client asks the report role.
type client struct {
	*testing.T
	base string
}

func (c *client) get(path string, params url.Values, answer any) {
	c.Helper()
	query := url.Values{"site_id": {siteID}}
	maps.Copy(query, params)
	resp, err := http.Get(c.base + path + "?" + query.Encode())
	if err != nil {
		c.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		c.Fatalf("GET %s?%s: %v, %s: %s", path, query.Encode(), err, resp.Status, body)
	}
	if err := json.Unmarshal(body, answer); err != nil {
		c.Fatalf("GET %s?%s: %v in %s", path, query.Encode(), err, body)
	}
}

// near holds an estimate of users to the truth, within three standard errors.
// What is given is that of the estimate; how far it may be from the truth is
// the same share of the truth.
func (c *client) near(what string, got, want int, standardError float64) {
	c.Helper()
	if math.Abs(float64(got-want))*float64(got) > 3*standardError*float64(want) {
		c.Errorf("%s: %d users with a standard error of %.2f, really %d", what, got, standardError, want)
	}
}

func (c *client) equal(what string, got, want any) {
	c.Helper()
	if got != want {
		c.Errorf("%s: %v, really %v", what, got, want)
	}
}

func TestIndependentCount(t *testing.T) {
	for zone, offset := range zones {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			want := count(t, offset)
			c := serve(t, zone)
			dates := slices.Sorted(maps.Keys(want))
			days := dates[:len(dates)-1] // the last one is "all"
			for name, w := range want {
				params := url.Values{"date": {name}}
				if name == "all" {
					params = url.Values{"from": {days[0]}, "to": {days[len(days)-1]}}
				}
				c.totals(name, params, w)
				c.breakdown(name, params, "path", w.Path)
				c.breakdown(name, params, "referrer", w.Referrer)
				c.breakdown(name, params, "event_type", w.EventType)
				c.breakdown(name, params, "entry_page", visits(w.EntryPage))
				c.breakdown(name, params, "exit_page", visits(w.ExitPage))
				for _, nothing := range []string{"country", "device", "browser", "os", "utm_source", "utm_medium", "utm_campaign"} {
					c.breakdown(name, params, nothing, nil)
				}
			}
			c.series(days, want)
		})
	}
}

// visits are the counts of pages of visits, of which no users are known.
func visits(pages map[string]int) map[string]row {
	rows := make(map[string]row, len(pages))
	for page, n := range pages {
		rows[page] = row{Count: n}
	}
	return rows
}

// totals compares all that is one number.
func (c *client) totals(name string, params url.Values, want truth) {
	c.Helper()
	var stats struct {
		Events   int `json:"total_events"`
		Views    int `json:"total_views"`
		Users    int `json:"unique_users"`
		Timezone string
		Source   string
	}
	c.get("/stats", params, &stats)
	c.equal(name+" events", stats.Events, want.Events)
	c.equal(name+" views", stats.Views, want.Events)
	c.equal(name+" source", stats.Source, "rollup")

	var users struct {
		Users int     `json:"unique_users"`
		Error float64 `json:"standard_error"`
	}
	c.get("/stats/users", params, &users)
	c.near(name, users.Users, want.Users, users.Error)
	c.equal(name+" users of both answers", users.Users, stats.Users)
	exact := maps.Clone(params)
	exact["exact"] = []string{"true"}
	c.get("/stats/users", exact, &users)
	c.equal(name+" exact users", users.Users, want.Users)

	var visits struct {
		Visits     int
		BounceRate float64 `json:"bounce_rate"`
		Views      float64 `json:"views_per_visit"`
		Duration   float64 `json:"average_duration"`
		Exact      bool
	}
	c.get("/stats/visits", params, &visits)
	n := float64(want.Visits)
	c.equal(name+" visits", visits.Visits, want.Visits)
	c.equal(name+" visits exact", visits.Exact, true)
	for _, number := range []struct {
		what            string
		got, want, unit float64 // unit is what it is rounded to
	}{
		{"bounce rate", visits.BounceRate, float64(want.Bounces) / n, 0.0001},
		{"views per visit", visits.Views, float64(want.Events) / n, 0.001},
		{"duration", visits.Duration, want.Seconds / n, 0.1},
	} {
		if math.Abs(number.got-number.want) > number.unit {
			c.Errorf("%s %s: %v, really %v", name, number.what, number.got, number.want)
		}
	}
}

// breakdown compares a whole table, page by page.
func (c *client) breakdown(name string, params url.Values, dimension string, want map[string]row) {
	c.Helper()
	const limit = 300
	got, known := map[string]row{}, 0
	for page := 1; page == 1 || len(got) == (page-1)*limit; page++ {
		params := maps.Clone(params)
		params["dimension"] = []string{dimension}
		params["limit"] = []string{strconv.Itoa(limit)}
		params["page"] = []string{strconv.Itoa(page)}
		var answer struct {
			Metric string
			Rows   []struct {
				Value                 string
				Events, Views, Visits int
				Share                 float64
				Users                 *int
				UsersError            float64 `json:"users_error"`
				UsersAtMost           *int    `json:"users_at_most"`
			}
			Total, Floor int
			Exact        bool
		}
		c.get("/stats/breakdown", params, &answer)
		what := name + " by " + dimension
		c.equal(what+" exact", answer.Exact, true)
		c.equal(what+" floor", answer.Floor, 0)
		for _, r := range answer.Rows {
			n := r.Events + r.Views + r.Visits // one of them
			got[r.Value] = row{Count: n}
			if share := float64(n) / float64(answer.Total); math.Abs(r.Share-share) > 1e-5 {
				c.Errorf("%s %s has the share %v, really %v", what, r.Value, r.Share, share)
			}
			if r.Users != nil && r.UsersAtMost == nil {
				known++
				c.near(fmt.Sprintf("%s %s", what, r.Value), *r.Users, want[r.Value].Users, r.UsersError)
			}
		}
	}
	if len(got) != len(want) {
		c.Errorf("%s has %d values by %s, really %d", name, len(got), dimension, len(want))
	}
	for value, w := range want {
		if got[value].Count != w.Count {
			c.Errorf("%s by %s %s: %d, really %d", name, dimension, value, got[value].Count, w.Count)
		}
	}
	if most := min(200, len(want)); dimension == "path" && known < most {
		c.Errorf("%s by %s: the users of %d values are known, of at least %d they should be", name, dimension, known, most)
	}
}

// series compares the buckets of time.
func (c *client) series(days []string, want map[string]truth) {
	c.Helper()
	type answer struct {
		Buckets []struct {
			Start         string
			Events, Users int
			UsersError    float64 `json:"users_error"`
			Visits        *int
		}
	}
	var byDay answer
	c.get("/stats/timeseries", url.Values{"from": {days[0]}, "to": {days[len(days)-1]}, "interval": {"day"}}, &byDay)
	c.equal("days", len(byDay.Buckets), len(days))
	for i, b := range byDay.Buckets {
		w := want[days[i]]
		c.equal("day", b.Start, days[i])
		c.equal(b.Start+" events", b.Events, w.Events)
		c.near(b.Start, b.Users, w.Users, b.UsersError)
		if b.Visits == nil || *b.Visits != w.Visits {
			c.Errorf("%s visits: %v, really %d", b.Start, b.Visits, w.Visits)
		}
	}
	for _, date := range days {
		var byHour answer
		c.get("/stats/timeseries", url.Values{"date": {date}, "interval": {"hour"}}, &byHour)
		c.equal(date+" hours", len(byHour.Buckets), 24)
		for h, b := range byHour.Buckets {
			c.equal("hour", b.Start, fmt.Sprintf("%sT%02d:00", date, h))
			c.equal(b.Start+" events", b.Events, want[date].HourEvents[h])
			c.near(b.Start, b.Users, want[date].HourUsers[h], b.UsersError)
		}
	}
}
