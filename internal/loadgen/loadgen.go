// Package loadgen sends synthetic traffic to a running server, keeps an exact
// count of what it sent, and checks what the server reports against it.
package loadgen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/daybook-analytics/daybook/internal/progress"
	"github.com/daybook-analytics/daybook/internal/sender"
)

// Options say what traffic to make and where to send it. The traffic follows
// from Seed, Sites, Days, End, Paths, Users and ZipfS alone: the same ones
// give the same events with the same event_ids, so that sending them twice
// counts them once, and fewer Events are the first of more. Only the time of
// day of today's events follows the clock, since none may lie ahead.
type Options struct {
	// To is the server's address, as in "http://127.0.0.1:3000".
	To string
	// Key is the server's key for sending events; a server that is open needs
	// none.
	Key string
	// Events is how many to send in all.
	Events int
	// Sites is the number of sites, which have equal shares; their names are
	// "load-SEED-NUMBER".
	Sites int
	// Days is the number of days, which have equal shares.
	Days int
	// End is the last of the days, as YYYY-MM-DD; the default is today (UTC).
	End string
	// Paths and Users are how many different ones a site can have. Their
	// frequency falls by Zipf's law with the exponent ZipfS, above 1 and at
	// most 10.
	Paths, Users int
	ZipfS        float64
	Seed         uint64

	// Rate is how many events to send a second; 0 is as many as possible.
	Rate float64
	// Batch is the most events of one request, 1 to 10,000.
	Batch int
	// Single sends each event in a request of its own, to POST /event.
	Single bool
	// Parallel is how many requests are under way, 1 to 1,000.
	Parallel int
	// NoIDs leaves the event_id off. Then a request that is sent again, as
	// when the server was away, may count twice, and so does the same seed.
	NoIDs bool
	// Gzip compresses batches.
	Gzip bool
	// Patience is how long a request is tried while the server is away; 0 is
	// sender.DefaultPatience.
	Patience time.Duration

	// SummaryFile, if given, gets the Summary as JSON.
	SummaryFile string
	// Out gets the summary as a table, Log the progress. Nil discards them.
	Out, Log io.Writer
}

// minRequests is how many requests a second there are at least at a given
// rate, so that it is no rate of bursts.
const minRequests = 10

// maxCells bounds the memory that the counts of all sites and days take.
const maxCells = 1_000_000

// complete fills in the defaults and says what is wrong with the options.
func (o *Options) complete(now time.Time) error {
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	today := now.UTC().Format(time.DateOnly)
	if o.End == "" {
		o.End = today
	}
	for _, n := range []struct {
		flag            string
		value, min, max int
	}{
		{"--events", o.Events, 1, 1_000_000_000},
		{"--sites", o.Sites, 1, 100_000},
		{"--days", o.Days, 1, 3660},
		{"--paths", o.Paths, 1, 10_000_000},
		{"--users", o.Users, 1, 1_000_000_000},
		{"--batch", o.Batch, 1, sender.MaxEvents},
		{"--parallel", o.Parallel, 1, 1000},
	} {
		if n.value < n.min || n.value > n.max {
			return fmt.Errorf("%s %d: allowed are %d to %d", n.flag, n.value, n.min, n.max)
		}
	}
	if o.Sites*o.Days > maxCells {
		return fmt.Errorf("--sites %d with --days %d: allowed are %d days of all sites together", o.Sites, o.Days, maxCells)
	}
	if !(o.ZipfS > 1 && o.ZipfS <= 10) {
		return fmt.Errorf("--zipf %v: allowed is above 1 and at most 10", o.ZipfS)
	}
	if !(o.Rate >= 0 && o.Rate <= 1e9) {
		return fmt.Errorf("--rate %v: allowed are 0 (as fast as possible) to 1000000000 events a second", o.Rate)
	}
	end, err := time.Parse(time.DateOnly, o.End)
	if err != nil || o.End > today || end.AddDate(0, 0, 1-o.Days).Before(time.Unix(0, 0)) {
		return fmt.Errorf("--end %q with --days %d: allowed is YYYY-MM-DD, up to today, %s (UTC), and all days since 1970", o.End, o.Days, today)
	}
	if o.Single {
		o.Batch = 1
	}
	if o.Rate > 0 {
		o.Batch = min(o.Batch, max(1, int(o.Rate/minRequests)))
	}
	return nil
}

// request is a batch of events, and what is to be counted of each.
type request struct {
	body []byte
	hits []hit
}

// Run sends the traffic. After an error or the end of ctx the Summary holds
// what the server has confirmed.
func Run(ctx context.Context, o Options) (Summary, error) {
	now := time.Now()
	if err := o.complete(now); err != nil {
		return Summary{}, err
	}
	send, err := sender.New(sender.Options{To: o.To, Key: o.Key, Gzip: o.Gzip, Parallel: o.Parallel, Patience: o.Patience})
	if err != nil {
		return Summary{}, err
	}
	defer send.Close()

	traffic := newTraffic(o, now)
	tally := newTally(len(traffic.sites) * len(traffic.days))
	shown := progress.New(o.Log, int64(o.Events), false)
	pipe := sender.NewPipeline(ctx, o.Parallel,
		func(ctx context.Context, r *request) (sender.Result, error) {
			if o.Single {
				return send.SendOne(ctx, r.body)
			}
			return send.Send(ctx, r.body, len(r.hits))
		},
		func(r *request, result sender.Result) error {
			tally.add(r.hits, result)
			shown.Set(int64(tally.events), fmt.Sprintf("%d events sent", tally.events))
			return nil
		})
	submitted, err := submit(ctx, o, traffic, pipe)
	if failed := pipe.Close(); failed != nil {
		err = failed
	}
	shown.Close()

	sum := tally.summary(o, traffic)
	sum.Unconfirmed = submitted - sum.Events - sum.Rejected
	sum.Seconds = time.Since(now).Seconds()
	sum.print(o.Out)
	if o.SummaryFile != "" {
		err = errors.Join(err, sum.save(o.SummaryFile))
	}
	return sum, err
}

// submit makes the events and hands them over at the rate wanted, and tells
// how many it has handed over.
func submit(ctx context.Context, o Options, traffic *traffic, pipe *sender.Pipeline[*request]) (int, error) {
	started := time.Now()
	bodySize := 0
	for done := 0; done < o.Events; {
		if o.Rate > 0 {
			due := started.Add(time.Duration(float64(done) / o.Rate * float64(time.Second)))
			select {
			case <-ctx.Done():
				return done, context.Cause(ctx)
			case <-time.After(time.Until(due)):
			}
		}
		n := min(o.Batch, o.Events-done)
		// A body is not used again, because the connection may still read it
		// when the answer is there. All are about as large as the one before.
		r := &request{body: make([]byte, 0, bodySize), hits: make([]hit, n)}
		for i := range r.hits {
			r.body, r.hits[i] = traffic.next(r.body)
		}
		bodySize = len(r.body) + len(r.body)/16
		if err := pipe.Submit(r); err != nil {
			return done, err
		}
		done += n
	}
	return o.Events, nil
}

func (s *Summary) save(path string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
