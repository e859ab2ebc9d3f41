package retention

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/store"
)

// lettersAtOnce bounds the memory: a dead letter has up to 64 KiB.
const lettersAtOnce = 200

// eraseLetters erases the dead letters that belong to what is erased.
func (k *Keeper) eraseLetters(ctx context.Context, r *Receipt, zones *zones) error {
	r.Unknown = 0
	for after := ""; ; {
		letters, err := k.store.DeadLetters(ctx, after, lettersAtOnce)
		if err != nil {
			return fmt.Errorf("list dead letters: %w", err)
		}
		var keys []string
		for i := range letters {
			after = letters[i].Key()
			switch r.owns(&letters[i], zones.location) {
			case yes:
				keys = append(keys, after)
			case unknown:
				r.Unknown++
			}
		}
		deleted, err := k.store.DeleteDeadLetters(ctx, keys)
		r.DeadLetters += deleted
		if err != nil {
			return fmt.Errorf("delete dead letters: %w", err)
		}
		if len(letters) < lettersAtOnce {
			return nil
		}
	}
}

type answer int

const (
	no answer = iota
	yes
	unknown
)

// owns tells whether a dead letter belongs to what is erased. Of a line that
// is no event, perhaps because it is cut off, it tells by what stands in it.
// zone is that of the site.
func (e *Erasure) owns(letter *store.DeadLetter, zone *time.Location) answer {
	line := string(letter.Line)
	if ev, err := event.ParseLine(line); err == nil {
		if ev.Site == e.Site && (e.User == "" || ev.User == e.User) && e.covers(ev.Date(zone)) {
			return yes
		}
		return no
	}
	fields := strings.Split(line, "\t")
	switch {
	case len(fields) < 2:
		return unknown
	case !slices.Contains(fields, e.Site) || e.User != "" && !slices.Contains(fields, e.User):
		return no
	case e.Before != "":
		return unknown // of what date it is
	}
	return yes
}
