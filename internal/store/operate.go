package store

import "context"

// Operations is what operators' work needs of a store beside what the roles
// need. All methods are safe for concurrent use, with workers at work.
type Operations interface {
	Inventory
	Retention
	Jobs
}

// Inventory tells what there is.
type Inventory interface {
	// Sites lists up to limit sites that have raw events or rollups, in order,
	// starting behind the site after ("" for the first). Its cost grows with
	// the sites and their dates, not with the events.
	Sites(ctx context.Context, after string, limit int) ([]string, error)

	// DayDates lists the dates with from <= date <= to for which a site has a
	// rollup, damaged ones too, in order. An empty from or to is no bound. It
	// reads no rollup.
	DayDates(ctx context.Context, site, from, to string) ([]string, error)
}

// Retention tells which raw events are still there, and takes some away.
//
// Every method that takes events away first records which dates are not whole
// any more, durably. So a day is never taken for whole that is not, wherever
// it was stopped; the other way round is possible, and running it again mends
// it.
type Retention interface {
	// KeptSince gives the date from which on all raw events of a site are
	// there; of the dates before it some or all may be gone. "" says that all
	// are there.
	KeptSince(ctx context.Context, site string) (string, error)

	// Expire removes the raw events of a site with dates before the given
	// one, with their IDs: an event that is sent again after that is a new
	// one. KeptSince is at least that date from then on; it never moves back.
	// It tells how many events it removed. It works in batches and ends with
	// ctx; what it did until then stays done.
	Expire(ctx context.Context, site, before string) (removed int64, err error)

	// EraseUser removes the raw events of one user of a site, before the
	// given date or, if that is "", all, and tells how many it removed of
	// which dates. The rollups still count them: the dates are to be rebuilt.
	// After an error the dates are those of what was removed until then.
	EraseUser(ctx context.Context, site, user, before string) (removed map[string]int64, err error)

	// EraseDays removes the raw events, their IDs and the rollups of a site
	// with dates before the given one or, if that is "", all of the site and
	// also what KeptSince knows of it. It tells how many raw events and
	// rollups it removed.
	EraseDays(ctx context.Context, site, before string) (events, rollups int64, err error)
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
	// Body is the job's contents, at most 1 MiB.
	Body []byte
}
