package pebbledb

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/cockroachdb/pebble/v2"
)

// logger passes on what Pebble logs.
type logger struct {
	log  *slog.Logger
	what string
}

// Infof implements pebble.Logger.
func (l logger) Infof(format string, args ...any) {
	// Pebble says much, and making text of it costs.
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("pebble: " + fmt.Sprintf(format, args...))
	}
}

// Errorf implements pebble.Logger.
func (l logger) Errorf(format string, args ...any) {
	l.log.Error("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger, which says that it must not return.
func (l logger) Fatalf(format string, args ...any) {
	l.end(fmt.Errorf(format, args...))
}

// end ends the process; see the package comment.
func (l logger) end(err error) {
	l.log.Error("the "+l.what+" cannot go on and the process ends: make sure that the disk works and has room, and start again; nothing that was acknowledged is lost",
		"error", err)
	os.Exit(1)
}

// events tells what an operator should know, and leaves out the rest.
func (l logger) events() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) { l.log.Error("pebble: flush or compaction failed", "error", err) },
		// Without this Pebble ends the process. The read that found it returns
		// the error, and everything else can still be read.
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			l.log.Error("pebble: a file is damaged", "path", info.Path, "error", info.Details)
		},
		DiskSlow: func(info pebble.DiskSlowInfo) { l.log.Warn("pebble: the disk is slow", "what", info.String()) },
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			l.log.Info("pebble: writing waits for flushes and compactions", "reason", info.Reason)
		},
	}
}
