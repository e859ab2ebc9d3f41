package retention

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// erased is a user whose name is in no file by chance.
const erased = "user-to-be-erased-7301"

// putLetters makes dead letters of lines.
func (w *world) putLetters(lines ...string) {
	w.t.Helper()
	var letters []store.DeadLetter
	for i, line := range lines {
		l := store.DeadLetter{Stream: "9:0", Reason: "a test", Line: []byte(line), Time: time.Now()}
		l.Position.Entry.Ms = uint64(i + 1)
		letters = append(letters, l)
	}
	step := w.store.Begin()
	defer step.Discard()
	if err := errors.Join(step.DeadLetter(w.t.Context(), letters), step.Commit(w.t.Context(), store.Checkpoint{Stream: "9:0"})); err != nil {
		w.t.Fatal(err)
	}
}

// line gives an event as a line.
func line(site, user, date string) string {
	at, _ := time.Parse(time.DateOnly, date)
	e := event.Event{ID: "of-a-dead-letter", Site: site, User: user, Time: at}
	e.Values[rollup.EventType] = rollup.PageView
	return string(e.AppendLine(nil))
}

// TestEraseUser erases a user of several days while events of others come for
// the same days, and afterwards counts everything by brute force.
func TestEraseUser(t *testing.T) {
	onAll(t, func(t *testing.T, w *world) {
		keys := dates("a", "2026-03-01", 4)
		other := dates("b", "2026-03-01", 1)[0]
		for _, key := range keys[:3] {
			w.send(key, 90, "u1", erased, "u2")
		}
		w.send(keys[3], 30, "u1")
		w.send(other, 30, erased)
		w.putLetters(line("a", erased, "2026-03-01"), line("a", "u1", "2026-03-01"), line("b", erased, "2026-03-01"),
			"(the first 65536 of 70000 bytes) "+line("a", erased, "2026-03-01"), "no event")

		stop := w.load(keys, "u1", "u3")
		receipt, err := w.keeper("2026-04-01").Erase(t.Context(), Erasure{Site: "a", User: erased, By: "test"})
		stop()
		if err != nil {
			t.Fatal(err)
		}
		want := []ErasedDay{{"2026-03-01", 30, reconcile.OK}, {"2026-03-02", 30, reconcile.OK}, {"2026-03-03", 30, reconcile.OK}}
		if !slices.Equal(receipt.Days, want) || receipt.Events != 90 || receipt.Rollups != 0 || receipt.DeadLetters != 2 ||
			receipt.Unknown != 1 || receipt.NotRecomputed != nil || receipt.Problem != "" {
			t.Errorf("receipt: %+v", receipt)
		}
		for _, key := range keys {
			w.wantDay(key, notBy(erased))
			if _, n := w.raw(key, erased); n != 0 {
				t.Errorf("%s has %d raw events of the user", key, n)
			}
			if got := w.state(key); got != reconcile.OK {
				t.Errorf("%s is %s", key, got)
			}
		}
		w.wantDay(other, all)
		if n, _ := w.raw(other, erased); n != 30 || len(w.letters()) != 3 {
			t.Errorf("the user's other site has %d raw events; %d dead letters are left", n, len(w.letters()))
		}
		if list, err := w.keeper("2026-04-01").runner.List(t.Context(), 10, reconcile.KindErasure); err != nil || len(list) != 0 {
			t.Errorf("%v, records of the erasure are left: %v", err, list)
		}

		// Again there is nothing.
		receipt, err = w.keeper("2026-04-01").Erase(t.Context(), Erasure{Site: "a", User: erased})
		if err != nil || len(receipt.Days) != 0 || receipt.Events != 0 || receipt.Problem != "" {
			t.Errorf("again: %v, %+v", err, receipt)
		}
	})
}

// TestEraseUserBeforeADate leaves what is later.
func TestEraseUserBeforeADate(t *testing.T) {
	w := newWorld(t, stores["embedded"])
	keys := dates("a", "2026-03-01", 3)
	for _, key := range keys {
		w.send(key, 20, "u1", erased)
	}
	w.putLetters(line("a", erased, "2026-03-02"), line("a", erased, "2026-03-03"))
	receipt, err := w.keeper("2026-04-01").Erase(t.Context(), Erasure{Site: "a", User: erased, Before: "2026-03-03"})
	if err != nil || receipt.Events != 20 || len(receipt.Days) != 2 || receipt.DeadLetters != 1 || receipt.Problem != "" {
		t.Errorf("%v, %+v", err, receipt)
	}
	for _, key := range keys[:2] {
		w.wantDay(key, notBy(erased))
	}
	w.wantDay(keys[2], all)
}

// TestEraseUserOfExpiredDays tells which days it cannot recompute, and leaves
// them as they are.
func TestEraseUserOfExpiredDays(t *testing.T) {
	onAll(t, func(t *testing.T, w *world) {
		keys := dates("a", "2026-03-01", 4)
		for _, key := range keys {
			w.send(key, 20, "u1", erased)
		}
		w.settle()
		k := w.keeper("2026-03-05")
		if _, err := k.Expire(t.Context(), Policy{Days: 2}, "test"); err != nil {
			t.Fatal(err)
		}
		receipt, err := k.Erase(t.Context(), Erasure{Site: "a", User: erased})
		if err != nil || receipt.Problem != "" || receipt.Events != 20 ||
			!slices.Equal(receipt.NotRecomputed, []string{"2026-03-01", "2026-03-02"}) {
			t.Errorf("%v, %+v", err, receipt)
		}
		for _, key := range keys[:2] {
			w.wantDay(key, all)
		}
		for _, key := range keys[2:] {
			w.wantDay(key, notBy(erased))
		}
	})
}

// TestEraseUnfinished erases after an erasure that was killed between raw
// events and rollups.
func TestEraseUnfinished(t *testing.T) {
	w := newWorld(t, stores["embedded"])
	keys := dates("a", "2026-03-01", 2)
	for _, key := range keys {
		w.send(key, 20, "u1", erased)
	}
	w.settle()
	k := w.keeper("2026-04-01")
	ctx, kill := context.WithCancel(t.Context())
	k.store = killed{w.store, kill}
	receipt, err := k.Erase(ctx, Erasure{Site: "a", User: erased})
	if err != nil || receipt.Problem == "" || receipt.Events != 20 {
		t.Fatalf("killed: %v, %+v", err, receipt)
	}
	if w.state(keys[0]) != reconcile.Drifted {
		t.Fatal("the rollups were rebuilt; this test proves nothing")
	}
	receipt, err = w.keeper("2026-04-01").Erase(t.Context(), Erasure{Site: "a", User: erased})
	want := []ErasedDay{{"2026-03-01", 0, reconcile.OK}, {"2026-03-02", 0, reconcile.OK}}
	if err != nil || receipt.Problem != "" || !slices.Equal(receipt.Days, want) {
		t.Errorf("%v, %+v", err, receipt)
	}
	for _, key := range keys {
		w.wantDay(key, notBy(erased))
	}
}

// killed is a store that ends the context after a user's raw events went.
type killed struct {
	store.Store
	kill func()
}

func (s killed) EraseUser(ctx context.Context, site, user, before string) (map[string]int64, error) {
	defer s.kill()
	return s.Store.EraseUser(ctx, site, user, before)
}

// TestEraseSite erases a site while events come for it, so that workers hold
// its rollups, and others are left alone.
func TestEraseSite(t *testing.T) {
	onAll(t, func(t *testing.T, w *world) {
		keys := dates("a", "2026-03-01", 3)
		today := store.DayKey{Site: "a", Date: time.Now().UTC().Format(time.DateOnly)}
		other := dates("b", "2026-03-01", 1)[0]
		for _, key := range append(keys, other, today) {
			w.send(key, 60, "u1", "u2")
		}
		w.putLetters(line("a", "u1", "2026-03-01"), line("b", "u1", "2026-03-01"))
		k := w.keeper(time.Now().UTC().Format(time.DateOnly))
		job, err := k.runner.Create(t.Context(), reconcile.Spec{Range: reconcile.Range{Site: "a"}}, "test")
		if err == nil {
			err = k.runner.Run(t.Context(), job, 1, nil)
		}
		if err != nil {
			t.Fatal(err)
		}

		stop := w.load([]store.DayKey{keys[2], today}, "u1", "u3")
		receipt, err := k.Erase(t.Context(), Erasure{Site: "a"})
		stop()
		if err != nil || receipt.Problem != "" || len(receipt.Days) != 4 || receipt.Rollups < 4 || receipt.Events < 4*60 ||
			receipt.DeadLetters < 1 || receipt.Records != 1 {
			t.Errorf("%v, %+v", err, receipt)
		}
		for _, key := range keys[:2] {
			if n, _ := w.raw(key, ""); n != 0 || w.day(key) != nil {
				t.Errorf("of %s are left %d raw events and %v", key, n, w.day(key))
			}
		}
		for _, key := range []store.DayKey{keys[2], today} {
			if got := w.state(key); got != reconcile.OK {
				t.Errorf("%s is %s", key, got)
			}
		}
		w.wantDay(other, all)

		// With nothing coming in all of it goes.
		receipt, err = k.Erase(t.Context(), Erasure{Site: "a"})
		if err != nil || receipt.Problem != "" || receipt.Since != nil {
			t.Errorf("%v, %+v", err, receipt)
		}
		sites, err := w.store.Sites(t.Context(), "", 10)
		if err != nil || !reflect.DeepEqual(sites, []string{"b"}) {
			t.Errorf("%v, sites %v are left", err, sites)
		}
		for _, l := range w.letters() {
			if strings.Contains(string(l.Line), "\ta\t") {
				t.Errorf("a dead letter of the site is left: %s", l.Line)
			}
		}
		if kept, err := w.store.KeptSince(t.Context(), "a"); err != nil || kept != "" {
			t.Errorf("%v, raw events are kept since %q", err, kept)
		}

		// The site can begin again.
		w.mu.Lock()
		w.sent = nil
		w.mu.Unlock()
	})
}

// TestEraseDaysBeforeADate removes the first days of a site; what comes for
// them later is a dead letter.
func TestEraseDaysBeforeADate(t *testing.T) {
	onAll(t, func(t *testing.T, w *world) {
		keys := dates("a", "2026-03-01", 3)
		for _, key := range keys {
			w.send(key, 20, "u1")
		}
		stop := w.load(keys, "u2")
		receipt, err := w.keeper("2026-04-01").Erase(t.Context(), Erasure{Site: "a", Before: "2026-03-03"})
		stop()
		if err != nil || receipt.Problem != "" || len(receipt.Days) != 2 || receipt.Since != nil {
			t.Errorf("%v, %+v", err, receipt)
		}
		for _, key := range keys[:2] {
			if n, _ := w.raw(key, ""); n != 0 || w.day(key) != nil {
				t.Errorf("of %s are left %d raw events and %v", key, n, w.day(key))
			}
		}
		w.wantDay(keys[2], all)
		before := len(w.letters())
		w.send(keys[0], 4, "late")
		w.settle()
		if n := len(w.letters()) - before; n != 4 {
			t.Errorf("%d of 4 late events became dead letters", n)
		}
	})
}

// TestEraseWaitsForTheQueue erases nothing while what is accepted is not
// counted, and gives up when nobody counts.
func TestEraseWaitsForTheQueue(t *testing.T) {
	w := newWorld(t, stores["embedded"])
	key := dates("a", "2026-03-01", 1)[0]
	w.stopWorker()
	w.send(key, 20, "u1", erased)
	k := w.keeper("2026-04-01")
	k.patience, k.now = 0, time.Now
	if receipt, err := k.Erase(t.Context(), Erasure{Site: "a", User: erased}); err == nil || receipt != nil || !strings.Contains(err.Error(), "nothing was erased") {
		t.Errorf("with nobody to count: %v, %+v", err, receipt)
	}
	if list, err := k.runner.List(t.Context(), 10, reconcile.KindErasure); err != nil || len(list) != 0 {
		t.Errorf("%v, records of it are left: %v", err, list)
	}

	k.patience = time.Minute
	ended := make(chan *Receipt, 1)
	go func() {
		receipt, err := k.Erase(t.Context(), Erasure{Site: "a", User: erased})
		if err != nil {
			t.Error(err)
		}
		ended <- receipt
	}()
	w.startWorker()
	if receipt := <-ended; receipt.Events != 10 || receipt.Problem != "" {
		t.Errorf("%+v", receipt)
	}
	w.settle()
	w.wantDay(key, notBy(erased))
}

// TestEraseWaitsForRebuilds lets a rebuild that had read the raw events write
// the rollup again.
func TestEraseWaitsForRebuilds(t *testing.T) {
	w := newWorld(t, stores["embedded"])
	keys := dates("a", "2026-03-01", 2)
	for _, key := range keys {
		w.send(key, 20, "u1", erased)
	}
	w.settle()
	with := map[store.DayKey]*rollup.Day{}
	for _, key := range keys {
		with[key] = w.day(key)
	}
	k := w.keeper("2026-04-01")
	erase := func(e Erasure, gone func(*rollup.Day) bool) *Receipt {
		t.Helper()
		job, err := k.runner.Create(t.Context(), reconcile.Spec{}, "test")
		if err != nil {
			t.Fatal(err)
		}
		// The rebuild ends only after the rollups were written without the
		// user; then it writes what it has.
		ended := make(chan *Receipt, 1)
		go func() {
			receipt, err := k.Erase(t.Context(), e)
			if err != nil {
				t.Error(err)
			}
			ended <- receipt
		}()
		for _, key := range keys {
			eventually(t, "the rollup is without what was erased", func() bool { return gone(w.day(key)) })
		}
		for key, day := range with {
			stale := day.Clone()
			stale.Rev = 0
			if now := w.day(key); now != nil {
				stale.Rev = now.Rev
			}
			if err := w.store.SwapDay(t.Context(), stale); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := k.runner.Cancel(t.Context(), job.ID); err != nil {
			t.Fatal(err)
		}
		return <-ended
	}
	withoutUser := func(day *rollup.Day) bool { return day != nil && day.Events == 10 }
	if receipt := erase(Erasure{Site: "a", User: erased}, withoutUser); receipt.Problem != "" || receipt.Events != 20 {
		t.Errorf("%+v", receipt)
	}
	for _, key := range keys {
		w.wantDay(key, notBy(erased))
	}
	nothing := func(day *rollup.Day) bool { return day == nil }
	if receipt := erase(Erasure{Site: "a"}, nothing); receipt.Problem != "" || receipt.Rollups != 4 {
		t.Errorf("%+v", receipt)
	}
	for _, key := range keys {
		if day := w.day(key); day != nil {
			t.Errorf("%s is there again with %d events", key, day.Events)
		}
	}
}

// TestErasedUserIsOffTheDisk looks for the user's name in all files of the
// store.
func TestErasedUserIsOffTheDisk(t *testing.T) {
	w := newWorld(t, stores["embedded"])
	keys := dates("a", "2026-03-01", 3)
	for _, key := range keys {
		w.send(key, 300, "u1", erased, "u2")
	}
	w.putLetters(line("a", erased, "2026-03-01"))
	w.settle()
	reopen := func() {
		t.Helper()
		w.stopWorker()
		if err := w.store.Close(); err != nil {
			t.Fatal(err)
		}
		w.store = stores["embedded"](t, w.dir)
	}
	reopen() // puts all of it into tables
	w.startWorker()
	if len(w.filesWith(erased)) == 0 {
		t.Fatal("the user is in no file to begin with; this test proves nothing")
	}
	if receipt, err := w.keeper("2026-04-01").Erase(t.Context(), Erasure{Site: "a", User: erased}); err != nil || receipt.Problem != "" {
		t.Fatalf("%v, %+v", err, receipt)
	}
	// The log has what was written lately until it is used up or the store
	// is opened again.
	reopen()
	eventually(t, "the user is in no file of the store", func() bool { return len(w.filesWith(erased)) == 0 })
}

// filesWith lists the files of the embedded store that have a text in them.
func (w *world) filesWith(text string) (names []string) {
	w.t.Helper()
	err := filepath.WalkDir(filepath.Join(w.dir, "store"), func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && entry.IsDir() {
			return nil // a file that Pebble has just removed
		}
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if bytes.Contains(content, []byte(text)) {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return names
}

func TestErasureValidate(t *testing.T) {
	now := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		erasure Erasure
		ok      bool
	}{
		{Erasure{Site: "a"}, true},
		{Erasure{Site: "a", User: "u", Before: "2026-03-05"}, true},
		{Erasure{User: "u"}, false},
		{Erasure{Site: "a", Before: "2026-03-06"}, false},
		{Erasure{Site: "a", Before: "2026-02-30"}, false},
	} {
		if err := tt.erasure.Validate(now); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt.erasure, err)
		}
	}
}
