package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sync/errgroup"

	"github.com/daybook-analytics/daybook/internal/pebbledb"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// A hundred million events would take some ten minutes by steps, most of it
// for compactions. So only the first site is filled by steps. All others are
// copies of it under other names: their rollups are written by the store, and
// their raw events go as finished tables to where compactions would have
// brought them in the end.

// fillCopies makes an installation with the events of a population, which must
// be a multiple of its sites.
func fillCopies(ctx context.Context, data string, p *population) error {
	first := *p
	first.sites, first.events = 1, p.events/p.sites
	err := withStore(ctx, data, func(st store.Store) error {
		if err := fill(ctx, st, &first); err != nil {
			return err
		}
		if err := copyRollups(ctx, st, p); err != nil {
			return err
		}
		return settle(ctx)
	})
	if err != nil {
		return err
	}
	if err := copyEvents(ctx, data, p); err != nil {
		return err
	}
	return withStore(ctx, data, func(st store.Store) error { return checkCopy(ctx, st, p) })
}

// withStore calls fn with the store of an installation.
func withStore(ctx context.Context, data string, fn func(store.Store) error) error {
	st, err := openStore(ctx, data)
	if err != nil {
		return err
	}
	return errors.Join(fn(st), st.Close())
}

// copyRollups writes the rollups of the first site for all others.
func copyRollups(ctx context.Context, st store.Store, p *population) error {
	var days []*rollup.Day
	err := st.SiteDays(ctx, p.site(0), "", "", "", rollup.AllFields, func(day *rollup.Day, damaged *store.DamagedError) error {
		if damaged != nil {
			return damaged
		}
		days = append(days, day)
		return nil
	})
	if err != nil {
		return err
	}
	for site := 1; site < p.sites; site++ {
		for _, day := range days {
			day.Site, day.Rev = p.site(site), 0
			if err := st.SwapDay(ctx, day); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkCopy makes sure that the store gives the raw events of the last site as
// its rollup counts them.
func checkCopy(ctx context.Context, st store.Store, p *population) error {
	site, date := p.site(p.sites-1), p.date(0)
	day, err := st.Day(ctx, store.DayKey{Site: site, Date: date})
	if err != nil {
		return err
	}
	n := uint64(0)
	err = st.ScanDay(ctx, site, []string{date}, nil, nil, func(e *store.Event) error {
		if e.Site != site {
			return fmt.Errorf("a raw event of site %s is of site %s", site, e.Site)
		}
		n++
		return nil
	})
	if err == nil && n != day.Events {
		err = fmt.Errorf("site %s has %d raw events on %s and a rollup of %d", site, n, date, day.Events)
	}
	return err
}

// copyEvents copies the raw events of the first site, and the keys of their
// IDs, for all others. No daybook may run on the installation.
func copyEvents(ctx context.Context, data string, p *population) error {
	dir := filepath.Join(data, "store")
	db, err := pebbledb.Open("store", dir, storeOptions(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		return err
	}
	var others []string
	for site := 1; site < p.sites; site++ {
		others = append(others, p.site(site))
	}
	slices.Sort(others)
	var group errgroup.Group
	var tables []*tables
	shares := runtime.GOMAXPROCS(0)
	for _, kind := range []byte{'e', 'i'} {
		for sites := range slices.Chunk(others, (len(others)+shares-1)/shares) {
			t := newTables(db, fmt.Sprintf("%s-%c-%s", dir, kind, sites[0]))
			tables = append(tables, t)
			group.Go(func() error {
				for _, site := range sites {
					if err := t.copySite(db, kind, p.site(0), site); err != nil {
						return err
					}
				}
				return t.finish()
			})
		}
	}
	err = group.Wait()
	if err == nil {
		var paths []string
		for _, t := range tables {
			paths = append(paths, t.paths...)
		}
		err = db.Ingest(ctx, paths)
	}
	return errors.Join(err, db.Close())
}

// tables are finished tables of a database in the making, which get ascending
// keys.
type tables struct {
	// paths are those of the files, which begin with name.
	name  string
	paths []string
	// options are those of the lowest level.
	options sstable.WriterOptions
	// writer is that of the last one, nil when it is complete.
	writer *sstable.Writer
	// key and value are kept for their memory.
	key, value []byte
}

func newTables(db *pebbledb.DB, name string) *tables {
	const lowest = 6
	options := storeOptions()
	options.EnsureDefaults()
	return &tables{name: name, options: options.MakeWriterOptions(lowest, db.TableFormat())}
}

// copySite copies the keys of one kind of a site for another one. Both key and
// value have the site's name as a whole part, and nothing in them tells its
// length or sums it up (docs/format/pebble.md, docs/format/line.md).
func (t *tables) copySite(db *pebbledb.DB, kind byte, from, to string) error {
	begin := append([]byte{kind}, from...)
	it, err := db.NewIter(&pebble.IterOptions{
		LowerBound: append(bytes.Clone(begin), 0, 1),
		UpperBound: append(bytes.Clone(begin), 0, 2),
	})
	if err != nil {
		return err
	}
	inLine := []byte("\t" + from + "\t")
	for more := it.First(); more && err == nil; more = it.Next() {
		t.key = append(append(append(t.key[:0], kind), to...), it.Key()[len(begin):]...)
		t.value = append(t.value[:0], it.Value()...)
		if before, after, ok := bytes.Cut(it.Value(), inLine); ok {
			t.value = fmt.Appendf(t.value[:0], "%s\t%s\t%s", before, to, after)
		}
		err = t.set(t.key, t.value)
	}
	return errors.Join(err, it.Error(), it.Close())
}

// set adds a key to the tables.
func (t *tables) set(key, value []byte) error {
	// What the lowest level has of a store with three levels.
	const size = 64 << 20
	if t.writer != nil && t.writer.Raw().EstimatedSize() >= size {
		if err := t.finish(); err != nil {
			return err
		}
	}
	if t.writer == nil {
		path := fmt.Sprintf("%s-%d.sst", t.name, len(t.paths))
		file, err := vfs.Default.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		t.paths = append(t.paths, path)
		t.writer = sstable.NewWriter(objstorageprovider.NewFileWritable(file), t.options)
	}
	return t.writer.Set(key, value)
}

// finish completes the last table.
func (t *tables) finish() error {
	if t.writer == nil {
		return nil
	}
	err := t.writer.Close()
	t.writer = nil
	return err
}

// linkInstallation makes an installation like one that nobody runs on, in next
// to no time: Pebble never writes to a table again, so both can have the same.
func linkInstallation(from, to string) error {
	from, to = filepath.Join(from, "store"), filepath.Join(to, "store")
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	files, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, file := range files {
		source, target := filepath.Join(from, file.Name()), filepath.Join(to, file.Name())
		if filepath.Ext(source) == ".sst" {
			err = os.Link(source, target)
		} else {
			err = copyFile(source, target)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
