// Package progress shows how far a long command is: a bar on a terminal, a
// plain line now and then elsewhere.
package progress

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// lineEvery is the time between two plain lines.
const lineEvery = 5 * time.Second

// Progress is one such display. It is used by one goroutine.
type Progress struct {
	out   io.Writer
	total int64
	bar   *progressbar.ProgressBar // nil without a terminal
	last  time.Time
}

// New starts a display on out, which is a terminal or not, for a command that
// has total to do; 0 means that this is not known. bytes says that this is a
// number of bytes.
func New(out io.Writer, total int64, bytes bool) *Progress {
	p := &Progress{out: out, total: total, last: time.Now()}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if total == 0 {
			total = -1 // what the bar takes for unknown
		}
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(out),
			progressbar.OptionShowBytes(bytes),
			progressbar.OptionShowCount(),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
			// Without this a goroutine would turn a spinner.
			progressbar.OptionSetSpinnerChangeInterval(0),
		)
	}
	return p
}

// Set shows that done of the total is done, with a note.
func (p *Progress) Set(done int64, note string) {
	switch {
	case p.bar != nil:
		// The bar's errors are about drawing it, for instance beyond its end
		// when a file grew meanwhile.
		_ = p.bar.Set64(done)
		p.bar.Describe(note)
	case time.Since(p.last) < lineEvery:
	case p.total > 0:
		p.last = time.Now()
		fmt.Fprintf(p.out, "%3d %%: %s\n", min(100*done/p.total, 100), note)
	default:
		p.last = time.Now()
		fmt.Fprintln(p.out, note)
	}
}

// Close takes the bar away.
func (p *Progress) Close() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}
