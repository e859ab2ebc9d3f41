package mongostore

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// monthRev is the rev of every month's document. It says nothing, but a
// document of a day has one.
const monthRev = 1

// Month gives fields of the rollup of a month.
func (s *Store) Month(ctx context.Context, key store.DayKey, fields rollup.Fields) (*rollup.Day, error) {
	raw, err := s.months.FindOne(ctx, byID(key.String()), options.FindOne().SetProjection(without(fields))).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, fmt.Errorf("month %s: %w", key, store.ErrNotFound)
	}
	if err != nil {
		return nil, explain(ctx, fmt.Sprintf("read month %s", key), err)
	}
	month, damaged := decodeDay(key, raw, fields)
	if damaged != nil {
		return nil, damaged
	}
	return month, nil
}

// PutMonth writes the rollup of a month.
func (s *Store) PutMonth(ctx context.Context, month *rollup.Day) error {
	key := store.KeyOf(month)
	if len(month.Parts) == 0 {
		_, err := s.months.DeleteOne(ctx, byID(key.String()))
		return explain(ctx, fmt.Sprintf("remove month %s", key), err)
	}
	doc, err := encodeDay(month, monthRev)
	if err != nil {
		return err
	}
	put := func() error {
		_, err := s.months.ReplaceOne(ctx, byID(key.String()), doc, options.Replace().SetUpsert(true))
		return err
	}
	err = put()
	if mongo.IsDuplicateKeyError(err) {
		err = put() // another process has just inserted the document
	}
	return explain(ctx, fmt.Sprintf("write month %s", key), err)
}
