package worker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// stream works on one stream. One goroutine uses it.
type stream struct {
	name  string
	queue Queue
	store Store
	sites *site.Directory
	opts  Options
	stats *counters
	rooms *sync.Pool

	// checkpoint is what was last committed, as far as this worker knows.
	checkpoint store.Checkpoint
	// trimmed is up to where the queue was last trimmed.
	trimmed   rollup.EntryID
	trimmedAt time.Time
	days      *dayCache
	// took is how long the last step took; 0 if there was nothing to do.
	took time.Duration
	// most is how many entries the next step takes at most. It is halved when
	// a step fails and doubled when one is done: where something breaks every
	// second, steps become short enough to be done in between, and do not
	// grow with what waits.
	most int
}

// idle tells the store that everything accepted up to asOf is done, after the
// queue had nothing behind the checkpoint at that time.
func (s *stream) idle(ctx context.Context, asOf time.Time) error {
	checkpoint := s.checkpoint
	checkpoint.AsOf = asOf
	step := s.store.Begin()
	defer step.Discard()
	if err := step.Commit(ctx, checkpoint); err != nil {
		return fmt.Errorf("commit checkpoint: %w", err)
	}
	s.checkpoint = checkpoint
	return nil
}

// step takes a contiguous run of entries behind the checkpoint through the
// protocol.
func (s *stream) step(ctx context.Context, entries []queue.Entry) error {
	room := s.rooms.Get().(*[]store.Event)
	events, letters := s.decode(*room, entries)
	*room = events
	defer func() {
		clear(*room) // of the strings, which are parts of the entries
		s.rooms.Put(room)
	}()
	places, err := s.places(ctx, events)
	if err != nil {
		return err
	}
	events, undated := s.date(places, events)
	letters = append(letters, undated...)

	step := s.store.Begin()
	defer step.Discard()

	kept, err := s.keptSince(ctx, places)
	if err != nil {
		return err
	}
	events, expired, err := s.sift(ctx, step, places, events, kept)
	if err != nil {
		return err
	}
	letters = append(letters, expired...)

	var duplicates uint64
	if len(events) > 0 {
		outcomes, err := step.Insert(ctx, events)
		if err != nil {
			return fmt.Errorf("insert %d raw events: %w", len(events), err)
		}
		if err := s.stillKept(ctx, places, kept); err != nil {
			return err
		}
		for i, outcome := range outcomes {
			switch e := &events[i]; outcome.Result {
			case store.Inserted, store.Replayed:
				places.add(events, i)
			case store.Duplicate:
				duplicates++
			case store.Refused:
				letters = append(letters, s.letter(e.Position, outcome.Reason, e.AppendLine(nil)))
			}
		}
	}
	// Before the fold: what a mark covers was counted, or is a duplicate, or
	// has its dead letter.
	if len(letters) > 0 {
		if err := step.DeadLetter(ctx, letters); err != nil {
			return fmt.Errorf("put away %d dead letters: %w", len(letters), err)
		}
	}
	if err := s.fold(ctx, step, places, events); err != nil {
		return err
	}
	last := entries[len(entries)-1]
	checkpoint := store.Checkpoint{
		Stream:   s.name,
		Position: rollup.Position{Entry: last.ID, Line: lastLine(last)},
		AsOf:     time.UnixMilli(int64(last.ID.Ms)).UTC(),
	}
	if err := step.Commit(ctx, checkpoint); err != nil {
		return fmt.Errorf("commit checkpoint: %w", err)
	}
	s.checkpoint = checkpoint
	s.stats.events.Add(uint64(len(events)))
	s.stats.duplicates.Add(duplicates)
	s.stats.deadLetters.Add(uint64(len(letters)))
	s.stats.steps.Add(1)
	return nil
}

// decode gives the events of the entries, with their positions and without
// dates, and dead letters for the lines that are none. It uses the room.
func (s *stream) decode(room []store.Event, entries []queue.Entry) ([]store.Event, []store.DeadLetter) {
	var letters []store.DeadLetter
	count := 0
	for _, entry := range entries {
		count += entry.Events
	}
	events := slices.Grow(room[:0], count)
	for _, entry := range entries {
		position := rollup.Position{Entry: entry.ID}
		for line := range lines(entry.Lines) {
			e, err := event.ParseLine(line)
			if err != nil {
				letters = append(letters, s.letter(position, err.Error(), []byte(line)))
			} else {
				events = append(events, store.Event{Event: e, Stream: s.name, Position: position})
			}
			position.Line++
		}
	}
	return events, letters
}

// lines yields the lines of an entry without their newlines. Even an empty
// entry has one: it then becomes a dead letter and not a silence.
func lines(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		rest, more := strings.TrimSuffix(text, "\n"), true
		for more {
			var line string
			line, rest, more = strings.Cut(rest, "\n")
			if !yield(line) {
				return
			}
		}
	}
}

func lastLine(entry queue.Entry) uint32 {
	return uint32(strings.Count(strings.TrimSuffix(entry.Lines, "\n"), "\n"))
}

// maxLetterLine is the longest line that a dead letter keeps whole. Ingest
// takes no event that long; but whatever else is put into the queue must not
// become a dead letter that the store cannot take, for that would hold up the
// stream.
const maxLetterLine = event.MaxBytes

func (s *stream) letter(p rollup.Position, reason string, line []byte) store.DeadLetter {
	if len(line) > maxLetterLine {
		// With these words in front no part of an event is ever replayed.
		line = fmt.Appendf(nil, "(the first %d of %d bytes) %s", maxLetterLine, len(line), line[:maxLetterLine])
	}
	return store.DeadLetter{Stream: s.name, Position: p, Reason: reason, Line: line, Time: time.Now().UTC()}
}

// foldAtOnce is how many rollups are loaded and written at a time. A step of
// many small sites would else have far more of them in memory than the cache
// may keep.
const foldAtOnce = 256

// fold brings the events of the runs into their rollups.
func (s *stream) fold(ctx context.Context, step store.Step, places places, events []store.Event) error {
	for pending := range slices.Chunk(places.runs(), foldAtOnce) {
		if err := s.foldRuns(ctx, step, places, pending, events); err != nil {
			return err
		}
		s.days.trim()
	}
	return nil
}

func (s *stream) foldRuns(ctx context.Context, step store.Step, places places, pending []*dayRun, events []store.Event) error {
	var folding []rollup.Event
	for len(pending) > 0 {
		if err := s.load(ctx, step, places, pending); err != nil {
			return err
		}
		var changed []*rollup.Day
		for _, run := range pending {
			folding = run.fold(folding[:0], events)
			day := s.days.get(run.key)
			if day.Fold(s.name, folding) > 0 {
				day.Compact(s.opts.Limits)
				changed = append(changed, day)
			}
		}
		if len(changed) == 0 {
			return nil
		}
		conflicts, err := step.Swap(ctx, changed)
		if err != nil {
			return fmt.Errorf("write %d rollups: %w", len(changed), err)
		}
		for _, key := range conflicts {
			s.days.drop(key)
		}
		s.stats.conflicts.Add(uint64(len(conflicts)))
		pending = slices.DeleteFunc(pending, func(run *dayRun) bool { return !slices.Contains(conflicts, run.key) })
	}
	return nil
}

// load brings the rollups of the runs into the cache.
//
// One that is missing or damaged is folded again from its raw events up to
// the checkpoints: everything up to them was in the rollup, and nothing
// beyond them that this worker will not fold itself or that other workers
// will not. For a new day that finds no events and is nearly free.
func (s *stream) load(ctx context.Context, step store.Step, places places, runs []*dayRun) error {
	var missing []store.DayKey
	for _, run := range runs {
		if s.days.get(run.key) == nil {
			missing = append(missing, run.key)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	days, damaged, err := step.Load(ctx, missing)
	if err != nil {
		return fmt.Errorf("load %d rollups: %w", len(missing), err)
	}
	var done rollup.Marks
	for _, key := range missing {
		day := days[key]
		if day == nil {
			if done == nil {
				checkpoints, err := s.store.Checkpoints(ctx)
				if err != nil {
					return fmt.Errorf("read checkpoints: %w", err)
				}
				done = store.CheckpointMarks(checkpoints)
			}
			day = store.NewDay(key)
			if d := damaged[key]; d != nil {
				day.Rev = d.Rev
			}
			if err := store.FoldDay(ctx, s.store, day, places[key.Site].settings.All(), done); err != nil {
				return fmt.Errorf("rebuild %s: %w", key, err)
			}
			if day.Folded() > 0 {
				s.stats.rebuilt.Add(1)
			}
		}
		s.days.put(key, day)
	}
	return nil
}

// trim removes from the queue what lies behind the checkpoint, now and then.
func (s *stream) trim(ctx context.Context, now time.Time) error {
	through := s.checkpoint.Position.Entry
	if through == s.trimmed || now.Sub(s.trimmedAt) < trimInterval {
		return nil
	}
	if err := s.queue.Trim(ctx, s.name, through); err != nil {
		return fmt.Errorf("trim: %w", err)
	}
	s.trimmed, s.trimmedAt = through, now
	return nil
}
