package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
)

// stateSuffix is put behind the first file's name for the default state file.
const stateSuffix = ".daybook-import"

// stateVersion is raised when the meaning of a state file changes.
const stateVersion = 1

// state is what --resume goes by: up to where the lines of all files, taken
// as one sequence, are confirmed by the server. A state that is behind the
// truth costs time and nothing else, since the IDs are the same.
type state struct {
	Version int `json:"version"`
	// What makes it this import and no other.
	To     string `json:"to"`
	Site   string `json:"site"`
	Format string `json:"format"`
	All    bool   `json:"all"`
	// SkipBots is false in the files of versions that did not have it.
	SkipBots bool `json:"skip_bots"`

	mark
}

// mark is a place in the sequence of lines.
type mark struct {
	// Lines is the number of lines before it.
	Lines int64 `json:"lines"`
	// CRC is the CRC-32C of those lines, each ended by a newline. It tells on
	// resuming whether they are still the same.
	CRC uint32 `json:"crc32c"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// after is the mark behind one more line.
func (m mark) after(line []byte) mark {
	crc := crc32.Update(m.CRC, castagnoli, line)
	return mark{Lines: m.Lines + 1, CRC: crc32.Update(crc, castagnoli, []byte{'\n'})}
}

// loadState gives the mark that the file holds for the import that want
// describes. Without one it is the zero mark, and why says why.
func loadState(path string, want state) (from mark, why string) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return mark{}, fmt.Sprintf("there is no %s yet", path)
	}
	if err != nil {
		return mark{}, err.Error()
	}
	var s state
	if err := json.Unmarshal(b, &s); err != nil || s.Version != stateVersion {
		return mark{}, fmt.Sprintf("%s is not a state file of this version", path)
	}
	from, s.mark = s.mark, want.mark
	if s != want {
		return mark{}, fmt.Sprintf("%s is of an import with another --to, --site, --format, --all or --skip-bots", path)
	}
	return from, ""
}

// save replaces the file at once, so that a crash leaves the old or the new
// one. It need not be on disk after a power cut.
func (s state) save(path string) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(append(b, '\n'))
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}
