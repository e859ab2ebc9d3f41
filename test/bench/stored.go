package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/store/pebblestore"
	"github.com/daybook-analytics/daybook/rollup"
)

// Many stored events are made here without a server: with the store's own
// steps, as a worker would write them, and one fold of each day.

// population is a number of sites with the same traffic on each of some days.
type population struct {
	// name is that of the sites, which are numbered from 0.
	name        string
	sites, days int
	// end is the last of the days, in UTC. It must be over.
	end time.Time
	// events are those of all sites and days, which have equal shares.
	events int
	// users and paths are how many each site has; by Zipf's law, so that only
	// a part of them comes on a day.
	users, paths int
}

// yesterday is the last day that is over, in UTC.
func yesterday() time.Time { return time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1) }

// site names one of the sites.
func (p *population) site(number int) string { return p.name + "-" + strconv.Itoa(number) }

// date gives one of the days, which are numbered from 0.
func (p *population) date(day int) string {
	return p.end.AddDate(0, 0, day+1-p.days).Format(time.DateOnly)
}

// before counts the events of all sites and days before a day of a site.
func (p *population) before(site, day int) int {
	return p.events * (site*p.days + day) / (p.sites * p.days)
}

// last counts the events that a site has on its last days.
func (p *population) last(site, days int) int {
	return p.before(site, p.days) - p.before(site, p.days-days)
}

// problems logs on standard error what goes wrong in a Pebble of this process,
// and not when its writers wait, which they often do here.
var problems = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))

// openStore opens the store of an installation, and makes it if need be. No
// daybook may run on it.
func openStore(ctx context.Context, data string) (*pebblestore.Store, error) {
	st, err := pebblestore.Open(filepath.Join(data, "store"), pebblestore.Options{Logger: problems})
	if err != nil {
		return nil, err
	}
	if err := st.Migrate(ctx, func(int, string) {}); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return st, nil
}

// fill puts the events of populations into a store that has none of them, with
// their rollups, as if they had come through the queue in time: the checkpoint
// is at the last of them.
func fill(ctx context.Context, st store.Store, populations ...*population) error {
	type job struct {
		*traffic
		site int
	}
	var jobs []job
	for _, p := range populations {
		t := newTraffic(p)
		for site := range p.sites {
			jobs = append(jobs, job{t, site})
		}
	}
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			f := filler{ctx: ctx, st: st, events: make([]store.Event, 0, stepEvents)}
			for {
				i := int(next.Add(1)) - 1
				if i >= len(jobs) {
					return f.flush()
				}
				if err := f.site(jobs[i].traffic, jobs[i].site, uint64(i)); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// settle waits until the store of this process has come to rest: until the
// process, which does nothing else, takes no more processor time.
func settle(ctx context.Context) error {
	const pause, quiet = 500 * time.Millisecond, 10 * time.Millisecond
	last, err := processorTime()
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		now, err := processorTime()
		if err != nil || now-last < quiet {
			return err
		}
		last = now
	}
}

// processorTime is what this process has taken of the processors.
func processorTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// draws is how many draws of Zipf's law are made in advance. Drawing from
// them costs a tenth of drawing anew.
const draws = 1 << 20

// traffic is what the events of a population are made of.
type traffic struct {
	*population
	paths, users []string
	// drawn are numbers of a path and of a user.
	drawn [draws]struct{ path, user uint32 }
}

func newTraffic(p *population) *traffic {
	t := &traffic{population: p, paths: make([]string, p.paths), users: make([]string, p.users)}
	for i := range t.paths {
		t.paths[i] = "/section-" + strconv.Itoa(i%10) + "/page-" + strconv.Itoa(i)
	}
	for i := range t.users {
		t.users[i] = "user-" + strconv.Itoa(i)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	paths := rand.NewZipf(rng, 1.1, 1, uint64(p.paths-1))
	users := rand.NewZipf(rng, 1.1, 1, uint64(p.users-1))
	for i := range t.drawn {
		t.drawn[i].path, t.drawn[i].user = uint32(paths.Uint64()), uint32(users.Uint64())
	}
	return t
}

// surroundings are what events say beside path and user.
var surroundings = []rollup.Values{
	{},
	{rollup.Country: "DE", rollup.Device: "desktop", rollup.Browser: "Firefox", rollup.OS: "Linux"},
	{rollup.Country: "US", rollup.Device: "desktop", rollup.Browser: "Chrome", rollup.OS: "Windows", rollup.Referrer: "https://search.example/"},
	{rollup.Country: "US", rollup.Device: "mobile", rollup.Browser: "Safari", rollup.OS: "iOS", rollup.Referrer: "https://social.example/feed"},
	{rollup.Country: "IN", rollup.Device: "mobile", rollup.Browser: "Chrome", rollup.OS: "Android", rollup.UTMSource: "newsletter", rollup.UTMMedium: "email", rollup.UTMCampaign: "autumn"},
	{rollup.Country: "BR", rollup.Device: "mobile", rollup.Browser: "Chrome", rollup.OS: "Android"},
	{rollup.Country: "FR", rollup.Device: "tablet", rollup.Browser: "Safari", rollup.OS: "iPadOS", rollup.Referrer: "https://search.example/"},
	{rollup.Country: "JP", rollup.Device: "desktop", rollup.Browser: "Edge", rollup.OS: "Windows", rollup.UTMSource: "partner", rollup.UTMMedium: "banner"},
}

// stepEvents is how many events are written with one sync.
const stepEvents = 50_000

// filler writes the events of one site after the other.
type filler struct {
	ctx context.Context
	st  store.Store
	// events are those to be written by the next step, and days the rollups
	// that are complete with them. The last event of each of days is in events,
	// because a step has no other sites than those of its events.
	events []store.Event
	days   []*rollup.Day
	// done is the checkpoint of the highest position so far. Steps are committed
	// in no order of positions: it is right when all is written.
	done store.Checkpoint
}

// site adds the events of a site. Its number in the store is part of their
// positions.
func (f *filler) site(t *traffic, site int, number uint64) error {
	const entryLines = 1000
	stream := queue.Epoch{Number: 1}.StreamName(0)
	name := t.site(site)
	rng := rand.New(rand.NewPCG(1, number))
	made := uint64(0)
	var one [1]rollup.Event
	for d := range t.days {
		date := t.date(d)
		clock, err := event.NewClock("", date)
		if err != nil {
			return err
		}
		n := t.before(site, d+1) - t.before(site, d)
		if n == 0 {
			continue
		}
		day := rollup.NewDay(name, date)
		for i := range n {
			if len(f.events) == stepEvents {
				if err := f.flush(); err != nil {
					return err
				}
			}
			random := rng.Uint64()
			drawn := &t.drawn[random%draws]
			made++
			f.events = append(f.events, store.Event{
				Event: event.Event{
					ID:     eventID(made),
					Site:   name,
					User:   t.users[drawn.user],
					Time:   time.UnixMilli(clock.Begin + (clock.End-clock.Begin)*int64(i)/int64(n)).UTC(),
					Values: surroundings[random>>32%uint64(len(surroundings))],
				},
				Stream: stream,
				Position: rollup.Position{
					Entry: rollup.EntryID{Ms: uint64(clock.Begin) + uint64(i/entryLines), Seq: number},
					Line:  uint32(i % entryLines),
				},
				Date: date,
			})
			e := &f.events[len(f.events)-1]
			e.Values[rollup.Path] = t.paths[drawn.path]
			e.Values[rollup.EventType] = rollup.PageView
			if random>>48%10 == 0 {
				e.Values[rollup.EventType] = "click"
			}
			if e.Position.Compare(f.done.Position) > 0 {
				f.done = store.Checkpoint{Stream: stream, Position: e.Position, AsOf: e.Time}
			}
			one[0] = e.ForFold(e.Position, clock)
			day.Fold(stream, one[:])
		}
		day.Compact(rollup.DefaultLimits)
		f.days = append(f.days, day)
	}
	return nil
}

// eventID makes an ID as ingest does.
func eventID(number uint64) string {
	const prefix, digits = "Q5BWYTO6UCLDMHJX-", 12
	id := strconv.AppendUint([]byte(prefix)[:len(prefix)-1], 1<<(4*digits)|number, 16)
	id[len(prefix)-1] = '-'
	return string(id)
}

// flush writes what was added.
func (f *filler) flush() error {
	if len(f.events) == 0 {
		return nil
	}
	step := f.st.Begin()
	defer step.Discard()
	outcomes, err := step.Insert(f.ctx, f.events)
	if err != nil {
		return err
	}
	for i, outcome := range outcomes {
		if outcome.Result != store.Inserted {
			return fmt.Errorf("event %s of site %s was not inserted: result %d %s", f.events[i].ID, f.events[i].Site, outcome.Result, outcome.Reason)
		}
	}
	conflicts, err := step.Swap(f.ctx, f.days)
	if err != nil {
		return err
	}
	if len(conflicts) > 0 {
		return fmt.Errorf("there is a rollup %s already", conflicts[0])
	}
	f.events, f.days = f.events[:0], f.days[:0]
	return step.Commit(f.ctx, f.done)
}
