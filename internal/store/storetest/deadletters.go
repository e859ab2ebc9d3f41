package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
)

// testDeadLetters proves DeadLetter and DeadLetters.
func (b Backend) testDeadLetters(t *testing.T) {
	s, reopen := b.openTwice(t)
	put := func(t *testing.T, letters ...store.DeadLetter) {
		t.Helper()
		step := s.Begin()
		defer step.Discard()
		check(t, step.DeadLetter(t.Context(), letters))
		commit(t, step, stream, at(0))
	}
	list := func(t *testing.T, after string, limit int) []store.DeadLetter {
		t.Helper()
		letters, err := s.DeadLetters(t.Context(), after, limit)
		check(t, err)
		return letters
	}
	wantEqual(t, "dead letters of an empty store", len(list(t, "", 10)), 0)

	var letters []store.DeadLetter
	for _, stream := range []string{"1:0", "1:1", "1:10", "2:0"} {
		for n := range 3 {
			letters = append(letters, store.DeadLetter{
				Stream:   stream,
				Position: at(n),
				Reason:   fmt.Sprintf("reason %d: \"é\" $.", n),
				Line:     []byte(fmt.Sprintf("1\tline %d\x00\xff\xfe", n)),
				Time:     noon.Add(time.Duration(n) * time.Millisecond),
			})
		}
	}
	put(t, letters[6:]...)
	put(t, letters[:6]...)
	slices.SortFunc(letters, func(a, b store.DeadLetter) int { return strings.Compare(a.Key(), b.Key()) })

	wantLetters := func(t *testing.T, got, want []store.DeadLetter) {
		t.Helper()
		wantEqual(t, "number of dead letters", len(got), len(want))
		for i := range got {
			if !got[i].Time.Equal(want[i].Time) {
				t.Fatalf("time is %v, want %v", got[i].Time, want[i].Time)
			}
			g := got[i]
			g.Time = want[i].Time
			wantEqual(t, "dead letter", g, want[i])
		}
	}

	t.Run("All", func(t *testing.T) { wantLetters(t, list(t, "", 100), letters) })
	t.Run("Pages", func(t *testing.T) {
		var got []store.DeadLetter
		after := ""
		for {
			page := list(t, after, 5)
			if len(page) == 0 {
				break
			}
			if rest := len(letters) - len(got); len(page) != min(5, rest) {
				t.Fatalf("page has %d dead letters, %d are left", len(page), rest)
			}
			got = append(got, page...)
			after = page[len(page)-1].Key()
		}
		wantLetters(t, got, letters)
	})
	t.Run("FirstIsKept", func(t *testing.T) {
		changed := letters[3]
		changed.Reason, changed.Line, changed.Time = "other", []byte("other"), noon.Add(time.Hour)
		added := changed
		added.Position = at(1000)
		put(t, changed, added)
		letters = append(letters, added)
		slices.SortFunc(letters, func(a, b store.DeadLetter) int { return strings.Compare(a.Key(), b.Key()) })
		wantLetters(t, list(t, "", 100), letters)
	})
	t.Run("OpenedAgain", func(t *testing.T) {
		s = reopen()
		wantLetters(t, list(t, "", 100), letters)
	})
}
