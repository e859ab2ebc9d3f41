// Package store is the contract of the store: raw events, rollups, and what
// workers need to share the work.
//
// The promise of counting exactly once rests on three properties, which every
// backend has and package storetest proves: a raw event's key is unique and
// tells a replay from a client's retry; a rollup is written as a whole, by
// compare-and-swap on its rev; a checkpoint never moves back and is durable
// only after everything that was written before it.
//
// There are two backends, pebblestore (embedded, on local disk) and
// mongostore (MongoDB).
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/rollup"
)

// Store is all that the roles need of a store. All methods are safe for
// concurrent use; a role declares the part of it that it uses. Errors that
// wrap ErrUnavailable may go away by themselves; after any other error than
// the named ones the outcome of a write is unknown too.
type Store interface {
	// Begin starts a worker's step.
	Begin() Step

	Days
	Events
	Records
	Leases
	Operations

	// Checkpoints gives the checkpoint of every stream that has one.
	Checkpoints(ctx context.Context) (map[string]Checkpoint, error)

	// DeadLetters gives up to limit dead letters in the order of their keys,
	// starting behind the key after ("" for the first).
	DeadLetters(ctx context.Context, after string, limit int) ([]DeadLetter, error)
	// DeadLetter gives the dead letter with a key, or ErrNotFound.
	DeadLetter(ctx context.Context, key string) (DeadLetter, error)
	// DeleteDeadLetters removes the dead letters with the keys, and tells how
	// many of them were there. After an error some may be gone.
	DeleteDeadLetters(ctx context.Context, keys []string) (deleted int, err error)

	// SchemaVersion tells the version of the store's schema; 0 is an empty
	// store.
	SchemaVersion(ctx context.Context) (int, error)
	// Migrate brings the schema to the newest version that this program knows,
	// one version after the other, and calls done after each. It may be run
	// by several processes at once, and again after it was interrupted.
	Migrate(ctx context.Context, done func(version int, name string)) error

	// Close releases what the store holds. No other method may be running.
	Close() error
}

// Errors of the contract.
var (
	// ErrUnavailable is wrapped by errors that say that the store cannot be
	// reached or cannot take more just now.
	ErrUnavailable = errors.New("store unavailable")
	// ErrNotFound says that there is no such thing.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that a compare-and-swap found another rev or term.
	ErrConflict = errors.New("changed by another writer")
)

// DamagedError says that a rollup is there but cannot be read.
type DamagedError struct {
	Key DayKey
	// Rev is the rev to write a replacement with.
	Rev uint64
	Err error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("rollup %s is damaged: %v", e.Key, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// DayKey names the rollup of one site on one date in one time zone. Rollups of
// the same date in different zones are different rollups, which know nothing
// of each other.
type DayKey struct {
	Site string `json:"site"`
	// Zone is the IANA name of the time zone whose day it is; "" is UTC.
	Zone string `json:"zone,omitempty"`
	// Date is YYYY-MM-DD, or YYYY-MM for a month.
	Date string `json:"date"`
}

// KeyOf gives the key of a rollup.
func KeyOf(day *rollup.Day) DayKey { return DayKey{Site: day.Site, Zone: day.Zone, Date: day.Date} }

// NewDay makes an empty rollup with the key, that was never stored.
func NewDay(key DayKey) *rollup.Day {
	day := rollup.NewDay(key.Site, key.Date)
	day.Zone = key.Zone
	return day
}

// String gives the key as it stands in the store: "site|date" for UTC, else
// "site|date|zone".
func (k DayKey) String() string {
	s := k.Site + "|" + k.Date
	if k.Zone != "" {
		s += "|" + k.Zone
	}
	return s
}

// Head is what a list of rollups tells of each without reading it.
type Head struct {
	Date string
	// Rev is the rollup's rev; 0 if it is damaged so that its rev cannot be
	// read.
	Rev uint64
	// Events and Views are its totals, as they were when it was last written.
	Events, Views uint64
}

// Days are the rollups.
type Days interface {
	// Day gives one rollup, or ErrNotFound or a *DamagedError.
	Day(ctx context.Context, key DayKey) (*rollup.Day, error)

	// SiteDays calls fn for each rollup of a site in a zone with
	// from <= date <= to, in the order of the dates. An empty from or to is no
	// bound. A damaged one is given as its DamagedError with no day. An error
	// of fn ends it and is returned. Only the fields are read; of a damaged one
	// that can be enough to read it.
	SiteDays(ctx context.Context, site, zone, from, to string, fields rollup.Fields, fn func(*rollup.Day, *DamagedError) error) error

	// DayHeads lists the rollups that SiteDays would give, damaged ones too.
	// It reads none of them: its cost grows with the dates, not with what the
	// rollups hold.
	DayHeads(ctx context.Context, site, zone, from, to string) ([]Head, error)

	// SwapDay writes a rollup if the stored one has the rev day.Rev, and sets
	// day.Rev to NextRev of it; ErrConflict if it has another. Rev 0 is for a
	// rollup that is not there, or whose rev cannot be read. After another
	// error the outcome is unknown: load the day again, its marks tell.
	SwapDay(ctx context.Context, day *rollup.Day) error

	// Month gives the fields of the rollup of a month, whose key.Date is
	// YYYY-MM, or ErrNotFound or a *DamagedError. It is valid only while its Parts are the
	// heads that the days of the month have now; who reads it compares them.
	Month(ctx context.Context, key DayKey, fields rollup.Fields) (*rollup.Day, error)
	// PutMonth writes the rollup of a month, in place of the stored one if
	// there is one. The last writer wins, whatever Rev says: what it wrote is
	// either valid or will be found not to be. A month without Parts is removed
	// instead.
	PutMonth(ctx context.Context, month *rollup.Day) error

	// DropRollups removes all days and months of a site in one zone. A writer
	// that still has one of the rollups finds a conflict.
	DropRollups(ctx context.Context, site, zone string) error
}

// NextRev gives the rev with which a rollup or a record is written in place of
// one of the rev given. A new one, in place of rev 0, begins at the time in
// milliseconds since 1970: so what was removed and made again has no rev that
// somebody may still know of the old one.
func NextRev(rev uint64) uint64 {
	if rev == 0 {
		return uint64(time.Now().UnixMilli())
	}
	return rev + 1
}

// Event is a raw event as it is stored.
type Event struct {
	event.Event
	// Stream and Position tell where the event came from.
	Stream   string
	Position rollup.Position
	// Date is the event's day in the time zone that its site had when the
	// event was stored. It is never changed, also when the zone is.
	Date string
}

// Events are the raw events.
type Events interface {
	// ScanDay calls fn for the raw events of a site with one of the dates,
	// stream by stream in the order of their names, in each in the order of
	// positions, whatever the dates. It gives those beyond the marks of after
	// and at or below the marks of upTo; a nil upTo is no bound, while a
	// stream that is not in a upTo is not read. The dates are distinct and
	// few: mostly one, and no more than the zones of a site make of one day.
	// The event is valid only during the call. An error of fn ends the scan
	// and is returned.
	ScanDay(ctx context.Context, site string, dates []string, after, upTo rollup.Marks, fn func(*Event) error) error

	// EventDates lists the dates with from <= date <= to on which a site has
	// raw events, in order. An empty from or to is no bound. Its cost grows
	// with the dates, not with the events.
	EventDates(ctx context.Context, site, from, to string) ([]string, error)
}

// Step is what a worker does with one contiguous run of a stream, in this
// order: Insert the raw events, DeadLetter what could not be used, Swap the
// rollups, Commit the checkpoint. A step is used by one goroutine, inserts
// once, and ends with Commit or Discard.
//
// On MongoDB each call takes effect at once. The embedded store keeps all of
// it back and writes it as one atomic batch at Commit; between Insert and the
// end, the step has its sites to itself: steps with the same sites, and
// SwapDay for them, wait.
type Step interface {
	// Insert inserts raw events and tells of each what became of it. It may
	// be given events that are in the store already. They must not be changed
	// before the step has ended.
	Insert(ctx context.Context, events []Event) ([]Outcome, error)

	// Load gives the rollups of the keys that are there and whole; of the
	// others, damaged ones are in the second result.
	Load(ctx context.Context, keys []DayKey) (map[DayKey]*rollup.Day, map[DayKey]*DamagedError, error)

	// Swap writes rollups, each if the stored one still has the day's Rev,
	// and sets the Rev of those written as SwapDay does. It returns the keys of those that
	// another writer may have changed: they must be loaded again, and their
	// marks tell whether the write is in all the same.
	Swap(ctx context.Context, days []*rollup.Day) (conflicts []DayKey, err error)

	// DeadLetter puts letters away. One that is there already, by its key, is
	// left as it is.
	DeadLetter(ctx context.Context, letters []DeadLetter) error

	// Commit saves the checkpoint, and returns when the whole step is
	// durable. A checkpoint behind the stored one changes nothing.
	Commit(ctx context.Context, checkpoint Checkpoint) error

	// Discard ends the step without a checkpoint. After Commit it does
	// nothing, so that it can be deferred.
	Discard()
}

// Result tells what became of an event at Insert.
type Result int

// The results.
const (
	// Inserted: the event is new.
	Inserted Result = iota
	// Replayed: it is in the store already with the same position, from an
	// earlier try. It is folded like a new one; the marks know if it was.
	Replayed
	// Duplicate: its key is taken by an event with another position. It is a
	// client's retry, and is not counted.
	Duplicate
	// Refused: the store will not take it, and never would.
	Refused
)

// Outcome is the result of inserting one event.
type Outcome struct {
	Result Result
	// Reason says why it was refused.
	Reason string
}

// Checkpoint tells how far a stream is done.
type Checkpoint struct {
	Stream string
	// Position is the last position whose raw event and rollup are written.
	Position rollup.Position
	// AsOf is the time up to which all that was accepted into the stream is
	// done.
	AsOf time.Time
}

// DeadLetter is an event that could not be decoded or stored.
type DeadLetter struct {
	Stream   string
	Position rollup.Position
	Reason   string
	// Line is the event as it stood in the queue.
	Line []byte
	// Time is when it was put away.
	Time time.Time
}

// Key names the dead letter, and sorts by stream and position.
func (d *DeadLetter) Key() string { return d.Stream + "@" + d.Position.String() }

// Leases tell who does what. They only spread the work: nothing breaks when
// two hold the same one.
//
// A lease is alive while its term keeps changing. Whoever waits for it
// watches the term on its own clock; no clocks are compared. Where a store
// belongs to one process at a time, leases end with that process: nobody has
// to wait for the dead.
type Leases interface {
	// Leases lists all leases.
	Leases(ctx context.Context) ([]Lease, error)
	// SwapLease writes the lease with its Term raised by one, if the stored
	// one has the Term given (0: there is none), else ErrConflict. A lease
	// with no owner is free.
	SwapLease(ctx context.Context, lease Lease) error
	// DropLease removes a lease if it has the term given, else ErrConflict.
	DropLease(ctx context.Context, lease Lease) error
}

// Lease is the claim of one owner on one thing.
type Lease struct {
	// Name is what is claimed, Owner by whom.
	Name, Owner string
	// Term counts the writes of the lease.
	Term uint64
}
