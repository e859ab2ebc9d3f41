package logq

import (
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// markerFS is a file system on which a directory's changes are on the disk
// before a marker in it changes.
//
// Pebble (v2.1.7) names its newest MANIFEST by the name of an empty file, the
// marker. When it begins a MANIFEST it makes that file and the marker, removes
// the old marker, and syncs the directory once, at the end. File systems that
// keep the order of such changes are safe so; on others a power cut can leave
// a marker without its MANIFEST, or no marker, and the store does not open or
// is taken for new.
type markerFS struct{ vfs.FS }

// Create implements vfs.FS.
func (fs markerFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.settle(name); err != nil {
		return nil, err
	}
	return fs.FS.Create(name, category)
}

// Remove implements vfs.FS.
func (fs markerFS) Remove(name string) error {
	if err := fs.settle(name); err != nil {
		return err
	}
	return fs.FS.Remove(name)
}

// Unwrap implements vfs.FS.
func (fs markerFS) Unwrap() vfs.FS { return fs.FS }

// settle syncs the directory of a marker.
func (fs markerFS) settle(name string) error {
	if !strings.HasPrefix(fs.PathBase(name), "marker.") {
		return nil
	}
	dir, err := fs.OpenDir(fs.PathDir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
