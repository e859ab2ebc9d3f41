package mongostore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Sites lists sites in order. Of each collection it takes as many as are
// wanted, since any of them may be in that one only.
func (s *Store) Sites(ctx context.Context, after string, limit int) ([]string, error) {
	sites, err := sitesOf(ctx, s.events, after, limit)
	if err != nil {
		return nil, err
	}
	withDays, err := sitesOf(ctx, s.days, after, limit)
	if err != nil {
		return nil, err
	}
	sites = append(sites, withDays...)
	slices.Sort(sites)
	sites = slices.Compact(sites)
	return sites[:min(limit, len(sites))], nil
}

// sitesOf lists the sites of a collection, with a short query for each: the
// next one in an index that begins with site_id. A distinct would walk all
// sites for each page, and fails when they are too many for one answer.
func sitesOf(ctx context.Context, c *mongo.Collection, after string, limit int) (sites []string, err error) {
	first := options.FindOne().
		SetSort(bson.D{{Key: "site_id", Value: 1}}).
		SetProjection(bson.D{{Key: "_id", Value: 0}, {Key: "site_id", Value: 1}})
	for len(sites) < limit {
		var doc struct {
			Site string `bson:"site_id"`
		}
		err := c.FindOne(ctx, bson.D{{Key: "site_id", Value: bson.D{{Key: "$gt", Value: after}}}}, first).Decode(&doc)
		if errors.Is(err, mongo.ErrNoDocuments) {
			return sites, nil
		}
		if err != nil {
			return nil, explain(ctx, fmt.Sprintf("list the site behind %q", after), err)
		}
		sites = append(sites, doc.Site)
		after = doc.Site
	}
	return sites, nil
}

// DayDates lists the dates of a site's rollups in a zone.
func (s *Store) DayDates(ctx context.Context, site, zone, from, to string) ([]string, error) {
	heads, err := s.DayHeads(ctx, site, zone, from, to)
	var dates []string
	for _, head := range heads {
		dates = append(dates, head.Date)
	}
	return dates, err
}
