package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/store/pebblestore"
)

// process is `daybook` in a process of its own.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	job    string // of its first line
	stdout bytes.Buffer
	stderr chan string // closed when it has ended; the rest of its lines
}

// start starts `daybook rebuild` and returns when its job has begun.
func start(t *testing.T, binary string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary, append([]string{"rebuild"}, args...)...), stderr: make(chan string, 1)}
	p.cmd.Stdout = &p.stdout
	stderr, err := p.cmd.StderrPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	lines := bufio.NewReader(stderr)
	first, err := lines.ReadString('\n')
	go func() {
		rest, _ := io.ReadAll(lines)
		p.stderr <- string(rest)
	}()
	if job, ok := strings.CutPrefix(first, "job "); err == nil && ok {
		p.job = strings.TrimSpace(job)
		return p
	}
	t.Fatalf("it began with %q and went on with %q", first, <-p.stderr)
	return nil
}

// end waits for the process's end and gives its exit code and what it said.
func (p *process) end() (int, string) {
	p.t.Helper()
	said := <-p.stderr
	_ = p.cmd.Wait() // ProcessState tells
	return p.cmd.ProcessState.ExitCode(), said
}

// record gives the record of a job, and fails the test unless every day that
// it calls finished is right.
func (w *world) record(id string) *reconcile.Job {
	w.t.Helper()
	st := w.open()
	defer st.Close()
	record, err := st.Job(w.t.Context(), id)
	w.must(err)
	job := new(reconcile.Job)
	w.must(json.Unmarshal(record.Body, job))
	finished := 0
	w.must(reconcile.EachDay(w.t.Context(), st, job.Spec.Range, func(key store.DayKey) error {
		done := key.Site < job.Cursor.Site || key.Site == job.Cursor.Site && key.Date <= job.Cursor.Date
		for _, ahead := range job.Ahead {
			done = done || key == ahead
		}
		if !done {
			return nil
		}
		finished++
		check, err := reconcile.CheckDay(w.t.Context(), st, key)
		if err == nil && check.State != reconcile.OK {
			w.t.Errorf("%s is finished, and is %s", key, check.State)
		}
		return err
	}))
	if finished != job.Finished {
		w.t.Errorf("the record says that %d days are finished, and names %d", job.Finished, finished)
	}
	return job
}

// TestRebuildKilled kills `daybook rebuild` ten times at random and goes on
// with its job each time: in the end all is exact, and no day that was
// finished was done again.
func TestRebuildKilled(t *testing.T) {
	const (
		kills = 10
		days  = 200
	)
	binary := filepath.Join(t.TempDir(), "daybook")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w := embedded(t)
	w.load(100_000, 20, days/20)
	if len(w.days) != days {
		t.Fatalf("%d days are loaded", len(w.days))
	}
	st := w.open()
	for i, key := range w.days {
		change := lost
		if i%2 == 0 {
			change = corrupt
		}
		w.must(st.(*pebblestore.Store).Damage(t.Context(), key, change))
	}
	w.must(st.Close())

	// How long it takes without being killed tells when to kill.
	begun := time.Now()
	dry := start(t, binary, append(w.flags, "--all", "--dry-run")...)
	if code, said := dry.end(); code != 0 {
		t.Fatalf("dry run: exit code %d, %s", code, said)
	}
	whole := time.Since(begun)

	rng := rand.New(rand.NewPCG(8, 9))
	args := []string{"--all"}
	finished, id := 0, ""
	for range kills {
		p := start(t, binary, append(w.flags, args...)...)
		time.Sleep(time.Duration(rng.Float64() * float64(whole) / (kills + 2)))
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		p.end()
		job := w.record(p.job)
		t.Logf("killed with %d days finished", job.Finished)
		if id != "" && job.ID != id || job.State != reconcile.Running || job.Finished < finished {
			t.Fatalf("after %d finished days of job %s its record is %+v", finished, id, job)
		}
		id, finished = job.ID, job.Finished
		args = []string{"--resume", id}
	}

	// A process that is told to end leaves the job to be resumed, and says so.
	p := start(t, binary, append(w.flags, args...)...)
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code, said := p.end(); code != 1 || !strings.Contains(said, "go on with `daybook rebuild --resume "+id) {
		t.Errorf("interrupted: exit code %d, %s", code, said)
	}
	if job := w.record(id); job.State != reconcile.Stopped {
		t.Errorf("interrupted, the job is %s", job.State)
	}

	p = start(t, binary, append(w.flags, args...)...)
	if code, said := p.end(); code != 0 {
		t.Errorf("at last: exit code %d, %s", code, said)
	}
	// A day whose record was cut off by a kill is right when it is looked at
	// again, and then not counted as rebuilt.
	job := w.record(id)
	if job.State != reconcile.Done || job.Finished != days || job.Days != days || job.Rebuilt > days || job.Rebuilt < days-(kills+1)*2 || job.Refused > 0 {
		t.Errorf("at last the record says %+v", job)
	}
	if found, sum := w.verify(0, "--all"); len(found) > 0 || sum.Days != days || sum.Events != 100_000 {
		t.Errorf("not right at last: %v, %+v", found, sum)
	}
}
