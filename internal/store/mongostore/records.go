package mongostore

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/daybook-analytics/daybook/internal/store"
)

// recordDoc is a document of sites, keys or salts.
type recordDoc struct {
	Name string `bson:"_id"`
	Rev  uint64 `bson:"rev"`
	Body []byte `bson:"body"`
}

func decodeRecord(kind store.RecordKind, raw bson.Raw) (store.Record, error) {
	var doc recordDoc
	if err := bson.Unmarshal(raw, &doc); err != nil {
		return store.Record{}, fmt.Errorf("record of %s %s: %w", kind, raw.Lookup("_id"), err)
	}
	return store.Record(doc), nil
}

// Records gives the named records of a kind.
func (s *Store) Records(ctx context.Context, kind store.RecordKind, names []string) (map[string]store.Record, error) {
	records := map[string]store.Record{}
	var damaged error
	doing := fmt.Sprintf("read the records of %ss", kind)
	err := eachID(ctx, doing, s.records[kind], names, nil, func(name string, raw bson.Raw) {
		record, err := decodeRecord(kind, raw)
		if err != nil {
			damaged = err
		}
		records[name] = record
	})
	if err == nil {
		err = damaged
	}
	if err != nil {
		return nil, err
	}
	return records, nil
}

// RecordsAfter gives records of a kind in the order of their names.
func (s *Store) RecordsAfter(ctx context.Context, kind store.RecordKind, after string, limit int) ([]store.Record, error) {
	var records []store.Record
	filter := bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: after}}}}
	opts := options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(int64(limit))
	err := each(ctx, fmt.Sprintf("list the records of %ss", kind), s.records[kind], filter, opts, func(raw bson.Raw) error {
		record, err := decodeRecord(kind, raw)
		records = append(records, record)
		return err
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}

// SwapRecord writes a record if the stored one has the rev given.
func (s *Store) SwapRecord(ctx context.Context, kind store.RecordKind, record *store.Record) error {
	if err := record.Validate(kind); err != nil {
		return err
	}
	doc := recordDoc(*record)
	doc.Rev = store.NextRev(doc.Rev)
	if doc.Body == nil {
		doc.Body = []byte{} // binary, not null
	}
	var err error
	written := int64(1)
	if record.Rev == 0 {
		_, err = s.records[kind].InsertOne(ctx, doc)
	} else {
		var result *mongo.UpdateResult
		if result, err = s.records[kind].ReplaceOne(ctx, recordRevFilter(record), doc); err == nil {
			written = result.MatchedCount
		}
	}
	if err := recordError(ctx, "write", kind, record, written, err); err != nil {
		return err
	}
	record.Rev = doc.Rev
	return nil
}

// DropRecord removes a record if it has the rev given. What MongoDB keeps of
// it for a while is in docs/format/mongodb.md.
func (s *Store) DropRecord(ctx context.Context, kind store.RecordKind, record store.Record) error {
	var dropped int64
	result, err := s.records[kind].DeleteOne(ctx, recordRevFilter(&record))
	if err == nil {
		dropped = result.DeletedCount
	}
	return recordError(ctx, "drop", kind, &record, dropped, err)
}

func recordRevFilter(r *store.Record) bson.D {
	return append(byID(r.Name), bson.E{Key: "rev", Value: r.Rev})
}

// recordError tells what a write of a record came to that found n documents.
func recordError(ctx context.Context, what string, kind store.RecordKind, r *store.Record, n int64, err error) error {
	if mongo.IsDuplicateKeyError(err) || err == nil && n == 0 {
		return fmt.Errorf("the record of %s %s, rev %d: %w", kind, r.Name, r.Rev, store.ErrConflict)
	}
	return explain(ctx, fmt.Sprintf("%s the record of %s %s", what, kind, r.Name), err)
}
