package report

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/web"
)

const (
	// maxJobs is the most questions that wait for their answer or are being
	// answered.
	maxJobs = 5
	// jobNews is how often the record of a job is written; one without news
	// for jobLost has lost its process.
	jobNews = 10 * time.Second
	jobLost = time.Minute
	// jobKept is how long an answer can be fetched.
	jobKept = 24 * time.Hour
	// maxKeptJobs is the most answers that one process keeps.
	maxKeptJobs = 100
	// jobTime is the most that a job takes.
	jobTime = time.Hour
	// jobEnd is how long the last write of a record may take.
	jobEnd = 10 * time.Second
	// maxAnswer is the longest answer that is kept; the rest of a record is
	// small.
	maxAnswer = store.MaxJobBytes - 64<<10

	jobsPath = "/stats/jobs/"
	// jobPrefix begins the IDs of these jobs. It sorts before those of
	// operators' jobs, which begin with the year, so that lists of those, which
	// begin with the last one, seldom come across these.
	jobPrefix = "0query-"
	kindQuery = "query"
)

// JobState tells where a job is in its life.
type JobState string

// The states of a job.
const (
	JobWaiting JobState = "waiting"
	JobRunning JobState = "running"
	JobDone    JobState = "done"
	JobFailed  JobState = "failed"
)

// Job is the answer of GET /stats/jobs/{id}, and what is stored of a question
// that was asked with async=true. The names kind, spec, state and updated are
// those of all jobs in the store: who erases a site drops its jobs by them.
type Job struct {
	ID   string `json:"id" doc:"the name of the job"`
	Kind string `json:"kind" enum:"query" doc:"the kind of job"`
	Spec struct {
		Site string `json:"site" doc:"the site of the question"`
	} `json:"spec" doc:"what it is about"`
	State          JobState        `json:"state" enum:"waiting,running,done,failed" doc:"answer is there once it is done"`
	Created        time.Time       `json:"created" doc:"when the question was asked"`
	Updated        time.Time       `json:"updated" doc:"when the job last told of itself"`
	Question       string          `json:"question" doc:"the path and the parameters that were asked"`
	EventsRead     uint64          `json:"events_read" doc:"the raw events that have been read so far"`
	EventsExpected uint64          `json:"events_expected" doc:"about how many there are to be read"`
	Error          string          `json:"error,omitempty" doc:"why it failed, and what to do"`
	Answer         json.RawMessage `json:"answer,omitempty" doc:"what would have been answered at once"`
}

// job is one that this process has to do. Its record is protected by jobs.mu.
type job struct {
	query  *query
	record Job
	rev    uint64
	// ctx ends when the job is to end, by cancel.
	ctx    context.Context
	cancel context.CancelFunc
}

// jobs answer questions that may take long, one after the other, and put the
// answers where any process can fetch them. Start it once; Stop may be called
// at any time, and again.
type jobs struct {
	store store.Jobs
	// report answers as any other does, only without the bounds of events and
	// time. No job needs more memory for it than an answer at once.
	report *Report
	now    func() time.Time
	log    *slog.Logger

	waiting chan *job
	loops   sync.WaitGroup
	// working ends the work on jobs, by stop; writing ends the last writes of
	// their records, by abort.
	working, writing context.Context
	stop, abort      context.CancelFunc

	mu sync.Mutex
	// held are the jobs that wait or run, by their questions. Protected by mu,
	// which is held while records are written.
	held map[string]*job
	// kept are the IDs of the jobs that were made here, oldest first. Protected
	// by mu.
	kept []string
	// running tells that there is somebody to do jobs. Protected by mu.
	running bool
}

func newJobs(r *Report, log *slog.Logger) *jobs {
	opts := r.opts
	opts.RawScans, opts.RawScanEvents, opts.RawScanTime = 1, math.MaxInt, jobTime
	unbounded := *r
	unbounded.scans = newScans(r.store, opts, log)
	j := &jobs{
		store: r.store, report: &unbounded, now: r.opts.Now, log: log,
		waiting: make(chan *job, maxJobs),
		held:    make(map[string]*job),
	}
	j.writing, j.abort = context.WithCancel(context.Background())
	j.working, j.stop = context.WithCancel(j.writing)
	return j
}

// Start begins to do jobs in the background.
func (j *jobs) Start() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.running || j.working.Err() != nil {
		return errors.New("report was started before")
	}
	j.running = true
	j.loops.Go(j.work)
	j.loops.Go(j.tell)
	return nil
}

// Stop breaks the jobs off, says so in their records, and returns when that is
// done. When ctx ends first the rest of the records stay as they are, and are
// soon taken for lost.
func (j *jobs) Stop(ctx context.Context) error {
	j.mu.Lock()
	j.running = false
	j.stop()
	j.mu.Unlock()
	defer j.abort()
	defer context.AfterFunc(ctx, j.abort)()
	ended := make(chan struct{})
	go func() { j.loops.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	// They end as soon as they notice.
	soon := time.NewTimer(time.Second)
	defer soon.Stop()
	select {
	case <-ended:
		return nil
	case <-soon.C:
		return fmt.Errorf("a question with async=true does not end: %w", ctx.Err())
	}
}

// submit makes a job of a question, or finds the one that there is of it, and
// gives its ID.
func (j *jobs) submit(ctx context.Context, q *query, question string) (id string, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if held := j.held[question]; held != nil {
		return held.record.ID, nil
	}
	if !j.running || len(j.held) == maxJobs {
		return "", &web.Error{Status: http.StatusServiceUnavailable, RetryAfter: time.Minute,
			Message: fmt.Sprintf("%d questions with async=true wait for their answers, which is the most; try again later", len(j.held))}
	}
	now := j.now().UTC()
	one := &job{query: q, record: Job{
		ID:    jobPrefix + now.Format("20060102T150405.000Z") + "-" + rand.Text(),
		Kind:  kindQuery,
		State: JobWaiting, Created: now, Question: question,
	}}
	one.record.Spec.Site = q.site
	if err := j.save(ctx, one); err != nil {
		return "", err
	}
	if j.kept = append(j.kept, one.record.ID); len(j.kept) > maxKeptJobs {
		// One that stays is dropped when it is old.
		if err := j.store.DropJob(ctx, j.kept[0]); err != nil {
			j.log.Warn("an old answer was not removed", "job", j.kept[0], "error", err)
		}
		j.kept = j.kept[1:]
	}
	one.ctx, one.cancel = context.WithCancel(j.working)
	j.held[question] = one
	j.waiting <- one // there is room for all that are held
	return one.record.ID, nil
}

// save writes the record of a job. The caller holds mu.
func (j *jobs) save(ctx context.Context, one *job) error {
	one.record.Updated = j.now().UTC()
	body, err := json.Marshal(&one.record)
	if err != nil {
		return err
	}
	record := store.Job{ID: one.record.ID, Rev: one.rev, Body: body}
	if err := j.store.SwapJob(ctx, &record); err != nil {
		return fmt.Errorf("save job %s: %w", one.record.ID, err)
	}
	one.rev = record.Rev
	return nil
}

// work does the jobs, one after the other. After Stop it ends those that wait.
func (j *jobs) work() {
	for {
		select {
		case one := <-j.waiting:
			j.do(one)
		case <-j.working.Done():
			j.mu.Lock()
			left := len(j.held)
			j.mu.Unlock()
			for range left {
				j.do(<-j.waiting)
			}
			return
		}
	}
}

// do answers a question and records the answer.
func (j *jobs) do(one *job) {
	defer one.cancel()
	scans := j.report.scans
	scans.read.Store(0)
	scans.expected.Store(0)
	j.mu.Lock()
	one.record.State = JobRunning
	j.news(one)
	j.mu.Unlock()

	answer, err := j.answer(one)

	ctx, cancel := context.WithTimeout(j.writing, jobEnd)
	defer cancel()
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.held, one.record.Question)
	if one.ctx.Err() != nil && j.working.Err() == nil {
		return // its record was erased
	}
	one.record.EventsRead, one.record.EventsExpected = scans.read.Load(), scans.expected.Load()
	if one.record.State, one.record.Answer = JobDone, answer; err != nil {
		one.record.State, one.record.Error = JobFailed, j.reason(one, err)
	}
	if err := j.save(ctx, one); err != nil {
		j.log.Warn("the answer of a job is lost", "job", one.record.ID, "error", err)
	}
}

// answer answers the question of a job. A panic is an error.
func (j *jobs) answer(one *job) (body []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("answering %s panicked: %v\n%s", one.record.Question, p, debug.Stack())
		}
	}()
	if err := one.ctx.Err(); err != nil {
		return nil, err
	}
	a, err := j.report.answer(one.ctx, one.query)
	if err != nil {
		return nil, err
	}
	body = a.json()
	if len(body) > maxAnswer {
		return nil, &web.Error{Message: fmt.Sprintf("the answer has %d bytes, and %d is the most that is kept: ask with a lower limit or about a shorter period", len(body), maxAnswer)}
	}
	return body, nil
}

// reason says to whoever asked why a job has failed.
func (j *jobs) reason(one *job, err error) string {
	var told *web.Error
	switch {
	case errors.As(err, &told):
		return told.Message
	case j.working.Err() != nil:
		return "the server was stopped before the answer was ready: ask again"
	case errors.Is(err, store.ErrUnavailable):
		return "the store could not be reached: ask again"
	}
	j.log.Error("job failed", "job", one.record.ID, "question", one.record.Question, "error", err)
	return "internal error; the server's log has more"
}

// tell writes news of all jobs into their records, so that they are not taken
// for lost, and drops old records.
func (j *jobs) tell() {
	ticker := time.NewTicker(jobNews)
	defer ticker.Stop()
	for {
		j.dropOld()
		select {
		case <-ticker.C:
		case <-j.working.Done():
			return
		}
		j.mu.Lock()
		for _, one := range j.held {
			if one.record.State == JobRunning {
				one.record.EventsRead, one.record.EventsExpected = j.report.scans.read.Load(), j.report.scans.expected.Load()
			}
			j.news(one)
		}
		j.mu.Unlock()
	}
}

// news writes the record of a job that is not done. The caller holds mu.
func (j *jobs) news(one *job) {
	// Another error need not last, and if it does the job has it too.
	if err := j.save(j.working, one); errors.Is(err, store.ErrConflict) {
		one.cancel() // the record was erased
	}
}

// dropOld removes records that are older than jobKept, whoever made them.
func (j *jobs) dropOld() {
	before := jobPrefix + j.now().Add(-jobKept).UTC().Format("20060102T150405.000Z")
	for {
		old, err := j.store.Jobs(j.working, before, 1)
		if err != nil || len(old) == 0 || !strings.HasPrefix(old[0].ID, jobPrefix) {
			return // an error is met again soon, by those who tell of it
		}
		before = old[0].ID
		if err := j.store.DropJob(j.working, before); err != nil {
			return
		}
	}
}

// missing is the answer to whoever asks for a job that there is not.
func missing(id string) error {
	return &web.Error{Status: http.StatusNotFound,
		Message: fmt.Sprintf("there is no job %s; answers are kept for %.0f hours", web.Shorten(id), jobKept.Hours())}
}

// load gives the record of a job.
func (j *jobs) load(ctx context.Context, id string) (*Job, error) {
	if !strings.HasPrefix(id, jobPrefix) {
		return nil, missing(id)
	}
	stored, err := j.store.Job(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, missing(id)
	}
	if err != nil {
		return nil, err
	}
	record := new(Job)
	if err := json.Unmarshal(stored.Body, record); err != nil {
		return nil, fmt.Errorf("the record of job %s cannot be read: %w", id, err)
	}
	if (record.State == JobWaiting || record.State == JobRunning) && j.now().Sub(record.Updated) > jobLost {
		record.State = JobFailed
		record.Error = "the server that worked on it has ended: ask again"
	}
	return record, nil
}

// submitted answers a question with the job that was made of it.
func (j *jobs) submitted(w http.ResponseWriter, req *http.Request, q *query) error {
	if q.csv {
		return web.Invalid("format", "csv", "is not possible with async=true", "json")
	}
	values, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return err
	}
	values.Del("async")
	id, err := j.submit(req.Context(), q, q.endpoint.path+"?"+values.Encode())
	if err != nil {
		return err
	}
	record, err := j.load(req.Context(), id)
	if err != nil {
		return err
	}
	w.Header().Set("Location", jobsPath+id)
	w.Header().Set("Cache-Control", "no-store")
	web.WriteJSON(w, http.StatusAccepted, record)
	return nil
}

// show answers GET /stats/jobs/{id}. To whoever may not ask about the site of a
// job there is no such job.
func (j *jobs) show(w http.ResponseWriter, req *http.Request, pass *access.Pass) error {
	id := mux.Vars(req)["id"]
	record, err := j.load(req.Context(), id)
	if err != nil {
		return err
	}
	if pass.Site(record.Spec.Site) != nil {
		return missing(id)
	}
	w.Header().Set("Cache-Control", "no-store")
	web.WriteJSON(w, http.StatusOK, record)
	return nil
}
