package mongostore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// Day gives one rollup.
func (s *Store) Day(ctx context.Context, key store.DayKey) (*rollup.Day, error) {
	raw, err := s.days.FindOne(ctx, bson.D{{Key: "_id", Value: key.String()}}).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, fmt.Errorf("rollup %s: %w", key, store.ErrNotFound)
	}
	if err != nil {
		return nil, explain(ctx, fmt.Sprintf("read rollup %s", key), err)
	}
	d, damaged := decodeDay(key, raw, rollup.AllFields)
	if damaged != nil {
		return nil, damaged
	}
	return d, nil
}

// SiteDays calls fn for fields of the rollups of a site in a zone.
func (s *Store) SiteDays(ctx context.Context, site, zone, from, to string, fields rollup.Fields, fn func(*rollup.Day, *store.DamagedError) error) error {
	return each(ctx, "read rollups of "+site, s.days, within(zoneFilter(site, zone), from, to),
		options.Find().SetSort(bson.D{{Key: "date", Value: 1}}).SetProjection(without(fields)),
		func(raw bson.Raw) error {
			date, _ := raw.Lookup("date").StringValueOK()
			return fn(decodeDay(store.DayKey{Site: site, Zone: zone, Date: date}, raw, fields))
		})
}

// DayHeads lists the rollups of a site in a zone. All that it asks for is in
// the index "heads", so that no document is read.
func (s *Store) DayHeads(ctx context.Context, site, zone, from, to string) ([]store.Head, error) {
	var heads []store.Head
	opts := options.Find().
		SetSort(bson.D{{Key: "date", Value: 1}}).
		SetProjection(bson.D{{Key: "_id", Value: 0}, {Key: "date", Value: 1}, {Key: "rev", Value: 1},
			{Key: "total_events", Value: 1}, {Key: "total_views", Value: 1}})
	err := each(ctx, "list the rollups of "+site, s.days, within(zoneFilter(site, zone), from, to), opts, func(raw bson.Raw) error {
		date, ok := raw.Lookup("date").StringValueOK()
		if !ok {
			return fmt.Errorf("a rollup of site %s has a date that is no string", site)
		}
		// Of a damaged rollup these may be no numbers, which counts as 0.
		events, _ := raw.Lookup("total_events").AsInt64OK()
		views, _ := raw.Lookup("total_views").AsInt64OK()
		heads = append(heads, store.Head{Date: date, Rev: readRev(raw), Events: uint64(events), Views: uint64(views)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return heads, nil
}

// siteFilter finds what belongs to a site, zoneFilter what of it belongs to a
// zone.
func siteFilter(site string) bson.D { return bson.D{{Key: "site_id", Value: site}} }

func zoneFilter(site, zone string) bson.D {
	return append(siteFilter(site), bson.E{Key: "zone", Value: zone})
}

// within narrows a filter down to a range of dates.
func within(filter bson.D, from, to string) bson.D {
	var dates bson.D
	if from != "" {
		dates = append(dates, bson.E{Key: "$gte", Value: from})
	}
	if to != "" {
		dates = append(dates, bson.E{Key: "$lte", Value: to})
	}
	if dates != nil {
		filter = append(filter, bson.E{Key: "date", Value: dates})
	}
	return filter
}

// SwapDay writes a rollup.
func (s *Store) SwapDay(ctx context.Context, day *rollup.Day) error {
	key, rev := store.KeyOf(day), store.NextRev(day.Rev)
	doc, err := encodeDay(day, rev)
	if err != nil {
		return err
	}
	filter, upsert := swapFilter(key, day.Rev)
	result, err := s.days.ReplaceOne(ctx, filter, doc, options.Replace().SetUpsert(upsert))
	if mongo.IsDuplicateKeyError(err) {
		return fmt.Errorf("rollup %s: %w", key, store.ErrConflict)
	}
	if err != nil {
		return explain(ctx, fmt.Sprintf("write rollup %s", key), err)
	}
	if result.MatchedCount+result.UpsertedCount == 0 {
		return fmt.Errorf("rollup %s: %w", key, store.ErrConflict)
	}
	day.Rev = rev
	return nil
}

// swapFilter finds the document that a day of the given rev may replace.
//
// With rev 0 that is one whose rev cannot be read, or none: then the write
// has to insert it. The insert fails with a duplicate key when a document is
// there after all, one whose rev can be read. With another rev nothing may be
// inserted, or a rollup that was deleted would come back.
func swapFilter(key store.DayKey, rev uint64) (filter bson.D, upsert bool) {
	id := bson.E{Key: "_id", Value: key.String()}
	if rev > 0 {
		return bson.D{id, {Key: "rev", Value: rev}}, false
	}
	readable := bson.D{{Key: "$type", Value: bson.A{"int", "long"}}, {Key: "$gte", Value: 1}}
	return bson.D{id, {Key: "rev", Value: bson.D{{Key: "$not", Value: readable}}}}, true
}

// Load gives the rollups of the keys.
func (st *step) Load(ctx context.Context, keys []store.DayKey) (map[store.DayKey]*rollup.Day, map[store.DayKey]*store.DamagedError, error) {
	whole := make(map[store.DayKey]*rollup.Day, len(keys))
	damaged := map[store.DayKey]*store.DamagedError{}
	byID := make(map[string]store.DayKey, len(keys))
	for _, key := range keys {
		byID[key.String()] = key
	}
	err := eachID(ctx, "read rollups", st.s.days, keysOf(byID), nil, func(id string, raw bson.Raw) {
		key := byID[id]
		if d, bad := decodeDay(key, raw, rollup.AllFields); bad != nil {
			damaged[key] = bad
		} else {
			whole[key] = d
		}
	})
	if err != nil {
		return nil, nil, err
	}
	return whole, damaged, nil
}

// Swap writes rollups, all in one bulk.
func (st *step) Swap(ctx context.Context, days []*rollup.Day) ([]store.DayKey, error) {
	if len(days) == 0 {
		return nil, ctx.Err()
	}
	models := make([]mongo.WriteModel, len(days))
	revs := make([]uint64, len(days)) // those that are written
	for i, day := range days {
		revs[i] = store.NextRev(day.Rev)
		doc, err := encodeDay(day, revs[i])
		if err != nil {
			return nil, err
		}
		if day.Rev == 0 {
			models[i] = mongo.NewInsertOneModel().SetDocument(doc)
			continue
		}
		filter, _ := swapFilter(store.KeyOf(day), day.Rev)
		models[i] = mongo.NewReplaceOneModel().SetFilter(filter).SetReplacement(doc)
	}
	result, err := st.s.days.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
	single, err := writeErrors(err)
	if err != nil {
		return nil, explain(ctx, "write rollups", err)
	}
	for i, e := range single {
		if !isDuplicateKey(e) {
			return nil, explain(ctx, fmt.Sprintf("write rollup %s", store.KeyOf(days[i])), e)
		}
	}
	if result.MatchedCount+result.InsertedCount == int64(len(days)) {
		for i, day := range days {
			day.Rev = revs[i]
		}
		return nil, nil
	}
	return st.s.sortOut(ctx, days, revs)
}

// sortOut tells which of the days are in, after a write of which only some
// are: the server says how many it replaced, not which. A document with the
// rev that we wrote and our marks is ours, or another writer's that folded the
// same events into the same day, which is the same document.
//
// A day of rev 0 found no place when a document is there whose rev cannot be
// read; that one it may replace.
func (s *Store) sortOut(ctx context.Context, days []*rollup.Day, revs []uint64) (conflicts []store.DayKey, err error) {
	index := make(map[string]int, len(days))
	for i, day := range days {
		index[store.KeyOf(day).String()] = i
	}
	in, unreadable := make([]bool, len(days)), make([]bool, len(days))
	projection := bson.D{{Key: "rev", Value: 1}, {Key: "marks", Value: 1}}
	err = eachID(ctx, "read rollups", s.days, keysOf(index), projection, func(id string, raw bson.Raw) {
		var doc struct {
			Marks []markDoc `bson:"marks"`
		}
		i, rev := index[id], readRev(raw)
		in[i] = rev == revs[i] && bson.Unmarshal(raw, &doc) == nil &&
			slices.Equal(doc.Marks, encodeMarks(days[i].Marks))
		unreadable[i] = rev == 0
	})
	if err != nil {
		return nil, err
	}
	for i, day := range days {
		switch {
		case in[i]:
			day.Rev = revs[i]
		case day.Rev == 0 && unreadable[i]:
			err := s.SwapDay(ctx, day)
			if errors.Is(err, store.ErrConflict) {
				conflicts = append(conflicts, store.KeyOf(day))
			} else if err != nil {
				return nil, err
			}
		default:
			conflicts = append(conflicts, store.KeyOf(day))
		}
	}
	return conflicts, nil
}
