package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/daybook-analytics/daybook/internal/app"
	"github.com/daybook-analytics/daybook/internal/config"
	"github.com/daybook-analytics/daybook/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// command runs a command line and gives its exit code and what it printed.
func command(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(args, &out, &err)
	return code, out.String(), err.String()
}

// want runs a command line on a data directory, which must succeed and print
// what the pattern says.
func want(t *testing.T, dir, args, pattern string) string {
	t.Helper()
	code, stdout, stderr := command(append(strings.Fields(args), "--data", dir)...)
	if code != 0 || stderr != "" || !regexp.MustCompile("^"+pattern+"$").MatchString(stdout) {
		t.Errorf("daybook %s: exit code %d\n%s%swant %s", args, code, stdout, stderr, pattern)
	}
	return stdout
}

// wantFailure runs a command line, which must fail with one line of error.
func wantFailure(t *testing.T, wantCode int, wantError string, args ...string) {
	t.Helper()
	code, _, stderr := command(args...)
	if code != wantCode || !strings.Contains(stderr, wantError) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("daybook %s: exit code %d, %s\nwant %d, %s", strings.Join(args, " "), code, stderr, wantCode, wantError)
	}
}

// serve runs `daybook serve` on a data directory until the function that it
// gives stops it.
func serve(t *testing.T, dir string) (stop func()) {
	t.Helper()
	ended := make(chan string, 1)
	go func() {
		code, _, stderr := command("serve", "--data", dir, "--streams", "2", "--ingest-addr", "127.0.0.1:0", "--report-addr", "127.0.0.1:0")
		if code != 0 {
			t.Errorf("daybook serve: exit code %d", code)
		}
		ended <- stderr
	}()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("unix", filepath.Join(dir, "admin.sock")); err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) || len(ended) > 0 {
			t.Fatalf("daybook serve does not answer on its socket")
		}
	}
	return func() {
		// It goes to the serve of this process, which waits for it.
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if log := <-ended; !strings.Contains(log, "msg=stopped") {
			t.Errorf("daybook serve did not stop in order:\n%s", log)
		}
	}
}

// putLetters puts dead letters with the lines into the store of a directory.
func putLetters(t *testing.T, dir string, lines ...string) {
	t.Helper()
	st, err := app.OpenStore(t.Context(), config.Store{}, config.Data{Data: dir}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var letters []store.DeadLetter
	for i, line := range lines {
		l := store.DeadLetter{Stream: "1:0", Reason: "it is bad", Line: []byte(line), Time: time.Now()}
		l.Position.Entry.Ms = uint64(i + 1)
		letters = append(letters, l)
	}
	step := st.Begin()
	defer step.Discard()
	if err := step.DeadLetter(t.Context(), letters); err != nil {
		t.Fatal(err)
	}
	if err := step.Commit(t.Context(), store.Checkpoint{Stream: "1:0"}); err != nil {
		t.Fatal(err)
	}
}

func key(n string) string { return "1:0@00000000000000" + n + "-0000000000-000000" }

// TestOperatorsCommands runs each command with a running server and without.
func TestOperatorsCommands(t *testing.T) {
	const event = "1\tid\tsite-abc\tuser\t1795512600123\tpage_view\t/"
	dir := t.TempDir()
	serve(t, dir)() // makes the directory
	putLetters(t, dir, event, "no event", "\x1b[2J", "one", "two")

	look := func(t *testing.T) {
		want(t, dir, "deadletters list --limit 2", `KEY +PUT AWAY +REASON +LINE
`+key("1")+` +\S+Z +it is bad +"1\\tid\\tsite-abc\\tuser\\t1795512600123\\.*"
`+key("2")+` +\S+Z +it is bad +"no event"
there may be more: --after `+key("2")+"\n")
		want(t, dir, "deadletters list --after "+key("3"), "KEY.*\n"+key("4")+".*\n"+key("5")+".*\n")
		for line := range strings.Lines(want(t, dir, "deadletters list --json", `({.*}\n){5}`)) {
			var letter struct{ Key, Reason, Line, Time string }
			if err := json.Unmarshal([]byte(line), &letter); err != nil || letter.Key == "" || letter.Reason != "it is bad" || letter.Line == "" || letter.Time == "" {
				t.Errorf("%v: %s", err, line)
			}
		}
		// A terminal must not obey what is in a line.
		want(t, dir, "deadletters show "+key("3"), `key:      `+key("3")+`
put away: \S+
reason:   it is bad
line:     "\\x1b\[2J"
`)
		want(t, dir, "streams list", `EPOCH +STREAM +ENTRIES +EVENTS +BYTES +OLDEST +CHECKPOINT +AS OF +OWNER
1 +1:0 +0 +0 +0 +- +- +\S+ +\S+
1 +1:1 +0 +0 +0 +- +- +\S+ +\S+
`)
		want(t, dir, "streams list --json", `{"epoch":1,"stream":"1:0",.*}\n{"epoch":1,"stream":"1:1",.*}\n`)

		wantFailure(t, exitFailed, `dead letter "`+key("9")+`": not found`, "deadletters", "show", key("9"), "--data", dir)
		wantFailure(t, exitFailed, "1 of 1 dead letters are not there", "deadletters", "replay", key("9"), "--data", dir)
		wantFailure(t, exitFailed, "1 of 1 dead letters are not there", "deadletters", "purge", key("9"), "--data", dir)
		wantFailure(t, exitFailed, "2 streams: there are 2 now", "streams", "raise", "2", "--data", dir)
	}
	t.Run("Stopped", look)

	stop := serve(t, dir)
	t.Run("Running", look)
	want(t, dir, "deadletters replay "+key("1"), "replayed 1 dead letters\n")
	want(t, dir, "deadletters replay "+key("2")+" "+key("3"),
		"replayed 2 dead letters\n2 of them still cannot be decoded and come back as new dead letters\n")
	want(t, dir, "deadletters purge "+key("4"), "purged 1 dead letters\n")
	want(t, dir, "streams raise 3", "opened epoch 2 with 3 streams\n.*new events go to the new streams.*\n")
	stop()

	want(t, dir, "streams raise 4", "opened epoch 3 with 4 streams\n.*\n")
	want(t, dir, "streams list", "(.*\n){10}")
	want(t, dir, "deadletters purge --all --yes", "purged [123] dead letters\n")
	putLetters(t, dir, event, "no event")
	want(t, dir, "deadletters replay --all", "replayed 2 dead letters\n1 of them .*\n")
	want(t, dir, "deadletters list", "no dead letters\n")
	want(t, dir, "deadletters list --json", "")
	want(t, dir, "deadletters replay --all", "replayed 0 dead letters\n")
}

func TestOperatorsMistakes(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for _, args := range []string{"deadletters list", "deadletters purge --all --yes", "deadletters replay --all", "streams list", "streams raise 8"} {
		wantFailure(t, exitFailed, "no daybook runs on it: give the directory of `daybook serve`, or --redis and --mongodb",
			append(strings.Fields(args), "--data", missing)...)
	}
	if _, err := os.Stat(missing); !os.IsNotExist(err) {
		t.Errorf("a command made the directory: %v", err)
	}

	for args, message := range map[string]string{
		"deadletters show 1:0":                 `"1:0" is no key of a dead letter: it has the form STREAM@POSITION`,
		"deadletters replay " + key("1") + "0": "is no key of a dead letter",
		"deadletters purge x":                  `"x" is no key of a dead letter`,
		"deadletters list --after x":           `--after: "x" is no key of a dead letter`,
		"deadletters list --limit 0":           "--limit 0: allowed are 1 to 1000",
		"deadletters list --limit 1001":        "--limit 1001: allowed are 1 to 1000",
		"deadletters list --redis x":           `--redis "x": it begins with redis://`,
		"deadletters replay":                   "give the keys of dead letters, or --all and no keys",
		"deadletters replay --all " + key("1"): "give the keys of dead letters, or --all and no keys",
		"deadletters purge --all":              "say that it is meant with --yes",
		"deadletters purge --yes":              "give the keys of dead letters, or --all and no keys",
		"streams raise":                        "0 streams: allowed are 2 to 256",
		"streams raise many":                   "many",
		"streams raise 1":                      "1 streams: allowed are 2 to 256",
		"streams raise 257":                    "257 streams: allowed are 2 to 256",
		"streams list --mongodb x":             `--mongodb "x": it begins with mongodb://`,
	} {
		wantFailure(t, exitUsage, message, strings.Fields(args)...)
	}

	// What is set for other commands must not purge dead letters.
	t.Setenv("DAYBOOK_ALL", "true")
	t.Setenv("DAYBOOK_YES", "true")
	wantFailure(t, exitUsage, "give the keys of dead letters", "deadletters", "purge")
}
