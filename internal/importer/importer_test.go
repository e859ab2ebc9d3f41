package importer

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/daybook-analytics/daybook/internal/sender/sendertest"
	"github.com/daybook-analytics/daybook/rollup"
)

func stateFile(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "state")
}

// logFile writes a file and gives its name.
func logFile(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "access.log")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// importFiles imports and fails the test on an error.
func importFiles(t *testing.T, o Options) Summary {
	t.Helper()
	sum, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// views gives n lines of a log, from the one with the number first. Every
// third line is the same as the one before.
func views(first, n int) string {
	var s strings.Builder
	for i := first; i < first+n; i++ {
		k := i - i%3/2
		fmt.Fprintf(&s, "192.0.2.%d - - [17/May/2015:10:%02d:%02d +0000] \"GET /page/%d HTTP/1.1\" 200 17 \"-\" \"agent %d\"\n", k%200, k/60%60, k%60, k, k%7)
	}
	return s.String()
}

func TestImportTwiceCountsOnce(t *testing.T) {
	server, to := sendertest.Start(t)
	name := logFile(t, views(0, 300))
	for range 2 {
		if sum := importFiles(t, Options{To: to, Site: "s", Files: []string{name}, Batch: 7}); sum.Accepted != 300 {
			t.Errorf("accepted %d, want 300", sum.Accepted)
		}
	}
	if got, sent := len(server.Events()), server.Received(); got != 300 || sent != 600 {
		t.Errorf("%d events of %d received, want 300 of 600", got, sent)
	}
	// Of another site they are others.
	importFiles(t, Options{To: to, Site: "other", Files: []string{name}})
	ids := map[string]bool{}
	for _, e := range server.Events() {
		ids[e.ID] = true
	}
	if len(ids) != 600 {
		t.Errorf("%d IDs in two sites, want 600", len(ids))
	}
}

func TestGrownFile(t *testing.T) {
	for _, resume := range []bool{false, true} {
		t.Run(fmt.Sprintf("resume=%t", resume), func(t *testing.T) {
			server, to := sendertest.Start(t)
			// The line that is being written has no end yet.
			whole := views(0, 50)
			name := logFile(t, whole[:len(whole)-20])
			o := Options{To: to, Site: "s", Files: []string{name}, Resume: resume, Batch: 8}
			if sum := importFiles(t, o); sum.Accepted != 49 || sum.Malformed != 1 {
				t.Errorf("first %+v", sum)
			}
			if err := os.WriteFile(name, []byte(views(0, 80)), 0o600); err != nil {
				t.Fatal(err)
			}
			want := Summary{Lines: 80, Events: 80, Accepted: 80}
			if resume {
				want = Summary{Resumed: 49, Lines: 31, Events: 31, Accepted: 31}
			}
			sum := importFiles(t, o)
			sum.Took = 0
			if !reflect.DeepEqual(sum, want) {
				t.Errorf("second %+v, want %+v", sum, want)
			}
			if n := len(server.Events()); n != 80 {
				t.Errorf("%d events, want 80", n)
			}
		})
	}
}

// TestKilledAndResumed ends an import at each of its requests, before and
// after the server has taken it, and resumes it.
func TestKilledAndResumed(t *testing.T) {
	const lines, batch = 60, 8
	content := views(0, lines)
	for kill := 1; kill <= (lines+batch-1)/batch; kill++ {
		for _, taken := range []bool{false, true} {
			server, to := sendertest.Start(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			end := func(request int) int {
				if request == kill {
					cancel()
				}
				return 0
			}
			if taken {
				server.After(func(request int) { end(request) })
			} else {
				server.Before(end)
			}
			name := logFile(t, content)
			o := Options{To: to, Site: "s", Files: []string{name}, Batch: batch, Parallel: 1}
			sum, err := Run(ctx, o)
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if err != nil && sum.Accepted > int64((kill-1)*batch) {
				t.Errorf("killed in request %d: %d confirmed", kill, sum.Accepted)
			}
			o.Resume = true
			resumed := importFiles(t, o)
			if resumed.Resumed != sum.Accepted || resumed.Resumed+resumed.Lines != lines {
				t.Errorf("killed in request %d with %d confirmed: passed over %d, read %d", kill, sum.Accepted, resumed.Resumed, resumed.Lines)
			}
			if n := len(server.Events()); n != lines {
				t.Errorf("killed in request %d: %d events, want %d", kill, n, lines)
			}
		}
	}
}

func TestResumeStartsOver(t *testing.T) {
	content := views(0, 30)
	for _, tt := range []struct {
		name   string
		change func(o *Options) (content string)
		says   string
		lines  int64
	}{
		{"other content", func(*Options) string { return views(3, 30) }, "not those of", 30},
		{"other content later", func(*Options) string { return views(0, 20) + views(30, 10) }, "not those of", 30},
		{"truncated", func(*Options) string { return views(0, 20) }, "not those of", 20},
		{"other site", func(o *Options) string { o.Site = "b"; return content }, "another --to, --site", 30},
		{"all", func(o *Options) string { o.All = true; return content }, "another --to, --site", 30},
		{"damaged", func(o *Options) string {
			if err := os.WriteFile(o.StateFile, []byte("{"), 0o600); err != nil {
				panic(err)
			}
			return content
		}, "not a state file", 30},
		{"none", func(o *Options) string { o.StateFile += "2"; return content }, "there is no", 30},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, to := sendertest.Start(t)
			var log bytes.Buffer
			name := logFile(t, content)
			o := Options{To: to, Site: "s", Files: []string{name}, StateFile: stateFile(t), Log: &log}
			importFiles(t, o)
			changed := tt.change(&o)
			if err := os.WriteFile(name, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			o.Resume = true
			if sum := importFiles(t, o); sum.Resumed != 0 || sum.Lines != tt.lines {
				t.Errorf("passed over %d, read %d; want 0, %d", sum.Resumed, sum.Lines, tt.lines)
			}
			if !strings.Contains(log.String(), tt.says) {
				t.Errorf("said %q, want %q in it", log.String(), tt.says)
			}
			// What it has written now is right again.
			if sum := importFiles(t, o); sum.Resumed != tt.lines || sum.Lines != 0 {
				t.Errorf("then passed over %d, read %d; want %d, 0", sum.Resumed, sum.Lines, tt.lines)
			}
		})
	}
}

func TestOrdinalsCountThroughFiles(t *testing.T) {
	server, to := sendertest.Start(t)
	line := views(0, 1)
	a, b := logFile(t, line+line), logFile(t, line)
	importFiles(t, Options{To: to, Site: "s", Files: []string{a, b}})
	if n := len(server.Events()); n != 3 {
		t.Errorf("%d events of three equal lines in two files, want 3", n)
	}
	// One by one their first lines have the same ID.
	server, to = sendertest.Start(t)
	importFiles(t, Options{To: to, Site: "s", Files: []string{a}})
	importFiles(t, Options{To: to, Site: "s", Files: []string{b}})
	if n := len(server.Events()); n != 2 {
		t.Errorf("%d events when imported one by one, want 2", n)
	}
}

func TestServerBusyAndRestarted(t *testing.T) {
	server := &sendertest.Server{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	first := &http.Server{Handler: server}
	var second *http.Server
	server.Before(func(request int) int {
		switch request {
		case 2, 3:
			return http.StatusServiceUnavailable
		}
		return 0
	})
	restarted := make(chan struct{})
	server.After(func(request int) {
		if request != 5 {
			return
		}
		// The events are kept but the answer never comes.
		_ = first.Close()
		again, err := net.Listen("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		second = &http.Server{Handler: server}
		go func() {
			defer close(restarted)
			_ = second.Serve(again)
		}()
	})
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = first.Serve(listener)
	}()

	name := logFile(t, views(0, 200))
	sum := importFiles(t, Options{To: "http://" + addr, Site: "s", Files: []string{name}, Batch: 20, Parallel: 2})
	if sum.Accepted != 200 || sum.Retries < 3 {
		t.Errorf("accepted %d with %d retries, want 200 with at least 3", sum.Accepted, sum.Retries)
	}
	if n := len(server.Events()); n != 200 {
		t.Errorf("%d events, want 200", n)
	}
	_ = second.Close()
	<-served
	<-restarted
}

func TestNDJSON(t *testing.T) {
	input := `{"event_id":"a","site_id":"one","event_type":"signup","timestamp":"2026-01-02T03:04:05Z","bot":""}

{"site_id":"one","event_type":"page_view","path":"/x"}
{"site_id":"one","event_type":"page_view","path":"/x"}
{"event_type":"page_view","path":"/y"}
[1]
null
{"event_id":null,"event_type":"<b>","site_id":"two"}
{"event_type":
{"event_id":"of a bot","site_id":"one","event_type":"page_view","bot":"crawler"}
`
	server, to := sendertest.Start(t)
	run := func(site string) (Summary, []string) {
		sum := importFiles(t, Options{To: to, Site: site, Files: []string{"-"}, Stdin: strings.NewReader(input)})
		var got []string
		for _, e := range server.Events() {
			got = append(got, e.Site+" "+e.Type()+" "+e.Values[rollup.Path])
		}
		return sum, got
	}
	sum, got := run("")
	if want := []string{"one signup ", "one page_view /x", "one page_view /x", "two <b> "}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if sum.Lines != 10 || sum.Malformed != 3 || sum.Rejected != 1 || sum.Bots != 1 || sum.Skipped != 0 {
		t.Errorf("summary %+v", sum)
	}
	if want := []Problem{{"standard input", 5, "site_id is missing: allowed is 1 to 128 letters, digits and . _ : -"}}; !reflect.DeepEqual(sum.RejectedLines, want) {
		t.Errorf("rejected %v, want %v", sum.RejectedLines, want)
	}
	var lines []int64
	for _, p := range sum.MalformedLines {
		lines = append(lines, p.Line)
	}
	if want := []int64{6, 7, 9}; !reflect.DeepEqual(lines, want) {
		t.Errorf("malformed lines %v, want %v", lines, want)
	}
	if _, got = run(""); len(got) != 4 {
		t.Errorf("again: %q", got)
	}
	if sum, got := run("three"); len(got) != 4+5 || sum.Accepted != 5 || !strings.HasPrefix(got[8], "three ") {
		t.Errorf("with a site: %+v, %q", sum, got)
	}
}

// Of an access log bots are passed over only if that is asked for, and what
// stays has the same IDs.
func TestSkipBots(t *testing.T) {
	var log strings.Builder
	for i, agent := range []string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
		`Mozilla/5.0 (compatible; \"Some\x22 Bot\x2f1.0)`,
		"curl/8.5.0",
		"-",
	} {
		fmt.Fprintf(&log, "192.0.2.%d - - [17/May/2015:10:00:00 +0000] \"GET / HTTP/1.1\" 200 17 \"-\" \"%s\"\n", i, agent)
	}
	log.WriteString("192.0.2.9 - - [17/May/2015:10:00:00 +0000] \"POST / HTTP/1.1\" 200 17 \"-\" \"Googlebot/2.1\"\n")
	server, to := sendertest.Start(t)
	o := Options{To: to, Site: "s", Files: []string{logFile(t, log.String())}, StateFile: stateFile(t)}
	var out strings.Builder
	o.SkipBots, o.Out = true, &out
	if sum := importFiles(t, o); sum.Accepted != 3 || sum.Bots != 3 || sum.Skipped != 1 || sum.Malformed != 0 {
		t.Errorf("without bots: %+v", sum)
	}
	if !strings.Contains(out.String(), "3 events of bots passed over") {
		t.Errorf("the summary does not tell of bots:\n%s", out.String())
	}
	// The state file is of an import without bots, which the next one is not.
	o.SkipBots, o.Resume = false, true
	if sum := importFiles(t, o); sum.Accepted != 6 || sum.Bots != 0 || sum.Resumed != 0 {
		t.Errorf("with bots: %+v", sum)
	}
	if n := len(server.Events()); n != 6 {
		t.Errorf("%d events, want 6", n)
	}
}

func TestInputs(t *testing.T) {
	var zipped bytes.Buffer
	for _, part := range []string{views(0, 10), views(10, 10)} { // as two logs that were joined
		z := gzip.NewWriter(&zipped)
		_, _ = io.WriteString(z, part)
		_ = z.Close()
	}
	long := "192.0.2.1 - - [17/May/2015:10:00:00 +0000] \"GET /" + strings.Repeat("x", 2*maxLine) + " HTTP/1.1\" 200 17 \"-\" \"a\"\n"
	for _, tt := range []struct {
		name, content                       string
		all                                 bool
		format                              string
		lines, accepted, malformed, skipped int64
		fault                               string
	}{
		{name: "plain", content: views(0, 20), lines: 20, accepted: 20},
		{name: "without a last newline", content: strings.TrimSuffix(views(0, 20), "\n"), lines: 20, accepted: 20},
		{name: "CR LF", content: strings.ReplaceAll(views(0, 20), "\n", "\r\n"), lines: 20, accepted: 20},
		{name: "gzip of two members", content: zipped.String(), lines: 20, accepted: 20},
		{name: "gzip cut off", content: zipped.String()[:zipped.Len()-9], lines: 20, accepted: 20, fault: "cannot be read to its end"},
		{name: "empty", content: ""},
		{name: "empty lines", content: "\n\n \n", lines: 3},
		{name: "very long line", content: views(0, 3) + long + views(3, 3) + strings.TrimSuffix(long, "\n"), lines: 8, accepted: 6, malformed: 2},
		{name: "rubbish first", content: "# fields\n" + views(0, 3), lines: 4, accepted: 3, malformed: 1},
		{name: "cut off behind the size", content: views(0, 3) + strings.Split(views(3, 1), ` "-"`)[0], lines: 4, accepted: 3, malformed: 1},
		{name: "filter", content: strings.Replace(strings.Replace(views(0, 4), "GET", "POST", 1), " 200 ", " 404 ", 2), lines: 4, skipped: 2, accepted: 2},
		{name: "all", all: true, content: strings.Replace(strings.Replace(views(0, 4), "GET", "POST", 1), " 200 ", " 404 ", 2), lines: 4, accepted: 4},
		{name: "no format", content: "hello\nworld\n", fault: "name the format with --format"},
		{name: "format given", format: FormatCombined, content: "hello\nworld\n", lines: 2, malformed: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, to := sendertest.Start(t)
			for _, zip := range []bool{false, true} {
				sum, err := Run(t.Context(), Options{To: to, Site: "s", Files: []string{logFile(t, tt.content)}, All: tt.all, Format: tt.format, Gzip: zip})
				if (err != nil) != (tt.fault != "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
					t.Errorf("error %v, want %q", err, tt.fault)
				}
				if sum.Lines != tt.lines || sum.Accepted != tt.accepted || sum.Malformed != tt.malformed || sum.Skipped != tt.skipped {
					t.Errorf("summary %+v", sum)
				}
			}
			if n := len(server.Events()); n != int(tt.accepted) {
				t.Errorf("%d events, want %d", n, tt.accepted)
			}
		})
	}
}

func TestWrongOptions(t *testing.T) {
	good := logFile(t, views(0, 1))
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + dead.Addr().String()
	dead.Close()
	for _, tt := range []struct {
		o    Options
		says string
	}{
		{Options{To: nobody, Site: "s"}, "no file to import"},
		{Options{To: nobody, Site: "s", Files: []string{good}}, "start one with \"daybook serve\""},
		{Options{To: "localhost:3000", Site: "s", Files: []string{good}}, "allowed is http://"},
		{Options{To: nobody, Files: []string{good}}, "--site"},
		{Options{To: nobody, Site: "s", Files: []string{good + "x"}}, "no such file"},
		{Options{To: nobody, Site: "s", Files: []string{filepath.Dir(good)}}, "is a directory"},
		{Options{To: nobody, Site: "s", Files: []string{good}, Format: "xml"}, `--format "xml" is unknown`},
		{Options{To: nobody, Site: "s", Files: []string{good}, Batch: 10_001}, "--batch 10001"},
		{Options{To: nobody, Site: "s", Files: []string{good}, Parallel: -1}, "--parallel -1"},
		{Options{To: nobody, Site: "s", Files: []string{"-"}, Resume: true}, "need files"},
	} {
		_, err := Run(t.Context(), tt.o)
		if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: error %v, want one line with %q", tt.o, err, tt.says)
		}
	}
}
