package mongostore

import (
	"context"
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// each calls fn for every document that the filter finds. The document is
// valid only during the call. An error of fn ends it and is returned as it is.
func each(ctx context.Context, doing string, c *mongo.Collection, filter any, opts *options.FindOptionsBuilder, fn func(bson.Raw) error) (err error) {
	cursor, err := c.Find(ctx, filter, opts)
	if err != nil {
		return explain(ctx, doing, err)
	}
	defer func() {
		// The cursor is closed on the server even when the caller gives up.
		closed := cursor.Close(context.WithoutCancel(ctx))
		if err == nil {
			err = explain(ctx, doing, closed)
		}
	}()
	for cursor.Next(ctx) {
		if err := fn(cursor.Current); err != nil {
			return err
		}
		// Next looks at the context only when it has to ask the server.
		if err := ctx.Err(); err != nil {
			return explain(ctx, doing, err)
		}
	}
	return explain(ctx, doing, cursor.Err())
}

// idsAtOnce is how many documents are asked for by _id in one query.
const idsAtOnce = 1000

// eachID calls fn for each document of a collection whose _id is in the list,
// with the fields of the projection (nil: all of them).
func eachID(ctx context.Context, doing string, c *mongo.Collection, ids []string, projection any, fn func(id string, raw bson.Raw)) error {
	for chunk := range slices.Chunk(ids, idsAtOnce) {
		filter := bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: chunk}}}}
		err := each(ctx, doing, c, filter, options.Find().SetProjection(projection), func(raw bson.Raw) error {
			fn(raw.Lookup("_id").StringValue(), raw)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func keysOf[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
