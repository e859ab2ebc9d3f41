package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// insertEvents is the job of taking all events of an embedded queue into an
// embedded store without any rollup: what a worker does for raw events alone,
// in steps of the same size.
func insertEvents(args []string) (err error) {
	flags := flag.NewFlagSet("insert", flag.ContinueOnError)
	data := flags.String("data", "", "directory of the queue and the store")
	events := flags.Int("events", 0, "how many events the queue has")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx := context.Background()
	log := slog.New(slog.DiscardHandler)
	q, err := app.OpenQueue(ctx, queueOf(""), config.Data{Data: *data}, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	st, err := openStore(ctx, *data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	layout, err := q.Layout(ctx)
	if err != nil {
		return err
	}
	return measureJob(*events, func() error {
		inserted := 0
		for _, name := range layout.Names() {
			n, err := insertStream(ctx, q, st, name)
			if err != nil {
				return err
			}
			inserted += n
		}
		if inserted != *events {
			return fmt.Errorf("%d events of %d were in the queue", inserted, *events)
		}
		return nil
	})
}

// insertStream inserts the events of a stream and gives their number.
func insertStream(ctx context.Context, q queue.Queue, st store.Store, stream string) (int, error) {
	// As much as a worker takes at once, and as often as it trims.
	const batchEntries, batchBytes, trimInterval = 1000, 4 << 20, time.Second
	dates := map[int64]string{}
	var last rollup.EntryID
	inserted, trimmed := 0, time.Now()
	for {
		entries, err := q.Read(ctx, stream, last, batchEntries, batchBytes, 0)
		if err != nil || len(entries) == 0 {
			return inserted, err
		}
		events, err := decodeEntries(stream, entries, dates)
		if err != nil {
			return inserted, err
		}
		if err := insertStep(ctx, st, events); err != nil {
			return inserted, err
		}
		inserted += len(events)
		last = entries[len(entries)-1].ID
		if time.Since(trimmed) >= trimInterval {
			if err := q.Trim(ctx, stream, last); err != nil {
				return inserted, err
			}
			trimmed = time.Now()
		}
	}
}

// decodeEntries gives the events of entries. dates keeps the dates of events,
// by their days since 1970.
func decodeEntries(stream string, entries []queue.Entry, dates map[int64]string) ([]store.Event, error) {
	count := 0
	for _, entry := range entries {
		count += entry.Events
	}
	events := make([]store.Event, 0, count)
	for _, entry := range entries {
		position := rollup.Position{Entry: entry.ID}
		for line := range strings.SplitSeq(strings.TrimSuffix(entry.Lines, "\n"), "\n") {
			e, err := event.ParseLine(line)
			if err != nil {
				return nil, err
			}
			day := e.Time.Unix() / (24 * 60 * 60)
			date := dates[day]
			if date == "" {
				date = e.Date(time.UTC)
				dates[day] = date
			}
			events = append(events, store.Event{Event: e, Stream: stream, Position: position, Date: date})
			position.Line++
		}
	}
	return events, nil
}

// insertStep inserts events, all of which are new, up to the last one of an
// entry.
func insertStep(ctx context.Context, st store.Store, events []store.Event) error {
	step := st.Begin()
	defer step.Discard()
	outcomes, err := step.Insert(ctx, events)
	if err != nil {
		return err
	}
	for i, outcome := range outcomes {
		if outcome.Result != store.Inserted {
			return fmt.Errorf("event %s was not inserted: result %d %s", events[i].ID, outcome.Result, outcome.Reason)
		}
	}
	last := &events[len(events)-1]
	return step.Commit(ctx, store.Checkpoint{
		Stream: last.Stream, Position: last.Position,
		AsOf: time.UnixMilli(int64(last.Position.Entry.Ms)),
	})
}
