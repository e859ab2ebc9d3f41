package report_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

// jobStore is a slowStore that keeps jobs, in memory because the clock of a
// synctest does not wait for a disk.
type jobStore struct {
	*slowStore
	mu    sync.Mutex
	jobs  map[string]store.Job // protected by mu
	hangs bool                 // takes no jobs and gives no answer; protected by mu
}

func newJobStore() *jobStore {
	return &jobStore{slowStore: newSlowStore(), jobs: map[string]store.Job{}}
}

func (s *jobStore) KeptSince(context.Context, string) (string, error) { return "", nil }

func (s *jobStore) Job(_ context.Context, id string) (store.Job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	job, ok := s.jobs[id]
	if !ok {
		return job, fmt.Errorf("job %s: %w", id, store.ErrNotFound)
	}
	return job, nil
}

func (s *jobStore) Jobs(_ context.Context, before string, limit int) ([]store.Job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var jobs []store.Job
	for _, job := range s.jobs {
		if before == "" || job.ID < before {
			jobs = append(jobs, job)
		}
	}
	slices.SortFunc(jobs, func(a, b store.Job) int { return cmp.Compare(b.ID, a.ID) })
	return jobs[:min(limit, len(jobs))], nil
}

func (s *jobStore) SwapJob(ctx context.Context, job *store.Job) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if s.jobs[job.ID].Rev != job.Rev {
		return fmt.Errorf("job %s: %w", job.ID, store.ErrConflict)
	}
	job.Rev++
	s.jobs[job.ID] = *job
	return nil
}

func (s *jobStore) DropJob(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.jobs, id)
	return nil
}

// begin starts a report on a store; the test stops it.
func begin(t *testing.T, st report.Store, opts report.Options) (http.Handler, *report.Report) {
	t.Helper()
	r := report.New(st, opts, quiet)
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	rt := web.NewRouter(quiet)
	r.Register(rt)
	return rt, r
}

// submit asks with async=true, and gives where the answer will be.
func submit(t *testing.T, h http.Handler, query string) string {
	t.Helper()
	w := getTarget(t.Context(), h, "/stats?async=true&"+query)
	var job report.Job
	if err := json.Unmarshal(w.Body.Bytes(), &job); err != nil || w.Code != http.StatusAccepted {
		t.Fatalf("%s: answer is %d %s", query, w.Code, w.Body)
	}
	location := w.Header().Get("Location")
	if location != "/stats/jobs/"+job.ID || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("location of job %s is %q; headers are %v", job.ID, location, w.Header())
	}
	return location
}

func jobAt(t *testing.T, h http.Handler, location string) report.Job {
	t.Helper()
	var job report.Job
	if err := json.Unmarshal([]byte(answerOf(t, h, location)), &job); err != nil {
		t.Fatal(err)
	}
	return job
}

// A question beyond the bounds is answered by a job, with what would have been
// answered at once.
func TestJob(t *testing.T) {
	st := newStore(t)
	manyDays(t, st, "a", 3, 500)
	h, _ := begin(t, st, report.Options{RawScanEvents: 1000})
	const query = "site_id=a&filter=path==/1&limit=2"
	if w := get(t.Context(), h, query); w.Code != 422 {
		t.Fatalf("at once: %d %s", w.Code, w.Body)
	}
	location := submit(t, h, query)
	var job report.Job
	for deadline := time.Now().Add(time.Minute); job.State != report.JobDone; job = jobAt(t, h, location) {
		if job.State == report.JobFailed || time.Now().After(deadline) {
			t.Fatalf("job is %+v", job)
		}
		time.Sleep(time.Millisecond)
	}
	if want := strings.TrimSpace(answerOf(t, serve(st, report.Options{}, quiet), "/stats?"+query)); string(job.Answer) != want {
		t.Errorf("the answer is %s, want %s", job.Answer, want)
	}
	if job.EventsRead != 1500 || job.EventsExpected != 1500 || job.Question != "/stats?filter=path%3D%3D%2F1&limit=2&site_id=a" {
		t.Errorf("job is %+v", job)
	}
	// Any other process has it too.
	if other := jobAt(t, serve(st, report.Options{}, quiet), location); string(other.Answer) != string(job.Answer) {
		t.Errorf("elsewhere the job is %+v", other)
	}

	// Operators' lists do not have it, and erasing its site drops it.
	runner := reconcile.NewRunner(st, rollup.DefaultLimits, quiet)
	if list, err := runner.List(t.Context(), 10, reconcile.KindRebuild); err != nil || len(list) != 0 {
		t.Errorf("operators' jobs are %v, %v", list, err)
	}
	if n, err := runner.Forget(t.Context(), "b"); err != nil || n != 0 {
		t.Errorf("erasing another site changed %d jobs, %v", n, err)
	}
	if n, err := runner.Forget(t.Context(), "a"); err != nil || n != 1 {
		t.Errorf("erasing the site dropped %d jobs, %v", n, err)
	}
	if w := getTarget(t.Context(), h, location); w.Code != http.StatusNotFound {
		t.Errorf("the dropped job: %d %s", w.Code, w.Body)
	}
}

// Jobs are done one after the other; a question that waits is not asked twice;
// past five the next is refused, and asked for again when there is room.
func TestJobsWaitTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newJobStore()
		h, _ := begin(t, st, report.Options{})
		var locations []string
		for day := range 5 {
			locations = append(locations, submit(t, h, fmt.Sprintf("site_id=a&date=2026-11-%02d&filter=path==/0", day+1)))
		}
		synctest.Wait()
		if again := submit(t, h, "filter=path==/0&date=2026-11-02&site_id=a"); again != locations[1] {
			t.Errorf("the same question is job %s, want %s", again, locations[1])
		}
		wantRetry(t, getTarget(t.Context(), h, "/stats?async=true&site_id=a&date=2026-11-06"), "60",
			`{"error":"5 questions with async=true wait for their answers, which is the most; try again later"}`)
		if n := st.started.Load(); n != 1 {
			t.Errorf("%d jobs read at once", n)
		}
		for i, location := range locations {
			want := report.JobWaiting
			if i == 0 {
				want = report.JobRunning
			}
			if job := jobAt(t, h, location); job.State != want {
				t.Errorf("job %d is %s, want %s", i, job.State, want)
			}
		}
		// Longer than a record without news would be believed.
		time.Sleep(5 * time.Minute)
		if first, last := jobAt(t, h, locations[0]), jobAt(t, h, locations[4]); first.State != report.JobRunning || last.State != report.JobWaiting {
			t.Errorf("after some minutes the first job is %s, the last one %s", first.State, last.State)
		}
		close(st.letGo)
		synctest.Wait()
		for i, location := range locations {
			job := jobAt(t, h, location)
			if want := rawAnswer(i + 1); job.State != report.JobDone || string(job.Answer) != want {
				t.Errorf("job %d is %s with %s, want %s", i, job.State, job.Answer, want)
			}
		}
		submit(t, h, "site_id=a&date=2026-11-06")
	})
}

// A job whose process has died is told as failed after a minute, by others
// and by its successor.
func TestLostJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newJobStore()
		h, _ := begin(t, st, report.Options{})
		location := submit(t, h, "site_id=a&date=2026-11-01&filter=path==/0")
		synctest.Wait()
		id := strings.TrimPrefix(location, "/stats/jobs/")
		record, err := st.Job(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		// As it would stay when the process is gone.
		dead := newJobStore()
		dead.jobs[id] = record
		elsewhere := serve(dead, report.Options{}, quiet)
		time.Sleep(time.Minute)
		if job := jobAt(t, elsewhere, location); job.State != report.JobRunning {
			t.Errorf("after a minute the job is %+v", job)
		}
		time.Sleep(time.Second)
		if job := jobAt(t, elsewhere, location); job.State != report.JobFailed || job.Error != "the server that worked on it has ended: ask again" {
			t.Errorf("after more than that the job is %+v", job)
		}
	})
}

// Stop breaks jobs off, also those that wait, and says so in their records.
func TestStopWithJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newJobStore()
		h, r := begin(t, st, report.Options{})
		locations := []string{submit(t, h, "site_id=a&date=2026-11-01&filter=path==/0"), submit(t, h, "site_id=a&date=2026-11-02&filter=path==/0")}
		synctest.Wait()
		for range 2 { // a second time does nothing
			if err := r.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, location := range locations {
			if job := jobAt(t, h, location); job.State != report.JobFailed || job.Error != "the server was stopped before the answer was ready: ask again" {
				t.Errorf("job is %+v", job)
			}
		}
		if w := getTarget(t.Context(), h, "/stats?async=true&site_id=a"); w.Code != http.StatusServiceUnavailable {
			t.Errorf("asked after the end: %d %s", w.Code, w.Body)
		}
		if err := r.Start(); err == nil {
			t.Error("it starts again after its end")
		}
		if err := report.New(st, report.Options{}, quiet).Stop(t.Context()); err != nil {
			t.Errorf("Stop before Start: %v", err)
		}
	})
}

// Stop does not wait for a store that hangs longer than it may.
func TestStopInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newJobStore()
		h, r := begin(t, st, report.Options{})
		for day := range 3 {
			submit(t, h, fmt.Sprintf("site_id=a&date=2026-11-%02d&filter=path==/0", day+1))
		}
		synctest.Wait()
		st.mu.Lock()
		st.hangs = true
		st.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begun := time.Now()
		if err := r.Stop(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// What is wrong with a question, or with the server, is told in the record.
func TestFailedJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newJobStore()
		close(st.letGo)
		h, _ := begin(t, st, report.Options{})
		location := submit(t, h, "site_id=poison&date=2026-11-01&filter=path==/0")
		synctest.Wait()
		if job := jobAt(t, h, location); job.State != report.JobFailed || job.Error != "internal error; the server's log has more" {
			t.Errorf("job is %+v", job)
		}
		// What is wrong with the question itself is refused at once.
		if w := getTarget(t.Context(), h, "/stats?site_id=a&async=true&limit=10000"); w.Code != 422 {
			t.Errorf("a limit that is too high: %d %s", w.Code, w.Body)
		}
		if w := getTarget(t.Context(), h, "/stats?site_id=a&async=true&format=csv"); w.Code != 422 {
			t.Errorf("CSV: %d %s", w.Code, w.Body)
		}
	})
}

// Whoever erases a site drops its jobs. One at work does not bring its record
// back.
func TestErasedJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newJobStore()
		h, _ := begin(t, st, report.Options{})
		location := submit(t, h, "site_id=a&date=2026-11-01&filter=path==/0")
		synctest.Wait()
		if err := st.DropJob(t.Context(), strings.TrimPrefix(location, "/stats/jobs/")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if n := st.ended.Load(); n != 1 {
			t.Error("the job still reads")
		}
		if len(st.jobs) != 0 {
			t.Errorf("there is a record again: %v", st.jobs)
		}
	})
}

// Records are dropped when they are a day old, whoever made them; operators'
// jobs are not.
func TestOldJobsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newJobStore()
		close(st.letGo)
		if err := st.SwapJob(t.Context(), &store.Job{ID: "20200101T000000.000Z-rebuild-ABCDEF", Body: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		h, _ := begin(t, st, report.Options{})
		first := submit(t, h, "site_id=a&date=2026-11-01")
		time.Sleep(time.Hour)
		second := submit(t, h, "site_id=a&date=2026-11-02")
		time.Sleep(23*time.Hour + time.Minute)
		if w := getTarget(t.Context(), h, first); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "answers are kept for 24 hours") {
			t.Errorf("after a day: %d %s", w.Code, w.Body)
		}
		if job := jobAt(t, h, second); job.State != report.JobDone {
			t.Errorf("after less than a day: %+v", job)
		}
		if _, err := st.Job(t.Context(), "20200101T000000.000Z-rebuild-ABCDEF"); err != nil {
			t.Error(err)
		}
		// Operators' jobs are not shown either.
		if w := getTarget(t.Context(), h, "/stats/jobs/20200101T000000.000Z-rebuild-ABCDEF"); w.Code != http.StatusNotFound {
			t.Errorf("an operator's job: %d %s", w.Code, w.Body)
		}
	})
}
