package mongostore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// checkpointDoc is a document of checkpoints.
type checkpointDoc struct {
	Stream   string    `bson:"_id"`
	Position string    `bson:"pos"`
	AsOf     time.Time `bson:"as_of"`
}

// Commit saves the checkpoint. It finds a document that is not ahead of it;
// where there is one that is, the upsert tries to insert a second and fails
// with a duplicate key.
func (st *step) Commit(ctx context.Context, c store.Checkpoint) error {
	pos := c.Position.String()
	_, err := st.s.checkpoints.UpdateOne(ctx,
		bson.D{{Key: "_id", Value: c.Stream}, {Key: "pos", Value: bson.D{{Key: "$lte", Value: pos}}}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "pos", Value: pos}, {Key: "as_of", Value: c.AsOf}}}},
		options.UpdateOne().SetUpsert(true))
	if mongo.IsDuplicateKeyError(err) {
		return nil
	}
	return explain(ctx, "save the checkpoint of stream "+c.Stream, err)
}

// Checkpoints gives all checkpoints.
func (s *Store) Checkpoints(ctx context.Context) (map[string]store.Checkpoint, error) {
	checkpoints := map[string]store.Checkpoint{}
	err := each(ctx, "read checkpoints", s.checkpoints, bson.D{}, options.Find(), func(raw bson.Raw) error {
		var doc checkpointDoc
		if err := bson.Unmarshal(raw, &doc); err != nil {
			return fmt.Errorf("checkpoint %s: %w", raw.Lookup("_id"), err)
		}
		p, err := rollup.ParsePosition(doc.Position)
		if err != nil {
			return fmt.Errorf("checkpoint of stream %s: %w", doc.Stream, err)
		}
		checkpoints[doc.Stream] = store.Checkpoint{Stream: doc.Stream, Position: p, AsOf: doc.AsOf}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return checkpoints, nil
}

// deadLetterDoc is a document of dead_letters.
type deadLetterDoc struct {
	Key      string    `bson:"_id"`
	Stream   string    `bson:"stream"`
	Position string    `bson:"pos"`
	Reason   string    `bson:"reason"`
	Line     []byte    `bson:"line"`
	Time     time.Time `bson:"time"`
}

// DeadLetter puts letters away.
func (st *step) DeadLetter(ctx context.Context, letters []store.DeadLetter) error {
	if len(letters) == 0 {
		return ctx.Err()
	}
	docs := make([]any, len(letters))
	for i := range letters {
		l := &letters[i]
		docs[i] = deadLetterDoc{
			Key: l.Key(), Stream: l.Stream, Position: l.Position.String(),
			Reason: l.Reason, Line: l.Line, Time: l.Time,
		}
	}
	_, err := st.s.deadLetters.InsertMany(ctx, docs, options.InsertMany().SetOrdered(false))
	single, err := writeErrors(err)
	if err != nil {
		return explain(ctx, "put away dead letters", err)
	}
	for i, e := range single {
		if !isDuplicateKey(e) {
			return explain(ctx, "put away dead letter "+letters[i].Key(), e)
		}
	}
	return nil
}

// DeadLetters gives dead letters in the order of their keys.
func (s *Store) DeadLetters(ctx context.Context, after string, limit int) ([]store.DeadLetter, error) {
	var letters []store.DeadLetter
	filter := bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: after}}}}
	opts := options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(int64(limit))
	err := each(ctx, "read dead letters", s.deadLetters, filter, opts, func(raw bson.Raw) error {
		letter, err := decodeDeadLetter(raw)
		letters = append(letters, letter)
		return err
	})
	if err != nil {
		return nil, err
	}
	return letters, nil
}

func decodeDeadLetter(raw bson.Raw) (store.DeadLetter, error) {
	var doc deadLetterDoc
	if err := bson.Unmarshal(raw, &doc); err != nil {
		return store.DeadLetter{}, fmt.Errorf("dead letter %s: %w", raw.Lookup("_id"), err)
	}
	p, err := rollup.ParsePosition(doc.Position)
	if err != nil {
		return store.DeadLetter{}, fmt.Errorf("dead letter %s: %w", doc.Key, err)
	}
	return store.DeadLetter{
		Stream: doc.Stream, Position: p,
		Reason: doc.Reason, Line: doc.Line, Time: doc.Time,
	}, nil
}

// DeadLetter gives one dead letter.
func (s *Store) DeadLetter(ctx context.Context, key string) (store.DeadLetter, error) {
	raw, err := s.deadLetters.FindOne(ctx, bson.D{{Key: "_id", Value: key}}).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return store.DeadLetter{}, fmt.Errorf("dead letter %q: %w", key, store.ErrNotFound)
	}
	if err != nil {
		return store.DeadLetter{}, explain(ctx, "read dead letter "+key, err)
	}
	return decodeDeadLetter(raw)
}

// DeleteDeadLetters removes dead letters.
func (s *Store) DeleteDeadLetters(ctx context.Context, keys []string) (deleted int, err error) {
	for chunk := range slices.Chunk(keys, idsAtOnce) {
		filter := bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: chunk}}}}
		result, err := s.deadLetters.DeleteMany(ctx, filter)
		if err != nil {
			return deleted, explain(ctx, "delete dead letters", err)
		}
		deleted += int(result.DeletedCount)
	}
	return deleted, ctx.Err()
}

// leaseDoc is a document of leases.
type leaseDoc struct {
	Name  string `bson:"_id"`
	Owner string `bson:"owner"`
	Term  uint64 `bson:"term"`
}

// Leases lists all leases.
func (s *Store) Leases(ctx context.Context) ([]store.Lease, error) {
	var leases []store.Lease
	err := each(ctx, "read leases", s.leases, bson.D{}, options.Find(), func(raw bson.Raw) error {
		var doc leaseDoc
		if err := bson.Unmarshal(raw, &doc); err != nil {
			return fmt.Errorf("lease %s: %w", raw.Lookup("_id"), err)
		}
		leases = append(leases, store.Lease(doc))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return leases, nil
}

// SwapLease writes a lease if it has the term given.
func (s *Store) SwapLease(ctx context.Context, lease store.Lease) error {
	doc := leaseDoc(lease)
	doc.Term++
	var err error
	written := int64(1)
	if lease.Term == 0 {
		_, err = s.leases.InsertOne(ctx, doc)
	} else {
		var result *mongo.UpdateResult
		if result, err = s.leases.ReplaceOne(ctx, leaseFilter(lease), doc); err == nil {
			written = result.MatchedCount
		}
	}
	return leaseError(ctx, "write", lease, written, err)
}

// DropLease removes a lease if it has the term given.
func (s *Store) DropLease(ctx context.Context, lease store.Lease) error {
	var dropped int64
	result, err := s.leases.DeleteOne(ctx, leaseFilter(lease))
	if err == nil {
		dropped = result.DeletedCount
	}
	return leaseError(ctx, "drop", lease, dropped, err)
}

func leaseFilter(l store.Lease) bson.D {
	return bson.D{{Key: "_id", Value: l.Name}, {Key: "term", Value: l.Term}}
}

// leaseError tells what a write of a lease came to that found n documents.
func leaseError(ctx context.Context, what string, l store.Lease, n int64, err error) error {
	if mongo.IsDuplicateKeyError(err) || err == nil && n == 0 {
		return fmt.Errorf("lease %s, term %d: %w", l.Name, l.Term, store.ErrConflict)
	}
	return explain(ctx, what+" lease "+l.Name, err)
}
