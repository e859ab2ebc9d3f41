package pebblestore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/store/storetest"
	"github.com/daybook-analytics/daybook/rollup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Backend{
		New: func(t *testing.T) func() store.Store {
			dir := t.TempDir()
			return func() store.Store { return open(t, dir, Options{}) }
		},
		Damage: map[string]func(*testing.T, store.Store, store.DayKey){
			"FlippedBit": damage(func(value []byte) []byte { value[len(value)/2] ^= 1; return value }),
			"CutOff":     damage(func(value []byte) []byte { return value[:len(value)/2] }),
			"NoRev":      damage(func(value []byte) []byte { return value[:revLen-1] }),
			"Empty":      damage(func(value []byte) []byte { return nil }),
			"OtherRev":   damage(func(value []byte) []byte { value[revLen-1]++; return value }),
			"OtherDay": damage(func([]byte) []byte {
				value, err := rollup.NewDay("other", "2026-11-24").AppendBinary(make([]byte, revLen))
				if err != nil {
					panic(err)
				}
				return value
			}),
		},
		Refuse:     func(e *store.Event) { e.User = strings.Repeat("u", MaxEventBytes) },
		Atomic:     true,
		Concurrent: true,
	})
}

// damage gives a function that changes the stored value of a rollup.
func damage(change func(value []byte) []byte) func(*testing.T, store.Store, store.DayKey) {
	return func(t *testing.T, s store.Store, key store.DayKey) {
		db := s.(*Store).db
		k := appendDay(nil, keyRollup, key)
		value, closer, err := db.Get(k)
		check(t, err)
		value = append([]byte(nil), value...)
		check(t, closer.Close())
		check(t, db.Set(k, change(value), pebble.Sync))
	}
}

func open(t testing.TB, dir string, opts Options) *Store {
	t.Helper()
	s, err := Open(dir, opts)
	check(t, err)
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk proves that writing is refused before the disk is full, while
// reading goes on, and that it works again as soon as there is room.
func TestFullDisk(t *testing.T) {
	disk := vfs.NewMem()
	s := open(t, "store", Options{FS: disk})
	defer s.Close()
	check(t, s.Migrate(t.Context(), func(int, string) {}))
	check(t, crashStep(s, 1))

	disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: MinFreeBytes - 1, TotalBytes: 1 << 40})
	for name, write := range map[string]func() error{
		"step":    func() error { return crashStep(s, 2) },
		"SwapDay": func() error { return s.SwapDay(t.Context(), rollup.NewDay("new", "2026-11-24")) },
		"lease":   func() error { return s.SwapLease(t.Context(), store.Lease{Name: "a"}) },
	} {
		if err := write(); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s on a full disk: error is %v, want one that wraps ErrUnavailable", name, err)
		}
	}
	check(t, wantSteps(s, 1))

	disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: MinFreeBytes, TotalBytes: 1 << 40})
	check(t, crashStep(s, 2))
	check(t, wantSteps(s, 2))
}

// TestInUse proves that a directory is opened once, and that the error says
// so in one line.
func TestInUse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	_, err := Open(dir, Options{})
	want := "the store in " + dir + " is in use by another daybook: stop that one or choose another directory"
	if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error is %v, want %s", err, want)
	}
	check(t, s.Close())
	check(t, open(t, dir, Options{}).Close())
}

// TestNoDirectory proves that a directory that cannot be made is told apart
// from one that is in use.
func TestNoDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(file, nil, 0o600))
	_, err := Open(file, Options{})
	if err == nil || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "in use") {
		t.Errorf("error is %v, want one about %s", err, file)
	}
}

// TestStepHasOneSetOfSites proves that a step cannot come to wait for another
// one while it holds sites.
func TestStepHasOneSetOfSites(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer s.Close()
	step := s.Begin()
	defer step.Discard()
	_, err := step.Insert(t.Context(), crashEvents(1))
	check(t, err)
	if _, err := step.Swap(t.Context(), []*rollup.Day{rollup.NewDay("other", "2026-11-24")}); err == nil {
		t.Error("a step wrote a rollup of a site that it does not have")
	}
	if _, err := step.Insert(t.Context(), crashEvents(2)); err == nil {
		t.Error("a step inserted twice")
	}
}
