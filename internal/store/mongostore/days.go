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
	d, damaged := decodeDay(key, raw)
	if damaged != nil {
		return nil, damaged
	}
	return d, nil
}

// SiteDays calls fn for the rollups of a site.
func (s *Store) SiteDays(ctx context.Context, site, from, to string, fn func(*rollup.Day, *store.DamagedError) error) error {
	return each(ctx, "read rollups of "+site, s.days, siteFilter(site, from, to),
		options.Find().SetSort(bson.D{{Key: "date", Value: 1}}),
		func(raw bson.Raw) error {
			date, _ := raw.Lookup("date").StringValueOK()
			return fn(decodeDay(store.DayKey{Site: site, Date: date}, raw))
		})
}

// siteFilter finds what belongs to a site in a range of dates.
func siteFilter(site, from, to string) bson.D {
	filter := bson.D{{Key: "site_id", Value: site}}
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
	key := dayKey(day)
	doc, err := encodeDay(day, day.Rev+1)
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
	day.Rev++
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
		if d, bad := decodeDay(key, raw); bad != nil {
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
	for i, day := range days {
		doc, err := encodeDay(day, day.Rev+1)
		if err != nil {
			return nil, err
		}
		if day.Rev == 0 {
			models[i] = mongo.NewInsertOneModel().SetDocument(doc)
			continue
		}
		filter, _ := swapFilter(dayKey(day), day.Rev)
		models[i] = mongo.NewReplaceOneModel().SetFilter(filter).SetReplacement(doc)
	}
	result, err := st.s.days.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
	single, err := writeErrors(err)
	if err != nil {
		return nil, explain(ctx, "write rollups", err)
	}
	for i, e := range single {
		if !isDuplicateKey(e) {
			return nil, explain(ctx, fmt.Sprintf("write rollup %s", dayKey(days[i])), e)
		}
	}
	if result.MatchedCount+result.InsertedCount == int64(len(days)) {
		for _, day := range days {
			day.Rev++
		}
		return nil, nil
	}
	return st.s.sortOut(ctx, days)
}

// sortOut tells which of the days are in, after a write of which only some
// are: the server says how many it replaced, not which. A document with our
// rev and our marks is ours, or another writer's that folded the same events
// into the same day, which is the same document.
//
// A day of rev 0 found no place when a document is there whose rev cannot be
// read; that one it may replace.
func (s *Store) sortOut(ctx context.Context, days []*rollup.Day) (conflicts []store.DayKey, err error) {
	byID := make(map[string]*rollup.Day, len(days))
	for _, day := range days {
		byID[dayKey(day).String()] = day
	}
	in, unreadable := map[*rollup.Day]bool{}, map[*rollup.Day]bool{}
	projection := bson.D{{Key: "rev", Value: 1}, {Key: "marks", Value: 1}}
	err = eachID(ctx, "read rollups", s.days, keysOf(byID), projection, func(id string, raw bson.Raw) {
		var doc struct {
			Marks []markDoc `bson:"marks"`
		}
		day, rev := byID[id], readRev(raw)
		in[day] = rev == day.Rev+1 && bson.Unmarshal(raw, &doc) == nil &&
			slices.Equal(doc.Marks, encodeMarks(day.Marks))
		unreadable[day] = rev == 0
	})
	if err != nil {
		return nil, err
	}
	for _, day := range days {
		switch {
		case in[day]:
			day.Rev++
		case day.Rev == 0 && unreadable[day]:
			err := s.SwapDay(ctx, day)
			if errors.Is(err, store.ErrConflict) {
				conflicts = append(conflicts, dayKey(day))
			} else if err != nil {
				return nil, err
			}
		default:
			conflicts = append(conflicts, dayKey(day))
		}
	}
	return conflicts, nil
}

func dayKey(d *rollup.Day) store.DayKey { return store.DayKey{Site: d.Site, Date: d.Date} }
