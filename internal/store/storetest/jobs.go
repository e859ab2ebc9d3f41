package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/daybook-analytics/daybook/internal/store"
)

// testJobs proves what there is on jobs.
func (b Backend) testJobs(t *testing.T) {
	s, reopen := b.openTwice(t)
	// want holds the jobs that are there, in falling order of their IDs.
	var want []store.Job
	wantJob := func(t *testing.T, got, want store.Job) {
		t.Helper()
		if got.ID != want.ID || got.Rev != want.Rev || !bytes.Equal(got.Body, want.Body) {
			t.Fatalf("job is %q of rev %d with %q, want %q of rev %d with %q", got.ID, got.Rev, got.Body, want.ID, want.Rev, want.Body)
		}
	}
	list := func(t *testing.T, before string, limit int) []store.Job {
		t.Helper()
		jobs, err := s.Jobs(t.Context(), before, limit)
		check(t, err)
		return jobs
	}
	wantJobs := func(t *testing.T) {
		t.Helper()
		got := list(t, "", 100)
		wantEqual(t, "number of jobs", len(got), len(want))
		for i := range got {
			wantJob(t, got[i], want[i])
			one, err := s.Job(t.Context(), want[i].ID)
			check(t, err)
			wantJob(t, one, want[i])
		}
	}
	conflict := func(t *testing.T, id string, rev uint64) {
		t.Helper()
		job := store.Job{ID: id, Rev: rev, Body: []byte("changed")}
		wantErr(t, s.SwapJob(t.Context(), &job), store.ErrConflict)
		wantEqual(t, "rev after the conflict", job.Rev, rev)
		wantJobs(t)
	}

	t.Run("None", func(t *testing.T) {
		wantJobs(t)
		_, err := s.Job(t.Context(), "1")
		wantErr(t, err, store.ErrNotFound)
		check(t, s.DropJob(t.Context(), "1"))
		conflict(t, "1", 1)
	})
	t.Run("New", func(t *testing.T) {
		// Not in the order of their IDs, some of which begin with others.
		bodies := map[string][]byte{"20": []byte("{}"), "1": nil, "2": []byte("\x00\xff"), "19": bytes.Repeat([]byte("x"), store.MaxJobBytes)}
		for id, body := range bodies {
			job := store.Job{ID: id, Body: body}
			check(t, s.SwapJob(t.Context(), &job))
			wantEqual(t, "rev after the write", job.Rev, 1)
		}
		for _, id := range []string{"20", "2", "19", "1"} {
			want = append(want, store.Job{ID: id, Rev: 1, Body: bodies[id]})
		}
		wantJobs(t)
	})
	t.Run("Swap", func(t *testing.T) {
		conflict(t, "2", 0)
		conflict(t, "2", 2)
		job := want[1]
		job.Body = []byte("half done")
		check(t, s.SwapJob(t.Context(), &job))
		wantEqual(t, "rev after the write", job.Rev, 2)
		want[1] = job
		wantJobs(t)
		conflict(t, "2", 1)
	})
	t.Run("Pages", func(t *testing.T) {
		before := ""
		for i := 0; i < len(want); i += 3 {
			page := list(t, before, 3)
			wantEqual(t, "number of jobs", len(page), min(3, len(want)-i))
			for j := range page {
				wantJob(t, page[j], want[i+j])
			}
			before = page[len(page)-1].ID
		}
		wantEqual(t, "number of jobs before the first", len(list(t, before, 3)), 0)
		wantJob(t, list(t, "199", 1)[0], want[2]) // before one that is not there
	})
	t.Run("TooLong", func(t *testing.T) {
		job := store.Job{ID: "3", Body: make([]byte, store.MaxJobBytes+1)}
		if err := s.SwapJob(t.Context(), &job); err == nil {
			t.Error("a job that is too long was written")
		}
		wantJobs(t)
	})
	t.Run("OpenedAgain", func(t *testing.T) {
		s = reopen()
		wantJobs(t)
	})
	t.Run("Drop", func(t *testing.T) {
		check(t, s.DropJob(t.Context(), "2"))
		want = append(want[:1:1], want[2:]...)
		wantJobs(t)
		_, err := s.Job(t.Context(), "2")
		wantErr(t, err, store.ErrNotFound)
		conflict(t, "2", 2)
		check(t, s.DropJob(t.Context(), "2"))
		s = reopen()
		wantJobs(t)
	})
}

// testConcurrentJobs proves that of writers with the same rev one wins.
func (b Backend) testConcurrentJobs(t *testing.T) {
	const perWriter = 8
	s := b.open(t)
	race(t, func(w int) error {
		for n := 0; n < perWriter; {
			job, err := s.Job(t.Context(), "job")
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			job.ID = "job"
			job.Body = fmt.Append(job.Body, w, "\n")
			switch err := s.SwapJob(t.Context(), &job); {
			case err == nil:
				n++
			case !errors.Is(err, store.ErrConflict):
				return err
			}
		}
		return nil
	})
	job, err := s.Job(t.Context(), "job")
	check(t, err)
	wantEqual(t, "rev", job.Rev, writers*perWriter)
	for w := range writers {
		wantEqual(t, fmt.Sprint("writes of writer ", w), bytes.Count(job.Body, fmt.Append(nil, w, "\n")), perWriter)
	}
}
