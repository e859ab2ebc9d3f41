package pebbledb

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openOn opens the database in a directory of a file system.
func openOn(fs vfs.FS, dir string) (*DB, error) {
	return Open("queue", dir, &pebble.Options{FS: fs}, slog.Default())
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestInUse proves that a directory is opened once, in this process and in
// others, whose lock looks as that of the file system in memory does.
func TestInUse(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"this process": vfs.Default, "another process": vfs.NewMem()} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "made")
			db, err := openOn(fs, dir)
			check(t, err)
			_, err = openOn(fs, dir)
			want := "the queue in " + dir + " is in use by another daybook: stop that one or choose another directory"
			if err == nil || err.Error() != want {
				t.Errorf("error is %v, want %s", err, want)
			}
			check(t, db.Close())
			db, err = openOn(fs, dir)
			check(t, err)
			check(t, db.Close())
		})
	}
}

// noLocks is a file system without locks.
type noLocks struct{ vfs.FS }

func (noLocks) Lock(string) (io.Closer, error) { return nil, syscall.ENOLCK }

// TestNotInUse proves that what else can be wrong with a directory is not
// taken for its being in use.
func TestNotInUse(t *testing.T) {
	dir := t.TempDir()
	file, locked := filepath.Join(dir, "file"), filepath.Join(dir, "locked")
	check(t, os.WriteFile(file, nil, 0o600))
	check(t, os.MkdirAll(filepath.Join(locked, "LOCK"), 0o700))
	for name, open := range map[string]func() (*DB, error){
		"a file":             func() (*DB, error) { return openOn(vfs.Default, file) },
		"no lock file":       func() (*DB, error) { return openOn(vfs.Default, locked) },
		"no locks to be had": func() (*DB, error) { return openOn(noLocks{vfs.Default}, dir) },
	} {
		_, err := open()
		if err == nil || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "in use") {
			t.Errorf("%s: error is %v, want one about %s", name, err, dir)
		}
	}
}

// TestRoom proves that there is room from MinFreeBytes on.
func TestRoom(t *testing.T) {
	mem := vfs.NewMem()
	db, err := openOn(mem, "dir")
	check(t, err)
	defer db.Close()
	check(t, db.Room())
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: MinFreeBytes - 1, TotalBytes: 1 << 40})
	want := "the disk of dir has 255 MiB free, and 256 MiB must stay free: make room there"
	if err := db.Room(); err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: MinFreeBytes, TotalBytes: 1 << 40})
	check(t, db.Room())
}

// TestPowerCut proves that a power cut before any write of opening and closing
// a database leaves one that opens and has what was synced, also on a file
// system that keeps any part of the changes of a directory that is not synced.
func TestPowerCut(t *testing.T) {
	key := []byte("key")
	for seed := range uint64(20) {
		mem := vfs.NewCrashableMem()
		var mu sync.Mutex
		var disks []*vfs.MemFS
		random := rand.New(rand.NewPCG(1, seed))
		cut := errorfs.InjectorFunc(func(op errorfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				disks = append(disks, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: random}))
			}
			return nil
		})
		db, err := openOn(mem, "dir")
		check(t, err)
		check(t, db.Set(key, key, pebble.Sync))
		check(t, db.Close())
		db, err = openOn(errorfs.Wrap(mem, cut), "dir")
		check(t, err)
		check(t, db.Close())

		for i, disk := range disks {
			db, err := openOn(disk, "dir")
			if err != nil {
				t.Fatalf("seed %d, cut before write %d: %v", seed, i, err)
			}
			value, closer, err := db.Get(key)
			if err != nil || string(value) != string(key) {
				t.Fatalf("seed %d, cut before write %d: the key has %q, error %v", seed, i, value, err)
			}
			check(t, closer.Close())
			check(t, db.Close())
		}
	}
}

// failures are ways in which a disk can fail, and what then notices it.
var failures = map[string]struct {
	kinds []errorfs.OpKind
	file  string // part of the name
	write func(db *DB) error
}{
	"write of the log": {[]errorfs.OpKind{errorfs.OpFileWrite}, ".log", synced},
	"sync of the log":  {[]errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo}, ".log", synced},
	// Nobody waits for the write that fails.
	"write that is not synced": {[]errorfs.OpKind{errorfs.OpFileWrite}, ".log", notSynced},
	"change to a new log":      {[]errorfs.OpKind{errorfs.OpCreate, errorfs.OpReuseForWrite}, ".log", flushed},
	"end of the old log":       {[]errorfs.OpKind{errorfs.OpFileWrite}, ".log", flushed},
	"write of the manifest":    {[]errorfs.OpKind{errorfs.OpFileWrite}, "MANIFEST", flushed},
	"sync of the manifest":     {[]errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData}, "MANIFEST", flushed},
	"sync of the directory":    {[]errorfs.OpKind{errorfs.OpFileSync}, "dir", flushed},
}

func synced(db *DB) error  { return db.Set([]byte("key"), nil, pebble.Sync) }
func flushed(db *DB) error { return db.Flush() }

func notSynced(db *DB) error {
	for range 100 {
		if err := db.Set([]byte("key"), make([]byte, 100_000), pebble.NoSync); err != nil {
			return err
		}
	}
	return nil
}

// TestFailureEndsProcess proves that a failing disk ends the process with
// status 1 and one line that says what to do, wherever Pebble comes to notice
// it, also where somebody catches panics. It runs itself in other processes for
// that.
func TestFailureEndsProcess(t *testing.T) {
	const variable = "PEBBLEDB_TEST_FAILURE"
	if name := os.Getenv(variable); name != "" {
		var failing atomic.Bool
		failure := failures[name]
		fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			for _, kind := range failure.kinds {
				if failing.Load() && op.Kind == kind && strings.Contains(filepath.Base(op.Path), failure.file) {
					return syscall.EIO
				}
			}
			return nil
		}))
		db, err := openOn(fs, "dir")
		check(t, err)
		check(t, synced(db))
		failing.Store(true)
		defer func() { fmt.Println("the process went on:", recover()) }()
		fmt.Println("the write gave:", failure.write(db))
	}
	for name := range failures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestFailureEndsProcess$")
			cmd.Env = append(os.Environ(), variable+"="+name)
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() != 1 ||
				!strings.Contains(string(out), "the queue cannot go on and the process ends: make sure that the disk works and has room, and start again") ||
				strings.Count(string(out), "\n") != 1 {
				t.Errorf("the process ended with %v and said:\n%s", err, out)
			}
		})
	}
}
