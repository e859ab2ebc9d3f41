package telemetry_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/daybook-analytics/daybook/internal/telemetry"
)

func TestLogHasNoKeys(t *testing.T) {
	const secret = "EXAMPLEKLMNOPQRSTUVWXYZ234"
	for _, scope := range []string{"ingest", "read", "admin"} {
		key := "db_" + scope + "_ABCDEFGHIJ_" + secret
		for _, asJSON := range []bool{false, true} {
			var log strings.Builder
			telemetry.NewLogger(&log, slog.LevelInfo, asJSON).With("with", key).WithGroup("group").
				Info("message of "+key, "text", "?key="+key+"&x=1", "error", fmt.Errorf("bad: %w", fmt.Errorf("key %q", key)), "n", 1)
			if strings.Contains(log.String(), secret) {
				t.Errorf("the secret of a key is in the log: %s", &log)
			}
			if n := strings.Count(log.String(), "db_"+scope+"_ABCDEFGHIJ_(secret)"); n != 4 {
				t.Errorf("which key it was is in the log %d times, want 4: %s", n, &log)
			}
			if !strings.Contains(log.String(), "x=1") {
				t.Errorf("more than the secret is left out: %s", &log)
			}
		}
	}
}
