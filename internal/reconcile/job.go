package reconcile

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// Spec says what a job rebuilds, and how.
type Spec struct {
	Range
	// DryRun only tells what would change.
	DryRun bool `json:"dry_run,omitempty"`
	// Force and Exact are those of Options.
	Force bool `json:"force,omitempty"`
	Exact bool `json:"exact,omitempty"`
	// Sample, if positive, is about how many of the days to do, drawn by
	// chance; 0 is all.
	Sample int `json:"sample,omitempty"`
	// Timezone is the zone that the site is to get, of a job that changes it.
	Timezone *string `json:"timezone,omitempty"`
}

// JobState tells where a job is in its life.
type JobState string

// The states of a job. One that is Running without any news for StaleAfter
// has lost its process, and can be resumed like one that was Stopped or that
// Failed.
const (
	Running   JobState = "running"
	Stopped   JobState = "stopped"
	Failed    JobState = "failed"
	Cancelled JobState = "cancelled"
	Done      JobState = "done"
)

// StaleAfter is after how long without news a running job has lost its
// process.
const StaleAfter = time.Minute

// Job is the record of a rebuild: what is to be done, and how far it is.
type Job struct {
	ID string `json:"id"`
	// Kind tells what it is for: KindRebuild or another one.
	Kind string `json:"kind"`
	Spec Spec   `json:"spec"`
	// By tells who began it.
	By      string    `json:"by"`
	State   JobState  `json:"state"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	// Seconds is how long it has worked, all its runs together.
	Seconds float64 `json:"seconds"`

	// Days is how many days there were to do when it began, Finished how many
	// of them are done, Events how many raw events those had.
	// For a sample Days is about how many are drawn from Population.
	Days       int   `json:"days"`
	Population int   `json:"population"`
	Finished   int   `json:"finished"`
	Events     int64 `json:"events"`
	// Faulty counts the finished days whose rollup was not right, Rebuilt
	// those of them that now are, or in a dry run would be, and Refused those
	// that were left because counts could get lost.
	Faulty  int `json:"faulty"`
	Rebuilt int `json:"rebuilt"`
	Refused int `json:"refused"`
	// Partial counts the finished days that nobody can check because their
	// raw events are not all kept, Unreadable those with errors.
	Partial    int `json:"partial"`
	Unreadable int `json:"unreadable"`
	// TakenOver counts the days that a change of the time zone has taken over
	// from the old zone as they were, because their raw events are not all
	// kept.
	TakenOver int `json:"taken_over,omitempty"`
	// Months counts the rollups of months that were made.
	Months int `json:"months,omitempty"`
	// Findings tell of the first maxFindings of the days that were not right,
	// or could not be read.
	Findings []Finding `json:"findings,omitempty"`
	// Error says why it failed.
	Error string `json:"error,omitempty"`

	// Every day up to Cursor is finished, and so are those of Ahead: days are
	// finished in any order when several are rebuilt at a time.
	Cursor store.DayKey   `json:"cursor"`
	Ahead  []store.DayKey `json:"ahead,omitempty"`

	rev uint64
}

// Lost tells whether the record says of a job without news for StaleAfter that
// it runs.
func (j *Job) Lost(now time.Time) bool { return j.State == Running && now.Sub(j.Updated) >= StaleAfter }

// Kinds of jobs.
const (
	KindRebuild = "rebuild"
	KindCheck   = "check"
	KindNightly = "nightly"
	// Raw events are removed, because of their age or because somebody wants
	// them erased.
	KindRetention = "retention"
	KindErasure   = "erasure"
	// KindTimezone changes the time zone of a site.
	KindTimezone = "timezone"
)

const (
	maxFindings = 100
	// maxDifferences bounds what a finding tells of one day.
	maxDifferences = 10
)

// Finding tells of a day that was not right.
type Finding struct {
	Site  string `json:"site"`
	Date  string `json:"date"`
	State State  `json:"state"`
	// Rebuilt tells whether it is right now; Refused why it is not.
	Rebuilt bool   `json:"rebuilt"`
	Refused string `json:"refused,omitempty"`
	// Differences are the first of them, More how many there are beyond.
	Differences []rollup.Difference `json:"differences,omitempty"`
	More        int                 `json:"more,omitempty"`
}

// find adds a finding.
func (j *Job) find(f Finding) {
	if len(j.Findings) < maxFindings {
		j.Findings = append(j.Findings, f)
	}
}

// chosen tells whether a day belongs to the job. The draw is fixed by the
// job's ID, so that a job which is resumed goes on with the same days.
func (j *Job) chosen(key store.DayKey) bool {
	if j.Spec.Sample == 0 {
		return true
	}
	h := fnv.New64a()
	h.Write([]byte(j.ID + "|" + key.String()))
	return h.Sum64()%uint64(max(1, j.Population)) < uint64(j.Spec.Sample)
}

// finding sums up a check.
func finding(c *Check, rebuilt bool, refused error) Finding {
	f := Finding{Site: c.Key.Site, Date: c.Key.Date, State: c.State, Rebuilt: rebuilt}
	if refused != nil {
		f.Refused = refused.Error()
	}
	f.Differences = c.AllDifferences()
	if n := len(f.Differences); n > maxDifferences {
		f.Differences, f.More = f.Differences[:maxDifferences], n-maxDifferences
	}
	return f
}

// AllDifferences lists how the rollup differs from the raw events; for one
// that is missing or damaged the totals.
func (c *Check) AllDifferences() []rollup.Difference {
	if c.State != Missing && c.State != Damaged {
		return c.Differences
	}
	total := func(field string, n uint64) rollup.Difference {
		return rollup.Difference{Field: field, Stored: string(c.State), True: strconv.FormatUint(n, 10)}
	}
	return []rollup.Difference{
		total("total_events", c.True.Events),
		total("total_views", c.True.Views),
		total("unique_users", c.True.Users.Estimate()),
		total("bots", c.True.Bots()),
	}
}

// jobs are the records of jobs in the store.
type jobs struct{ store store.Jobs }

// create makes the record of a new job.
func (j jobs) create(ctx context.Context, id, kind string, spec Spec, by string, now time.Time) (*Job, error) {
	job := &Job{ID: id, Kind: kind, Spec: spec, By: by, State: Running, Created: now.UTC()}
	return job, j.save(ctx, job, now)
}

// newID makes an ID that sorts by time.
func newID(kind string, now time.Time) string {
	return now.UTC().Format("20060102T150405.000Z") + "-" + kind + "-" + rand.Text()[:6]
}

// save writes the record, unless somebody else has since it was loaded.
func (j jobs) save(ctx context.Context, job *Job, now time.Time) error {
	job.Updated = now.UTC()
	body, err := json.Marshal(job)
	if err != nil {
		return err
	}
	record := store.Job{ID: job.ID, Rev: job.rev, Body: body}
	if err := j.store.SwapJob(ctx, &record); err != nil {
		return fmt.Errorf("save job %s: %w", job.ID, err)
	}
	job.rev = record.Rev
	return nil
}

// load gives a job, or store.ErrNotFound.
func (j jobs) load(ctx context.Context, id string) (*Job, error) {
	record, err := j.store.Job(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("there is no job %q: %w", id, store.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("load job %s: %w", id, err)
	}
	return parseJob(record)
}

func parseJob(record store.Job) (*Job, error) {
	job := new(Job)
	if err := json.Unmarshal(record.Body, job); err != nil {
		return nil, fmt.Errorf("job %s cannot be read: %w", record.ID, err)
	}
	job.rev = record.Rev
	return job, nil
}

// list gives the newest jobs of the kinds, newest first.
func (j jobs) list(ctx context.Context, limit int, kinds ...string) ([]*Job, error) {
	var list []*Job
	for before := ""; len(list) < limit; {
		records, err := j.store.Jobs(ctx, before, limit)
		if err != nil {
			return nil, fmt.Errorf("list jobs: %w", err)
		}
		for _, record := range records {
			before = record.ID
			job, err := parseJob(record)
			if err != nil {
				return nil, err
			}
			for _, kind := range kinds {
				if job.Kind == kind && len(list) < limit {
					list = append(list, job)
				}
			}
		}
		if len(records) < limit {
			break
		}
	}
	return list, nil
}
