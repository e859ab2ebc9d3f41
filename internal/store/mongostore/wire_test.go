package mongostore

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/store/mongostore/mongotest"
	"github.com/daybook-analytics/daybook/rollup"
)

// TestCommands looks at what goes over the wire. FerretDB takes no notice of
// concerns, so that only this shows that MongoDB is asked for them.
func TestCommands(t *testing.T) {
	c, database, err := clientOptions(mongotest.Start(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	sent := map[string][]bson.Raw{} // by the command's name
	c.SetMonitor(&event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		mu.Lock()
		defer mu.Unlock()
		sent[e.CommandName] = append(sent[e.CommandName], append(bson.Raw(nil), e.Command...))
	}})
	s, err := connect(c, database)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()

	ctx := t.Context()
	var e store.Event
	e.Site, e.ID, e.Date, e.Stream = "a", "1", "2026-11-24", "1:0"
	day := rollup.NewDay("a", "2026-11-24")
	key := store.DayKey{Site: "a", Date: "2026-11-24"}
	job := &store.Job{ID: "job"}
	month := rollup.NewDay("a", "2026-11")
	month.Parts = []rollup.Part{{Date: "2026-11-24", Rev: 1}}
	record := &store.Record{Name: "a"}
	drop := func() error { return s.DropRecord(ctx, store.SaltKind, *record) } // as it is then
	step := s.Begin()
	defer step.Discard()
	for _, err := range []error{
		s.Migrate(ctx, func(int, string) {}),
		second(step.Insert(ctx, []store.Event{e})),
		second(step.Insert(ctx, []store.Event{e})), // reads what is stored
		second(step.Swap(ctx, []*rollup.Day{day})),
		second(step.Swap(ctx, []*rollup.Day{day})),
		s.SwapDay(ctx, day),
		second(s.Day(ctx, key)),
		s.ScanDay(ctx, key.Site, []string{key.Date}, nil, nil, func(*store.Event) error { return nil }),
		step.DeadLetter(ctx, []store.DeadLetter{{}}),
		step.Commit(ctx, store.Checkpoint{Stream: "1:0"}),
		s.SwapLease(ctx, store.Lease{Name: "1:0"}),
		s.SwapLease(ctx, store.Lease{Name: "1:0", Term: 1}),
		s.DropLease(ctx, store.Lease{Name: "1:0", Term: 2}),
		second(s.Checkpoints(ctx)),
		second(s.DeleteDeadLetters(ctx, []string{(&store.DeadLetter{}).Key()})),
		second(s.Sites(ctx, "", 10)),
		second(s.DayDates(ctx, "a", "", "", "")),
		second(s.KeptSince(ctx, "a")),
		second(s.Expire(ctx, "a", "2026-11-24")),
		second(s.EraseUser(ctx, "a", "u", "")),
		third(s.EraseDays(ctx, "a", "")),
		s.SwapJob(ctx, job),
		s.SwapJob(ctx, job),
		second(s.Job(ctx, "job")),
		second(s.Jobs(ctx, "", 10)),
		s.DropJob(ctx, "job"),
		second(s.DayHeads(ctx, "a", "", "", "")),
		s.PutMonth(ctx, month),
		second(s.Month(ctx, store.KeyOf(month), rollup.AllFields)),
		s.DropRollups(ctx, "a", ""),
		s.SwapRecord(ctx, store.SaltKind, record),
		s.SwapRecord(ctx, store.SaltKind, record),
		second(s.Records(ctx, store.SaltKind, []string{"a"})),
		second(s.RecordsAfter(ctx, store.SaltKind, "", 10)),
		drop(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}

	for name, want := range map[string]string{
		"createIndexes": `"writeConcern":{"w":"majority","j":true}`,
		"insert":        `"writeConcern":{"w":"majority","j":true}`,
		"dropIndexes":   `"writeConcern":{"w":"majority","j":true}`,
		"update":        `"writeConcern":{"w":"majority","j":true}`,
		"delete":        `"writeConcern":{"w":"majority","j":true}`,
		"find":          `"readConcern":{"level":"majority"}`,
		"distinct":      `"readConcern":{"level":"majority"}`,
	} {
		if len(sent[name]) == 0 {
			t.Errorf("no %s was sent", name)
		}
		for _, command := range sent[name] {
			text, err := bson.MarshalExtJSON(command, false, false)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.ReplaceAll(string(text), " ", ""), want) {
				t.Errorf("command without %s: %s", want, text)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

func third[T any](_, _ T, err error) error { return err }

// TestOutage proves that a server that is away is told from other errors,
// and that the same store works again when the server is back.
func TestOutage(t *testing.T) {
	uri := mongotest.Start(t)
	parsed, err := connstring.ParseAndValidate(uri)
	if err != nil {
		t.Fatal(err)
	}
	door := newDoor(t, parsed.Hosts[0])
	uri = strings.Replace(uri, strings.Join(parsed.Hosts, ","), door.listener.Addr().String(), 1)
	// Else the driver would go by the names that a replica set gives itself.
	uri += "?directConnection=true"

	s, err := Open(t.Context(), uri, Options{ServerSelectionTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	day := rollup.NewDay("a", "2026-11-24")
	if err := s.SwapDay(t.Context(), day); err != nil {
		t.Fatal(err)
	}
	rev := day.Rev

	door.shut(true)
	step := s.Begin()
	defer step.Discard()
	for _, err := range []error{
		s.SwapDay(t.Context(), day),
		second(step.Insert(t.Context(), []store.Event{{}})),
		second(step.Swap(t.Context(), []*rollup.Day{day})),
		step.Commit(t.Context(), store.Checkpoint{Stream: "1:0"}),
		second(s.Checkpoints(t.Context())),
		second(s.EventDates(t.Context(), "a", "", "")),
		second(s.Day(t.Context(), store.KeyOf(day))),
		second(s.SchemaVersion(t.Context())),
		second(s.Sites(t.Context(), "", 10)),
		second(s.DayDates(t.Context(), "a", "", "", "")),
		second(s.KeptSince(t.Context(), "a")),
		second(s.Expire(t.Context(), "a", "2026-11-24")),
		second(s.EraseUser(t.Context(), "a", "u", "")),
		third(s.EraseDays(t.Context(), "a", "")),
		second(s.Job(t.Context(), "job")),
		second(s.Jobs(t.Context(), "", 10)),
		s.SwapJob(t.Context(), &store.Job{ID: "job"}),
		s.DropJob(t.Context(), "job"),
		second(s.DayHeads(t.Context(), "a", "", "", "")),
		second(s.Month(t.Context(), store.KeyOf(day), rollup.AllFields)),
		s.PutMonth(t.Context(), day),
		s.DropRollups(t.Context(), "a", ""),
		second(s.Records(t.Context(), store.SaltKind, []string{"a"})),
		second(s.RecordsAfter(t.Context(), store.SaltKind, "", 10)),
		s.SwapRecord(t.Context(), store.SaltKind, &store.Record{Name: "a"}),
		s.DropRecord(t.Context(), store.SaltKind, store.Record{Name: "a", Rev: 1}),
	} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("error is %v, want ErrUnavailable", err)
		}
	}

	door.shut(false)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err = store.ErrUnavailable
	for errors.Is(err, store.ErrUnavailable) {
		err = s.SwapDay(ctx, day)
	}
	if err != nil {
		t.Fatal(err)
	}
	if day.Rev != rev+1 {
		t.Errorf("rev is %d, want %d", day.Rev, rev+1)
	}
}

// door passes connections on to a server until it is shut.
type door struct {
	listener net.Listener

	mu     sync.Mutex // protects what follows
	closed bool
	open   map[net.Conn]struct{}
}

func newDoor(t *testing.T, server string) *door {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{listener: listener, open: map[net.Conn]struct{}{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				backend, err := net.Dial("tcp", server)
				if err != nil {
					t.Error(err)
					client.Close()
					return
				}
				if !d.enter(client, backend) {
					return
				}
				// Whichever way a connection ends, both sides of it do.
				wg.Go(func() { defer backend.Close(); _, _ = io.Copy(backend, client) })
				_, _ = io.Copy(client, backend)
				client.Close()
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		d.shut(true)
		wg.Wait()
	})
	return d
}

// enter lets connections in, or closes them when the door is shut.
func (d *door) enter(conns ...net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range conns {
		if d.closed {
			c.Close()
		} else {
			d.open[c] = struct{}{}
		}
	}
	return !d.closed
}

// shut closes the door and every connection, or opens it.
func (d *door) shut(shut bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = shut
	for c := range d.open {
		c.Close()
	}
	clear(d.open)
}
