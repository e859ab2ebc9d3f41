package pebblestore

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/daybook-analytics/daybook/internal/store"
)

// TestDroppedSaltLeavesTheDisk proves that no file of the directory has a salt
// any more that was dropped, wherever it was: in the log alone, in a table that
// was just flushed, or deep in one with keys of other kinds. It has the salts
// that were not dropped.
func TestDroppedSaltLeavesTheDisk(t *testing.T) {
	for name, settle := range map[string]func(*testing.T, *Store) *Store{
		"log":     func(_ *testing.T, s *Store) *Store { return s },
		"flushed": func(t *testing.T, s *Store) *Store { check(t, s.db.Flush()); return s },
		"deep": func(t *testing.T, s *Store) *Store {
			check(t, s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false))
			return s
		},
		"reopened": func(t *testing.T, s *Store) *Store { check(t, s.Close()); return open(t, s.dir, Options{}) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, Options{})
			check(t, s.Migrate(t.Context(), func(int, string) {})) // a key behind those of salts
			check(t, s.SwapRecord(t.Context(), store.SiteKind, &store.Record{Name: "a", Body: []byte("settings")}))
			// Dropped are one of a first write, and one that was overwritten.
			var salts [4][]byte
			for i := range salts {
				salts[i] = make([]byte, 32)
				_, _ = rand.Read(salts[i])
			}
			first := store.Record{Name: "2026-11-22", Body: salts[0]}
			check(t, s.SwapRecord(t.Context(), store.SaltKind, &first))
			second := store.Record{Name: "2026-11-23", Body: salts[1]}
			check(t, s.SwapRecord(t.Context(), store.SaltKind, &second))
			second.Body = salts[2]
			check(t, s.SwapRecord(t.Context(), store.SaltKind, &second))
			kept := store.Record{Name: "2026-11-24", Body: salts[3]}
			check(t, s.SwapRecord(t.Context(), store.SaltKind, &kept))
			s = settle(t, s)
			for _, i := range []int{0, 2, 3} {
				if files := filesWith(t, dir, salts[i]); len(files) == 0 {
					t.Fatalf("salt %d is in no file, so that the test proves nothing", i)
				}
			}

			check(t, s.DropRecord(t.Context(), store.SaltKind, first))
			check(t, s.DropRecord(t.Context(), store.SaltKind, second))
			check(t, s.Close())
			for i, salt := range salts[:3] {
				if files := filesWith(t, dir, salt); len(files) > 0 {
					t.Errorf("salt %d was dropped and is in %v", i, files)
				}
			}
			if files := filesWith(t, dir, salts[3]); len(files) == 0 {
				t.Error("the salt that was not dropped is in no file")
			}
		})
	}
}

// filesWith lists the files below a directory that have a text in them.
func filesWith(t *testing.T, dir string, text []byte) (files []string) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, text) {
			files = append(files, d.Name())
		}
		return err
	}))
	return files
}

// BenchmarkRecordsAfter lists the records of 100,000 sites page by page.
func BenchmarkRecordsAfter(b *testing.B) {
	const sites, page = 100_000, 1000
	s := open(b, b.TempDir(), Options{})
	defer s.Close()
	batch := s.db.NewBatch()
	for i := range sites {
		value := append(make([]byte, revLen-1), 1)
		value = append(value, `{"timezone":"Europe/Berlin","added":true}`...)
		check(b, batch.Set(recordKey(store.SiteKind, fmt.Sprintf("site-%06d.example", i)), value, nil))
	}
	check(b, batch.Commit(nil))
	check(b, s.readRecords())
	for b.Loop() {
		n := 0
		for after := ""; ; {
			records, err := s.RecordsAfter(b.Context(), store.SiteKind, after, page)
			check(b, err)
			n += len(records)
			if len(records) < page {
				break
			}
			after = records[len(records)-1].Name
		}
		if n != sites {
			b.Fatal(n)
		}
	}
}
