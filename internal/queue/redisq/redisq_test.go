package redisq

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/queue/queuetest"
	"github.com/daybook-analytics/daybook/internal/queue/redisq/redistest"
	"github.com/daybook-analytics/daybook/rollup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patient is for tests that are not about a Redis that is away: on a loaded
// machine it may be slow.
const patient = 30 * time.Second

// open opens a queue for the rest of the test: patient, with keys of its own
// and without logs, unless opts says otherwise.
func open(t testing.TB, url string, opts Options) *Queue {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Prefix == "" {
		opts.Prefix = redistest.Prefix()
	}
	if opts.timeout == 0 {
		opts.timeout = patient
	}
	q, err := Open(t.Context(), url, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return q
}

func conform(t *testing.T, url string) {
	queuetest.Run(t, func(t *testing.T) queuetest.Backend {
		prefix := redistest.Prefix()
		return queuetest.Backend{
			Shared:    true,
			Estimates: true,
			Open: func(t *testing.T, streams int) queue.Queue {
				q, err := Open(t.Context(), url, Options{
					Prefix: prefix, Streams: streams, Logger: slog.New(slog.DiscardHandler), timeout: patient,
				})
				if err != nil {
					t.Fatal(err)
				}
				return q
			},
		}
	})
}

func TestConformance(t *testing.T) { conform(t, redistest.Start(t)) }

func one(line string) []queue.Group {
	return []queue.Group{{Stream: "1:0", Lines: []byte(line + "\n"), Events: 1}}
}

// lines reads all lines of the stream 1:0, or the error.
func lines(ctx context.Context, q *Queue) (all []string, err error) {
	var after rollup.EntryID
	for {
		entries, err := q.Read(ctx, "1:0", after, 1000, 1<<20, 0)
		if err != nil || len(entries) == 0 {
			return all, err
		}
		for _, e := range entries {
			all = append(all, e.Lines)
			after = e.ID
		}
	}
}

// What others put into a stream is given as it is and stops nothing.
func TestStrangeEntries(t *testing.T) {
	q := open(t, redistest.Start(t), Options{})
	key := q.keys.stream("1:0")
	add := func(values ...any) {
		t.Helper()
		if err := q.client.XAdd(t.Context(), &redis.XAddArgs{Stream: key, Values: values}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if errs := q.Append(t.Context(), one("first")); errs != nil {
		t.Fatal(errs)
	}
	add("note", "hello\nworld", "1\tx", "y")
	add("e", "no count\n")
	add("n", "1")
	add("n", "1", "e", "")
	add("n", "many", "e", "wrong count\nand no newline")
	if errs := q.Append(t.Context(), one("last")); errs != nil {
		t.Fatal(errs)
	}
	entries, err := q.Read(t.Context(), "1:0", rollup.EntryID{}, 100, 1<<20, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"first\n",
		`"1\tx" "y" "note" "hello\nworld" ` + "\n",
		`"e" "no count\n" ` + "\n",
		`"n" "1" ` + "\n",
		`"e" "" "n" "1" ` + "\n",
		"wrong count\nand no newline\n",
		"last\n",
	}
	for i, e := range entries {
		if i >= len(want) || e.Lines != want[i] || e.Events != strings.Count(want[i], "\n") {
			t.Errorf("entry %d: %d events, %q", i, e.Events, e.Lines)
		}
	}
	if len(entries) != len(want) {
		t.Errorf("%d entries, want %d", len(entries), len(want))
	}
	if backlog, err := q.Backlog(t.Context()); err != nil || backlog[0].Entries != int64(len(want)) {
		t.Errorf("backlog %+v, %v", backlog, err)
	}
}

// An ID that a Position cannot hold is an error that says what to do, after
// the entries before it.
func TestStrangeIDs(t *testing.T) {
	url := redistest.Start(t)
	for _, id := range []string{"1000000000000000-0", "999999999999999-10000000000"} {
		q := open(t, url, Options{})
		if errs := q.Append(t.Context(), one("first")); errs != nil {
			t.Fatal(errs)
		}
		err := q.client.XAdd(t.Context(), &redis.XAddArgs{Stream: q.keys.stream("1:0"), ID: id, Values: []string{"n", "1", "e", "x\n"}}).Err()
		if err != nil {
			t.Fatal(err)
		}
		entries, err := q.Read(t.Context(), "1:0", rollup.EntryID{}, 100, 1000, 0)
		if err != nil || len(entries) != 1 {
			t.Fatalf("%v, %v", entries, err)
		}
		_, err = q.Read(t.Context(), "1:0", entries[0].ID, 100, 1000, 0)
		if err == nil || !strings.Contains(err.Error(), id) || !strings.Contains(err.Error(), "XDEL") {
			t.Errorf("error %v", err)
		}
	}
}

// The keys are a format that other versions and operators know.
func TestKeys(t *testing.T) {
	url := redistest.Start(t)
	prefix := redistest.Prefix()
	q := open(t, url, Options{Prefix: prefix})
	if errs := q.Append(t.Context(), one("x")); errs != nil {
		t.Fatal(errs)
	}
	if got, err := q.client.LRange(t.Context(), "{"+prefix+"}:layout", 0, -1).Result(); err != nil || fmt.Sprint(got) != "[4]" {
		t.Errorf("layout %v, %v", got, err)
	}
	got, err := q.client.XRange(t.Context(), "{"+prefix+":1:0}", "-", "+").Result()
	if err != nil || len(got) != 1 || fmt.Sprint(got[0].Values) != "map[e:x\n n:1]" {
		t.Errorf("stream %v, %v", got, err)
	}
	if (keys{prefix: DefaultPrefix}).stream("1:0") != "{daybook:1:0}" {
		t.Error("the default prefix is another")
	}
}

// A Redis that lost everything gets its layout back.
func TestLayoutComesBack(t *testing.T) {
	q := open(t, redistest.Start(t), Options{Streams: 3})
	if _, err := q.OpenEpoch(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	if err := q.client.Del(t.Context(), q.keys.layout()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := q.lookUpAgain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := q.client.LRange(t.Context(), q.keys.layout(), 0, -1).Val(); fmt.Sprint(got) != "[3 5]" {
		t.Errorf("layout %v", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	for want, opts := range map[string]Options{
		"allowed are 1 to 256": {Streams: 257},
		"holds a brace":        {Prefix: "a{b"},
	} {
		if _, err := Open(t.Context(), "redis://127.0.0.1:1", opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestWarnings(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	open(t, redistest.StartServer(t).URL(), Options{Logger: logger})
	if log.Len() > 0 {
		t.Errorf("warnings about a safe server:\n%s", &log)
	}
	open(t, redistest.StartServer(t, "--appendfsync", "everysec", "--maxmemory-policy", "allkeys-lru").URL(), Options{Logger: logger})
	for _, want := range []string{"setting=appendfsync value=everysec want=always", "setting=maxmemory-policy value=allkeys-lru want=noeviction"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in\n%s", want, &log)
		}
	}
	if strings.Contains(log.String(), "setting=appendonly") {
		t.Errorf("a warning too many in\n%s", &log)
	}
}

func BenchmarkAppend(b *testing.B) {
	q := open(b, redistest.Start(b), Options{})
	line := "1\t0123456789abcdef0123456789abcdef\tsite-abc\tuser-0123456789\t1764000000000\tpage_view\t/pricing/enterprise\thttps://example.com\tDE\n"
	for _, events := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(events), func(b *testing.B) {
			g := []queue.Group{{Stream: "1:0", Lines: []byte(strings.Repeat(line, events)), Events: events}}
			n := 0
			for b.Loop() {
				if errs := q.Append(b.Context(), g); errs != nil {
					b.Fatal(errs)
				}
				// Trim as a worker does, so that it is paid for too.
				if n++; n%16 == 0 {
					if err := q.Trim(b.Context(), "1:0", rollup.EntryID{Ms: rollup.MaxMs}); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(events*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
