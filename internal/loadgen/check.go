package loadgen

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/daybook-analytics/daybook/rollup"
)

// Difference is one number that the server reports otherwise than it was sent.
type Difference struct {
	Site, Date string
	// Field is the number's name, as "total_views" or "path /blog/page-1".
	Field string
	// Sent is what was sent, Reported what the server says.
	Sent, Reported string
}

// String gives all of it in one line.
func (d Difference) String() string {
	return fmt.Sprintf("%s on %s: %s is %s, sent were %s", d.Site, d.Date, d.Field, d.Reported, d.Sent)
}

const (
	// checkEvery is the pause before a day is asked for again.
	checkEvery = 200 * time.Millisecond
	// userErrors is how many standard errors the estimate of users may be
	// off: among thousands of days one beyond is not to be expected.
	userErrors = 4
	// checkRows is how many top paths are asked for. When counts are not
	// exact, a path may stand behind where it belongs.
	checkRows = 10 * topPaths
	// maxReport bounds what is read of an answer.
	maxReport = 16 << 20
)

// stats is what is checked of the server's answer.
type stats struct {
	Timezone string `json:"timezone"`

	Events   int `json:"total_events"`
	Views    int `json:"total_views"`
	Users    int `json:"unique_users"`
	TopPaths []struct {
		Path  string `json:"path"`
		Views int    `json:"views"`
		// Error is how much Views may be too high.
		Error int `json:"views_error"`
	} `json:"top_paths"`
}

// Check asks the report server at reportURL, as in "http://127.0.0.1:3001",
// for every day of the summary and gives all differences. key is the server's
// key for reading, empty for a server that is open. For days that have
// less than was sent, because the server is not done with them, and while it
// answers that it is busy, it waits, in all up to wait. Sites that had other
// events before differ.
func Check(ctx context.Context, reportURL, key string, s Summary, wait time.Duration) ([]Difference, error) {
	if s.Unconfirmed > 0 {
		return nil, fmt.Errorf("%d events are unconfirmed, so that nobody knows what is right: run the same loadgen again to its end", s.Unconfirmed)
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	deadline := time.Now().Add(wait)
	var differences []Difference
	for i := range s.Days {
		d := &s.Days[i]
		for {
			got, busy, err := fetch(ctx, client, reportURL, key, d)
			if err != nil && !busy {
				return nil, err
			}
			if zone := got.Timezone; zone != "" && zone != "UTC" {
				return nil, fmt.Errorf("days of %s are reported in the time zone %s, and those that were sent are counted in UTC: set the site to UTC and check again", d.Site, zone)
			}
			pending := busy || got.Events < d.Events
			if !pending || time.Now().After(deadline) {
				if err != nil {
					return nil, err
				}
				differences = append(differences, d.compare(got)...)
				break
			}
			select {
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-time.After(checkEvery):
			}
		}
	}
	return differences, nil
}

// fetch asks for one day. busy says that an error may go away.
func fetch(ctx context.Context, client *http.Client, reportURL, key string, d *Day) (got stats, busy bool, err error) {
	u, err := url.Parse(reportURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return stats{}, false, fmt.Errorf("address %q is not one of a report server: allowed is http:// or https:// with host and port, as in http://127.0.0.1:3001", reportURL)
	}
	u.Path = strings.TrimRight(u.Path, "/") + "/stats"
	u.RawQuery = url.Values{"site_id": {d.Site}, "date": {d.Date}, "limit": {fmt.Sprint(checkRows)}}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return stats{}, false, err
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := client.Do(r)
	if err != nil {
		return stats{}, false, fmt.Errorf("no report to check against: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReport))
	if err != nil {
		return stats{}, true, fmt.Errorf("%s: %w", u, err)
	}
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		return stats{}, false, fmt.Errorf("%s answered %d: %.200s: make a key that may send and read with \"daybook keys create --site '*' --scope admin\", and give it with --key or DAYBOOK_KEY", u, resp.StatusCode, bytes.TrimSpace(body))
	}
	if resp.StatusCode != http.StatusOK {
		return stats{}, resp.StatusCode == http.StatusServiceUnavailable, fmt.Errorf("%s answered %d: %.200s", u, resp.StatusCode, body)
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return stats{}, false, fmt.Errorf("%s answered what is no report: %w", u, err)
	}
	return got, false, nil
}

// compare gives the differences of one day.
func (d *Day) compare(got stats) []Difference {
	var all []Difference
	differ := func(field string, sent, reported any) {
		all = append(all, Difference{d.Site, d.Date, field, fmt.Sprint(sent), fmt.Sprint(reported)})
	}
	if got.Events != d.Events {
		differ("total_events", d.Events, got.Events)
	}
	if got.Views != d.Views {
		differ("total_views", d.Views, got.Views)
	}
	if off := math.Abs(float64(got.Users - d.Users)); off > userErrors*rollup.SketchError*float64(d.Users)+1 {
		differ("unique_users", d.Users, got.Users)
	}
	exact := true
	places := map[string]int{}
	for i, row := range got.TopPaths {
		places[row.Path] = i
		exact = exact && row.Error == 0
	}
	for i, sent := range d.TopPaths {
		place, ok := places[sent.Path]
		switch {
		case !ok:
			differ("path "+sent.Path, sent.Views, "not among the top paths")
		case exact && place != i:
			differ("place of path "+sent.Path, i+1, place+1)
		default:
			if row := got.TopPaths[place]; sent.Views > row.Views || sent.Views < row.Views-row.Error {
				differ("path "+sent.Path, sent.Views, rollup.Bounds{Lo: uint64(row.Views - row.Error), Hi: uint64(row.Views)})
			}
		}
	}
	return all
}
