// Package telemetry sets up what tells operators how Daybook does.
package telemetry

import (
	"io"
	"log/slog"
)

// NewLogger makes a logger that writes to w from the level on, as text or as
// one JSON object a line.
func NewLogger(w io.Writer, level slog.Level, asJSON bool) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if asJSON {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
