package pebblestore

import (
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/daybook-analytics/daybook/internal/pebbledb"
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
			"Empty":      damage(func([]byte) []byte { return []byte{} }),
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
		OneProcess: true,
	})
}

// damage gives a function that changes the stored value of a rollup.
func damage(change func(value []byte) []byte) func(*testing.T, store.Store, store.DayKey) {
	return func(t *testing.T, s store.Store, key store.DayKey) {
		check(t, s.(*Store).Damage(t.Context(), key, change))
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

	disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: pebbledb.MinFreeBytes - 1, TotalBytes: 1 << 40})
	for name, write := range map[string]func() error{
		"step":    func() error { return crashStep(s, 2) },
		"SwapDay": func() error { return s.SwapDay(t.Context(), rollup.NewDay("new", "2026-11-24")) },
	} {
		if err := write(); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s on a full disk: error is %v, want one that wraps ErrUnavailable", name, err)
		}
	}
	check(t, wantSteps(s, 1))

	disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: pebbledb.MinFreeBytes, TotalBytes: 1 << 40})
	check(t, crashStep(s, 2))
	check(t, wantSteps(s, 2))
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
