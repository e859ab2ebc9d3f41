package mongostore

import (
	"fmt"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/daybook-analytics/daybook/internal/store/mongostore/mongotest"
	"github.com/daybook-analytics/daybook/migrations"
)

// TestMigrateOlderRollups proves that rollups which were written before there
// were zones are listed as those of UTC, and that the index which nobody needs
// any more is gone.
func TestMigrateOlderRollups(t *testing.T) {
	s := open(t, mongotest.Start(t))
	defer s.Close()
	ctx := t.Context()
	if err := s.apply(ctx, migrations.All()[0]); err != nil {
		t.Fatal(err)
	}
	_, err := s.days.InsertOne(ctx, bson.D{
		{Key: "_id", Value: "a|2026-11-23"}, {Key: "site_id", Value: "a"}, {Key: "date", Value: "2026-11-23"},
		{Key: "rev", Value: int64(7)}, {Key: "total_events", Value: int64(3)}, {Key: "total_views", Value: int64(2)},
	})
	if err != nil {
		t.Fatal(err)
	}
	indexes := func() (names []string) {
		specifications, err := s.days.Indexes().ListSpecifications(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, index := range specifications {
			names = append(names, index.Name)
		}
		slices.Sort(names)
		return names
	}
	if got := fmt.Sprint(indexes()); got != "[_id_ site]" {
		t.Fatalf("indexes of version 1 are %s", got)
	}

	// The second time is that of a process which was interrupted before it
	// recorded the version.
	for range 2 {
		if err := s.apply(ctx, migrations.All()[1]); err != nil {
			t.Fatal(err)
		}
		heads, err := s.DayHeads(ctx, "a", "", "", "")
		if got := fmt.Sprint(heads, err); got != "[{2026-11-23 7 3 2}] <nil>" {
			t.Errorf("heads are %s", got)
		}
		if got := fmt.Sprint(indexes()); got != "[_id_ heads]" {
			t.Errorf("indexes are %s", got)
		}
	}
}
