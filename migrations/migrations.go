package migrations

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

//go:embed mongodb/*.json
var files embed.FS

// Migration is one step of the schema.
type Migration struct {
	// Version counts from 1 without a gap.
	Version int
	// Name says in a word or two what the migration does.
	Name string
	// MongoDB holds the database commands that do it on MongoDB, in MongoDB's
	// Extended JSON.
	MongoDB []json.RawMessage
}

// all is what the files hold. They are part of the program, so a bad one is a
// programming error, which the test of this package finds.
var all = func() []Migration {
	migrations, err := read(files)
	if err != nil {
		panic(err)
	}
	return migrations
}()

// All gives every migration in the order of the versions.
func All() []Migration { return slices.Clone(all) }

// Latest is the version of the newest migration.
func Latest() int { return len(all) }

// read reads the files mongodb/NNNN_name.json.
func read(files fs.FS) ([]Migration, error) {
	names, err := fs.Glob(files, "mongodb/*.json") // sorted
	if err != nil {
		return nil, err
	}
	var migrations []Migration
	for i, path := range names {
		m := Migration{Version: i + 1}
		var ok bool
		m.Name, ok = strings.CutPrefix(path, fmt.Sprintf("mongodb/%04d_", m.Version))
		if !ok {
			return nil, fmt.Errorf("migration %s: version %04d belongs there", path, m.Version)
		}
		m.Name = strings.ReplaceAll(strings.TrimSuffix(m.Name, ".json"), "_", " ")
		data, err := fs.ReadFile(files, path)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(data, &m.MongoDB); err != nil {
			return nil, fmt.Errorf("migration %s: %w", path, err)
		}
		migrations = append(migrations, m)
	}
	return migrations, nil
}
