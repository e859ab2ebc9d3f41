package web

import (
	"context"
	"log"
	"log/slog"
	"regexp"
	"strings"
)

// addresses are those that net/http writes into its messages, with their
// ports.
var addresses = regexp.MustCompile(`\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[^\]\s]*)?\](:\d+)?|\b\d{1,3}(\.\d{1,3}){3}(:\d+)?`)

// errorLog takes what net/http has to say of connections, such as
// "http: TLS handshake error from 192.0.2.1:4711: EOF", to a log for
// debugging. The addresses of clients are left out.
type errorLog struct{ log *slog.Logger }

func newErrorLog(to *slog.Logger) *log.Logger { return log.New(errorLog{to}, "", 0) }

func (l errorLog) Write(line []byte) (int, error) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug(addresses.ReplaceAllString(strings.TrimSpace(string(line)), "(address)"))
	}
	return len(line), nil
}
