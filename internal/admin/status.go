package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/migrations"
)

// Status tells how everything stands.
type Status struct {
	Time time.Time `json:"time"`
	// Schema is the version of the store's schema, SchemaLatest the newest
	// that this program knows.
	Schema       int `json:"schema_version"`
	SchemaLatest int `json:"schema_latest"`
	// AsOf is the time up to which all that was accepted is counted; zero when
	// there is a stream that no worker has looked at yet.
	AsOf time.Time `json:"as_of,omitzero"`
	// Backlog is what is in the queue; nil where the queue is not known.
	Backlog *Backlog `json:"backlog"`
	Streams []Stream `json:"streams"`
	// DeadLetters is how many there are, counted up to maxDeadLetters.
	DeadLetters int `json:"dead_letters"`
	// Running are the jobs at work that rebuild days or change a time zone, of
	// the newest ones.
	Running []*reconcile.Job `json:"running_rebuilds"`
	// LastRebuild, LastCheck and LastNightly are the newest of their kind; nil
	// when there is none.
	LastRebuild *reconcile.Job `json:"last_rebuild"`
	LastCheck   *reconcile.Job `json:"last_check"`
	LastNightly *reconcile.Job `json:"last_nightly"`
}

// Backlog is what waits in the queue.
type Backlog struct {
	Events int64 `json:"events"`
	Bytes  int64 `json:"bytes"`
	// Seconds is the age of the oldest entry.
	Seconds float64 `json:"seconds"`
}

const (
	// maxDeadLetters is how far dead letters are counted.
	maxDeadLetters = 1000
	// lettersAtOnce bounds the memory for that: each may have 64 KiB.
	lettersAtOnce = 100
	// newestJobs is among how many jobs those at work are looked for.
	newestJobs = 100
)

// Status is part of Actions. Without a queue it tells what the store knows.
func (a *Admin) Status(ctx context.Context) (*Status, error) {
	s := &Status{Time: time.Now().UTC(), SchemaLatest: migrations.Latest()}
	var err error
	if s.Schema, err = a.store.SchemaVersion(ctx); err != nil {
		return nil, fmt.Errorf("read the schema version: %w", err)
	}
	if a.queue == nil {
		s.Streams, err = a.streamsOfStore(ctx)
	} else {
		s.Streams, err = a.Streams(ctx)
	}
	if err != nil {
		return nil, err
	}
	s.sumUp(a.queue != nil)
	if s.DeadLetters, err = a.countLetters(ctx); err != nil {
		return nil, err
	}
	return s, a.jobStatus(ctx, s)
}

// sumUp makes the totals of all streams.
func (s *Status) sumUp(queue bool) {
	var total Backlog
	for i, stream := range s.Streams {
		total.Events += stream.Events
		total.Bytes += stream.Bytes
		total.Seconds = max(total.Seconds, stream.OldestSeconds)
		if i == 0 || stream.AsOf.Before(s.AsOf) {
			s.AsOf = stream.AsOf
		}
	}
	if queue {
		s.Backlog = &total
	}
}

func (a *Admin) countLetters(ctx context.Context) (int, error) {
	n, after := 0, ""
	for n < maxDeadLetters {
		letters, err := a.store.DeadLetters(ctx, after, lettersAtOnce)
		if err != nil {
			return 0, fmt.Errorf("count dead letters: %w", err)
		}
		n += len(letters)
		if len(letters) < lettersAtOnce {
			break
		}
		after = letters[len(letters)-1].Key()
	}
	return n, nil
}

func (a *Admin) jobStatus(ctx context.Context, s *Status) error {
	rebuilds, err := a.Rebuilds(ctx, newestJobs)
	if err != nil {
		return err
	}
	s.Running = []*reconcile.Job{}
	for _, job := range rebuilds {
		if s.LastRebuild == nil && job.Kind == reconcile.KindRebuild {
			s.LastRebuild = job
		}
		if job.State == reconcile.Running && !job.Lost(s.Time) {
			s.Running = append(s.Running, job)
		}
	}
	for kind, last := range map[string]**reconcile.Job{
		reconcile.KindCheck: &s.LastCheck, reconcile.KindNightly: &s.LastNightly,
	} {
		newest, err := a.runner.List(ctx, 1, kind)
		if err != nil {
			return err
		}
		if len(newest) > 0 {
			*last = newest[0]
		}
	}
	return nil
}
