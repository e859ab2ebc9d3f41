package admin_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/queue/logq"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/store/pebblestore"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var discard = slog.New(slog.DiscardHandler)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantEqual[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// embedded is a queue with two streams and a store.
func embedded(t *testing.T) (queue.Queue, store.Store) {
	t.Helper()
	dir := t.TempDir()
	q, err := logq.Open(filepath.Join(dir, "queue"), logq.Options{Streams: 2, Logger: discard})
	check(t, err)
	t.Cleanup(func() { check(t, q.Close()) })
	st, err := pebblestore.Open(filepath.Join(dir, "store"), pebblestore.Options{Logger: discard})
	check(t, err)
	t.Cleanup(func() { check(t, st.Close()) })
	check(t, st.Migrate(t.Context(), func(int, string) {}))
	return q, st
}

// bothWays runs a test on an Admin and on a Client of one.
func bothWays(t *testing.T, test func(t *testing.T, actions admin.Actions, q queue.Queue, st store.Store)) {
	t.Run("Admin", func(t *testing.T) {
		q, st := embedded(t)
		test(t, admin.New(q, st, admin.Options{}, discard), q, st)
	})
	t.Run("Client", func(t *testing.T) {
		q, st := embedded(t)
		rt := web.NewRouter(discard)
		admin.New(q, st, admin.Options{}, discard).Register(rt)
		test(t, dial(t, serve(t, rt)), q, st)
	})
}

// serve serves a router on the socket of a directory.
func serve(t *testing.T, rt *web.Router) (socket string) {
	t.Helper()
	dir := t.TempDir()
	server := web.NewServerOn("admin", func() (net.Listener, error) { return admin.Listen(dir) }, rt, nil, discard)
	check(t, server.Start())
	t.Cleanup(func() { check(t, server.Stop(context.Background())) })
	socket, err := admin.SocketPath(dir)
	check(t, err)
	return socket
}

func dial(t *testing.T, socket string) *admin.Client {
	t.Helper()
	client, err := admin.Dial(t.Context(), socket)
	check(t, err)
	return client
}

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// put puts a dead letter with each line at the positions of stream 1:0, and
// gives their keys.
func put(t *testing.T, st store.Store, lines ...string) (keys []string) {
	t.Helper()
	var letters []store.DeadLetter
	for i, line := range lines {
		l := store.DeadLetter{Stream: "1:0", Reason: "bad", Line: []byte(line), Time: noon}
		l.Position.Entry.Ms = uint64(i + 1)
		letters = append(letters, l)
		keys = append(keys, l.Key())
	}
	step := st.Begin()
	defer step.Discard()
	check(t, step.DeadLetter(t.Context(), letters))
	check(t, step.Commit(t.Context(), store.Checkpoint{Stream: "1:0"}))
	return keys
}

// lines reads all that is in the queue, stream by stream.
func lines(t *testing.T, q queue.Queue) map[string][]string {
	t.Helper()
	layout, err := q.Layout(t.Context())
	check(t, err)
	all := map[string][]string{}
	for _, name := range layout.Names() {
		entries, err := q.Read(t.Context(), name, rollup.EntryID{}, 1000, 1<<30, 0)
		check(t, err)
		for _, e := range entries {
			all[name] = append(all[name], e.Lines)
		}
	}
	return all
}

// good is an event of a site.
func good(site string) string { return "1\tid\t" + site + "\tuser\t1795512600123\tpage_view\t/" }

func TestDeadLetters(t *testing.T) {
	bothWays(t, func(t *testing.T, actions admin.Actions, q queue.Queue, st store.Store) {
		ctx := t.Context()
		keys := put(t, st, good("a"), "no event", "\xff\t<&\u2028", good("b"))
		letters, err := actions.DeadLetters(ctx, "", 10)
		check(t, err)
		wantEqual(t, "letters", letters, []admin.Letter{
			{Key: keys[0], Time: noon, Reason: "bad", Line: good("a")},
			{Key: keys[1], Time: noon, Reason: "bad", Line: "no event"},
			{Key: keys[2], Time: noon, Reason: "bad", Line: letters[2].Line, Raw: []byte("\xff\t<&\u2028")},
			{Key: keys[3], Time: noon, Reason: "bad", Line: good("b")},
		})
		letters, err = actions.DeadLetters(ctx, keys[1], 1)
		check(t, err)
		wantEqual(t, "second page", letters[0].Key, keys[2])
		one, err := actions.DeadLetter(ctx, keys[3])
		check(t, err)
		wantEqual(t, "line", one.Line, good("b"))
		missing := "9:9@" + rollup.Position{}.String()
		if _, err := actions.DeadLetter(ctx, missing); !errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), missing) {
			t.Errorf("a key that is not there gives %v", err)
		}

		n, err := actions.Purge(ctx, []string{keys[1], missing})
		check(t, err)
		wantEqual(t, "purged", n, 1)

		// Events go to their site's stream in the newest epoch, whatever
		// cannot be parsed to one of them.
		epoch, err := q.OpenEpoch(ctx, 50)
		check(t, err)
		replayed, err := actions.Replay(ctx, []string{keys[3], keys[2], keys[0], keys[0], keys[1]})
		check(t, err)
		wantEqual(t, "replayed", replayed, admin.Replayed{Lines: 3, Undecodable: 1, Missing: 1})
		wantEqual(t, "queue", lines(t, q), map[string][]string{
			epoch.StreamName(queue.Partition("a", 50)): {good("a") + "\n"},
			epoch.StreamName(queue.Partition("b", 50)): {good("b") + "\n"},
			epoch.StreamName(queue.Partition("", 50)):  {"\xff\t<&\u2028\n"},
		})
		left, err := admin.AllKeys(ctx, actions)
		check(t, err)
		wantEqual(t, "letters that are left", len(left), 0)
	})
}

// TestManyDeadLetters goes beyond one page and one request.
func TestManyDeadLetters(t *testing.T) {
	bothWays(t, func(t *testing.T, actions admin.Actions, q queue.Queue, st store.Store) {
		const n = 2*admin.MaxLetters + 7
		put(t, st, make([]string, n)...)
		keys, err := admin.AllKeys(t.Context(), actions)
		check(t, err)
		wantEqual(t, "number of keys", len(keys), n)
		replayed, err := actions.Replay(t.Context(), keys[:1100])
		check(t, err)
		wantEqual(t, "replayed", replayed, admin.Replayed{Lines: 1100, Undecodable: 1100})
		purged, err := actions.Purge(t.Context(), keys)
		check(t, err)
		wantEqual(t, "purged", purged, n-1100)
	})
}

// TestReplayStopsInBetween proves that no letter is lost, wherever a replay
// fails, and that it can be done again.
func TestReplayStopsInBetween(t *testing.T) {
	broken := errors.New("broken")
	q, st := embedded(t)
	keys := put(t, st, good("a"), good("b"))

	_, err := admin.New(failingQueue{q, broken}, st, admin.Options{}, discard).Replay(t.Context(), keys)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), keys[0]) {
		t.Errorf("the error of an append is %v", err)
	}
	left, err := st.DeadLetters(t.Context(), "", 10)
	check(t, err)
	if len(left) != 1 || left[0].Key() != keys[0] {
		t.Fatalf("after one of two appends failed there are %v", left)
	}

	_, err = admin.New(q, failingStore{st, broken}, admin.Options{}, discard).Replay(t.Context(), keys)
	if !errors.Is(err, broken) {
		t.Errorf("the error of the deletion is %v", err)
	}
	replayed, err := admin.New(q, st, admin.Options{}, discard).Replay(t.Context(), keys)
	check(t, err)
	wantEqual(t, "replayed again", replayed, admin.Replayed{Lines: 1, Missing: 1})
	copies := 0
	for _, stream := range lines(t, q) {
		for _, line := range stream {
			if line == good("a")+"\n" {
				copies++
			}
		}
	}
	wantEqual(t, "copies of a line that was replayed twice", copies, 2)
}

// failingQueue fails to append the first group.
type failingQueue struct {
	queue.Queue
	err error
}

func (q failingQueue) Append(ctx context.Context, groups []queue.Group) []error {
	errs := make([]error, len(groups))
	errs[0] = q.err
	if rest := q.Queue.Append(ctx, groups[1:]); rest != nil {
		copy(errs[1:], rest)
	}
	return errs
}

// failingStore deletes no dead letters.
type failingStore struct {
	store.Store
	err error
}

func (s failingStore) DeleteDeadLetters(context.Context, []string) (int, error) { return 0, s.err }

func TestStreams(t *testing.T) {
	bothWays(t, func(t *testing.T, actions admin.Actions, q queue.Queue, st store.Store) {
		ctx := t.Context()
		if errs := q.Append(ctx, []queue.Group{{Stream: "1:1", Lines: []byte("a\nb\n"), Events: 2}}); errs != nil {
			t.Fatal(errs)
		}
		done := store.Checkpoint{Stream: "1:0", Position: rollup.Position{Entry: rollup.EntryID{Ms: 7}, Line: 3}, AsOf: noon}
		step := st.Begin()
		check(t, step.Commit(ctx, done))
		check(t, st.SwapLease(ctx, store.Lease{Name: "stream/1:0", Owner: "w"}))

		epoch, err := actions.RaiseStreams(ctx, 3)
		check(t, err)
		wantEqual(t, "epoch", epoch, queue.Epoch{Number: 2, Streams: 3})
		streams, err := actions.Streams(ctx)
		check(t, err)
		if age := streams[1].OldestSeconds; age < 0 || age > 60 {
			t.Errorf("the oldest entry is %v seconds old", age)
		}
		streams[1].OldestSeconds = 0
		wantEqual(t, "streams", streams, []admin.Stream{
			{Epoch: 1, Name: "1:0", Checkpoint: done.Position.String(), AsOf: noon, Owner: "w"},
			{Epoch: 1, Name: "1:1", Entries: 1, Events: 2, Bytes: 4},
			{Epoch: 2, Name: "2:0"}, {Epoch: 2, Name: "2:1"}, {Epoch: 2, Name: "2:2"},
		})

		for _, n := range []int{-1, 0, 2, 3, queue.MaxStreams + 1} {
			want := fmt.Sprintf("%d streams: there are 3 now, and the number can only be raised, to 256 at most", n)
			if _, err := actions.RaiseStreams(ctx, n); err == nil || err.Error() != want {
				t.Errorf("raising 3 streams to %d gives %v", n, err)
			}
		}
		layout, err := q.Layout(ctx)
		check(t, err)
		wantEqual(t, "epochs", len(layout.Epochs), 2)
	})
}

func TestCheckKey(t *testing.T) {
	check(t, admin.CheckKey("1:0@001795512600123-0000000000-000001"))
	for _, key := range []string{"", "1:0", "@001795512600123-0000000000-000001", "1:0@1-0-1", "1:0@001795512600123-0000000000-000001 "} {
		if err := admin.CheckKey(key); err == nil || !strings.Contains(err.Error(), "STREAM@POSITION") {
			t.Errorf("key %q gives %v", key, err)
		}
	}
}

// TestClientOfAnotherVersion gives errors that one can act on.
func TestClientOfAnotherVersion(t *testing.T) {
	client := dial(t, serve(t, web.NewRouter(discard)))
	if _, err := client.Streams(t.Context()); err == nil || !strings.Contains(err.Error(), "its own version") {
		t.Errorf("an action that the server does not know gives %v", err)
	}
}

func TestDialNobody(t *testing.T) {
	dir := t.TempDir()
	if _, err := admin.Dial(t.Context(), filepath.Join(dir, "admin.sock")); !errors.Is(err, admin.ErrNoServer) {
		t.Errorf("a missing socket gives %v", err)
	}
	stale(t, dir)
	if _, err := admin.Dial(t.Context(), filepath.Join(dir, "admin.sock")); !errors.Is(err, admin.ErrNoServer) {
		t.Errorf("a socket that a killed process has left gives %v", err)
	}
}

// stale leaves a socket behind as a killed process does.
func stale(t *testing.T, dir string) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(dir, "admin.sock"))
	check(t, err)
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	check(t, listener.Close())
}

func TestListen(t *testing.T) {
	dir := t.TempDir()
	stale(t, dir)
	listener, err := admin.Listen(dir)
	check(t, err)
	info, err := os.Stat(filepath.Join(dir, "admin.sock"))
	check(t, err)
	wantEqual(t, "mode", info.Mode(), os.ModeSocket|0o600)
	if _, err := admin.Listen(dir); err == nil || !strings.Contains(err.Error(), "another daybook uses this directory") {
		t.Errorf("a second listener gives %v", err)
	}
	check(t, listener.Close())
	if _, err := os.Stat(filepath.Join(dir, "admin.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after closing the socket gives %v", err)
	}
}

// TestLongDirectory goes beyond what a socket's path can hold.
func TestLongDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	check(t, os.Mkdir(dir, 0o700))
	if _, err := admin.Listen(dir); err == nil || !strings.Contains(err.Error(), "--data "+dir) || !strings.Contains(err.Error(), "relative") {
		t.Errorf("a long path gives %v", err)
	}
	t.Chdir(dir)
	for _, name := range []string{".", dir} {
		listener, err := admin.Listen(name)
		check(t, err)
		check(t, listener.Close())
	}
}
