// Package telemetry sets up what tells operators how Daybook does.
package telemetry

import (
	"io"
	"log/slog"
	"regexp"
)

// NewLogger makes a logger that writes to w from the level on, as text or as
// one JSON object a line. It leaves out the secret of every key of Daybook in
// messages, texts and errors: nobody means to log one, and nobody can.
func NewLogger(w io.Writer, level slog.Level, asJSON bool) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: withoutKeys}
	if asJSON {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// keyForm is the form of a key (internal/access/key.go), with its secret at
// the end.
var keyForm = regexp.MustCompile(`(db_(?:ingest|read|admin)_[A-Za-z2-7]+_)[A-Za-z2-7]+`)

func withoutKeys(_ []string, a slog.Attr) slog.Attr {
	var text string
	switch value := a.Value.Any().(type) {
	case string:
		text = value
	case error:
		text = value.Error()
	default:
		return a
	}
	if keyForm.MatchString(text) {
		a.Value = slog.StringValue(keyForm.ReplaceAllString(text, "$1(secret)"))
	}
	return a
}
