package mongostore

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/daybook-analytics/daybook/internal/store"
)

// siteDoc is a document of sites.
type siteDoc struct {
	Site string `bson:"_id"`
	Rev  uint64 `bson:"rev"`
	Body []byte `bson:"body"`
}

func decodeSiteRecord(raw bson.Raw) (store.SiteRecord, error) {
	var doc siteDoc
	if err := bson.Unmarshal(raw, &doc); err != nil {
		return store.SiteRecord{}, fmt.Errorf("record of site %s: %w", raw.Lookup("_id"), err)
	}
	return store.SiteRecord(doc), nil
}

// SiteRecords gives the records of sites.
func (s *Store) SiteRecords(ctx context.Context, sites []string) (map[string]store.SiteRecord, error) {
	records := map[string]store.SiteRecord{}
	var damaged error
	err := eachID(ctx, "read the records of sites", s.sites, sites, nil, func(site string, raw bson.Raw) {
		record, err := decodeSiteRecord(raw)
		if err != nil {
			damaged = err
		}
		records[site] = record
	})
	if err == nil {
		err = damaged
	}
	if err != nil {
		return nil, err
	}
	return records, nil
}

// SiteRecordsAfter gives records in the order of their sites.
func (s *Store) SiteRecordsAfter(ctx context.Context, after string, limit int) ([]store.SiteRecord, error) {
	var records []store.SiteRecord
	filter := bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: after}}}}
	opts := options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(int64(limit))
	err := each(ctx, "list the records of sites", s.sites, filter, opts, func(raw bson.Raw) error {
		record, err := decodeSiteRecord(raw)
		records = append(records, record)
		return err
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}

// SwapSiteRecord writes a record if the stored one has the rev given.
func (s *Store) SwapSiteRecord(ctx context.Context, record *store.SiteRecord) error {
	if err := record.Validate(); err != nil {
		return err
	}
	doc := siteDoc(*record)
	doc.Rev++
	if doc.Body == nil {
		doc.Body = []byte{} // binary, not null
	}
	var err error
	written := int64(1)
	if record.Rev == 0 {
		_, err = s.sites.InsertOne(ctx, doc)
	} else {
		var result *mongo.UpdateResult
		if result, err = s.sites.ReplaceOne(ctx, siteRevFilter(record), doc); err == nil {
			written = result.MatchedCount
		}
	}
	if err := siteRecordError(ctx, "write", record, written, err); err != nil {
		return err
	}
	record.Rev++
	return nil
}

// DropSiteRecord removes a record if it has the rev given.
func (s *Store) DropSiteRecord(ctx context.Context, record store.SiteRecord) error {
	var dropped int64
	result, err := s.sites.DeleteOne(ctx, siteRevFilter(&record))
	if err == nil {
		dropped = result.DeletedCount
	}
	return siteRecordError(ctx, "drop", &record, dropped, err)
}

func siteRevFilter(r *store.SiteRecord) bson.D {
	return append(byID(r.Site), bson.E{Key: "rev", Value: r.Rev})
}

// siteRecordError tells what a write of a record came to that found n
// documents.
func siteRecordError(ctx context.Context, what string, r *store.SiteRecord, n int64, err error) error {
	if mongo.IsDuplicateKeyError(err) || err == nil && n == 0 {
		return fmt.Errorf("the record of site %s, rev %d: %w", r.Site, r.Rev, store.ErrConflict)
	}
	return explain(ctx, what+" the record of site "+r.Site, err)
}
