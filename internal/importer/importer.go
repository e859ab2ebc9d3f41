// Package importer reads access logs and NDJSON and sends what they hold to a
// running server. Importing the same lines again counts nothing twice: the
// event_id of a line is made of the line itself (ids.go).
package importer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/daybook-analytics/daybook/internal/progress"
	"github.com/daybook-analytics/daybook/internal/sender"
	"github.com/daybook-analytics/daybook/internal/visitor"
	"github.com/daybook-analytics/daybook/rollup"
)

// Defaults of the options.
const (
	DefaultBatch    = 1000
	DefaultParallel = 4
)

// batchBytes closes a batch that has few, long events: with one more of the
// longest it is still one that the server takes.
const batchBytes = sender.MaxBytes / 2

// batchLines closes a batch that has few events because most lines are none,
// so that progress and the state file go on.
const batchLines = 100_000

// Options say what to import, and how.
type Options struct {
	// To is the server's address, as in "http://127.0.0.1:3000".
	To string
	// Key is the server's key for sending events; a server that is open needs
	// none.
	Key string
	// Site is the site_id of all events. Access logs need one; events of
	// NDJSON keep their own if it is empty.
	Site string
	// Files are read in their order, plain or gzip; "-" is Stdin.
	Files []string
	Stdin io.Reader
	// Format is FormatAuto, the default, FormatCombined or FormatNDJSON.
	Format string
	// All imports every request of an access log; without it an event is
	// every GET with status 2xx or 304.
	All bool
	// SkipBots passes over the requests of an access log whose user agent is
	// one of a bot, as internal/visitor knows them.
	SkipBots bool
	// Resume skips the lines that the state file says are confirmed.
	Resume bool
	// StateFile is where it is kept what is confirmed. The default is the
	// name of the first file with ".daybook-import" behind it; there is none
	// when Stdin is read.
	StateFile string
	// Batch is the most events of one request, 1 to 10,000; 0 is
	// DefaultBatch.
	Batch int
	// Parallel is how many requests are under way, 1 to 64; 0 is
	// DefaultParallel.
	Parallel int
	// Gzip compresses requests.
	Gzip bool
	// Patience is how long a request is tried while the server is away; 0 is
	// sender.DefaultPatience.
	Patience time.Duration
	// Out gets the summary, Log progress and warnings. Nil discards them.
	Out, Log io.Writer
}

// complete fills in the defaults and says what is wrong with the options.
func (o *Options) complete() error {
	if o.Format == "" {
		o.Format = FormatAuto
	}
	if o.Batch == 0 {
		o.Batch = DefaultBatch
	}
	if o.Parallel == 0 {
		o.Parallel = DefaultParallel
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	switch {
	case len(o.Files) == 0:
		return errors.New("no file to import: name one or more, or - for the standard input")
	case o.Format != FormatAuto && o.Format != FormatCombined && o.Format != FormatNDJSON:
		return fmt.Errorf("--format %q is unknown: allowed are %s, %s and %s", o.Format, FormatAuto, FormatCombined, FormatNDJSON)
	case o.Batch < 1 || o.Batch > sender.MaxEvents:
		return fmt.Errorf("--batch %d: allowed are 1 to %d", o.Batch, sender.MaxEvents)
	case o.Parallel < 1 || o.Parallel > 64:
		return fmt.Errorf("--parallel %d: allowed are 1 to 64", o.Parallel)
	}
	stdin := false
	for _, name := range o.Files {
		if name == "-" {
			stdin = true
			continue
		}
		// Better now than after half of the others.
		if info, err := os.Stat(name); err != nil {
			return err
		} else if info.IsDir() {
			return fmt.Errorf("%s is a directory: name the files in it", name)
		}
	}
	switch {
	case stdin && (o.Resume || o.StateFile != ""):
		return errors.New("--resume and --state-file need files: what the standard input gave before cannot be read again")
	case stdin && o.Stdin == nil:
		o.Stdin = os.Stdin
	case !stdin && o.StateFile == "":
		o.StateFile = o.Files[0] + stateSuffix
	}
	return nil
}

// Run imports the files. It goes on past malformed lines and rejected events,
// which the Summary counts. After an error or the end of ctx the Summary
// holds what is confirmed; so does the state file.
func Run(ctx context.Context, o Options) (Summary, error) {
	if err := o.complete(); err != nil {
		return Summary{}, err
	}
	send, err := sender.New(sender.Options{To: o.To, Key: o.Key, Gzip: o.Gzip, Parallel: o.Parallel, Patience: o.Patience})
	if err != nil {
		return Summary{}, err
	}
	defer send.Close()

	started := time.Now()
	r := &run{o: o, send: send, state: state{Version: stateVersion, To: send.To(), Site: o.Site, Format: o.Format, All: o.All, SkipBots: o.SkipBots}}
	if o.Resume {
		var why string
		if r.from, why = loadState(o.StateFile, r.state); why != "" {
			fmt.Fprintf(o.Log, "--resume starts at the beginning: %s\n", why)
		}
	}
	err = r.files(ctx)
	if errors.Is(err, errChanged) {
		fmt.Fprintf(o.Log, "--resume starts at the beginning: the first %d lines are not those of %s\n", r.from.Lines, o.StateFile)
		r = &run{o: o, send: send, state: r.state}
		err = r.files(ctx)
	}
	r.sum.Took = time.Since(started)
	r.sum.print(o.Out)
	return r.sum, err
}

// errBot says that a line is one of a bot, and is passed over.
var errBot = errors.New("it is one of a bot")

// errChanged says that what was confirmed is not what the files begin with.
var errChanged = errors.New("the confirmed lines are not those of the files")

// run is one pass through all files. What reads and what confirms are two
// goroutines, which share nothing but batches: the fields of each are its
// own until the pipeline is closed.
type run struct {
	o    Options
	send *sender.Sender
	from mark // where to resume

	// Of the reader:
	ids   *ids
	at    mark // behind the last line read that has an end
	batch *batch
	taken int64 // bytes of files that are read through
	pipe  *sender.Pipeline[*batch]

	// Of the confirmer:
	state    state
	progress *progress.Progress
	stateErr error // the first one of saving the state

	// sum has fields of the reader (lines) and of the confirmer (events).
	sum Summary
}

// batch is what goes into one request, or nothing but a place reached.
type batch struct {
	body   bytes.Buffer
	encode *json.Encoder
	// lines tells for each event where it stood.
	lines []place
	// behind is the mark behind the last line, taken the bytes up to it,
	// read the number of lines in this batch.
	behind mark
	taken  int64
	read   int
}

type place struct {
	file string
	line int64
}

func newBatch() *batch {
	b := &batch{}
	b.encode = json.NewEncoder(&b.body)
	b.encode.SetEscapeHTML(false)
	return b
}

// files reads all files and sends what they hold.
func (r *run) files(ctx context.Context) error {
	r.ids = newIDs()
	r.batch = newBatch()
	r.progress = progress.New(r.o.Log, r.size(), true)
	defer r.progress.Close()
	r.pipe = sender.NewPipeline(ctx, r.o.Parallel, r.sendBatch, r.confirm)
	err := r.readAll()
	if !errors.Is(err, errChanged) {
		// What was read before a fault of a file still counts.
		err = errors.Join(err, r.flush(r.taken))
	}
	// An error of flush is the pipeline's own.
	if failed := r.pipe.Close(); failed != nil {
		err = failed
	}
	return err
}

// size is the size of all files together, 0 if it is not known.
func (r *run) size() int64 {
	var sum int64
	for _, name := range r.o.Files {
		info, err := os.Stat(name) // no file is named "-"
		if err != nil || info.Mode().Type() != fs.FileMode(0) {
			return 0
		}
		sum += info.Size()
	}
	return sum
}

func (r *run) readAll() error {
	for i, name := range r.o.Files {
		if err := r.readFile(name, i == len(r.o.Files)-1); err != nil {
			return err
		}
	}
	if r.at.Lines < r.from.Lines {
		return errChanged
	}
	return nil
}

// readFile reads one file and sends what it holds.
func (r *run) readFile(name string, last bool) error {
	in, err := openInput(name, r.o.Stdin)
	if err != nil {
		return err
	}
	defer in.file.Close()
	format := r.o.Format
	if format == FormatAuto {
		if format, err = in.format(); err != nil {
			return err
		}
	}
	var convert func([]byte) (event any, err error)
	switch format {
	case FormatCombined:
		if r.o.Site == "" {
			return fmt.Errorf("%s is an access log, which does not say of which site: give it with --site", in.name)
		}
		log := &accessLog{site: r.o.Site, all: r.o.All, ids: r.ids}
		if r.o.SkipBots {
			log.agents = visitor.NewAgents()
		}
		convert = log.event
	case FormatNDJSON:
		convert = r.jsonEvent
	}

	at := place{file: in.name}
	for {
		line, ended, err := in.next()
		if err != nil && !errors.Is(err, errLongLine) {
			r.taken += in.read.n
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		at.line++
		empty := err == nil && len(bytes.TrimSpace(line)) == 0
		var event any
		if err == nil && !empty {
			event, err = convert(line)
		}
		// The last line of all is not complete without its end: it may grow,
		// and then it is another one.
		if ended || !last {
			r.at = r.at.after(line)
		}
		if r.at.Lines <= r.from.Lines && (ended || !last) {
			if err := r.skip(); err != nil {
				return err
			}
			event = nil
		} else {
			r.count(at, empty, event, err)
		}
		if err := r.add(at, event, r.taken+in.read.n); err != nil {
			return err
		}
	}
}

// skip passes over a line that is confirmed.
func (r *run) skip() error {
	r.sum.Resumed++
	if r.at.Lines == r.from.Lines && r.at != r.from {
		return errChanged
	}
	return nil
}

// count counts a line that was read.
func (r *run) count(at place, empty bool, event any, err error) {
	r.sum.Lines++
	switch {
	case errors.Is(err, errBot):
		r.sum.Bots++
	case err != nil:
		r.sum.Malformed++
		r.sum.MalformedLines = appendProblem(r.sum.MalformedLines, at, err.Error())
	case event == nil && !empty:
		r.sum.Skipped++
	}
}

// add puts the event of a line, if it has one, into the batch, and sends the
// batch when it is full.
func (r *run) add(at place, event any, taken int64) error {
	b := r.batch
	b.read++
	if event != nil {
		if err := b.encode.Encode(event); err != nil {
			return fmt.Errorf("%s line %d: %w", at.file, at.line, err)
		}
		b.lines = append(b.lines, at)
	}
	if len(b.lines) == r.o.Batch || b.body.Len() >= batchBytes || b.read == batchLines {
		return r.flush(taken)
	}
	return nil
}

// flush sends the batch, even an empty one, which carries the place reached.
func (r *run) flush(taken int64) error {
	b := r.batch
	b.behind, b.taken = r.at, taken
	r.batch = newBatch()
	return r.pipe.Submit(b)
}

func (r *run) sendBatch(ctx context.Context, b *batch) (sender.Result, error) {
	if len(b.lines) == 0 {
		return sender.Result{}, nil
	}
	return r.send.Send(ctx, b.body.Bytes(), len(b.lines))
}

// confirm takes note that all lines up to the batch's end are done.
func (r *run) confirm(b *batch, result sender.Result) error {
	r.sum.Events += int64(len(b.lines))
	r.sum.Accepted += int64(result.Accepted)
	r.sum.Rejected += int64(len(result.Rejected))
	r.sum.Retries += int64(result.Retries)
	for _, rejection := range result.Rejected {
		r.sum.RejectedLines = appendProblem(r.sum.RejectedLines, b.lines[rejection.Index], rejection.String())
	}
	if r.o.StateFile != "" && r.stateErr == nil && b.behind.Lines > r.from.Lines {
		r.state.mark = b.behind
		if r.stateErr = r.state.save(r.o.StateFile); r.stateErr != nil {
			fmt.Fprintf(r.o.Log, "cannot keep what is confirmed, so that --resume would start at the beginning: %v\n", r.stateErr)
		}
	}
	note := "passing over what is confirmed"
	if b.behind.Lines > r.from.Lines {
		note = fmt.Sprintf("%d events sent", r.sum.Events)
	}
	r.progress.Set(b.taken, note)
	return nil
}

// webEvent is the event of a request in an access log.
type webEvent struct {
	ID        string `json:"event_id"`
	Site      string `json:"site_id"`
	Type      string `json:"event_type"`
	Path      string `json:"path"`
	User      string `json:"user_id"`
	Timestamp string `json:"timestamp"`
	Referrer  string `json:"referrer,omitempty"`
}

// accessLog makes events of the lines of one access log.
type accessLog struct {
	site string
	all  bool
	ids  *ids
	// agents, if set, tell bots, which are passed over.
	agents *visitor.Agents
	// combined is set once a line had a user agent. From then on a line
	// without is one that was cut off.
	combined bool
}

// event is the event of a line, nil if it is none. The error may be errBot.
func (a *accessLog) event(line []byte) (any, error) {
	l, err := parseAccessLine(line)
	if err != nil {
		return nil, err
	}
	if a.combined && !l.combined {
		return nil, errors.New("it is cut off behind the size: lines before have a referrer and a user agent")
	}
	a.combined = l.combined
	method, target, ok := splitRequest(l.request)
	if !ok || !a.all && !isView(method, l.status) {
		return nil, nil
	}
	if a.agents != nil && a.agents.Of(unescape(l.agent), visitor.Hints{}).Kind == visitor.Bot {
		return nil, errBot
	}
	return webEvent{
		ID:        a.ids.next(a.site, line),
		Site:      a.site,
		Type:      rollup.PageView,
		Path:      targetPath(target),
		User:      userOf(l.client, l.agent),
		Timestamp: l.time.Format(time.RFC3339),
		Referrer:  referrerURL(l.referrer),
	}, nil
}

// isView tells whether a request is taken for the view of a page.
func isView(method []byte, status int) bool {
	return string(method) == "GET" && (status >= 200 && status < 300 || status == 304)
}

// jsonEvent is the event of a line of NDJSON. The error may be errBot.
func (r *run) jsonEvent(line []byte) (any, error) {
	e, err := parseJSONEvent(line)
	if err != nil {
		return nil, err
	}
	// An export has the events of bots too. Ingest, which knows the sender and
	// not theirs, would take them for those of people.
	if e.text(rollup.Bot.String()) != "" {
		return nil, errBot
	}
	if r.o.Site != "" {
		e.set("site_id", r.o.Site)
	}
	if !e.has("event_id") {
		e.set("event_id", r.ids.next(e.text("site_id"), line))
	}
	return e, nil
}
