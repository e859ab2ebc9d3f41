package crash

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// endTime is how long a process may take from SIGTERM to its end: its grace
// time of 20 s, and some for a loaded machine.
const endTime = 40 * time.Second

// process is one process of Daybook, which is started again and again. Its
// methods are called by one goroutine, but for addr.
type process struct {
	t    testing.TB
	args []string
	// mayFail tells that it may end with an error while it starts, as it does
	// when Redis is away then. Whoever runs it starts it again.
	mayFail bool

	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended

	mu  sync.Mutex
	log processLog // of the process that runs, or of the last one
}

// processLog is what a process has written.
type processLog struct {
	part  []byte            // a line that has not ended yet
	tail  []string          // the last lines, for whoever looks at a failure
	addrs map[string]string // of its servers, by role
	// ready tells that all its roles have started, working that its worker
	// has taken a stream, for which it may have to wait for a lease to end.
	ready, working bool
}

// newProcess starts a process of `daybook` with the arguments. It is killed
// when the test ends, and shows the end of its log if the test has failed.
func newProcess(t testing.TB, mayFail bool, args ...string) *process {
	p := &process{t: t, mayFail: mayFail, args: append(args, "--log-format=json", "--log-level=debug")}
	p.start()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s logged at the end:\n%s", p.label(), p.logTail())
		}
	})
	return p
}

func (p *process) label() string { return p.args[0] }

func (p *process) start() {
	p.t.Helper()
	p.mu.Lock()
	p.log = processLog{addrs: map[string]string{}}
	p.mu.Unlock()
	p.cmd = exec.Command(binary(p.t), p.args...)
	p.cmd.Stderr = p
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	exited := make(chan struct{})
	p.exited = exited
	go func(cmd *exec.Cmd) {
		defer close(exited)
		_ = cmd.Wait() // cmd.ProcessState tells
		p.mu.Lock()
		defer p.mu.Unlock()
		// Somebody else may get the port, and must not get the events.
		clear(p.log.addrs)
	}(p.cmd)
}

// Write takes in what the process logs.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := &p.log
	l.part = append(l.part, b...)
	for {
		line, rest, ended := bytes.Cut(l.part, []byte("\n"))
		if !ended {
			return len(b), nil
		}
		l.line(line)
		l.part = bytes.Clone(rest)
	}
}

func (l *processLog) line(line []byte) {
	const most = 60
	// What is no JSON is a panic, or the one line of a process that cannot
	// start.
	var message struct{ Level, Msg, Role, Addr string }
	if json.Unmarshal(line, &message) != nil || message.Level != "DEBUG" {
		l.tail = append(l.tail, string(line))
		l.tail = slices.Delete(l.tail, 0, max(0, len(l.tail)-most))
	}
	switch message.Msg {
	case "listening":
		l.addrs[message.Role] = message.Addr
	case "ready":
		l.ready = true
	case "working on stream":
		l.working = true
	}
}

func (p *process) logTail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var text bytes.Buffer
	for _, line := range p.log.tail {
		fmt.Fprintln(&text, line)
	}
	return text.String()
}

// addr is where the process serves a role now; empty while it does not. Safe
// for concurrent use.
func (p *process) addr(role string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.addrs[role]
}

func (p *process) ready() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.ready
}

// idle tells whether the process has a worker that has no stream yet.
func (p *process) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains([]string{"serve", "worker"}, p.args[0]) && !p.log.working
}

// alive tells whether the process has not ended.
func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && p.alive() {
		p.t.Errorf("%v to %s: %v", s, p.label(), err)
	}
}

// kill ends the process as kill -9 does, and returns when it is gone.
func (p *process) kill() {
	if p.alive() {
		p.signal(syscall.SIGKILL)
	}
	<-p.exited
}

// stop ends the process with SIGTERM; it must succeed.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.exited:
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			p.t.Errorf("%s ended with %v after SIGTERM, not with exit code 0", p.label(), p.cmd.ProcessState)
		}
	case <-time.After(endTime):
		p.t.Errorf("%s did not end within %v of SIGTERM", p.label(), endTime)
		p.kill()
	}
}

func (p *process) pause()  { p.signal(syscall.SIGSTOP) }
func (p *process) resume() { p.signal(syscall.SIGCONT) }

// ended tells whether the process has ended although nobody struck it. It
// must not, unless it may fail to start.
func (p *process) ended() bool {
	p.t.Helper()
	if p.alive() {
		return false
	}
	if p.ready() || !p.mayFail {
		p.t.Errorf("%s ended by itself with %v; its log ends with\n%s", p.label(), p.cmd.ProcessState, p.logTail())
	}
	return true
}
