package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
	"github.com/daybook-analytics/daybook/internal/loadgen"
	"github.com/daybook-analytics/daybook/internal/queue/redisq/redistest"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/store/mongostore"
	"github.com/daybook-analytics/daybook/internal/store/mongostore/mongotest"
	"github.com/daybook-analytics/daybook/internal/store/pebblestore"
	"github.com/daybook-analytics/daybook/rollup"
)

// world is an installation that commands are run on.
type world struct {
	t     *testing.T
	queue config.Queue
	store config.Store
	data  config.Data
	// flags choose it.
	flags []string
	days  []store.DayKey
}

func embedded(t *testing.T) *world {
	dir := t.TempDir()
	return &world{
		t: t, queue: config.Queue{Streams: 2}, data: config.Data{Data: dir},
		flags: []string{"--data=" + dir},
	}
}

func onServers(t *testing.T) *world {
	w := &world{t: t, queue: config.Queue{Redis: redistest.Start(t), RedisPrefix: redistest.Prefix(), Streams: 2}}
	w.store.MongoDB = mongotest.Start(t)
	w.flags = []string{"--redis=" + w.queue.Redis, "--redis-prefix=" + w.queue.RedisPrefix, "--mongodb=" + w.store.MongoDB}
	st := w.open()
	w.must(st.Migrate(t.Context(), func(int, string) {}))
	w.must(st.Close())
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// open opens the store behind everybody's back.
func (w *world) open() store.Store {
	w.t.Helper()
	st, err := app.OpenStore(w.t.Context(), w.store, w.data, slog.New(slog.DiscardHandler))
	w.must(err)
	return st
}

// serve runs all roles, without reconciliation, until the test or the
// function that it gives ends them.
func (w *world) serve() (*app.App, func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	a, err := app.New(w.t.Context(), app.Config{
		Process: config.Process{Grace: 20 * time.Second},
		Queue:   w.queue, Store: w.store, Data: w.data,
		Ingest: &config.Ingest{IngestAddr: "127.0.0.1:0"},
		Worker: &config.Worker{TableKeys: 2000, Pace: 20 * time.Millisecond, LeaseTime: 5 * time.Second},
		Report: &config.Report{ReportAddr: "127.0.0.1:0"},
	}, slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelError})))
	w.must(err)
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	end := func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err, ok := <-ended; ok {
			close(ended)
			if err != nil {
				w.t.Error(err)
			}
		}
	}
	w.t.Cleanup(end)
	for deadline := time.Now().Add(time.Minute); a.IngestAddr() == "" || a.ReportAddr() == ""; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("it does not listen")
		}
	}
	return a, end
}

// load puts events of so many sites and days into an installation that does
// not run, and has them counted.
func (w *world) load(events, sites, days int) {
	w.t.Helper()
	a, end := w.serve()
	defer end()
	sum, err := loadgen.Run(w.t.Context(), loadgen.Options{
		To: "http://" + a.IngestAddr(), Events: events, Sites: sites, Days: days, End: "2026-03-31",
		Paths: 50, Users: 100, ZipfS: 1.2, Seed: 1, Batch: 1000, Parallel: 2,
	})
	w.must(err)
	differences, err := loadgen.Check(w.t.Context(), "http://"+a.ReportAddr(), "", sum, time.Minute)
	if err != nil || len(differences) > 0 {
		w.t.Fatal(err, differences)
	}
	for _, d := range sum.Days {
		w.days = append(w.days, store.DayKey{Site: d.Site, Date: d.Date})
	}
}

// damage is a way in which a rollup can be wrong.
type damage struct {
	name string
	do   func(w *world, st store.Store, key store.DayKey)
	// field is what must be named, stored how what is stored is told.
	field, stored string
	// smaller tells that a rebuild gives less than is stored.
	smaller bool
	// embedded tells that only the embedded store can be damaged so.
	embedded bool
}

func altered(change func(*rollup.Day)) func(*world, store.Store, store.DayKey) {
	return func(w *world, st store.Store, key store.DayKey) {
		w.t.Helper()
		day, err := st.Day(w.t.Context(), key)
		w.must(err)
		change(day)
		w.must(st.SwapDay(w.t.Context(), day))
	}
}

// scale changes the totals, and the hours with them.
func scale(d *rollup.Day, num, den uint64) {
	d.Events, d.Views = 0, 0
	for h := range d.HourEvents {
		d.HourEvents[h] = d.HourEvents[h] * num / den
		d.HourViews[h] = d.HourViews[h] * num / den
		d.Events += d.HourEvents[h]
		d.Views += d.HourViews[h]
	}
}

func bytesChanged(change func([]byte) []byte) func(*world, store.Store, store.DayKey) {
	return func(w *world, st store.Store, key store.DayKey) {
		w.t.Helper()
		w.must(st.(*pebblestore.Store).Damage(w.t.Context(), key, change))
	}
}

func lost([]byte) []byte { return nil }

func corrupt(value []byte) []byte {
	value[len(value)/2] ^= 0x10
	return value
}

var damages = []damage{
	{name: "lost", do: bytesChanged(lost), field: "total_events", stored: "missing", embedded: true},
	{name: "corrupt", do: bytesChanged(corrupt), field: "total_events", stored: "damaged", embedded: true},
	{name: "halved", do: altered(func(d *rollup.Day) { scale(d, 1, 2) }), field: "total_views"},
	{name: "a path too often", do: altered(func(d *rollup.Day) { d.Tables[rollup.Path].Add("/nowhere", 3) }), field: "path /nowhere", stored: "3"},
	{name: "a user too many", do: altered(func(d *rollup.Day) { d.Users.Insert("nobody") }), field: "unique_users"},
	{name: "doubled", do: altered(func(d *rollup.Day) { scale(d, 2, 1) }), field: "total_events", smaller: true},
}

// damage damages a day in each way that the installation allows, and tells
// which days.
func (w *world) damage() map[store.DayKey]damage {
	w.t.Helper()
	st := w.open()
	damaged := map[store.DayKey]damage{}
	for _, d := range damages {
		if _, mongodb := st.(*mongostore.Store); mongodb && d.embedded {
			continue
		}
		key := w.days[len(damaged)]
		d.do(w, st, key)
		damaged[key] = d
	}
	w.must(st.Close())
	return damaged
}

// result is what a command gave.
type result struct {
	args           string
	code           int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("daybook %s: exit code %d\n%s%s", r.args, r.code, r.stdout, r.stderr)
}

// run runs a command on the installation.
func (w *world) run(args ...string) result {
	var stdout, stderr bytes.Buffer
	r := result{args: strings.Join(args, " ")}
	r.code = run(append(args, w.flags...), &stdout, &stderr)
	r.stdout, r.stderr = stdout.String(), stderr.String()
	return r
}

// want fails the test unless the command gave the exit code, and all texts on
// standard output.
func (w *world) want(r result, code int, texts ...string) {
	w.t.Helper()
	if r.code != code {
		w.t.Errorf("want exit code %d: %v", code, r)
	}
	for _, text := range texts {
		if !strings.Contains(r.stdout, text) {
			w.t.Errorf("want %q in %v", text, r)
		}
	}
}
