package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// MaxLetters is the most dead letters that are listed at once.
const MaxLetters = 1000

// replayAtOnce is how many lines are appended to the queue at once.
const replayAtOnce = 100

// Letter is a dead letter as operators see it.
type Letter struct {
	Key string `json:"key"`
	// Time is when it was put away.
	Time   time.Time `json:"time"`
	Reason string    `json:"reason"`
	// Line is the event as it stood in the queue.
	Line string `json:"line"`
	// Raw is the line where it is not valid UTF-8, which JSON cannot hold.
	Raw []byte `json:"line_base64,omitempty"`
}

func newLetter(d *store.DeadLetter) Letter {
	l := Letter{Key: d.Key(), Time: d.Time, Reason: d.Reason, Line: string(d.Line)}
	if !utf8.Valid(d.Line) {
		l.Raw = d.Line
	}
	return l
}

// CheckKey tells what is wrong with the key of a dead letter.
func CheckKey(key string) error {
	stream, position, _ := strings.Cut(key, "@")
	if _, err := rollup.ParsePosition(position); err != nil || stream == "" {
		return fmt.Errorf("%q is no key of a dead letter: it has the form STREAM@POSITION, as 1:0@%s", key, rollup.Position{})
	}
	return nil
}

// DeadLetters is part of Actions.
func (a *Admin) DeadLetters(ctx context.Context, after string, limit int) ([]Letter, error) {
	stored, err := a.store.DeadLetters(ctx, after, limit)
	letters := make([]Letter, len(stored))
	for i := range stored {
		letters[i] = newLetter(&stored[i])
	}
	return letters, err
}

// DeadLetter is part of Actions.
func (a *Admin) DeadLetter(ctx context.Context, key string) (Letter, error) {
	stored, err := a.store.DeadLetter(ctx, key)
	if err != nil {
		return Letter{}, err
	}
	return newLetter(&stored), nil
}

// Replayed tells what became of a replay.
type Replayed struct {
	// Lines is how many lines are in the queue again.
	Lines int `json:"lines"`
	// Undecodable is how many of them are no events to this program, so that
	// they will come back as new dead letters.
	Undecodable int `json:"undecodable"`
	// Missing is how many keys there were no dead letters for.
	Missing int `json:"missing"`
}

func (r *Replayed) add(more Replayed) {
	r.Lines += more.Lines
	r.Undecodable += more.Undecodable
	r.Missing += more.Missing
}

// Replay is part of Actions.
//
// A letter is deleted after its line is in the queue. A crash in between, or
// an append of unknown outcome, leaves it there to be replayed again: the
// store then finds the event's ID taken and counts it once. The same holds for
// an event that came in otherwise meanwhile.
func (a *Admin) Replay(ctx context.Context, keys []string) (Replayed, error) {
	var replayed Replayed
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	for chunk := range slices.Chunk(keys, replayAtOnce) {
		more, err := a.replay(ctx, chunk)
		replayed.add(more)
		if err != nil {
			return replayed, err
		}
	}
	return replayed, nil
}

func (a *Admin) replay(ctx context.Context, keys []string) (replayed Replayed, err error) {
	layout, err := a.queue.Layout(ctx)
	if err != nil {
		return Replayed{}, fmt.Errorf("read the streams' layout: %w", err)
	}
	newest := layout.Epochs[len(layout.Epochs)-1]
	var (
		found     []string
		groups    []queue.Group
		decodable []bool
	)
	for _, key := range keys {
		letter, err := a.store.DeadLetter(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			replayed.Missing++
			continue
		}
		if err != nil {
			return replayed, err
		}
		// What cannot be parsed has no site, and so goes to the stream of the
		// empty one: any will do.
		e, err := event.ParseLine(string(letter.Line))
		found = append(found, key)
		decodable = append(decodable, err == nil)
		groups = append(groups, queue.Group{
			Stream: newest.StreamName(queue.Partition(e.Site, newest.Streams)),
			Lines:  append(letter.Line, '\n'),
			Events: 1,
		})
	}
	if len(groups) == 0 {
		return replayed, nil
	}

	var appended []string
	errs := a.queue.Append(ctx, groups)
	for i, key := range found {
		if errs != nil && errs[i] != nil {
			err = fmt.Errorf("replay %s: %w", key, errs[i])
			continue
		}
		appended = append(appended, key)
		if !decodable[i] {
			replayed.Undecodable++
		}
	}
	replayed.Lines = len(appended)
	if _, deleteErr := a.store.DeleteDeadLetters(ctx, appended); deleteErr != nil {
		err = errors.Join(err, fmt.Errorf("delete what was replayed: %w", deleteErr))
	}
	return replayed, err
}

// Purge is part of Actions.
func (a *Admin) Purge(ctx context.Context, keys []string) (int, error) {
	return a.store.DeleteDeadLetters(ctx, keys)
}

// AllKeys lists the keys of all dead letters that there are now. Whoever
// replays all must ask before the first is replayed: what comes back would
// otherwise be replayed for ever.
func AllKeys(ctx context.Context, a Actions) ([]string, error) {
	var keys []string
	after := ""
	for {
		page, err := a.DeadLetters(ctx, after, MaxLetters)
		if err != nil {
			return nil, err
		}
		for i := range page {
			keys = append(keys, page[i].Key)
		}
		if len(page) < MaxLetters {
			return keys, nil
		}
		after = keys[len(keys)-1]
	}
}
