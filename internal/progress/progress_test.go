package progress_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-analytics/daybook/internal/progress"
)

func TestPlainLines(t *testing.T) {
	for _, tt := range []struct {
		total int64
		want  string
	}{
		{200, " 25 %: at 50\n 50 %: at 100\n100 %: at 250\n"},
		{0, "at 50\nat 100\nat 250\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			p := progress.New(&out, tt.total, true)
			for _, step := range []struct {
				after time.Duration
				done  int64
				note  string
			}{
				{0, 10, "at 10"}, {4 * time.Second, 40, "at 40"}, {time.Second, 50, "at 50"},
				{time.Second, 60, "at 60"}, {5 * time.Second, 100, "at 100"},
				{time.Minute, 250, "at 250"}, // the file grew meanwhile
			} {
				time.Sleep(step.after) // virtual time
				p.Set(step.done, step.note)
			}
			p.Close()
			if out.String() != tt.want {
				t.Errorf("total %d: wrote %q, want %q", tt.total, &out, tt.want)
			}
		})
	}
}
