package transfer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// maxLine is the longest line of a rollup that is read; none that is written is
// half as long, whatever had to be escaped.
const maxLine = 8 << 20

// importLimits are the most that any worker keeps.
var importLimits = rollup.Limits{Keys: rollup.MaxKeys, Bytes: rollup.DefaultLimits.Bytes}

// Imported is what an import of rollups did.
type Imported struct {
	// Written is how many rollups were written, Same how many were there
	// already.
	Written int64 `json:"written"`
	Same    int64 `json:"same"`
	// Whole is how many were passed over because all their raw events are
	// kept, so that importing those gives the rollup.
	Whole int64 `json:"whole"`
	// Refused is how many were not written for a reason that concerns them
	// alone; Refusals are the first of them.
	Refused  int64     `json:"refused"`
	Refusals []Refusal `json:"refusals,omitempty"`
	// Removed is how many raw events were lost: of days that the rollups are
	// of or earlier ones, and written just when it was recorded that such days
	// are not whole. Nobody must send such events during an import.
	Removed int64 `json:"removed"`
}

// Refusal says why a rollup was not written.
type Refusal struct {
	Site   string `json:"site"`
	Date   string `json:"date"`
	Reason string `json:"reason"`
}

// maxRefusals is how many are told one by one.
const maxRefusals = 20

func (i *Imported) refuse(key store.DayKey, reason string) {
	i.Refused++
	if len(i.Refusals) < maxRefusals {
		i.Refusals = append(i.Refusals, Refusal{Site: key.Site, Date: key.Date, Reason: reason})
	}
}

// InputError says what is wrong with what was given to be imported.
type InputError struct {
	// Line counts from 1.
	Line int
	Err  error
}

func (e *InputError) Error() string {
	return fmt.Sprintf("line %d: %v; what the lines before it have is imported", e.Line, e.Err)
}

func (e *InputError) Unwrap() error { return e.Err }

// Target is what an import of rollups needs of a store.
type Target interface {
	Day(ctx context.Context, key store.DayKey) (*rollup.Day, error)
	SwapDay(ctx context.Context, day *rollup.Day) error
	store.Records
	EventDates(ctx context.Context, site, from, to string) ([]string, error)
	KeptSince(ctx context.Context, site string) (string, error)
	Expire(ctx context.Context, site, before string) (removed int64, err error)
}

// Import writes the rollups of an export, as NDJSON, of which the raw events
// are not all kept any more. It writes only what is not there yet, so that
// doing it again changes nothing.
//
// Before it writes one it records that the raw events up to this day are not
// whole: so verify does not take the rollup for drifted, rebuild leaves it
// alone, and an event of the day that still comes is not counted again. That is refused where the store has such raw events, since it would
// take them away.
func Import(ctx context.Context, st Target, in io.Reader) (Imported, error) {
	var sum Imported
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	n := 0
	for lines.Scan() {
		n++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		day, partial, err := decodeDay(lines.Bytes())
		if err != nil {
			return sum, &InputError{Line: n, Err: err}
		}
		if !partial {
			sum.Whole++
			continue
		}
		if err := sum.write(ctx, st, day); err != nil {
			return sum, fmt.Errorf("import %s|%s: %w", day.Site, day.Date, err)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return sum, &InputError{Line: n + 1, Err: fmt.Errorf("it is longer than %d bytes", maxLine)}
	case err != nil:
		return sum, fmt.Errorf("behind line %d: %w", n, err)
	}
	return sum, nil
}

// write writes one rollup.
func (i *Imported) write(ctx context.Context, st Target, day *rollup.Day) error {
	key := store.KeyOf(day)
	settings, err := site.NewDirectory(st, 0).Get(ctx, key.Site)
	if err != nil {
		return err
	}
	if settings.Zone != day.Zone {
		i.refuse(key, fmt.Sprintf("it is a day in %s, and the site is in %s: `daybook sites set` changes that", site.ZoneName(day.Zone), site.ZoneName(settings.Zone)))
		return nil
	}
	if settings.Next != nil {
		i.refuse(key, fmt.Sprintf("the site is being changed to %s: import it when that is done", site.ZoneName(*settings.Next)))
		return nil
	}
	location, err := event.Location(settings.Zone)
	if err != nil {
		return err
	}
	if day.Date >= time.Now().In(location).Format(time.DateOnly) {
		i.refuse(key, "the day is not over: its raw events are still to come")
		return nil
	}
	day.Compact(importLimits)
	stored, err := st.Day(ctx, key)
	switch {
	case err == nil:
		same, err := sameContents(stored, day)
		if err != nil {
			return err
		}
		if same {
			i.Same++
		} else {
			i.refuse(key, "there is another rollup of this day")
		}
		return nil
	case errors.As(err, new(*store.DamagedError)):
		i.refuse(key, "there is a rollup of this day, and it is damaged")
		return nil
	case !errors.Is(err, store.ErrNotFound):
		return err
	}

	// Where it is recorded already that the day is not whole, recording it
	// takes no earlier day's events away.
	kept, err := st.KeptSince(ctx, key.Site)
	if err != nil {
		return err
	}
	from := ""
	if kept > key.Date {
		from = key.Date
	}
	dates, err := st.EventDates(ctx, key.Site, from, key.Date)
	if err != nil {
		return err
	}
	if len(dates) > 0 {
		i.refuse(key, fmt.Sprintf("there are raw events of the site up to this day, the first of %s, and they would have to go", dates[0]))
		return nil
	}
	if kept <= key.Date {
		removed, err := st.Expire(ctx, key.Site, site.Shift(key.Date, 1))
		i.Removed += removed
		if err != nil {
			return err
		}
	}
	switch err := st.SwapDay(ctx, day); {
	case errors.Is(err, store.ErrConflict):
		i.refuse(key, "another rollup of this day was written at the same time")
	case err != nil:
		return err
	default:
		i.Written++
	}
	return nil
}

// sameContents tells whether two rollups differ in nothing but their rev and
// marks.
func sameContents(a, b *rollup.Day) (bool, error) {
	contents := func(d *rollup.Day) ([]byte, error) {
		c := *d
		c.Rev, c.Marks = 0, nil
		return c.AppendBinary(nil)
	}
	ofA, errA := contents(a)
	ofB, errB := contents(b)
	return bytes.Equal(ofA, ofB), errors.Join(errA, errB)
}
