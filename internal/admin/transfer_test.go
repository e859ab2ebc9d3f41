package admin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/transfer"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

// putDay puts n events of site s on a date into the store, with their rollup.
func putDay(t *testing.T, st store.Store, stream, date string, n int) {
	t.Helper()
	day := rollup.NewDay("s", date)
	clock, err := event.NewClock("", date)
	check(t, err)
	events := make([]store.Event, n)
	for i := range events {
		e := event.Event{ID: fmt.Sprintf("%s-%d", stream, i), Site: "s", Time: time.UnixMilli(clock.Begin)}
		e.Values[rollup.EventType] = strings.Repeat("x", 100)
		events[i] = store.Event{Event: e, Stream: stream, Date: date}
		events[i].Position.Entry.Ms = uint64(i + 1)
		day.Fold(stream, []rollup.Event{e.ForFold(events[i].Position, clock)})
	}
	step := st.Begin()
	defer step.Discard()
	_, err = step.Insert(t.Context(), events)
	check(t, err)
	_, err = step.Swap(t.Context(), []*rollup.Day{day})
	check(t, err)
	check(t, step.Commit(t.Context(), store.Checkpoint{Stream: stream, Position: events[n-1].Position}))
}

func TestExportAndImport(t *testing.T) {
	bothWays(t, func(t *testing.T, actions admin.Actions, _ queue.Queue, st store.Store) {
		// More than is written at once.
		putDay(t, st, "1:0", "2026-11-20", 1000)
		putDay(t, st, "1:1", "2026-11-21", 1)
		_, err := st.Expire(t.Context(), "s", "2026-11-21")
		check(t, err)
		putDay(t, st, "1:0", "2026-11-22", 1000)

		var out bytes.Buffer
		spec := transfer.Spec{Range: reconcile.Range{Site: "s"}, What: transfer.Events, Format: transfer.NDJSON}
		sum, err := actions.Export(t.Context(), spec, &out)
		check(t, err)
		wantEqual(t, "exported events", sum, transfer.Exported{Days: 2, Events: 1001, Partial: 1})
		wantEqual(t, "their lines", bytes.Count(out.Bytes(), []byte("\n")), 1001)

		out.Reset()
		spec.What, spec.To = transfer.Rollups, "2026-11-21"
		sum, err = actions.Export(t.Context(), spec, &out)
		check(t, err)
		wantEqual(t, "exported rollups", sum, transfer.Exported{Days: 2, Events: 1001, Partial: 1})
		imported, err := actions.ImportRollups(t.Context(), &out)
		check(t, err)
		wantEqual(t, "imported", imported, transfer.Imported{Same: 1, Whole: 1})

		spec.From, spec.To = "2000-01-01", "2000-01-01"
		out.Reset()
		sum, err = actions.Export(t.Context(), spec, &out)
		check(t, err)
		wantEqual(t, "exported of no days", sum, transfer.Exported{})

		spec.Site = "nobody"
		if _, err := actions.Export(t.Context(), spec, io.Discard); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a site that there is not: %v", err)
		}
		// The error comes through although most of the input was not read.
		bad := io.MultiReader(strings.NewReader("no rollup\n"), strings.NewReader(strings.Repeat("x\n", 4<<20)))
		if _, err := actions.ImportRollups(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "line 1: it is no rollup") {
			t.Errorf("bad input: %v", err)
		}
	})
}

// failing cannot read one date.
type failing struct {
	store.Store
	date string
}

func (f failing) ScanDay(ctx context.Context, site string, dates []string, after, upTo rollup.Marks, fn func(*store.Event) error) error {
	if slices.Contains(dates, f.date) {
		return errors.New("the disk is broken")
	}
	return f.Store.ScanDay(ctx, site, dates, after, upTo, fn)
}

// An export that fails in its middle is no export, also through the socket.
func TestExportThatFails(t *testing.T) {
	q, st := embedded(t)
	putDay(t, st, "1:0", "2026-11-20", 1000)
	putDay(t, st, "1:1", "2026-11-21", 1)
	broken := admin.New(q, failing{st, "2026-11-21"}, admin.Options{}, discard)
	rt := web.NewRouter(discard)
	broken.Register(rt)
	client := dial(t, serve(t, rt))
	spec := transfer.Spec{What: transfer.Events, Format: transfer.CSV}
	for _, actions := range []admin.Actions{broken, client} {
		var out bytes.Buffer
		if _, err := actions.Export(t.Context(), spec, &out); err == nil || !strings.Contains(err.Error(), "the disk is broken") || out.Len() == 0 {
			t.Errorf("%T: %v after %d bytes", actions, err, out.Len())
		}
	}

	// One that nobody reads ends with the process.
	check(t, func() error {
		stalled, writer := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			_, err := client.Export(t.Context(), spec, writer)
			ended <- err
		}()
		one := make([]byte, 1)
		if _, err := stalled.Read(one); err != nil {
			return err
		}
		if err := broken.Stop(t.Context()); err != nil {
			return err
		}
		stalled.Close()
		if err := <-ended; err == nil {
			return errors.New("an export that was stopped is taken for whole")
		}
		return nil
	}())
}
