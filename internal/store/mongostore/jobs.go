package mongostore

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/daybook-analytics/daybook/internal/store"
)

// jobDoc is a document of jobs.
type jobDoc struct {
	ID   string `bson:"_id"`
	Rev  uint64 `bson:"rev"`
	Body []byte `bson:"body"`
}

func decodeJob(raw bson.Raw) (store.Job, error) {
	var doc jobDoc
	if err := bson.Unmarshal(raw, &doc); err != nil {
		return store.Job{}, fmt.Errorf("job %s: %w", raw.Lookup("_id"), err)
	}
	return store.Job(doc), nil
}

// Job gives one job.
func (s *Store) Job(ctx context.Context, id string) (store.Job, error) {
	raw, err := s.jobs.FindOne(ctx, byID(id)).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return store.Job{}, fmt.Errorf("job %q: %w", id, store.ErrNotFound)
	}
	if err != nil {
		return store.Job{}, explain(ctx, "read job "+id, err)
	}
	return decodeJob(raw)
}

// Jobs gives jobs in falling order of their IDs.
func (s *Store) Jobs(ctx context.Context, before string, limit int) ([]store.Job, error) {
	var jobs []store.Job
	filter := bson.D{}
	if before != "" {
		filter = bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: before}}}}
	}
	opts := options.Find().SetSort(bson.D{{Key: "_id", Value: -1}}).SetLimit(int64(limit))
	err := each(ctx, "list jobs", s.jobs, filter, opts, func(raw bson.Raw) error {
		job, err := decodeJob(raw)
		jobs = append(jobs, job)
		return err
	})
	if err != nil {
		return nil, err
	}
	return jobs, nil
}

// SwapJob writes a job if the stored one has the rev given.
func (s *Store) SwapJob(ctx context.Context, job *store.Job) error {
	if err := job.Validate(); err != nil {
		return err
	}
	doc := jobDoc(*job)
	doc.Rev++
	if doc.Body == nil {
		doc.Body = []byte{} // binary, not null
	}
	var err error
	written := int64(1)
	if job.Rev == 0 {
		_, err = s.jobs.InsertOne(ctx, doc)
	} else {
		var result *mongo.UpdateResult
		filter := append(byID(job.ID), bson.E{Key: "rev", Value: job.Rev})
		if result, err = s.jobs.ReplaceOne(ctx, filter, doc); err == nil {
			written = result.MatchedCount
		}
	}
	if mongo.IsDuplicateKeyError(err) || err == nil && written == 0 {
		return fmt.Errorf("job %s, rev %d: %w", job.ID, job.Rev, store.ErrConflict)
	}
	if err != nil {
		return explain(ctx, "write job "+job.ID, err)
	}
	job.Rev++
	return nil
}

// DropJob removes a job.
func (s *Store) DropJob(ctx context.Context, id string) error {
	_, err := s.jobs.DeleteOne(ctx, byID(id))
	return explain(ctx, "drop job "+id, err)
}

func byID(id string) bson.D { return bson.D{{Key: "_id", Value: id}} }
