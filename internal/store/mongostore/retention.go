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

// KeptSince gives the date from which on all raw events of a site are there.
func (s *Store) KeptSince(ctx context.Context, site string) (string, error) {
	var doc struct {
		KeptSince string `bson:"kept_since"`
	}
	err := s.retention.FindOne(ctx, byID(site)).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return "", nil
	}
	return doc.KeptSince, explain(ctx, "read since when raw events of "+site+" are kept", err)
}

// raiseKept makes KeptSince at least the date.
func (s *Store) raiseKept(ctx context.Context, site, date string) error {
	raise := func() error {
		_, err := s.retention.UpdateOne(ctx, byID(site),
			bson.D{{Key: "$max", Value: bson.D{{Key: "kept_since", Value: date}}}},
			options.UpdateOne().SetUpsert(true))
		return err
	}
	err := raise()
	if mongo.IsDuplicateKeyError(err) {
		err = raise() // another process has just inserted the document
	}
	return explain(ctx, "record since when raw events of "+site+" are kept", err)
}

// Expire removes the raw events of a site before a date.
func (s *Store) Expire(ctx context.Context, site, before string) (removed int64, err error) {
	if before == "" {
		return 0, errors.New("no date is given before which events are to go")
	}
	if err := s.raiseKept(ctx, site, before); err != nil {
		return 0, err
	}
	return s.removeEvents(ctx, site, before)
}

// EraseUser removes the raw events of one user of a site. There is no index of
// users, since every write of an event would pay for it: all events of the
// dates are read.
func (s *Store) EraseUser(ctx context.Context, site, user, before string) (removed map[string]int64, err error) {
	if user == "" {
		return nil, errors.New("no user is given whose events are to be erased")
	}
	removed = map[string]int64{}
	dates, err := s.datesBefore(ctx, site, before)
	if err != nil {
		return removed, err
	}
	for _, date := range dates {
		filter := append(dayFilter(site, date), bson.E{Key: "user", Value: user})
		result, err := s.events.DeleteMany(ctx, filter)
		if err != nil {
			removed[date] += 0 // of this date too something may be gone
			return removed, explain(ctx, fmt.Sprintf("erase raw events of a user of %s|%s", site, date), err)
		}
		if result.DeletedCount > 0 {
			removed[date] += result.DeletedCount
		}
	}
	return removed, nil
}

// beyondDates stands for KeptSince while a whole site is being erased: none of
// its dates is whole.
const beyondDates = "9999-12-31"

// EraseDays removes the raw events and then the rollups of a site before a
// date. In this order a worker at the same time leaves rather a raw event
// without a rollup, which counts it again, than the other way round.
func (s *Store) EraseDays(ctx context.Context, site, before string) (events, rollups int64, err error) {
	kept := before
	if before == "" {
		kept = beyondDates
	}
	if err := s.raiseKept(ctx, site, kept); err != nil {
		return 0, 0, err
	}
	events, err = s.removeEvents(ctx, site, before)
	if err != nil {
		return events, 0, err
	}
	result, err := s.days.DeleteMany(ctx, beforeFilter(site, before))
	if err != nil {
		return events, 0, explain(ctx, "erase rollups of "+site, err)
	}
	if _, err := s.months.DeleteMany(ctx, beforeFilter(site, store.MonthsBefore(before))); err != nil {
		return events, result.DeletedCount, explain(ctx, "erase months of "+site, err)
	}
	if before == "" {
		if _, err := s.retention.DeleteOne(ctx, byID(site)); err != nil {
			return events, result.DeletedCount, explain(ctx, "forget since when raw events of "+site+" are kept", err)
		}
	}
	return events, result.DeletedCount, nil
}

// DropRollups removes the rollups of a site in a zone. The months go first:
// without its days a month is not valid, but would stay.
func (s *Store) DropRollups(ctx context.Context, site, zone string) error {
	for _, c := range []*mongo.Collection{s.months, s.days} {
		if _, err := c.DeleteMany(ctx, zoneFilter(site, zone)); err != nil {
			return explain(ctx, fmt.Sprintf("drop the rollups of %s in the time zone %q", site, zone), err)
		}
	}
	return nil
}

// removeEvents removes the raw events of a site before a date, or all, date
// by date in batches of known size: a single command over millions of them
// would tell nothing until its end, and could not be stopped between.
func (s *Store) removeEvents(ctx context.Context, site, before string) (removed int64, err error) {
	dates, err := s.datesBefore(ctx, site, before)
	if err != nil {
		return 0, err
	}
	opts := options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}).SetLimit(idsAtOnce)
	for _, date := range dates {
		doing := fmt.Sprintf("remove raw events of %s|%s", site, date)
		for {
			ids := make(bson.A, 0, idsAtOnce)
			err := each(ctx, doing, s.events, dayFilter(site, date), opts, func(raw bson.Raw) error {
				ids = append(ids, raw.Lookup("_id").StringValue())
				return nil
			})
			if err != nil {
				return removed, err
			}
			result, err := s.events.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}})
			if err != nil {
				return removed, explain(ctx, doing, err)
			}
			removed += result.DeletedCount
			if len(ids) < idsAtOnce {
				break
			}
		}
	}
	return removed, nil
}

// datesBefore lists the dates of a site's raw events before a date, or all.
func (s *Store) datesBefore(ctx context.Context, site, before string) ([]string, error) {
	dates, err := s.distinct(ctx, "date", beforeFilter(site, before))
	return dates, explain(ctx, "list the dates of raw events of "+site, err)
}

// beforeFilter finds what belongs to a site before a date; "" is no bound.
func beforeFilter(site, before string) bson.D {
	filter := siteFilter(site)
	if before != "" {
		filter = append(filter, bson.E{Key: "date", Value: bson.D{{Key: "$lt", Value: before}}})
	}
	return filter
}

func dayFilter(site, date string) bson.D {
	return bson.D{{Key: "site_id", Value: site}, {Key: "date", Value: date}}
}
