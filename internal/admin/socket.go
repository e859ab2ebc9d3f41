package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// socketName is the socket's file in the data directory.
const socketName = "admin.sock"

// maxPath is the longest path of a unix socket, in bytes, that every system
// takes.
const maxPath = 103

// SocketPath gives the path of the socket in a data directory: where the
// directory's own is too long, the one from the working directory, if that is
// shorter.
func SocketPath(dir string) (string, error) {
	path := filepath.Join(dir, socketName)
	if len(path) <= maxPath {
		return path, nil
	}
	if full, err := filepath.Abs(path); err == nil {
		if wd, err := os.Getwd(); err == nil {
			if relative, err := filepath.Rel(wd, full); err == nil && len(relative) <= maxPath {
				return relative, nil
			}
		}
	}
	return "", fmt.Errorf("--data %s: the path of the socket in it is %d bytes long, and the system allows %d: choose a shorter path, or change to a directory near it and give a relative one",
		dir, len(path), maxPath)
}

// Listen makes the socket of a data directory, which only the user of this
// process can use. It replaces one that a killed process has left behind. It
// is removed when the listener is closed.
func Listen(dir string) (net.Listener, error) {
	path, err := SocketPath(dir)
	if err != nil {
		return nil, err
	}
	// Who listens holds the queue or the store in the directory, and so is
	// alone; unless there are two, one with only the queue and one with only
	// the store.
	if conn, err := net.Dial("unix", path); err == nil {
		_ = conn.Close() // it was only to see who answers
		return nil, fmt.Errorf("--data %s: another daybook uses this directory: give each its own", dir)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("--data %s: a socket is left behind and cannot be removed: %w", dir, err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("--data %s: %w", dir, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("--data %s: %w", dir, err), listener.Close())
	}
	return listener, nil
}
