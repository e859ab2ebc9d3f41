package loadgen

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/sender"
	"github.com/daybook-analytics/daybook/internal/sender/sendertest"
	"github.com/daybook-analytics/daybook/rollup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// options are those of a small run.
func options(to string) Options {
	return Options{To: to, Events: 5000, Sites: 3, Days: 2, End: "2026-01-31", Paths: 50, Users: 400, ZipfS: 1.2, Seed: 7, Batch: 300, Parallel: 4}
}

// count counts by brute force what the server has.
func count(events []event.Event) map[[2]string]*Day {
	days := map[[2]string]*Day{}
	users, paths := map[string]bool{}, map[string]int{}
	for _, e := range events {
		key := [2]string{e.Site, e.Date(time.UTC)}
		d := days[key]
		if d == nil {
			d = &Day{Site: key[0], Date: key[1]}
			days[key] = d
		}
		d.Events++
		if user := fmt.Sprint(key, e.User); !users[user] {
			users[user] = true
			d.Users++
		}
		if e.Type() != rollup.PageView {
			continue
		}
		d.Views++
		path := fmt.Sprint(key, e.Values[rollup.Path])
		if paths[path]++; paths[path] == 1 {
			d.Paths++
		}
	}
	return days
}

// viewsOf counts the views of one path by brute force.
func viewsOf(events []event.Event, d *Day, path string) int {
	n := 0
	for _, e := range events {
		if e.Site == d.Site && e.Date(time.UTC) == d.Date && e.Values[rollup.Path] == path && e.Type() == rollup.PageView {
			n++
		}
	}
	return n
}

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Options)
	}{
		{"batches", func(*Options) {}},
		{"gzip", func(o *Options) { o.Gzip = true }},
		{"single", func(o *Options) { o.Single, o.Events = true, 700 }},
		{"one of all", func(o *Options) { o.Sites, o.Days, o.Paths, o.Users, o.Events = 1, 1, 1, 1, 50 }},
		{"today", func(o *Options) { o.End, o.Days = "", 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, to := sendertest.Start(t)
			o := options(to)
			tt.change(&o)
			// Twice: the second time nothing is new.
			var sums [2]Summary
			for i := range sums {
				var err error
				if sums[i], err = Run(t.Context(), o); err != nil {
					t.Fatal(err)
				}
			}
			if !reflect.DeepEqual(sums[0].Days, sums[1].Days) {
				t.Error("the second run with the same seed sent other events")
			}
			events := server.Events()
			if len(events) != o.Events || server.Received() != 2*o.Events {
				t.Errorf("%d events of %d received, want %d of %d", len(events), server.Received(), o.Events, 2*o.Events)
			}
			sum := sums[0]
			if sum.Events != o.Events || sum.Rejected != 0 || sum.Unconfirmed != 0 || sum.Views == sum.Events && o.Events > 100 {
				t.Errorf("summary %+v", sum)
			}
			truth := count(events)
			if len(truth) != len(sum.Days) {
				t.Errorf("%d days at the server, %d in the summary", len(truth), len(sum.Days))
			}
			for i := range sum.Days {
				d := &sum.Days[i]
				want := *truth[[2]string{d.Site, d.Date}]
				want.TopPaths = d.TopPaths
				if !reflect.DeepEqual(*d, want) {
					t.Errorf("counted %+v, the server has %+v", d, want)
				}
				for j, top := range d.TopPaths {
					if n := viewsOf(events, d, top.Path); n != top.Views {
						t.Errorf("%s: %d views counted, the server has %d", top.Path, top.Views, n)
					}
					if j > 0 && top.Views > d.TopPaths[j-1].Views {
						t.Errorf("top paths out of order: %v", d.TopPaths)
					}
				}
			}
		})
	}
}

// TestEventsAreValid holds the events against what ingest asks of them.
func TestEventsAreValid(t *testing.T) {
	o := options("")
	now := time.Date(2026, 1, 31, 0, 0, 1, 0, time.UTC) // a day that is one second old
	for _, noIDs := range []bool{false, true} {
		o.NoIDs = noIDs
		traffic := newTraffic(o, now)
		var decoder event.Decoder
		ids := map[string]bool{}
		for range 5000 {
			line, h := traffic.next(nil)
			e, err := decoder.Decode(line, now)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if e.Time.After(now) {
				t.Fatalf("%s lies ahead", line)
			}
			if h.view != (e.Type() == rollup.PageView) || e.Values[rollup.Path] != traffic.pathNames[h.path] || e.User != fmt.Sprintf("user-%d", h.user) {
				t.Fatalf("%s is counted as %+v", line, h)
			}
			ids[e.ID] = true
		}
		if want := map[bool]int{false: 5000, true: 1}[noIDs]; len(ids) != want {
			t.Errorf("%d different IDs, want %d", len(ids), want)
		}
	}
}

// TestIDsDiffer: traffic of another shape never has the IDs of this one,
// while more of the same begins with it.
func TestIDsDiffer(t *testing.T) {
	now := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	first := func(change func(*Options)) string {
		o := options("")
		change(&o)
		line, _ := newTraffic(o, now).next(nil)
		return string(line)
	}
	same := first(func(*Options) {})
	if more := first(func(o *Options) { o.Events, o.Batch, o.Rate = 9, 1, 5 }); more != same {
		t.Errorf("got %s, want %s", more, same)
	}
	id := func(line string) string { return strings.Split(line, ",")[0] }
	for name, change := range map[string]func(*Options){
		"seed":  func(o *Options) { o.Seed++ },
		"sites": func(o *Options) { o.Sites++ },
		"days":  func(o *Options) { o.Days++ },
		"end":   func(o *Options) { o.End = "2026-01-30" },
		"paths": func(o *Options) { o.Paths++ },
		"users": func(o *Options) { o.Users++ },
		"zipf":  func(o *Options) { o.ZipfS++ },
	} {
		if other := first(change); id(other) == id(same) {
			t.Errorf("another %s has the same ID %s", name, id(same))
		}
	}
}

func TestRejectedAreNotCounted(t *testing.T) {
	traffic := newTraffic(options(""), time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC))
	tally := newTally(6)
	hits := []hit{{cell: 1, path: 1, user: 1, view: true}, {cell: 1, path: 2, user: 2, view: true}, {cell: 2, path: 3, user: 3}}
	tally.add(hits, sender.Result{Accepted: 2, Rejected: []sender.Rejection{{Index: 1, Problem: "path is wrong"}}})
	sum := tally.summary(options(""), traffic)
	if sum.Events != 2 || sum.Views != 1 || sum.Rejected != 1 || sum.FirstRejection != "path is wrong" || len(sum.Days) != 2 {
		t.Errorf("summary %+v", sum)
	}
	if d := sum.Days[0]; d.Users != 1 || d.Paths != 1 || len(d.TopPaths) != 1 || d.TopPaths[0].Path != traffic.pathNames[1] {
		t.Errorf("day %+v", d)
	}
}

func TestEndedEarly(t *testing.T) {
	server, to := sendertest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server.After(func(request int) {
		if request == 5 {
			cancel()
		}
	})
	o := options(to)
	file := filepath.Join(t.TempDir(), "summary.json")
	var out bytes.Buffer
	o.SummaryFile, o.Out = file, &out
	sum, err := Run(ctx, o)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if n := len(server.Events()); sum.Events > n || sum.Events+sum.Unconfirmed < n || sum.Unconfirmed == 0 {
		t.Errorf("%d accepted and %d unconfirmed, the server has %d", sum.Events, sum.Unconfirmed, n)
	}
	if !strings.Contains(out.String(), "the server may have them or not") {
		t.Errorf("printed %s", &out)
	}
	if _, err := Check(t.Context(), "http://127.0.0.1:1", "", sum, 0); err == nil || !strings.Contains(err.Error(), "unconfirmed") {
		t.Errorf("Check: %v", err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var saved Summary
	if err := json.Unmarshal(b, &saved); err != nil || !reflect.DeepEqual(saved, sum) {
		t.Errorf("saved %+v, %v; want %+v", saved, err, sum)
	}
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options("")
		o.Events, o.Rate = 1000, 500
		if err := o.complete(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)); err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		sent := 0
		pipe := sender.NewPipeline(t.Context(), 1,
			func(_ context.Context, r *request) (sender.Result, error) {
				// Never ahead of the rate, and in pieces of a tenth of a second.
				if due := time.Duration(sent) * time.Second / 500; time.Since(started) < due || len(r.hits) > 50 {
					t.Errorf("%d events after %s, then %d at once", sent, time.Since(started), len(r.hits))
				}
				sent += len(r.hits)
				return sender.Result{}, nil
			},
			func(*request, sender.Result) error { return nil })
		n, err := submit(t.Context(), o, newTraffic(o, time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)), pipe)
		if closed := pipe.Close(); err != nil || closed != nil || n != 1000 || sent != 1000 {
			t.Errorf("%d handed over, %d sent, %v, %v", n, sent, err, closed)
		}
	})
}

func TestWrongOptions(t *testing.T) {
	for says, change := range map[string]func(*Options){
		"--events 0: allowed":          func(o *Options) { o.Events = 0 },
		"--sites -1: allowed":          func(o *Options) { o.Sites = -1 },
		"--days 0: allowed":            func(o *Options) { o.Days = 0 },
		"--paths 0: allowed":           func(o *Options) { o.Paths = 0 },
		"--users 0: allowed":           func(o *Options) { o.Users = 0 },
		"--batch 10001: allowed":       func(o *Options) { o.Batch = 10_001 },
		"--parallel 0: allowed":        func(o *Options) { o.Parallel = 0 },
		"--zipf 1: allowed":            func(o *Options) { o.ZipfS = 1 },
		"--rate -1: allowed":           func(o *Options) { o.Rate = -1 },
		`--end "tomorrow" with`:        func(o *Options) { o.End = "tomorrow" },
		`--end "9999-12-31" with`:      func(o *Options) { o.End = "9999-12-31" },
		`--end "1970-01-02" with`:      func(o *Options) { o.End, o.Days = "1970-01-02", 3 },
		"--sites 100000 with --days":   func(o *Options) { o.Sites, o.Days = 100_000, 300 },
		`address "nowhere" is not one`: func(o *Options) { o.To = "nowhere" },
	} {
		o := options("http://127.0.0.1:1")
		change(&o)
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want %s", err, says)
		}
	}
}

func BenchmarkTraffic(b *testing.B) {
	o := options("")
	o.Sites, o.Days, o.Paths, o.Users = 50, 3, 20_000, 100_000
	traffic := newTraffic(o, time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC))
	tally := newTally(o.Sites * o.Days)
	var body []byte
	hits := make([]hit, 1000)
	for i := 0; b.Loop(); i++ {
		if i%len(hits) == 0 {
			if i > 0 {
				tally.add(hits, sender.Result{})
			}
			b.SetBytes(int64(len(body) / len(hits)))
			body = body[:0]
		}
		body, hits[i%len(hits)] = traffic.next(body)
	}
}
