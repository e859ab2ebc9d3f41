package store

import (
	"context"
	"fmt"
	"strings"
)

// Operations is what operators' work needs of a store beside what the roles
// need. All methods are safe for concurrent use, with workers at work.
type Operations interface {
	Inventory
	Retention
	Jobs
}

// Inventory tells what there is.
type Inventory interface {
	// Sites lists up to limit sites that have raw events or rollups in
	// whatever zone, each once, in order, starting behind the site after (""
	// for the first). Its cost grows with the sites and their dates, not with
	// the events.
	Sites(ctx context.Context, after string, limit int) ([]string, error)

	// DayDates lists the dates with from <= date <= to for which a site has a
	// rollup in a zone, damaged ones too, in order. An empty from or to is no
	// bound. It reads no rollup.
	DayDates(ctx context.Context, site, zone, from, to string) ([]string, error)
}

// Retention tells which raw events are still there, and takes some away. All
// its dates are those of raw events (Event.Date).
//
// Expire and EraseDays first record which dates are not whole any more,
// durably, and only then take events away. So a day is never taken for whole
// that is not, wherever they were stopped; the other way round is possible,
// and running them again mends it. EraseUser records nothing: without an
// erased user a day is as whole as it should be, and is to be rebuilt.
//
// Events that are not in the store yet, or come while a method is at work, may
// stay; so do those that a worker inserts again after it was stopped before
// its checkpoint. For one site, only one of the methods that take events away
// may be at work at a time.
type Retention interface {
	// KeptSince gives the date from which on all raw events of a site are
	// there; of the dates before it some or all may be gone. "" says that all
	// are there.
	KeptSince(ctx context.Context, site string) (string, error)

	// Expire removes the raw events of a site with dates before the given
	// one, with their IDs: an event that is sent again after that is a new
	// one. KeptSince is at least that date from then on; it never moves back.
	// It tells how many events it removed. It works in batches and ends with
	// ctx; what it did until then stays done. An empty date is an error.
	Expire(ctx context.Context, site, before string) (removed int64, err error)

	// EraseUser removes the raw events of one user of a site, with their IDs,
	// with dates before the given one or, if that is "", all, and tells how
	// many it removed of which dates. An empty user is an error: events
	// without a user are nobody's. The rollups still count the events: the
	// dates are to be rebuilt. After an error the dates are those of which
	// something was or may have been removed until then; after a crash nobody
	// knows them, and all dates of the site are to be compared.
	EraseUser(ctx context.Context, site, user, before string) (removed map[string]int64, err error)

	// EraseDays removes the raw events, their IDs and the rollups of a site,
	// in whatever zone, with dates before the given one, and the months in
	// which one of these lies. If before is "" it removes all of the site and
	// also what KeptSince knows of it; the site's record stays. It tells how
	// many raw events and rollups of days it removed. A writer that still has
	// one of the rollups finds a conflict; who makes one anew at the same time,
	// such as a rebuild, brings back what it has read before.
	//
	// On the embedded store a step of a worker at the same time is wholly
	// before or after it. On MongoDB the step may count an event in a new
	// rollup of which the raw event is gone, or the other way round; comparing
	// the dates afterwards finds it.
	EraseDays(ctx context.Context, site, before string) (events, rollups int64, err error)
}

// MonthsBefore gives the bound for the months, YYYY-MM, in which a date before
// the given one lies: they are those that sort before it. "" is no bound.
func MonthsBefore(date string) string {
	// "2026-03" sorts before "2026-03-02", but no day of March is before the
	// first of it.
	return strings.TrimSuffix(date, "-01")
}

// Jobs are records of operators' work that takes longer, such as a rebuild.
// The store knows nothing of their contents.
type Jobs interface {
	// Job gives one job, or ErrNotFound.
	Job(ctx context.Context, id string) (Job, error)
	// Jobs lists up to limit jobs in falling order of their IDs, those below
	// the ID before ("" for the last one).
	Jobs(ctx context.Context, before string, limit int) ([]Job, error)
	// SwapJob writes a job if the stored one has the rev job.Rev (0: there is
	// none), durably, and raises job.Rev by one; else ErrConflict.
	SwapJob(ctx context.Context, job *Job) error
	// DropJob removes a job; one that is not there is no error.
	DropJob(ctx context.Context, id string) error
}

// Job is one record of work.
type Job struct {
	// ID is the job's name; IDs made later sort behind earlier ones.
	ID string
	// Rev counts the writes.
	Rev uint64
	// Body is the job's contents, at most MaxJobBytes.
	Body []byte
}

// MaxJobBytes is the longest Body of a job.
const MaxJobBytes = 1 << 20

// Validate tells what keeps SwapJob of any store from taking the job.
func (j *Job) Validate() error {
	if len(j.Body) > MaxJobBytes {
		return fmt.Errorf("job %s has a body of %d bytes, and %d is the most", j.ID, len(j.Body), MaxJobBytes)
	}
	return nil
}
