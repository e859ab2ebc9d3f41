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
// for compactions. So only one site is filled by steps, in a store of its own.
// All sites are copies of it: their raw events go as finished tables to where
// compactions would have brought them in the end, and their rollups are written
// by the store.

// fillCopies makes an installation with the events of a population, which must
// be a multiple of its sites.
func fillCopies(ctx context.Context, data string, p *population) (err error) {
	dir := data + "-first"
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	days, checkpoints, err := fillFirst(ctx, dir, p)
	if err != nil {
		return err
	}
	// The store is made first, and gets the tables while it has nothing else
	// that would keep them from the lowest level.
	if err := withStore(ctx, data, func(store.Store) error { return nil }); err != nil {
		return err
	}
	if err := copyEvents(ctx, dir, data, p); err != nil {
		return err
	}
	return withStore(ctx, data, func(st store.Store) error {
		for site := range p.sites {
			for _, day := range days {
				day.Site, day.Rev = p.site(site), 0
				if err := st.SwapDay(ctx, day); err != nil {
					return err
				}
			}
		}
		for _, checkpoint := range checkpoints {
			if err := st.Begin().Commit(ctx, checkpoint); err != nil {
				return err
			}
		}
		return errors.Join(checkCopy(ctx, st, p), settle(ctx))
	})
}

// fillFirst makes an installation with the events of the first site of a
// population, and gives its rollups and checkpoints.
func fillFirst(ctx context.Context, data string, p *population) (days []*rollup.Day, checkpoints map[string]store.Checkpoint, err error) {
	first := *p
	first.sites, first.events = 1, p.events/p.sites
	err = withStore(ctx, data, func(st store.Store) (err error) {
		if err := fill(ctx, st, &first); err != nil {
			return err
		}
		if checkpoints, err = st.Checkpoints(ctx); err != nil {
			return err
		}
		return st.SiteDays(ctx, p.site(0), "", "", "", rollup.AllFields, func(day *rollup.Day, damaged *store.DamagedError) error {
			if damaged != nil {
				return damaged
			}
			days = append(days, day)
			return nil
		})
	})
	return days, checkpoints, err
}

// withStore calls fn with the store of an installation.
func withStore(ctx context.Context, data string, fn func(store.Store) error) error {
	st, err := openStore(ctx, data)
	if err != nil {
		return err
	}
	return errors.Join(fn(st), st.Close())
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

// copyEvents copies the raw events of the first site of a population, and the
// keys of their IDs, from one installation into another one, for all sites. No
// daybook may run on either.
func copyEvents(ctx context.Context, from, to string, p *population) error {
	source, err := openDB(from)
	if err != nil {
		return err
	}
	target, err := openDB(to)
	if err != nil {
		return errors.Join(err, source.Close())
	}
	err = func() error {
		var sites []string
		for site := range p.sites {
			sites = append(sites, p.site(site))
		}
		slices.Sort(sites)
		// Each share of them gets tables of its own.
		shares := runtime.GOMAXPROCS(0)
		var written []*tables
		var group errgroup.Group
		for _, kind := range []byte{'e', 'i'} {
			for share := range slices.Chunk(sites, (len(sites)+shares-1)/shares) {
				t := newTables(fmt.Sprintf("%s-%c-%s", from, kind, share[0]), target.TableFormat())
				written = append(written, t)
				group.Go(func() error {
					for _, site := range share {
						if err := t.copySite(source, kind, p.site(0), site); err != nil {
							return err
						}
					}
					return t.finish()
				})
			}
		}
		if err := group.Wait(); err != nil {
			return err
		}
		var paths []string
		for _, t := range written {
			paths = append(paths, t.paths...)
		}
		return target.Ingest(ctx, paths)
	}()
	return errors.Join(err, source.Close(), target.Close())
}

// openDB opens the database of an installation's store.
func openDB(data string) (*pebbledb.DB, error) {
	return pebbledb.Open("store", filepath.Join(data, "store"), storeOptions(), slog.New(slog.DiscardHandler))
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

func newTables(name string, format sstable.TableFormat) *tables {
	const lowest = 6
	options := storeOptions()
	options.EnsureDefaults()
	return &tables{name: name, options: options.MakeWriterOptions(lowest, format)}
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
	// That of the lowest level where there are two above it, beside level 0.
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
