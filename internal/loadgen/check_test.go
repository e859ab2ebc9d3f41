package loadgen

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// twoDays is a summary to check against.
func twoDays() Summary {
	return Summary{Days: []Day{
		{Site: "a", Date: "2026-01-01", Events: 100, Views: 90, Users: 50, Paths: 2, TopPaths: []PathViews{{"/x", 60}, {"/y", 30}}},
		{Site: "b", Date: "2026-01-01", Events: 20_000, Views: 20_000, Users: 10_000, Paths: 1, TopPaths: []PathViews{{"/z", 20_000}}},
	}}
}

const key = "db_read_1_x"

// report is a server that answers with what is right for twoDays, after
// change has been at it. It wants the key.
func report(t *testing.T, change func(site string, answer map[string]any)) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+key {
			t.Errorf("asked with %q", r.Header.Get("Authorization"))
		}
		q := r.URL.Query()
		if r.URL.Path != "/stats" || q.Get("date") != "2026-01-01" || q.Get("limit") == "" {
			t.Errorf("asked for %s", r.URL)
		}
		answer := map[string]any{"site_id": "a", "total_events": 100, "total_views": 90, "unique_users": 50,
			"top_paths": []map[string]any{{"path": "/x", "views": 60}, {"path": "/y", "views": 30}}, "source": "rollup"}
		if q.Get("site_id") == "b" {
			answer = map[string]any{"site_id": "b", "total_events": 20_000, "total_views": 20_000, "unique_users": 10_200,
				"top_paths": []map[string]any{{"path": "/z", "views": 20_000}}, "source": "rollup"}
		}
		change(q.Get("site_id"), answer)
		if status, ok := answer["status"].(int); ok {
			w.WriteHeader(status)
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(answer map[string]any) // of site a
		want   []string
	}{
		{name: "right", change: func(map[string]any) {}},
		{name: "too many", change: func(a map[string]any) { a["total_events"] = 101 },
			want: []string{"a on 2026-01-01: total_events is 101, sent were 100"}},
		{name: "too few", change: func(a map[string]any) { a["total_events"], a["total_views"] = 99, 89 },
			want: []string{"a on 2026-01-01: total_events is 99, sent were 100", "a on 2026-01-01: total_views is 89, sent were 90"}},
		{name: "users", change: func(a map[string]any) { a["unique_users"] = 53 },
			want: []string{"a on 2026-01-01: unique_users is 53, sent were 50"}},
		{name: "another order", change: func(a map[string]any) { slices.Reverse(a["top_paths"].([]map[string]any)) },
			want: []string{"a on 2026-01-01: place of path /x is 2, sent were 1", "a on 2026-01-01: place of path /y is 1, sent were 2"}},
		{name: "a path too often", change: func(a map[string]any) { a["top_paths"].([]map[string]any)[1]["views"] = 31 },
			want: []string{"a on 2026-01-01: path /y is 31, sent were 30"}},
		{name: "a path missing", change: func(a map[string]any) { a["top_paths"] = a["top_paths"].([]map[string]any)[:1] },
			want: []string{"a on 2026-01-01: path /y is not among the top paths, sent were 30"}},
		{name: "within bounds", change: func(a map[string]any) {
			a["top_paths"] = []map[string]any{{"path": "/y", "views": 70, "views_error": 40}, {"path": "/x", "views": 60, "views_error": 5}}
		}},
		{name: "out of bounds", change: func(a map[string]any) {
			a["top_paths"] = []map[string]any{{"path": "/x", "views": 60}, {"path": "/y", "views": 40, "views_error": 9}}
		}, want: []string{"a on 2026-01-01: path /y is 31 to 40, sent were 30"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := report(t, func(site string, answer map[string]any) {
				if site == "a" {
					tt.change(answer)
				}
			})
			differences, err := Check(t.Context(), url, key, twoDays(), 0)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range differences {
				got = append(got, d.String())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCheckWaits(t *testing.T) {
	var asked atomic.Int64
	url := report(t, func(_ string, answer map[string]any) {
		switch asked.Add(1) {
		case 1:
			answer["total_events"] = 0
		case 2:
			answer["status"] = http.StatusServiceUnavailable
		}
	})
	differences, err := Check(t.Context(), url+"/", key, twoDays(), time.Minute)
	if err != nil || len(differences) != 0 || asked.Load() != 4 {
		t.Errorf("%v, %v after %d requests; want no difference after 4", differences, err, asked.Load())
	}
}

func TestCheckFails(t *testing.T) {
	status := func(n int) func(string, map[string]any) {
		return func(_ string, answer map[string]any) { answer["status"] = n }
	}
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	for says, url := range map[string]string{
		"answered 503":                   report(t, status(503)),
		"answered 404":                   report(t, status(404)),
		"answered 401":                   report(t, status(401)),
		"daybook keys create":            report(t, status(403)),
		"no report to check against":     dead.URL,
		"allowed is http:// or https://": "127.0.0.1:3001",
		"in the time zone Asia/Kolkata":  report(t, func(_ string, a map[string]any) { a["timezone"] = "Asia/Kolkata" }),
		"answered what is no report":     report(t, func(_ string, a map[string]any) { a["total_events"] = "many" }),
	} {
		if _, err := Check(t.Context(), url, key, twoDays(), 0); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want %s", err, says)
		}
	}
}
