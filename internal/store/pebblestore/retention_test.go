package pebblestore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// stockEvents gives n events of a day, each of a user of its own but for every
// tenth, which is of user "often".
func stockEvents(key store.DayKey, n int) []store.Event {
	events := make([]store.Event, n)
	for i := range events {
		events[i] = store.Event{
			Event:    event.Event{ID: fmt.Sprintf("%s-%06d", key.Date, i), Site: key.Site, User: fmt.Sprintf("user-%s-%06d", key.Date, i), Time: time.UnixMilli(int64(i)).UTC()},
			Stream:   "1:0",
			Position: rollup.Position{Entry: rollup.EntryID{Ms: uint64(i + 1)}},
			Date:     key.Date,
		}
		events[i].Values[rollup.EventType] = rollup.PageView
		if i%10 == 0 {
			events[i].User = "often"
		}
	}
	return events
}

// stock stores n events of a day and its rollup.
func stock(t testing.TB, s *Store, key store.DayKey, n int) {
	t.Helper()
	step := s.Begin()
	defer step.Discard()
	_, err := step.Insert(t.Context(), stockEvents(key, n))
	check(t, err)
	day := rollup.NewDay(key.Site, key.Date)
	_, err = step.Swap(t.Context(), []*rollup.Day{day})
	check(t, err)
	check(t, step.Commit(t.Context(), store.Checkpoint{Stream: "1:0"}))
}

// wantBelongTogether proves that each of the events has its ID if it is there,
// and that an event which is gone has no ID. It tells how many are there.
func wantBelongTogether(t *testing.T, s *Store, key store.DayKey, n int) (there int) {
	t.Helper()
	left := map[string]bool{}
	check(t, s.ScanDay(t.Context(), key.Site, []string{key.Date}, nil, nil, func(e *store.Event) error {
		left[e.ID] = true
		return nil
	}))
	step := s.Begin()
	defer step.Discard()
	events := stockEvents(key, n)
	outcomes, err := step.Insert(t.Context(), events)
	check(t, err)
	for i, o := range outcomes {
		if known := o.Result == store.Replayed; known != left[events[i].ID] {
			t.Fatalf("event %s is there: %v, its ID is known: %v", events[i].ID, left[events[i].ID], known)
		}
	}
	return len(left)
}

// TestRemovalPowerCut proves for a power cut at each write of a removal that no
// day of which something is gone is taken for whole, that events and IDs go
// together, and that running it again ends it.
func TestRemovalPowerCut(t *testing.T) {
	const n = 30
	const batch = n*3/4 + 1 // which ends within a day
	const never = 1 << 40   // a number of an operation that is not reached
	keys := []store.DayKey{{Site: "a", Date: "2026-11-22"}, {Site: "a", Date: "2026-11-23"}}
	full := vfs.NewCrashableMem()
	s := open(t, "store", Options{FS: full, CacheBytes: 1 << 20})
	for _, key := range keys {
		stock(t, s, key, n)
	}
	check(t, s.Close())
	everything := vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 2))}

	for name, remove := range map[string]func(*Store) error{
		"Expire":    func(s *Store) error { _, err := s.Expire(t.Context(), "a", "2026-11-24"); return err },
		"EraseDays": func(s *Store) error { _, _, err := s.EraseDays(t.Context(), "a", "2026-11-24"); return err },
		"EraseSite": func(s *Store) error { _, _, err := s.EraseDays(t.Context(), "a", ""); return err },
	} {
		t.Run(name, func(t *testing.T) {
			between := false // whether a power cut came between two batches
			for at := int64(1); ; at++ {
				fs := full.CrashClone(everything)
				cut := &powerCut{fs: fs, at: never, config: vfs.CrashCloneCfg{UnsyncedDataPercent: int(at%3) * 50, RNG: everything.RNG}}
				s := open(t, "store", Options{FS: errorfs.Wrap(fs, cut), CacheBytes: 1 << 20})
				s.sweepBatch = batch
				cut.operations.Store(never - at)
				check(t, remove(s))
				check(t, s.Close())
				if cut.disk.Load() == nil {
					break
				}

				s = open(t, "store", Options{FS: cut.disk.Load(), CacheBytes: 1 << 20})
				left, rollups := 0, 0
				kept, err := s.KeptSince(t.Context(), "a")
				check(t, err)
				for _, key := range keys {
					events := wantBelongTogether(t, s, key, n)
					_, err := s.Day(t.Context(), key)
					if err == nil {
						rollups++
					}
					left += events
					if events < n && kept <= key.Date && left+rollups > 0 {
						t.Fatalf("power cut %d: %d events of %s are left, and all are kept since %q", at, events, key, kept)
					}
				}
				if rollups < len(keys) && (name == "Expire" || rollups > 0 || left > 0) {
					t.Fatalf("power cut %d: %d rollups and %d events are left", at, rollups, left)
				}
				between = between || 0 < left && left < n*len(keys)
				check(t, remove(s))
				for _, key := range keys {
					if events := wantBelongTogether(t, s, key, n); events > 0 {
						t.Fatalf("power cut %d: %d events of %s are left after the second time", at, events, key)
					}
				}
				check(t, s.Close())
			}
			if !between {
				t.Error("no power cut came between two batches")
			}
		})
	}
}

// TestRecordsAreDurable proves that a power cut takes back neither KeptSince,
// even where nothing was removed, nor what was done to a job, a month or the
// record of a site.
func TestRecordsAreDurable(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, "store", Options{FS: fs})
	month := store.DayKey{Site: "a", Zone: "Asia/Tokyo", Date: "2026-11"}
	record := store.Record{Name: "a"}
	for _, c := range []struct {
		name  string
		write func() error
		want  string
	}{
		{"Expire", func() error { _, err := s.Expire(t.Context(), "a", "2026-11-24"); return err }, "2026-11-24 []"},
		{"SwapJob", func() error { return s.SwapJob(t.Context(), &store.Job{ID: "job", Body: []byte("!")}) }, "2026-11-24 [{job 1 [33]}]"},
		{"DropJob", func() error { return s.DropJob(t.Context(), "job") }, "2026-11-24 []"},
		{"SwapRecord", func() error { return s.SwapRecord(t.Context(), store.SiteKind, &record) }, "2026-11-24 [] record"},
		{"PutMonth", func() error {
			m := newDay(month)
			m.Parts = []rollup.Part{{Date: "2026-11-24", Rev: 1}}
			return s.PutMonth(t.Context(), m)
		}, "2026-11-24 [] record, month"},
		{"DropRecord", func() error {
			return s.DropRecord(t.Context(), store.SiteKind, record)
		}, "2026-11-24 [], month"},
		{"DropRollups", func() error { return s.DropRollups(t.Context(), "a", month.Zone) }, "2026-11-24 []"},
	} {
		check(t, c.write())
		after := open(t, "store", Options{FS: fs.CrashClone(vfs.CrashCloneCfg{})})
		kept, err := after.KeptSince(t.Context(), "a")
		check(t, err)
		jobs, err := after.Jobs(t.Context(), "", 10)
		check(t, err)
		records, err := after.Records(t.Context(), store.SiteKind, []string{"a"})
		check(t, err)
		got := fmt.Sprint(kept, " ", jobs)
		if _, ok := records["a"]; ok {
			got += " record"
		}
		if _, err := after.Month(t.Context(), month, rollup.AllFields); err == nil {
			got += ", month"
		}
		if got != c.want {
			t.Errorf("after %s and a power cut: got %s, want %s", c.name, got, c.want)
		}
		check(t, after.Close())
	}
	check(t, s.Close())
}

// TestStepBetweenBatches proves that steps go on between the batches of a
// removal, and that what they insert where it has been stays whole until the
// rest is removed together with the rollups.
func TestStepBetweenBatches(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer s.Close()
	key := store.DayKey{Site: "a", Date: "2026-11-23"}
	stock(t, s, key, 10)
	sweep := s.newSweep("a", "2026-11-24", "")
	next, err := sweep.batch(t.Context(), sweep.lower, 4, nil)
	check(t, err)
	if next == nil {
		t.Fatal("the removal ended before its limit")
	}

	late := stockEvents(key, 3)[1:]
	late[0].ID, late[1].ID = "late 1", "late 2"
	late[1].Position.Entry.Ms = 1000
	step := s.Begin()
	defer step.Discard()
	_, err = step.Insert(t.Context(), late)
	check(t, err)
	check(t, step.Commit(t.Context(), store.Checkpoint{Stream: "1:0"}))

	next, err = sweep.batch(t.Context(), next, 100, nil)
	check(t, err)
	if next != nil || sweep.total() != 11 {
		t.Fatalf("removed %d events up to the next key %x, want 11 and the end", sweep.total(), next)
	}
	var left []string
	scan := func() []string {
		left = nil
		check(t, s.ScanDay(t.Context(), key.Site, []string{key.Date}, nil, nil, func(e *store.Event) error { left = append(left, e.ID); return nil }))
		return left
	}
	if fmt.Sprint(scan()) != "[late 1]" {
		t.Fatalf("events that are left: %v, want only the one that came behind the removal", left)
	}
	again := s.Begin()
	defer again.Discard()
	outcomes, err := again.Insert(t.Context(), late)
	check(t, err)
	if outcomes[0].Result != store.Replayed || outcomes[1].Result != store.Inserted {
		t.Fatalf("results of inserting again: %v, want that only the first is known", outcomes)
	}
	again.Discard()

	check(t, sweep.rest(t.Context(), func(*pebble.Batch) error { return nil }))
	if len(scan()) > 0 || sweep.total() != 12 {
		t.Fatalf("%v are left, %d events were removed", left, sweep.total())
	}
}

// TestErasedLeavesTheDisk proves that nothing of what was erased is in a table
// or a log of Pebble any more, while what was not erased is in a table.
func TestErasedLeavesTheDisk(t *testing.T) {
	key := store.DayKey{Site: "a", Date: "2026-11-23"}
	// They have nothing in common that compression could write once.
	const gone, goneID, kept, keptID = "Qq71vXb", "Wz93uMk", "Rt26yHj", "Lp48cFd"
	for name, erase := range map[string]func(*Store) error{
		"EraseUser": func(s *Store) error { _, err := s.EraseUser(t.Context(), "a", gone, ""); return err },
		"EraseDays": func(s *Store) error { _, _, err := s.EraseDays(t.Context(), "a", "2026-11-24"); return err },
		"EraseSite": func(s *Store) error { _, _, err := s.EraseDays(t.Context(), "a", ""); return err },
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s := open(t, "store", Options{FS: fs})
			events := stockEvents(key, 1)
			events[0].User, events[0].ID = gone, goneID
			other := stockEvents(store.DayKey{Site: "b", Date: key.Date}, 1)
			other[0].User, other[0].ID = kept, keptID
			step := s.Begin()
			defer step.Discard()
			_, err := step.Insert(t.Context(), append(events, other...))
			check(t, err)
			check(t, step.Commit(t.Context(), store.Checkpoint{Stream: "1:0"}))
			for _, text := range []string{gone, goneID} {
				if !onDisk(t, fs, "log", text) {
					t.Fatalf("%s is in no log, so that the test proves nothing", text)
				}
			}
			check(t, s.db.Flush())
			for _, text := range []string{gone, goneID, kept, keptID} {
				if !onDisk(t, fs, "sst", text) {
					t.Fatalf("%s is in no table, so that the test proves nothing", text)
				}
			}
			wantGone := func(kind string) {
				t.Helper()
				for _, text := range []string{gone, goneID} {
					// Old files are removed in the background.
					for deadline := time.Now().Add(30 * time.Second); onDisk(t, fs, kind, text); {
						if time.Now().After(deadline) {
							t.Fatalf("%s is still in a %s file", text, kind)
						}
					}
				}
			}

			check(t, erase(s))
			wantGone("sst")
			wantGone("log")
			for _, text := range []string{kept, keptID} {
				if !onDisk(t, fs, "sst", text) {
					t.Errorf("%s is in no table any more", text)
				}
			}
			check(t, s.Close())
		})
	}
}

// onDisk tells whether a text is in a file of a kind: "sst" are the tables.
func onDisk(t *testing.T, fs vfs.FS, kind, text string) bool {
	t.Helper()
	names, err := fs.List("store")
	check(t, err)
	for _, name := range names {
		if !strings.HasSuffix(name, "."+kind) {
			continue
		}
		f, err := fs.Open(fs.PathJoin("store", name))
		if err != nil {
			continue // removed since it was listed
		}
		content, err := io.ReadAll(f)
		check(t, err)
		check(t, f.Close())
		if bytes.Contains(content, []byte(text)) {
			return true
		}
	}
	return false
}

// TestDamagedEvent proves that a damaged event keeps nobody from erasing its
// day, and that it is not taken for one of another user.
func TestDamagedEvent(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer s.Close()
	key := store.DayKey{Site: "a", Date: "2026-11-23"}
	stock(t, s, key, 3)
	check(t, s.set(appendEventKey(nil, &stockEvents(key, 3)[1]), []byte("damaged"), pebble.Sync))
	if _, err := s.EraseUser(t.Context(), "a", "often", ""); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("erasing a user: error is %v, want one that tells of the damage", err)
	}
	removed, err := s.Expire(t.Context(), "a", "2026-11-24")
	check(t, err)
	if removed != 3 {
		t.Errorf("removed %d events, want 3", removed)
	}
	dates, err := s.EventDates(context.Background(), "a", "", "")
	check(t, err)
	if len(dates) > 0 {
		t.Errorf("events are left on %v", dates)
	}
}
