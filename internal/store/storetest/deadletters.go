package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
)

// testDeadLetters proves what there is on dead letters.
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
	t.Run("One", func(t *testing.T) {
		letter, err := s.DeadLetter(t.Context(), letters[4].Key())
		check(t, err)
		wantLetters(t, []store.DeadLetter{letter}, letters[4:5])
		for _, key := range []string{"", "1:0", letters[4].Key() + "0", "3:0@" + at(0).String()} {
			_, err := s.DeadLetter(t.Context(), key)
			wantErr(t, err, store.ErrNotFound)
		}
	})
	t.Run("OpenedAgain", func(t *testing.T) {
		s = reopen()
		wantLetters(t, list(t, "", 100), letters)
	})
	remove := func(t *testing.T, want int, keys ...string) {
		t.Helper()
		deleted, err := s.DeleteDeadLetters(t.Context(), keys)
		check(t, err)
		wantEqual(t, "number of deleted dead letters", deleted, want)
	}
	t.Run("Deleted", func(t *testing.T) {
		first, fifth := letters[0], letters[4]
		remove(t, 0)
		remove(t, 2, first.Key(), "no key", fifth.Key(), first.Key(), "3:0@"+at(0).String())
		letters = slices.Delete(letters, 4, 5)[1:]
		wantLetters(t, list(t, "", 100), letters)
		_, err := s.DeadLetter(t.Context(), fifth.Key())
		wantErr(t, err, store.ErrNotFound)
		remove(t, 0, first.Key(), fifth.Key())
	})
	t.Run("PutAgain", func(t *testing.T) {
		letters[0].Reason = "put away again after it was deleted"
		remove(t, 1, letters[0].Key())
		put(t, letters[0])
		wantLetters(t, list(t, "", 100), letters)
	})
	t.Run("DeletedForGood", func(t *testing.T) {
		s = reopen()
		wantLetters(t, list(t, "", 100), letters)
		keys := make([]string, len(letters))
		for i := range letters {
			keys[i] = letters[i].Key()
		}
		remove(t, len(keys), keys...)
		s = reopen()
		wantEqual(t, "dead letters that are left", len(list(t, "", 100)), 0)
	})
}
