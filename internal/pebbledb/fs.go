package pebbledb

import (
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// carefulFS is the file system that Pebble (v2.1.7) is given. It makes up for
// two weaknesses of it.
//
// Markers: Pebble names its newest MANIFEST by the name of an empty file, the
// marker. When it begins a MANIFEST it makes that file and the marker, removes
// the old marker, and syncs the directory once, at the end. File systems that
// keep the order of such changes are safe so; on others a power cut can leave
// a marker without its MANIFEST, or no marker, and the database does not open
// or is taken for new. So the directory is synced before a marker changes.
//
// Failures: when its log fails, Pebble calls Logger.Fatalf, or panics in the
// writer with its locks held (which an HTTP server would catch, and go on with
// a database that waits for ever), or crashes with a fatal error of the Go
// runtime, all depending on where it notices. So the process is ended here,
// before Pebble hears of the failure.
type carefulFS struct {
	vfs.FS
	// end ends the process.
	end func(error)
}

// Create implements vfs.FS.
func (fs carefulFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.settle(name); err != nil {
		return nil, err
	}
	f, err := fs.FS.Create(name, category)
	return fs.vital(name, f, err)
}

// ReuseForWrite implements vfs.FS.
func (fs carefulFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(oldname, newname, category)
	return fs.vital(newname, f, err)
}

// Remove implements vfs.FS.
func (fs carefulFS) Remove(name string) error {
	if err := fs.settle(name); err != nil {
		return err
	}
	return fs.FS.Remove(name)
}

// OpenDir implements vfs.FS.
func (fs carefulFS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return vitalFile{f, fs.end}, nil
}

// Unwrap implements vfs.FS.
func (fs carefulFS) Unwrap() vfs.FS { return fs.FS }

// settle syncs the directory of a marker.
func (fs carefulFS) settle(name string) error {
	if !strings.HasPrefix(fs.PathBase(name), "marker.") {
		return nil
	}
	dir, err := fs.OpenDir(fs.PathDir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// vital takes what making a file gave. Making one of the log or a manifest
// must not fail, and neither must writing it.
func (fs carefulFS) vital(name string, f vfs.File, err error) (vfs.File, error) {
	base := fs.PathBase(name)
	if !strings.HasSuffix(base, ".log") && !strings.HasPrefix(base, "MANIFEST-") {
		return f, err
	}
	if err != nil {
		fs.end(err)
		return nil, err
	}
	return vitalFile{f, fs.end}, nil
}

// vitalFile is a file, or directory, without which Pebble cannot go on.
type vitalFile struct {
	vfs.File
	end func(error)
}

// Write implements vfs.File.
func (f vitalFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.check(err)
}

// Sync implements vfs.File.
func (f vitalFile) Sync() error { return f.check(f.File.Sync()) }

// SyncData implements vfs.File.
func (f vitalFile) SyncData() error { return f.check(f.File.SyncData()) }

// SyncTo implements vfs.File.
func (f vitalFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, f.check(err)
}

func (f vitalFile) check(err error) error {
	if err != nil {
		f.end(err)
	}
	return err
}
