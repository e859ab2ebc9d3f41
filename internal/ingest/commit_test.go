package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/web"
)

// testLines makes the lines of a request from words "stream=line".
func testLines(words ...string) *lines {
	l := new(lines)
	for _, word := range words {
		stream, line, _ := strings.Cut(word, "=")
		l.text = append(append(l.text, line...), '\n')
		l.ends = append(l.ends, lineEnd{stream: stream, end: len(l.text)})
	}
	return l
}

func testCommitter(q queue.Queue, maxPending int64) *committer {
	return newCommitter(q, Options{MaxPendingBytes: maxPending, Wait: defaultWait}, &outage{what: "writing", log: slog.New(slog.DiscardHandler)})
}

// startCommitter makes a committer that runs until the end of the test.
func startCommitter(t *testing.T, q queue.Queue, maxPending int64) *committer {
	t.Helper()
	c := testCommitter(q, maxPending)
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// commits hands over requests one after the other, each waiting on its own,
// and gives their results when all are there. It must be used in a bubble of
// synctest.
type commits struct {
	c    *committer
	errs []chan error
}

func (cs *commits) add(words ...string) {
	done := make(chan error, 1)
	cs.errs = append(cs.errs, done)
	go func() { done <- cs.c.commit(testLines(words...)) }()
	synctest.Wait() // it has been handed over
}

func (cs *commits) wait() (errs []error) {
	for _, done := range cs.errs {
		errs = append(errs, <-done)
	}
	return errs
}

func wantGroups(t *testing.T, q *testQueue, want ...string) {
	t.Helper()
	if got := q.groups(); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func wantStatus(t *testing.T, err error, status int, text string) {
	t.Helper()
	answer, ok := errors.AsType[*web.Error](err)
	if !ok || answer.Status != status || !strings.Contains(answer.Message, text) || status == 503 && answer.RetryAfter <= 0 {
		t.Errorf("got %#v, want %d and %q", err, status, text)
	}
}

func TestCommitAloneDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(1)
		c := startCommitter(t, q, 1000)
		begun := time.Now()
		for _, word := range []string{"1:0=a", "1:0=b"} {
			if err := c.commit(testLines(word)); err != nil {
				t.Fatal(err)
			}
		}
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("two writes that take no time took %v", waited)
		}
		wantGroups(t, q, "1:0=a", "1:0=b")
	})
}

func TestCommitGathersWhileAWriteIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(2)
		q.gate = make(chan struct{})
		cs := commits{c: startCommitter(t, q, 1000)}
		cs.add("1:0=a")
		cs.add("1:0=b")
		cs.add("1:1=c", "1:0=d", "1:1=e")
		cs.add("1:1=f")
		if got := q.groups(); len(got) != 0 {
			t.Fatalf("written too early: %q", got)
		}
		q.gate <- struct{}{}
		synctest.Wait()
		wantGroups(t, q, "1:0=a")
		select {
		case err := <-cs.errs[1]:
			t.Fatalf("a request was answered before its write: %v", err)
		default:
		}
		cs.add("1:0=g")
		q.gate <- struct{}{}
		q.gate <- struct{}{}
		for i, err := range cs.wait() {
			if err != nil {
				t.Errorf("request %d: %v", i, err)
			}
		}
		wantGroups(t, q, "1:0=a", "1:0=b,d 1:1=c,e,f", "1:0=g")
	})
}

func TestCommitSplitsLargeEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		half := strings.Repeat("x", maxEntryBytes/2-1)
		many := make([]string, maxEntryEvents+1)
		for i := range many {
			many[i] = "1:1=y"
		}
		q := newTestQueue(2)
		c := startCommitter(t, q, 1<<30)
		words := append([]string{"1:0=" + half, "1:0=" + half, "1:0=z", "1:0=z"}, many...)
		words = append(words, "1:0="+strings.Repeat("w", maxEntryBytes+1), "1:0=z")
		if err := c.commit(testLines(words...)); err != nil {
			t.Fatal(err)
		}
		if len(q.appends) != 1 {
			t.Fatalf("%d appends", len(q.appends))
		}
		var got []string
		for _, g := range q.appends[0] {
			got = append(got, fmt.Sprintf("%s: %d in %d", g.Stream, g.Events, len(g.Lines)))
		}
		want := []string{
			"1:0: 2 in 1048576", "1:0: 2 in 4", "1:1: 10000 in 20000", "1:1: 1 in 2", "1:0: 1 in 1048578", "1:0: 1 in 2",
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

func TestCommitTellsEachRequestOfItsOwnFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(3)
		q.gate = make(chan struct{})
		q.failing = func(groups []queue.Group) []error {
			errs := make([]error, len(groups))
			for i, g := range groups {
				if g.Stream == "1:1" {
					errs[i] = errDown
				}
			}
			return errs
		}
		cs := commits{c: startCommitter(t, q, 1000)}
		cs.add("1:0=first")
		cs.add("1:0=a")
		cs.add("1:1=b")
		cs.add("1:0=c", "1:1=d", "1:2=e")
		cs.add("1:2=f")
		close(q.gate)
		for i, err := range cs.wait() {
			if want := i == 2 || i == 3; errors.Is(err, queue.ErrUnavailable) != want || err != nil != want {
				t.Errorf("request %d: %v", i, err)
			}
		}
		wantGroups(t, q, "1:0=first", "1:0=a,c 1:2=e,f")

		q.set(func(q *testQueue) { q.failing = nil })
		if err := cs.c.commit(testLines("1:1=again")); err != nil {
			t.Errorf("after the failure: %v", err)
		}
	})
}

// TestCommitLeavesFailedLinesAlone proves that lines whose write failed are
// not overwritten: a backend may still be at work on them.
func TestCommitLeavesFailedLinesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(1)
		var kept []byte
		q.failing = func(groups []queue.Group) []error {
			if kept == nil {
				kept = groups[0].Lines
				return []error{errDown}
			}
			return nil
		}
		c := startCommitter(t, q, 1000)
		if err := c.commit(testLines("1:0=failed")); !errors.Is(err, errDown) {
			t.Fatal(err)
		}
		for range 10 {
			if err := c.commit(testLines("1:0=later!")); err != nil {
				t.Fatal(err)
			}
		}
		if string(kept) != "failed\n" {
			t.Errorf("the lines became %q", kept)
		}
	})
}

func TestCommitBoundsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(1)
		q.gate = make(chan struct{})
		cs := commits{c: startCommitter(t, q, 10)}
		cs.add("1:0=1234") // 5 bytes with the newline
		cs.add("1:0=5678")
		begun := time.Now()
		if err := cs.c.commit(testLines("1:0=")); !errors.Is(err, errBusy) {
			t.Errorf("beyond the limit: %v", err)
		}
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("the refusal took %v", waited)
		}
		q.gate <- struct{}{}
		synctest.Wait()
		cs.add("1:0=abcd") // there is room again
		close(q.gate)
		for i, err := range cs.wait() {
			if err != nil {
				t.Errorf("request %d: %v", i, err)
			}
		}
		if err := cs.c.commit(testLines("1:0=0123456789")); !errors.Is(err, errBusy) {
			t.Errorf("larger than the limit: %v", err)
		}
		wantGroups(t, q, "1:0=1234", "1:0=5678", "1:0=abcd")
	})
}

func TestCommitWaitsOnlySoLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(1)
		q.gate = make(chan struct{})
		q.ignoreContext = true
		c := startCommitter(t, q, 1000)
		begun := time.Now()
		l := testLines("1:0=a")
		wantStatus(t, c.commit(l), 503, "not confirmed within 900ms")
		if waited := time.Since(begun); waited != defaultWait {
			t.Errorf("waited %v", waited)
		}

		// It may be written later all the same, and the same lines can be
		// used for another request.
		*l = lines{text: []byte("b\n"), ends: []lineEnd{{"1:0", 2}}, timer: l.timer}
		close(q.gate)
		if err := c.commit(l); err != nil {
			t.Error(err)
		}
		wantGroups(t, q, "1:0=a", "1:0=b")
	})
}

func TestCommitGivesUpAWriteThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(1)
		q.gate = make(chan struct{})
		c := startCommitter(t, q, 1000)
		wantStatus(t, c.commit(testLines("1:0=a")), 503, "not confirmed")
		time.Sleep(appendTimeout)
		synctest.Wait()
		go func() { q.gate <- struct{}{} }()
		if err := c.commit(testLines("1:0=b")); err != nil {
			t.Error(err)
		}
		wantGroups(t, q, "1:0=b")
	})
}

func TestStopWritesWhatWasTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(1)
		q.gate = make(chan struct{})
		c := testCommitter(q, 1000)
		if err := c.start(); err != nil {
			t.Fatal(err)
		}
		cs := commits{c: c}
		cs.add("1:0=a")
		cs.add("1:0=b")
		stopped := make(chan error, 2)
		for range 2 {
			go func() { stopped <- c.stop(context.Background()) }()
		}
		synctest.Wait()
		if err := c.commit(testLines("1:0=c")); !errors.Is(err, errStopping) {
			t.Errorf("while stopping: %v", err)
		}
		select {
		case err := <-stopped:
			t.Fatalf("stopped before everything was written: %v", err)
		default:
		}
		close(q.gate)
		for i, err := range append(cs.wait(), <-stopped, <-stopped) {
			if err != nil {
				t.Errorf("%d: %v", i, err)
			}
		}
		wantGroups(t, q, "1:0=a", "1:0=b")
		if err := c.commit(testLines("1:0=d")); !errors.Is(err, errStopping) {
			t.Errorf("after the stop: %v", err)
		}
		if err := c.start(); err == nil {
			t.Error("started again")
		}
	})
}

func TestStopBreaksOffWhenItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(1)
		q.gate = make(chan struct{})
		q.linger = time.Second / 10
		c := testCommitter(q, 1000)
		if err := c.start(); err != nil {
			t.Fatal(err)
		}
		cs := commits{c: c}
		cs.add("1:0=a")
		cs.add("1:0=b")
		ctx, cancel := context.WithTimeout(context.Background(), time.Second/2)
		defer cancel()
		if err := c.stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stop: %v", err)
		}
		if n := q.underWay.Load(); n != 0 {
			t.Errorf("%d calls to the queue are under way after the stop", n)
		}
		for _, err := range cs.wait() {
			wantStatus(t, err, 503, "may have happened or not")
		}
		wantGroups(t, q)
		if err := c.stop(context.Background()); err != nil {
			t.Errorf("second stop: %v", err)
		}
	})
}

func TestStopBeforeStart(t *testing.T) {
	c := testCommitter(newTestQueue(1), 1000)
	if err := c.commit(testLines("1:0=a")); !errors.Is(err, errStopping) {
		t.Errorf("before the start: %v", err)
	}
	for range 2 {
		if err := c.stop(context.Background()); err != nil {
			t.Error(err)
		}
	}
	if err := c.start(); err == nil {
		t.Error("started after it was stopped")
	}
}

// TestCommitUnderLoad proves that what is confirmed is in the queue once, and
// in the order in which each sender sent it, and what is refused is not, when
// many send at once and the stop comes in the middle.
func TestCommitUnderLoad(t *testing.T) {
	const senders, stopAfter = 32, 5000
	q := newTestQueue(4)
	var appends atomic.Int64
	q.failing = func(groups []queue.Group) []error {
		// Every fifth write loses one of its groups.
		if appends.Add(1)%5 != 0 {
			return nil
		}
		errs := make([]error, len(groups))
		errs[len(groups)-1] = errDown
		return errs
	}
	c := testCommitter(q, 1<<20)
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
	var sent atomic.Int64
	var all sync.WaitGroup
	confirmed := make([][]string, senders)
	for s := range senders {
		all.Go(func() {
			l := new(lines)
			for i := 0; ; i++ {
				line := fmt.Sprintf("%02d-%06d", s, i)
				l.text = append(append(l.text[:0], line...), '\n')
				l.ends = append(l.ends[:0], lineEnd{fmt.Sprintf("1:%d", s%4), len(l.text)})
				sent.Add(1)
				switch err := c.commit(l); {
				case err == nil:
					confirmed[s] = append(confirmed[s], line)
				case errors.Is(err, errStopping):
					return
				case !errors.Is(err, queue.ErrUnavailable):
					t.Error(err)
				}
			}
		})
	}
	for sent.Load() < stopAfter {
		time.Sleep(time.Millisecond)
	}
	if err := c.stop(context.Background()); err != nil {
		t.Error(err)
	}
	all.Wait()

	written := make([][]string, senders)
	for _, groups := range q.appends {
		for _, g := range groups {
			for line := range strings.Lines(string(g.Lines)) {
				var s int
				if _, err := fmt.Sscanf(line, "%02d-", &s); err != nil || g.Stream != fmt.Sprintf("1:%d", s%4) {
					t.Fatalf("line %q in stream %s", line, g.Stream)
				}
				written[s] = append(written[s], strings.TrimSuffix(line, "\n"))
			}
		}
	}
	for s := range senders {
		if fmt.Sprint(written[s]) != fmt.Sprint(confirmed[s]) {
			t.Errorf("sender %d: %d lines confirmed, %d written", s, len(confirmed[s]), len(written[s]))
		}
	}
}

func TestIDs(t *testing.T) {
	a, b := newIDs(), newIDs()
	var last string
	for range 20 {
		id := a.next()
		if len(id) != 29 || id[16] != '-' || id <= last {
			t.Fatalf("%q follows %q", id, last)
		}
		last = id
	}
	if want := "-000000000014"; !strings.HasSuffix(last, want) {
		t.Errorf("the 20th is %q, want %q at its end", last, want)
	}
	if other := b.next(); other[:16] == last[:16] {
		t.Errorf("two processes share a prefix: %q and %q", last, other)
	}
}
