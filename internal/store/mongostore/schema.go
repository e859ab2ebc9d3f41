package mongostore

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/daybook-analytics/daybook/migrations"
)

// schemaID is the _id of the one document of schema.
const schemaID = "version"

// indexNotFound is the code of the error of dropping an index that is not
// there.
const indexNotFound = 27

// SchemaVersion tells the version of the schema.
func (s *Store) SchemaVersion(ctx context.Context) (int, error) {
	var doc struct {
		Version int `bson:"version"`
	}
	err := s.schema.FindOne(ctx, bson.D{{Key: "_id", Value: schemaID}}).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return 0, nil
	}
	return doc.Version, explain(ctx, "read the schema version", err)
}

// Migrate brings the schema to the newest version. The commands of a version
// may be run again and by several at once (package migrations), and the
// version never goes back, so that no lock is needed.
func (s *Store) Migrate(ctx context.Context, done func(version int, name string)) error {
	version, err := s.SchemaVersion(ctx)
	if err != nil {
		return err
	}
	for _, m := range migrations.All() {
		if m.Version <= version {
			continue
		}
		if err := s.apply(ctx, m); err != nil {
			return explain(ctx, fmt.Sprintf("migration %d (%s)", m.Version, m.Name), err)
		}
		done(m.Version, m.Name)
	}
	return nil
}

// apply runs the commands of a migration and records its version.
func (s *Store) apply(ctx context.Context, m migrations.Migration) error {
	for i, text := range m.MongoDB {
		var command bson.D
		if err := bson.UnmarshalExtJSON(text, false, &command); err != nil {
			return fmt.Errorf("command %d: %w", i+1, err)
		}
		// A database command does not take the client's write concern.
		command = append(command, bson.E{Key: "writeConcern", Value: bson.D{{Key: "w", Value: "majority"}, {Key: "j", Value: true}}})
		// An index that is to be dropped and is not there any more was dropped by
		// an earlier try or by another process.
		var server mongo.ServerError
		err := s.db.RunCommand(ctx, command).Err()
		if err != nil && !(errors.As(err, &server) && server.HasErrorCode(indexNotFound)) {
			return fmt.Errorf("command %d: %w", i+1, err)
		}
	}
	_, err := s.schema.UpdateOne(ctx,
		bson.D{{Key: "_id", Value: schemaID}, {Key: "version", Value: bson.D{{Key: "$lt", Value: m.Version}}}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "version", Value: m.Version}}}},
		options.UpdateOne().SetUpsert(true))
	if mongo.IsDuplicateKeyError(err) {
		return nil // another process has recorded this version, or a newer one
	}
	return err
}
