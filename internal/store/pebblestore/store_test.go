package pebblestore

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
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

