package app_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/loadgen"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

var discard = slog.New(slog.DiscardHandler)

// openAdmin gives operators' actions on the installation, until the test or
// the function that it gives ends them.
func openAdmin(t *testing.T, i *installation) (admin.Actions, func()) {
	t.Helper()
	actions, end, err := app.OpenAdmin(t.Context(), i.config(), app.Needs{Queue: true, Store: true}, discard)
	if err != nil {
		t.Fatal(err)
	}
	once := sync.OnceFunc(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(once)
	return actions, once
}

// openStore opens the store of an installation that does not run.
func openStore(t *testing.T, i *installation) store.Store {
	t.Helper()
	st, err := app.OpenStore(t.Context(), i.store, i.data, discard)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// view is a line of a page view of site-abc on 2026-11-20.
func view(id, user string) []byte {
	e := event.Event{ID: id, Site: "site-abc", User: user, Time: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	e.Values[rollup.EventType], e.Values[rollup.Path] = rollup.PageView, "/"
	return e.AppendLine(nil)
}

// setUpPoison puts an entry into the queue of an installation that does not
// run: events a, b and c, a line that is none, and an event that no store
// takes. Among the dead letters it puts the events a and d.
func setUpPoison(t *testing.T, i *installation) {
	t.Helper()
	q, err := app.OpenQueue(t.Context(), i.queue, i.data, discard)
	if err != nil {
		t.Fatal(err)
	}
	lines := [][]byte{view("a", "u1"), []byte("no event"), view("b", "u2"), view("huge", strings.Repeat("x", 16<<20)), view("c", "u3"), nil}
	group := queue.Group{Stream: "1:0", Lines: bytes.Join(lines, []byte{'\n'}), Events: 5}
	if errs := q.Append(t.Context(), []queue.Group{group}); errs != nil {
		t.Fatal(errs)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}

	st := openStore(t, i)
	step := st.Begin()
	letter := store.DeadLetter{Stream: "1:0", Reason: "line is of version 2", Time: time.Now()}
	a, d := letter, letter
	a.Position.Line, a.Line = 1, view("a", "u1")
	d.Position.Line, d.Line = 2, view("d", "u4")
	if err := errors.Join(
		st.Migrate(t.Context(), func(int, string) {}),
		step.DeadLetter(t.Context(), []store.DeadLetter{a, d}),
		step.Commit(t.Context(), store.Checkpoint{Stream: "1:0"}),
		st.Close(),
	); err != nil {
		t.Fatal(err)
	}
}

// TestDeadLetters takes poison from the queue to the dead letters and back.
func TestDeadLetters(t *testing.T) {
	for name, install := range installations {
		t.Run(name, func(t *testing.T) {
			i := install(t)
			setUpPoison(t, i)
			cfg := i.config()
			cfg.Ingest, cfg.Worker, cfg.Report = i.ingest(), i.worker(), i.report()
			a, _ := run(t, cfg)
			actions, _ := openAdmin(t, i)
			ctx := t.Context()

			keys := func(want int) []string {
				t.Helper()
				var keys []string
				eventually(t, fmt.Sprintf("there are %d dead letters", want), func() bool {
					var err error
					if keys, err = admin.AllKeys(ctx, actions); err != nil {
						t.Fatal(err)
					}
					return len(keys) == want
				})
				return keys
			}
			count := func() stats { return getStats(t, a.ReportAddr(), "site_id=site-abc&date=2026-11-20") }

			// The poison goes alone: the other events of its entry are counted.
			letters := keys(4)
			eventually(t, "the three good events are counted", func() bool { return count().Events == 3 })
			for n, want := range []struct{ reason, line string }{
				{"line is of version 2", string(view("a", "u1"))},
				{"line is of version 2", string(view("d", "u4"))},
				{`line is of version "no event"`, "no event"},
				{"", "(the first 65536 of 16777"},
			} {
				l, err := actions.DeadLetter(ctx, letters[n])
				if err != nil || !strings.Contains(l.Reason, want.reason) || !strings.HasPrefix(l.Line, want.line) {
					t.Errorf("dead letter %s: %v, %.200v", letters[n], err, l)
				}
			}
			if page, err := actions.DeadLetters(ctx, letters[0], 2); err != nil || len(page) != 2 || page[0].Key != letters[1] {
				t.Errorf("a page of dead letters: %v, %v", err, page)
			}

			replay := func(want admin.Replayed, keys ...string) {
				t.Helper()
				got, err := actions.Replay(ctx, keys)
				if err != nil || got != want {
					t.Fatalf("replay: %v, %+v, want %+v", err, got, want)
				}
			}
			// Event a was counted meanwhile and is a duplicate; d is new. The
			// stream is in order, so a is through when d is counted.
			replay(admin.Replayed{Lines: 1}, letters[0])
			replay(admin.Replayed{Lines: 1, Missing: 1}, letters[1], letters[0])
			eventually(t, "the replayed event is counted", func() bool { return count().Events > 3 })
			if got := count(); got.Events != 4 || got.Users != 4 {
				t.Errorf("after the replay there are %s", got)
			}

			// What still cannot be used comes back, with a new key.
			old := keys(2)
			replay(admin.Replayed{Lines: 2, Undecodable: 2}, old...)
			back := keys(2)
			for _, key := range old {
				if slices.Contains(back, key) {
					t.Errorf("%s is still there", key)
				}
				if _, err := actions.DeadLetter(ctx, key); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("a replayed dead letter gives %v", err)
				}
			}

			if n, err := actions.Purge(ctx, append(back, old...)); err != nil || n != 2 {
				t.Errorf("purge: %v, %d dead letters", err, n)
			}
			keys(0)
			if got := count(); got.Events != 4 {
				t.Errorf("in the end there are %s", got)
			}
		})
	}
}

// TestRaiseStreamsUnderLoad opens a new epoch while all processes take events
// and count them.
func TestRaiseStreamsUnderLoad(t *testing.T) {
	const streams = 5
	for name, processes := range map[string]int{"embedded": 1, "redis and mongodb": 2} {
		t.Run(name, func(t *testing.T) {
			i := installations[name](t)
			var apps []*app.App
			var ends []func()
			for range processes {
				cfg := i.config()
				cfg.Ingest, cfg.Worker, cfg.Report = i.ingest(), i.worker(), i.report()
				a, end := run(t, cfg)
				apps, ends = append(apps, a), append(ends, end)
			}
			actions, endAdmin := openAdmin(t, i)

			// load sends to each process the first so many events of its own
			// sites. Those that were sent before are clients' retries.
			load := func(events int, rate float64) []loadgen.Summary {
				sums := make([]loadgen.Summary, processes)
				var wg sync.WaitGroup
				for n, a := range apps {
					wg.Go(func() {
						var err error
						sums[n], err = loadgen.Run(t.Context(), loadgen.Options{
							To: "http://" + a.IngestAddr(), Events: events, Rate: rate, Seed: uint64(n + 1),
							Sites: 2, Days: 2, End: "2026-11-20", Paths: 50, Users: 100, ZipfS: 1.2, Batch: 100, Parallel: 2,
						})
						if err != nil {
							t.Errorf("load of process %d: %v", n, err)
						}
					})
				}
				wg.Wait()
				return sums
			}
			events := 3000
			loaded := make(chan []loadgen.Summary, 1)
			go func() { loaded <- load(events, 500) }()
			eventually(t, "every day of every site has begun", func() bool {
				for n := range 2 * 2 * processes {
					query := fmt.Sprintf("site_id=load-%d-%d&date=2026-11-%d", n/4+1, n/2%2+1, n%2+19)
					if getStats(t, apps[0].ReportAddr(), query).Events == 0 {
						return false
					}
				}
				return true
			})
			epoch, err := actions.RaiseStreams(t.Context(), streams)
			sums := <-loaded
			if err != nil || epoch != (queue.Epoch{Number: 2, Streams: streams}) {
				t.Fatalf("raise: %v, %+v", err, epoch)
			}

			list := func() map[string]admin.Stream {
				list, err := actions.Streams(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				byName := map[string]admin.Stream{}
				for _, s := range list {
					byName[s.Name] = s
				}
				return byName
			}
			eventually(t, "every site has gone to its new stream", func() bool {
				streams := list()
				for _, d := range daysOf(sums) {
					// No two of the sites have the same one.
					name := epoch.StreamName(queue.Partition(d.Site, epoch.Streams))
					if s := streams[name]; s.Checkpoint == "" && s.Entries == 0 {
						// The load was over too early.
						events += 500
						sums = load(events, 0)
						return false
					}
				}
				return true
			})
			load(200, 0) // retries, now in other streams than at first
			for _, sum := range sums {
				differences, err := loadgen.Check(t.Context(), "http://"+apps[0].ReportAddr(), "", sum, time.Minute)
				if err != nil || len(differences) > 0 {
					t.Errorf("%v %v", err, differences)
				}
			}
			eventually(t, "all streams are drained and shared among the workers", func() bool {
				owners := map[string]bool{}
				for _, s := range list() {
					if s.Entries > 0 || s.Owner == "" {
						return false
					}
					owners[s.Owner] = true
				}
				return len(owners) == processes
			})
			if n := len(list()); n != 2+streams {
				t.Errorf("there are %d streams", n)
			}

			endAdmin()
			for _, end := range ends {
				end()
			}
			st := openStore(t, i)
			defer st.Close()
			for _, d := range daysOf(sums) {
				day, err := st.Day(t.Context(), store.DayKey{Site: d.Site, Date: d.Date})
				if err != nil {
					t.Fatal(err)
				}
				if marks := slices.Sorted(maps.Keys(day.Marks)); len(marks) != 2 || marks[0][:2] != "1:" || marks[1][:2] != "2:" {
					t.Errorf("%s on %s was counted from the streams %v, and not from both epochs", d.Site, d.Date, marks)
				}
			}
		})
	}
}

func daysOf(sums []loadgen.Summary) (days []loadgen.Day) {
	for _, sum := range sums {
		days = append(days, sum.Days...)
	}
	return days
}

// TestAdminSocket follows the socket through a process's life.
func TestAdminSocket(t *testing.T) {
	i := installations["embedded"](t)
	socket := filepath.Join(i.data.Data, "admin.sock")
	cfg := i.config()
	cfg.Ingest, cfg.Worker, cfg.Report = i.ingest(), i.worker(), i.report()

	// As a killed process leaves it behind.
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	listener.Close()

	_, end := run(t, cfg)
	info, err := os.Stat(socket)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("socket: %v, mode %v", err, info.Mode())
	}
	actions, _ := openAdmin(t, i)
	if _, ok := actions.(*admin.Client); !ok {
		t.Errorf("a running process was not asked but passed by, by a %T", actions)
	}
	if list, err := actions.Streams(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("streams: %v, %v", err, list)
	}
	end()
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket of a stopped process: %v", err)
	}
	if _, err := actions.Streams(t.Context()); err == nil {
		t.Error("a stopped process answered")
	}
	actions, _ = openAdmin(t, i)
	if list, err := actions.Streams(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("streams without a running process: %v, %v", err, list)
	}
}

// TestAdminFromAfar has what operators do on no port without an admin key, and
// what has no path below /admin on none at all.
func TestAdminFromAfar(t *testing.T) {
	i := installations["embedded"](t)
	cfg := i.config()
	cfg.Ingest, cfg.Worker, cfg.Report = i.ingest(), i.worker(), i.report()
	cfg.Access.Auth = access.None
	a, _ := run(t, cfg)
	ask := func(method, addr, path, key string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	paths := []string{"/admin/rebuilds", "/admin/reconciliations", "/admin/verify?all=true", "/admin/status", "/admin/sites", "/admin/sites/shop", "/admin/keys"}
	for _, path := range paths {
		if status := ask(http.MethodGet, a.IngestAddr(), path, ""); status != http.StatusNotFound {
			t.Errorf("GET %s on the port of ingest: %d", path, status)
		}
		if status := ask(http.MethodGet, a.ReportAddr(), path, ""); status != http.StatusUnauthorized {
			t.Errorf("GET %s without a key: %d", path, status)
		}
	}
	for _, path := range []string{"/deadletters/list", "/deadletters/purge", "/streams/list", "/streams/raise"} {
		for _, addr := range []string{a.IngestAddr(), a.ReportAddr()} {
			if status := ask(http.MethodPost, addr, path, ""); status != http.StatusNotFound {
				t.Errorf("POST %s%s: %d", addr, path, status)
			}
		}
	}
	actions, _ := openAdmin(t, i)
	if _, err := actions.AddSite(t.Context(), "shop", admin.SiteChange{}); err != nil {
		t.Fatal(err)
	}
	for scope, want := range map[access.Scope]int{access.Read: http.StatusForbidden, access.Ingest: http.StatusForbidden, access.Admin: http.StatusOK} {
		key, err := actions.CreateKey(t.Context(), admin.NewKey{Site: access.EverySite, Scope: scope})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the key is known", func() bool {
			return ask(http.MethodGet, a.ReportAddr(), paths[0], key.Token) != http.StatusUnauthorized
		})
		for _, path := range paths {
			if status := ask(http.MethodGet, a.ReportAddr(), path, key.Token); status != want {
				t.Errorf("GET %s with a key of scope %s: %d", path, scope, status)
			}
		}
	}
}
