package loadgen

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/daybook-analytics/daybook/internal/sender"
)

// Summary is what was sent. Its counts are exact, and of accepted events
// only.
type Summary struct {
	Seed uint64 `json:"seed"`
	// Events is how many events were accepted, Views how many of them are of
	// type page_view.
	Events int `json:"events"`
	Views  int `json:"views"`
	// Rejected is how many were refused, FirstRejection why the first was.
	Rejected       int    `json:"rejected"`
	FirstRejection string `json:"first_rejection,omitempty"`
	// Unconfirmed is how many were sent when the run ended early, without an
	// answer: the server may have them or not.
	Unconfirmed int `json:"unconfirmed"`

	Requests int     `json:"requests"`
	Retries  int     `json:"retries"`
	Seconds  float64 `json:"seconds"`
	// Latency is the time from the sending of a request to its answer, in
	// milliseconds.
	Latency Latency `json:"latency_ms"`

	// Days are in the order of sites and dates; those without events are not
	// among them.
	Days []Day `json:"days"`
}

// Latency gives percentiles of the requests, in milliseconds.
type Latency struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Day is what one site has on one date.
type Day struct {
	Site   string `json:"site_id"`
	Date   string `json:"date"`
	Events int    `json:"events"`
	Views  int    `json:"views"`
	// Users and Paths are how many different ones there are; paths count in
	// page views, users in all events.
	Users int `json:"users"`
	Paths int `json:"paths"`
	// TopPaths are the 10 most viewed, those of equal views in the order of
	// their names.
	TopPaths []PathViews `json:"top_paths"`
}

// PathViews is how often a path was viewed.
type PathViews struct {
	Path  string `json:"path"`
	Views int    `json:"views"`
}

// topPaths is how many paths a Day lists.
const topPaths = 10

// tally counts what is accepted. Its memory grows with the different users
// and paths that are really there, about 20 bytes each in every cell.
type tally struct {
	cells            []cell
	events, rejected int
	firstRejection   string
	retries          int
	took             []time.Duration // of each request
}

// cell is a site and a day.
type cell struct {
	events, views int
	users         map[int32]struct{}
	paths         map[int32]int32
}

func newTally(cells int) *tally {
	t := &tally{cells: make([]cell, cells)}
	for i := range t.cells {
		t.cells[i] = cell{users: map[int32]struct{}{}, paths: map[int32]int32{}}
	}
	return t
}

// add counts one request by its result.
func (t *tally) add(hits []hit, result sender.Result) {
	t.took = append(t.took, result.Took)
	t.retries += result.Retries
	refused := make(map[int]bool, len(result.Rejected))
	for _, r := range result.Rejected {
		refused[r.Index] = true
		if t.firstRejection == "" {
			t.firstRejection = r.String()
		}
	}
	t.rejected += len(refused)
	t.events += len(hits) - len(refused)
	for i, h := range hits {
		if refused[i] {
			continue
		}
		c := &t.cells[h.cell]
		c.events++
		c.users[h.user] = struct{}{}
		if h.view {
			c.views++
			c.paths[h.path]++
		}
	}
}

// summary gives the counts their names.
func (t *tally) summary(o Options, traffic *traffic) Summary {
	s := Summary{
		Seed: o.Seed, Events: t.events, Rejected: t.rejected, FirstRejection: t.firstRejection,
		Requests: len(t.took), Retries: t.retries, Latency: percentiles(t.took),
	}
	for i := range t.cells {
		c := &t.cells[i]
		s.Views += c.views
		if c.events == 0 {
			continue
		}
		s.Days = append(s.Days, Day{
			Site:   traffic.sites[i/len(traffic.days)].name,
			Date:   traffic.days[i%len(traffic.days)].date,
			Events: c.events, Views: c.views, Users: len(c.users), Paths: len(c.paths),
			TopPaths: c.top(traffic.pathNames),
		})
	}
	return s
}

func (c *cell) top(names []string) []PathViews {
	keys := slices.SortedFunc(maps.Keys(c.paths), func(a, b int32) int {
		return cmp.Or(cmp.Compare(c.paths[b], c.paths[a]), cmp.Compare(names[a], names[b]))
	})
	top := make([]PathViews, min(len(keys), topPaths))
	for i := range top {
		top[i] = PathViews{Path: names[keys[i]], Views: int(c.paths[keys[i]])}
	}
	return top
}

// percentiles sorts took.
func percentiles(took []time.Duration) Latency {
	if len(took) == 0 {
		return Latency{}
	}
	slices.Sort(took)
	at := func(percent int) float64 {
		return float64(took[(len(took)-1)*percent/100].Microseconds()) / 1000
	}
	return Latency{P50: at(50), P90: at(90), P99: at(99), Max: at(100)}
}

// print writes the summary for a person.
func (s *Summary) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "site\tdate\tevents\tviews\tusers\tpaths\ttop path\tits views\t")
	for _, d := range s.Days {
		top := PathViews{Path: "-"}
		if len(d.TopPaths) > 0 {
			top = d.TopPaths[0]
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%s\t%d\t\n", d.Site, d.Date, d.Events, d.Views, d.Users, d.Paths, top.Path, top.Views)
	}
	_ = w.Flush()
	fmt.Fprintf(out, "%d events accepted, %d of them page views, in %.1f seconds: %.0f a second\n", s.Events, s.Views, s.Seconds, float64(s.Events)/s.Seconds)
	fmt.Fprintf(out, "%d requests, %d sent again; milliseconds to an answer: 50 %% within %.1f, 90 %% within %.1f, 99 %% within %.1f, at most %.1f\n",
		s.Requests, s.Retries, s.Latency.P50, s.Latency.P90, s.Latency.P99, s.Latency.Max)
	if s.Rejected > 0 {
		fmt.Fprintf(out, "%d events rejected, the first because %s\n", s.Rejected, s.FirstRejection)
	}
	if s.Unconfirmed > 0 {
		fmt.Fprintf(out, "%d more events were sent without an answer: the server may have them or not\n", s.Unconfirmed)
	}
}
