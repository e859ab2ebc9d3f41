package store

import (
	"context"
	"fmt"
)

// SiteRecords are the settings of sites. The store knows nothing of their
// contents, and a site needs no record to have events: whoever reads them
// says what holds without one.
type SiteRecords interface {
	// SiteRecords gives the records of those of the sites that have one. It is
	// cheap enough to be asked in every step of a worker.
	SiteRecords(ctx context.Context, sites []string) (map[string]SiteRecord, error)
	// SiteRecordsAfter lists up to limit records in the order of their sites,
	// starting behind the site after ("" for the first).
	SiteRecordsAfter(ctx context.Context, after string, limit int) ([]SiteRecord, error)
	// SwapSiteRecord writes a record if the stored one has the rev record.Rev
	// (0: there is none), durably, and raises record.Rev by one; else
	// ErrConflict. Whoever asks after that gets the new one.
	SwapSiteRecord(ctx context.Context, record *SiteRecord) error
	// DropSiteRecord removes the record of a site if it is there and has the
	// rev record.Rev, else ErrConflict.
	DropSiteRecord(ctx context.Context, record SiteRecord) error
}

// SiteRecord is the settings of one site.
type SiteRecord struct {
	Site string
	// Rev counts the writes.
	Rev uint64
	// Body is the record's contents, at most MaxSiteRecordBytes.
	Body []byte
}

// MaxSiteRecordBytes is the longest Body of a SiteRecord.
const MaxSiteRecordBytes = 64 << 10

// Validate tells what keeps SwapSiteRecord of any store from taking the
// record.
func (r *SiteRecord) Validate() error {
	if r.Site == "" {
		return fmt.Errorf("a record of a site without a name")
	}
	if len(r.Body) > MaxSiteRecordBytes {
		return fmt.Errorf("the record of site %s has %d bytes, and %d is the most", r.Site, len(r.Body), MaxSiteRecordBytes)
	}
	return nil
}
