// Package redistest runs real Redis servers for tests, on free ports of
// 127.0.0.1, and stops them when the test ends.
package redistest

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// URLVariable is the environment variable with the URL of a Redis to use
// instead of one that is started. The tests use keys with prefixes of their
// own (Prefix) and leave them behind.
const URLVariable = "DAYBOOK_TEST_REDIS_URL"

// startTimeout is how long a server may take until it answers.
const startTimeout = 30 * time.Second

// Start gives the URL of a Redis that the test may share with others: that of
// URLVariable, else of a server that it starts. Without redis-server the test
// is skipped, in CI (CI=true) it fails.
func Start(t testing.TB) (url string) {
	t.Helper()
	if url := os.Getenv(URLVariable); url != "" {
		return url
	}
	return StartServer(t).URL()
}

// Prefix gives a prefix of keys that nobody else uses.
func Prefix() string { return fmt.Sprintf("daybook-test-%016x", rand.Uint64()) }

// Server is one redis-server with its data in a directory of the test. It
// keeps what it confirms: appendonly yes, appendfsync always.
type Server struct {
	t    testing.TB
	addr string
	args []string
	cmd  *exec.Cmd
	out  *bytes.Buffer
}

// StartServer starts a server of the test's own, with further arguments for
// redis-server. Without redis-server the test is skipped, in CI (CI=true) it
// fails.
func StartServer(t testing.TB, args ...string) *Server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("redis-server is needed in CI: %v", err)
	default:
		t.Skipf("install redis-server or set %s to run this test", URLVariable)
	}
	port := freePort(t)
	s := &Server{t: t, addr: "127.0.0.1:" + port, args: append([]string{
		path, "--port", port, "--bind", "127.0.0.1", "--dir", t.TempDir(),
		"--appendonly", "yes", "--appendfsync", "always", "--save", "",
	}, args...)}
	t.Cleanup(s.Kill)
	s.Start()
	return s
}

// freePort gives a port that is free, and so is the one 10,000 above it, on
// which a Cluster's servers talk to each other.
func freePort(t testing.TB) string {
	t.Helper()
	for {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		port := listener.Addr().(*net.TCPAddr).Port
		bus, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+10_000))
		if err == nil {
			defer bus.Close()
			return strconv.Itoa(port)
		}
	}
}

// Addr is the server's host and port; it stays the same.
func (s *Server) Addr() string { return s.addr }

// URL is the server's URL; it stays the same.
func (s *Server) URL() string { return "redis://" + s.addr }

// Start starts the server, with the data that it had, and waits until it
// answers.
func (s *Server) Start() {
	s.t.Helper()
	s.out = &bytes.Buffer{}
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(startTimeout); ; <-tick.C {
		if s.answers() {
			return
		}
		if time.Now().After(end) {
			s.Kill()
			s.t.Fatalf("redis-server on %s does not answer:\n%s", s.addr, s.out)
		}
	}
}

func (s *Server) answers() bool {
	conn, err := net.DialTimeout("tcp", s.addr, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return false
	}
	fmt.Fprint(conn, "PING\r\n")
	answer, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && strings.HasPrefix(answer, "+PONG")
}

// Stop ends the server in order.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the server at once, as kill -9 does.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

func (s *Server) end(signal syscall.Signal) {
	if s.cmd == nil {
		return
	}
	s.signal(signal)
	_ = s.cmd.Wait() // it tells that the server was killed
	s.cmd = nil
}

// Pause makes the server stand still; connections to it stay open.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume makes a paused server go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.t.Errorf("signal to redis-server: %v", err)
	}
}
