package importer

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/sender/sendertest"
	"github.com/daybook-analytics/daybook/rollup"
)

const semicomplete = "testdata/semicomplete-2015-05.log.gz"

// TestSemicomplete holds a real log against the figures of testdata/README.md.
func TestSemicomplete(t *testing.T) {
	server, to := sendertest.Start(t)
	sum := importFiles(t, Options{To: to, Site: "semicomplete", StateFile: stateFile(t), Files: []string{semicomplete}})

	if sum.Lines != 10_000 || sum.Accepted != 9580 || sum.Malformed != 1 || sum.Skipped != 419 || sum.Rejected != 0 {
		t.Errorf("summary %+v", sum)
	}
	if want := (Problem{File: semicomplete, Line: 8899, Problem: "the user agent is cut off: its quote is not closed"}); len(sum.MalformedLines) != 1 || sum.MalformedLines[0] != want {
		t.Errorf("malformed %v, want %v", sum.MalformedLines, want)
	}
	events := server.Events()
	if len(events) != 9580 {
		t.Fatalf("the server has %d events, want 9580", len(events))
	}
	for _, tt := range []struct {
		date                 string
		events, users, paths int
		top                  string
	}{
		{"2015-05-17", 1535, 355, 425, "/favicon.ico 117 · / 103 · /reset.css 92 · /style2.css 92 · /images/jordan-80.png 89"},
		{"2015-05-18", 2767, 635, 620, "/favicon.ico 207 · / 197 · /blog/tags/puppet 181 · /style2.css 141 · /reset.css 139"},
		{"2015-05-19", 2795, 564, 581, "/favicon.ico 241 · /style2.css 160 · /images/jordan-80.png 158 · /reset.css 156 · /images/web/2009/banner.png 154"},
		{"2015-05", 9580, 1792, 1259, ""},
	} {
		users, paths, n := map[string]bool{}, map[string]int{}, 0
		for _, e := range events {
			if !strings.HasPrefix(e.Time.Format(time.DateOnly), tt.date) {
				continue
			}
			n++
			users[e.User] = true
			paths[e.Values[rollup.Path]]++
			if e.Site != "semicomplete" || e.Type() != rollup.PageView {
				t.Fatalf("event %+v", e)
			}
		}
		if n != tt.events || len(users) != tt.users || len(paths) != tt.paths {
			t.Errorf("%s: %d events, %d users, %d paths; want %d, %d, %d", tt.date, n, len(users), len(paths), tt.events, tt.users, tt.paths)
		}
		if top := topOf(paths, 5); tt.top != "" && top != tt.top {
			t.Errorf("%s: top %s; want %s", tt.date, top, tt.top)
		}
	}
}

// topOf lists the n most frequent paths as the README does.
func topOf(paths map[string]int, n int) string {
	top := slices.SortedFunc(maps.Keys(paths), func(a, b string) int {
		return cmp.Or(paths[b]-paths[a], strings.Compare(a, b))
	})[:n]
	for i, path := range top {
		top[i] += " " + strconv.Itoa(paths[path])
	}
	return strings.Join(top, " · ")
}
