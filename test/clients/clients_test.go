package clients

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// example is one language of docs/clients.md.
type example struct {
	heading string
	program string // that runs it
	args    []string
	file    string // in which it is put
	// paths are where it sends its events.
	paths []string
}

var both = []string{"/event", "/events"}

var examples = []example{
	{"curl", "bash", []string{"-eu"}, "example.sh", both},
	{"Node", "node", nil, "example.mjs", both},
	{"Python", "python3", nil, "example.py", both},
	{"PHP", "php", nil, "example.php", both},
	{"Go", "go", []string{"run"}, "example.go", []string{"/events"}},
}

// code gives the one block of code below a heading of the page.
func code(t *testing.T, heading string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	parts := strings.Split(section, "\n```")
	if len(parts) != 3 {
		t.Fatalf("docs/clients.md has not one block of code below %s", heading)
	}
	_, text, _ := strings.Cut(parts[1], "\n") // the first line is the language
	return text + "\n"
}

// run runs an example and gives what it printed.
func (e *example) run(t *testing.T, address, key string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), e.file)
	if err := os.WriteFile(file, []byte(code(t, e.heading)), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, e.program, append(slices.Clone(e.args), file)...)
	cmd.Env = append(os.Environ(), "DAYBOOK_URL="+address, "DAYBOOK_KEY="+key)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// need skips the test where the language is not installed, which in CI it
// must be.
func (e *example) need(t *testing.T) {
	t.Helper()
	programs := []string{e.program}
	if e.heading == "curl" {
		programs = append(programs, "curl")
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%v: scripts/install-test-tools installs it", err)
			}
			t.Skipf("%s is not installed", program)
		}
	}
}

// network is what lies between an example and the server. Of the requests to
// each path the first gets through and its answer is lost, the second is
// refused for a second, and the third gets through.
type network struct {
	t    *testing.T
	key  string // that must come with each
	next http.Handler

	mu       sync.Mutex
	requests map[string][]string // the bodies, by path
}

func (n *network) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if got := r.Header.Get("Authorization"); got != "Bearer "+n.key {
		n.t.Errorf("%s came with the key %q", r.URL, got)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		n.t.Error(err)
	}
	n.mu.Lock()
	n.requests[r.URL.Path] = append(n.requests[r.URL.Path], string(body))
	tries := len(n.requests[r.URL.Path])
	n.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	switch tries {
	case 1:
		n.next.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler) // closes the connection
	case 2:
		w.Header().Set("Retry-After", "1")
		http.Error(w, `{"error":"not now"}`, http.StatusServiceUnavailable)
	default:
		n.next.ServeHTTP(w, r)
	}
}

// Each example is counted once, though its answers are lost, and sends the
// same events each time.
func TestExamples(t *testing.T) {
	for _, e := range examples {
		t.Run(e.heading, func(t *testing.T) {
			e.need(t)
			t.Parallel()
			data := t.TempDir()
			key := prepare(t, data)
			ingest, report := serve(t, data)
			proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(ingest) }}
			n := &network{t: t, key: key, next: proxy, requests: map[string][]string{}}
			server := httptest.NewServer(n)
			t.Cleanup(server.Close)
			if out, err := e.run(t, server.URL, key); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for _, path := range e.paths {
				sent := n.requests[path]
				if len(sent) != 3 || sent[0] != sent[1] || sent[0] != sent[2] {
					t.Errorf("the requests to %s were not the same one three times: %q", path, sent)
				}
				checkIDs(t, sent[0])
			}
			if len(n.requests) != len(e.paths) {
				t.Errorf("it sent to %d paths, want %v", len(n.requests), e.paths)
			}
			checkCounted(t, report)
		})
	}
}

// A key that the server does not take is no reason to try again, and is told.
func TestExamplesWithoutPermission(t *testing.T) {
	for _, e := range examples {
		t.Run(e.heading, func(t *testing.T) {
			e.need(t)
			t.Parallel()
			var mu sync.Mutex
			requests := map[string]int{}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				requests[r.URL.Path]++
				mu.Unlock()
				http.Error(w, `{"error":"this key is revoked"}`, http.StatusUnauthorized)
			}))
			t.Cleanup(server.Close)
			out, err := e.run(t, server.URL, "db_ingest_revoked")
			if !strings.Contains(out, "this key is revoked") {
				t.Errorf("it does not tell: %v, %s", err, out)
			}
			if err == nil && e.heading != "curl" { // which must do without --fail
				t.Error("it ended as if all was well")
			}
			for path, n := range requests {
				if n != 1 {
					t.Errorf("it sent %d times to %s", n, path)
				}
			}
			if len(requests) == 0 {
				t.Error("it sent nothing")
			}
		})
	}
}

// checkIDs wants an ID of its own and a time in each event of a request.
func checkIDs(t *testing.T, body string) {
	t.Helper()
	if z, err := gzip.NewReader(strings.NewReader(body)); err == nil {
		plain, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		body = string(plain)
	}
	type sent struct {
		ID   string `json:"event_id"`
		Time string `json:"timestamp"`
	}
	var events []sent
	if json.Unmarshal([]byte(body), &events) != nil { // one event, or one a line
		for decoder := json.NewDecoder(strings.NewReader(body)); decoder.More(); {
			var e sent
			if err := decoder.Decode(&e); err != nil {
				t.Fatalf("%v: %s", err, body)
			}
			events = append(events, e)
		}
	}
	ids := map[string]bool{}
	for _, e := range events {
		if e.ID == "" || ids[e.ID] || e.Time == "" {
			t.Errorf("an event without an ID of its own and a time: %s", body)
		}
		ids[e.ID] = true
	}
	if len(events) == 0 {
		t.Errorf("no event in %s", body)
	}
}

// stats is what the report role says of the events of an example.
type stats struct {
	Events int              `json:"total_events"`
	Views  int              `json:"total_views"`
	Users  int              `json:"unique_users"`
	Paths  []map[string]any `json:"top_paths"`
	Source string           `json:"source"`
}

// checkCounted waits until the server has counted what each example sends,
// and wants it to be that.
func checkCounted(t *testing.T, report *url.URL) {
	t.Helper()
	// The three events may be of two days when it is about midnight.
	const query = "/stats?site_id=shop&period=7d"
	want := fmt.Sprint(stats{3, 2, 2, []map[string]any{{"path": "/blog/post-1", "views": 1}, {"path": "/pricing", "views": 1}}, "rollup"})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(report.String() + query)
		if err != nil {
			t.Fatal(err)
		}
		var got stats
		err = json.NewDecoder(resp.Body).Decode(&got)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) == want {
			return
		}
		if got.Events > 3 || time.Now().After(deadline) {
			t.Fatalf("counted is %v, want %v", got, want)
		}
	}
}

// prepare makes an installation, does what the page says to do first, and
// gives the key.
func prepare(t *testing.T, data string) (key string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := []string{"migrate up"}
	for line := range strings.Lines(string(page)) {
		if command, ok := strings.CutPrefix(line, "    daybook "); ok {
			commands = append(commands, command)
		}
	}
	for _, command := range commands {
		cmd := exec.Command(binary(t), append(strings.Fields(command), "--data", data)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("daybook %s: %v: %s", command, err, &stderr)
		}
		key = strings.TrimSpace(string(out)) // of the last
	}
	return key
}

// serve runs `daybook serve` until the test ends.
func serve(t *testing.T, data string) (ingest, report *url.URL) {
	t.Helper()
	cmd := exec.Command(binary(t), "serve", "--data", data, "--log-format=json",
		"--ingest-addr=127.0.0.1:0", "--report-addr=127.0.0.1:0")
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	addrs := make(chan *url.URL, 2) // ingest, report
	read := make(chan struct{})
	go func() {
		defer close(read)
		found := map[string]string{}
		for lines := bufio.NewScanner(io.TeeReader(stderr, &log)); lines.Scan(); {
			var line struct{ Msg, Role, Addr string }
			if json.Unmarshal(lines.Bytes(), &line) != nil || line.Msg != "listening" {
				continue
			}
			found[line.Role] = line.Addr
			if found["ingest"] != "" && found["report"] != "" && len(addrs) == 0 {
				addrs <- &url.URL{Scheme: "http", Host: found["ingest"]}
				addrs <- &url.URL{Scheme: "http", Host: found["report"]}
			}
		}
	}()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-read
		err := cmd.Wait()
		if err != nil {
			t.Errorf("daybook serve ended with %v", err)
		}
		if t.Failed() {
			t.Logf("daybook serve logged:\n%s", &log)
		}
	})
	for _, role := range []**url.URL{&ingest, &report} {
		select {
		case *role = <-addrs:
		case <-read:
			t.Fatal("daybook serve ended")
		}
	}
	return ingest, report
}

// binaryDir is where the program is, once it is built.
var binaryDir string

func TestMain(m *testing.M) {
	code := m.Run()
	if err := os.RemoveAll(binaryDir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

var build = sync.OnceValues(func() (path string, err error) {
	if binaryDir, err = os.MkdirTemp("", "daybook-clients-"); err != nil {
		return "", err
	}
	path = filepath.Join(binaryDir, "daybook")
	cmd := exec.Command("go", "build", "-o", path, "../../cmd/daybook")
	cmd.Env = append(os.Environ(), "GOFLAGS=") // a test's own flags are not for it
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return path, nil
})

// binary builds the program, once, and gives its path.
func binary(t *testing.T) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
