package store

import (
	"context"
	"fmt"
)

// Records are small things that somebody has set or made, by kind and name:
// the settings of sites, keys, salts. The store knows nothing of their
// contents, and names of different kinds have nothing to do with each other.
// kind is one of RecordKinds.
type Records interface {
	// Records gives those of the named records that are there. Those of sites
	// it gives cheaply enough to be asked in every step of a worker: a site
	// needs no record to have events, and whoever reads them says what holds
	// without one.
	Records(ctx context.Context, kind RecordKind, names []string) (map[string]Record, error)
	// RecordsAfter lists up to limit records in the order of their names,
	// starting behind the name after ("" for the first). Its cost grows with
	// what it lists, not with what there is.
	RecordsAfter(ctx context.Context, kind RecordKind, after string, limit int) ([]Record, error)
	// SwapRecord writes a record if the stored one has the rev record.Rev (0:
	// there is none), durably, and sets record.Rev to NextRev of it; else
	// ErrConflict. Whoever asks after that gets the new one.
	SwapRecord(ctx context.Context, kind RecordKind, record *Record) error
	// DropRecord removes a record if it is there and has the rev record.Rev,
	// else ErrConflict.
	//
	// A salt is destroyed, so that what was hashed with it cannot be hashed
	// again: the store removes what has it from its disk, as far as that is up
	// to it, before DropRecord returns or moments later. docs/format says what
	// can remain on each backend. After an error that is not ErrConflict the
	// record may be gone and its bytes still be there; the next drop of a salt
	// removes them too.
	DropRecord(ctx context.Context, kind RecordKind, record Record) error
}

// RecordKind says what a record is of.
type RecordKind string

// The kinds, as errors name them.
const (
	// SiteKind is the settings of a site, by the site.
	SiteKind RecordKind = "site"
	// KeyKind is what is known of a key that gives access, by the key's ID.
	KeyKind RecordKind = "key"
	// SaltKind is the salt of the visitors of one date, by the date.
	SaltKind RecordKind = "salt"
)

// RecordKinds are all kinds that there are. It must not be changed.
var RecordKinds = []RecordKind{SiteKind, KeyKind, SaltKind}

// Record is one record of a kind.
type Record struct {
	Name string
	// Rev counts the writes, from where NextRev begins: equal revs of a name
	// are the same record, also where it was dropped and made again.
	Rev uint64
	// Body is the record's contents, at most MaxRecordBytes.
	Body []byte
}

// MaxRecordBytes is the longest Body of a Record.
const MaxRecordBytes = 64 << 10

// Validate tells what keeps SwapRecord of any store from taking the record.
func (r *Record) Validate(kind RecordKind) error {
	if r.Name == "" {
		return fmt.Errorf("a record of a %s without a name", kind)
	}
	if len(r.Body) > MaxRecordBytes {
		return fmt.Errorf("the record of %s %s has %d bytes, and %d is the most", kind, r.Name, len(r.Body), MaxRecordBytes)
	}
	return nil
}
