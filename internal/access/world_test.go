package access

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// records is a store of records in memory. away, if set, is the error of
// everything; before, if set, is done once before the next write.
type records struct {
	mu     sync.Mutex
	of     map[store.RecordKind]map[string]store.Record
	away   error
	before func()
	made   uint64 // how many records were made
}

// nextRev is the rev after one; as in any store, no record that is made has one
// that was used before.
func (r *records) nextRev(rev uint64) uint64 {
	if rev == 0 {
		r.made++
		return r.made << 32
	}
	return rev + 1
}

func newRecords() *records {
	return &records{of: map[store.RecordKind]map[string]store.Record{store.SiteKind: {}, store.KeyKind: {}}}
}

func (r *records) setAway(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = err
}

// put writes a record over the one that is there.
func (r *records) put(kind store.RecordKind, name, body string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of[kind][name] = store.Record{Name: name, Rev: r.nextRev(r.of[kind][name].Rev), Body: []byte(body)}
}

func (r *records) Records(_ context.Context, kind store.RecordKind, names []string) (map[string]store.Record, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := map[string]store.Record{}
	for _, name := range names {
		if record, ok := r.of[kind][name]; ok {
			found[name] = record
		}
	}
	return found, r.away
}

func (r *records) RecordsAfter(_ context.Context, kind store.RecordKind, after string, limit int) ([]store.Record, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []store.Record
	for _, name := range slices.Sorted(maps.Keys(r.of[kind])) {
		if name > after && len(list) < limit {
			list = append(list, r.of[kind][name])
		}
	}
	return list, r.away
}

func (r *records) SwapRecord(_ context.Context, kind store.RecordKind, record *store.Record) error {
	if before := r.before; before != nil {
		r.before = nil
		before()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away != nil {
		return r.away
	}
	if r.of[kind][record.Name].Rev != record.Rev {
		return store.ErrConflict
	}
	record.Rev = r.nextRev(record.Rev)
	r.of[kind][record.Name] = *record
	return nil
}

func (r *records) DropRecord(_ context.Context, kind store.RecordKind, record store.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.of[kind], record.Name)
	return r.away
}

// key makes a key and gives its token.
func (r *records) key(t *testing.T, key Key) (made *Key, token string) {
	t.Helper()
	made, token, err := NewKeys(r).Create(t.Context(), key)
	check(t, err)
	return made, token
}

// set changes the settings of a site.
func (r *records) set(t *testing.T, name string, settings site.Settings) {
	t.Helper()
	_, err := site.NewDirectory(r, 0).Change(t.Context(), name, func(s *site.Settings) error { *s = settings; return nil })
	check(t, err)
}

// log is a log that can be read.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *log) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
