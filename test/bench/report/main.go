// Report measures what a dashboard's questions cost: a year of one site, each
// endpoint for 1, 7, 30 and 365 days, asked by 16 clients at once, of a server
// that has just started and of one that has been asked before. `make
// bench-report` runs it.
//
// It starts the given binary on loopback. The data is made once, by loadgen
// and a rebuild, and kept for the next time.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// The data: a site of middle size, in every table more than a rollup keeps.
const (
	days         = 365
	eventsPerDay = 50_000
	users        = 80_000 // of which some 10,000 come on a day
	paths        = 5_000
	site         = "load-1-1"
	clients      = 16
)

// question is one thing to ask, of a period of some days.
type question struct {
	name string
	path string
	body string // for POST
	// spans are the lengths of the periods in days; 0 is a question without.
	spans []int
}

var spans = []int{1, 7, 30, 365}

var questions = []question{
	{name: "stats", path: "/stats?site_id={site}&{period}", spans: spans},
	{name: "stats compared", path: "/stats?site_id={site}&{period}&compare=previous", spans: spans[:3]},
	{name: "timeseries by day", path: "/stats/timeseries?site_id={site}&{period}&interval=day", spans: spans},
	{name: "timeseries by hour", path: "/stats/timeseries?site_id={site}&{period}&interval=hour", spans: spans[:2]},
	{name: "timeseries by month", path: "/stats/timeseries?site_id={site}&{period}&interval=month", spans: spans[3:]},
	{name: "breakdown of paths", path: "/stats/breakdown?site_id={site}&{period}&dimension=path&limit=100", spans: spans},
	{name: "breakdown of countries", path: "/stats/breakdown?site_id={site}&{period}&dimension=country", spans: spans},
	{name: "breakdown of entry pages", path: "/stats/breakdown?site_id={site}&{period}&dimension=entry_page", spans: spans},
	{name: "users", path: "/stats/users?site_id={site}&{period}", spans: spans},
	{name: "visits", path: "/stats/visits?site_id={site}&{period}", spans: spans},
	{name: "sites", path: "/stats/sites?{period}", spans: spans},
	{name: "realtime", path: "/stats/realtime?site_id={site}", spans: []int{0}},
	{name: "query of four", path: "/stats/query", spans: spans, body: `{"queries":[
		{"endpoint":"stats","site_id":"{site}",{jsonperiod}},
		{"endpoint":"timeseries","site_id":"{site}",{jsonperiod},"interval":"day"},
		{"endpoint":"breakdown","site_id":"{site}",{jsonperiod},"dimension":"path"},
		{"endpoint":"visits","site_id":"{site}",{jsonperiod}}]}`},
}

// row is the result of one question for one length of period.
type row struct {
	Question string `json:"question"`
	Days     int    `json:"days"`
	Cold     times  `json:"cold"`
	Warm     times  `json:"warm"`
	// Unchanged is asked with the ETag of the answer.
	Unchanged *times `json:"unchanged,omitempty"`
	// Allocated is the bytes that the server allocates for a warm answer,
	// Bytes the length of the answer.
	Allocated int64 `json:"allocated_bytes"`
	Bytes     int   `json:"answer_bytes"`
}

// times sums up how long requests took, in milliseconds.
type times struct {
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	Requests int     `json:"requests"`
}

func sumUp(took []time.Duration) times {
	slices.Sort(took)
	at := func(share float64) float64 {
		return float64(took[min(len(took)-1, int(share*float64(len(took))))]) / float64(time.Millisecond)
	}
	return times{P50: at(0.5), P99: at(0.99), Requests: len(took)}
}

func (t times) String() string { return fmt.Sprintf("%.2f / %.2f", t.P50, t.P99) }

// result is what is written as JSON.
type result struct {
	CPUs int   `json:"cpus"`
	Rows []row `json:"rows"`
	// Raw compares the answer for 30 days from rollups with a scan of the
	// raw events that gives the same numbers.
	Raw struct {
		Events   int     `json:"events"`
		ScanMs   float64 `json:"scan_ms"`
		RollupMs float64 `json:"rollup_warm_ms"`
		ColdMs   float64 `json:"rollup_cold_ms"`
		Ratio    float64 `json:"ratio_warm"`
		Cold     float64 `json:"ratio_cold"`
	} `json:"raw"`
}

func main() {
	binary := flag.String("daybook", "bin/daybook", "the binary to measure")
	data := flag.String("data", "bin/bench-report", "directory of the data; it is made when missing")
	out := flag.String("json", "", "file for the result as JSON")
	restarts := flag.Int("restarts", 3, "how often each cold question is asked of a new process")
	requests := flag.Int("requests", 2000, "how many warm requests of each question")
	only := flag.String("only", "", "part of the names of the questions to ask")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := &bench{binary: *binary, data: *data, restarts: *restarts, requests: *requests, only: *only}
	if err := b.run(ctx, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench-report:", err)
		stop()
		os.Exit(1)
	}
}

type bench struct {
	binary, data       string
	restarts, requests int
	only               string
	// end is the last day of the data.
	end time.Time
}

func (b *bench) run(ctx context.Context, out string) error {
	if err := b.prepare(ctx); err != nil {
		return err
	}
	var res result
	res.CPUs = runtime.NumCPU()
	fmt.Printf("%d days of %d events, %d clients at once, %d CPUs; p50 / p99 in ms\n\n", days, eventsPerDay, clients, res.CPUs)
	fmt.Printf("| question | days | cold | warm | 304 | allocated | answer |\n| --- | --: | --: | --: | --: | --: | --: |\n")
	for _, q := range questions {
		if !strings.Contains(q.name, b.only) {
			continue
		}
		for _, span := range q.spans {
			r, err := b.measure(ctx, q, span)
			if err != nil {
				return fmt.Errorf("%s of %d days: %w", q.name, span, err)
			}
			unchanged := "-"
			if r.Unchanged != nil {
				unchanged = r.Unchanged.String()
			}
			fmt.Printf("| %s | %d | %s | %s | %s | %.1f kB | %.1f kB |\n", r.Question, r.Days, r.Cold, r.Warm, unchanged,
				float64(r.Allocated)/1e3, float64(r.Bytes)/1e3)
			res.Rows = append(res.Rows, *r)
		}
	}
	if err := b.raw(ctx, &res); err != nil {
		return fmt.Errorf("raw scan: %w", err)
	}
	fmt.Printf("\n30 days of /stats: scan of %d raw events %.0f ms, rollups %.2f ms warm and %.2f ms cold: %.0f and %.0f times faster\n",
		res.Raw.Events, res.Raw.ScanMs, res.Raw.RollupMs, res.Raw.ColdMs, res.Raw.Ratio, res.Raw.Cold)
	if out == "" {
		return nil
	}
	text, err := json.MarshalIndent(res, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Clean(out), append(text, '\n'), 0o644)
}

// measure asks one question in all ways.
func (b *bench) measure(ctx context.Context, q question, span int) (*row, error) {
	r := &row{Question: q.name, Days: span}
	var cold []time.Duration
	for n := range b.restarts {
		s, err := b.start(ctx)
		if err != nil {
			return nil, err
		}
		// Each client asks for a period of its own, so that none finds what
		// another one had read as a whole.
		took, err := s.each(ctx, clients, func(client int) request { return b.request(q, span, client) })
		if err == nil && n == b.restarts-1 {
			err = b.warm(ctx, s, q, span, r)
		}
		if err := s.stop(err); err != nil {
			return nil, err
		}
		cold = append(cold, took...)
	}
	r.Cold = sumUp(cold)
	return r, nil
}

// warm asks the same question again and again.
func (b *bench) warm(ctx context.Context, s *server, q question, span int, r *row) error {
	same := b.request(q, span, 0)
	first, err := s.ask(ctx, same)
	if err != nil {
		return err
	}
	r.Bytes = len(first.body)
	before, err := s.allocated(ctx)
	if err != nil {
		return err
	}
	took, err := s.each(ctx, b.requests, func(int) request { return same })
	if err != nil {
		return err
	}
	after, err := s.allocated(ctx)
	if err != nil {
		return err
	}
	r.Warm, r.Allocated = sumUp(took), (after-before)/int64(b.requests)
	if first.etag == "" {
		return nil
	}
	same.etag = first.etag
	if took, err = s.each(ctx, b.requests, func(int) request { return same }); err != nil {
		return err
	}
	unchanged := sumUp(took)
	r.Unchanged = &unchanged
	return nil
}

// request is a question for a period that ends shift days before the data.
func (b *bench) request(q question, span, shift int) request {
	if span == days {
		shift = 0
	}
	to := b.end.AddDate(0, 0, -shift)
	from := to.AddDate(0, 0, 1-max(span, 1))
	dates := []any{from.Format(time.DateOnly), to.Format(time.DateOnly)}
	fill := strings.NewReplacer("{site}", site,
		"{period}", fmt.Sprintf("from=%s&to=%s", dates...),
		"{jsonperiod}", fmt.Sprintf(`"from":"%s","to":"%s"`, dates...))
	return request{path: fill.Replace(q.path), body: fill.Replace(q.body)}
}

// raw compares rollups with a raw scan: a filter that every event passes
// gives the same numbers.
func (b *bench) raw(ctx context.Context, res *result) error {
	q := questions[0]
	scan := q
	scan.path += "&filter=event_type~*"
	const span = 30
	s, err := b.start(ctx)
	if err != nil {
		return err
	}
	median := func(q question, n int) (float64, error) {
		var took []time.Duration
		for range n {
			begun := time.Now()
			if _, err := s.ask(ctx, b.request(q, span, 0)); err != nil {
				return 0, err
			}
			took = append(took, time.Since(begun))
		}
		return sumUp(took).P50, nil
	}
	err = func() (err error) {
		if res.Raw.ColdMs, err = median(q, 1); err != nil {
			return err
		}
		if res.Raw.ScanMs, err = median(scan, 5); err != nil {
			return err
		}
		if res.Raw.RollupMs, err = median(q, 500); err != nil {
			return err
		}
		res.Raw.Events = span * eventsPerDay
		res.Raw.Ratio, res.Raw.Cold = res.Raw.ScanMs/res.Raw.RollupMs, res.Raw.ScanMs/res.Raw.ColdMs
		return nil
	}()
	return s.stop(err)
}
