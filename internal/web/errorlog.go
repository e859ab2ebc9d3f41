package web

import (
	"bytes"
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
// debugging. That no connection can be taken, for want of open files mostly, is
// for operators. The addresses of clients are left out.
type errorLog struct{ log *slog.Logger }

func newErrorLog(to *slog.Logger) *log.Logger { return log.New(errorLog{to}, "", 0) }

func (l errorLog) Write(line []byte) (int, error) {
	level := slog.LevelDebug
	if bytes.HasPrefix(line, []byte("http: Accept error")) {
		level = slog.LevelWarn // net/http waits up to a second before it says so again
	}
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, addresses.ReplaceAllString(strings.TrimSpace(string(line)), "(address)"))
	}
	return len(line), nil
}
