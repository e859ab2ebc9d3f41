package mongostore

import (
	"flag"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.uber.org/goleak"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/store/mongostore/mongotest"
	"github.com/daybook-analytics/daybook/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a store on the database of the URI.
func open(t *testing.T, uri string) *Store {
	t.Helper()
	s, err := Open(t.Context(), uri, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	// Over the network a check of the model takes seconds.
	if err := flag.Set("rapid.checks", "3"); err != nil {
		t.Fatal(err)
	}
	storetest.Run(t, storetest.Backend{
		New: func(t *testing.T) func() store.Store {
			uri := mongotest.Start(t)
			return func() store.Store { return open(t, uri) }
		},
		Damage: map[string]func(t *testing.T, s store.Store, key store.DayKey){
			"TypeOfACount":  damage(bson.D{{Key: "$set", Value: bson.D{{Key: "total_events", Value: "many"}}}}),
			"WrongSum":      damage(bson.D{{Key: "$set", Value: bson.D{{Key: "total_views", Value: 7_000}}}}),
			"MissingMarks":  damage(bson.D{{Key: "$unset", Value: bson.D{{Key: "marks", Value: ""}}}}),
			"BadMark":       damage(bson.D{{Key: "$set", Value: bson.D{{Key: "marks", Value: bson.A{bson.D{{Key: "s", Value: "1:0"}, {Key: "p", Value: "12-0"}}}}}}}),
			"MissingUsers":  damage(bson.D{{Key: "$unset", Value: bson.D{{Key: "users", Value: ""}}}}),
			"BadUsers":      damage(bson.D{{Key: "$set", Value: bson.D{{Key: "users", Value: []byte("not a sketch")}}}}),
			"MissingTables": damage(bson.D{{Key: "$unset", Value: bson.D{{Key: "tables", Value: ""}}}}),
			"UnknownTable":  damage(bson.D{{Key: "$set", Value: bson.D{{Key: "tables.colour", Value: bson.D{{Key: "floor", Value: 0}, {Key: "rows", Value: bson.A{}}}}}}}),
			"RowTwice":      damage(bson.D{{Key: "$set", Value: bson.D{{Key: "tables.path.rows", Value: bson.A{bson.D{{Key: "k", Value: "/"}, {Key: "n", Value: 1}}, bson.D{{Key: "k", Value: "/"}, {Key: "n", Value: 1}}}}}}}),
			"MissingRev":    damage(bson.D{{Key: "$unset", Value: bson.D{{Key: "rev", Value: ""}}}}),
			"TypeOfRev":     damage(bson.D{{Key: "$set", Value: bson.D{{Key: "rev", Value: "2"}}}}),
			"NegativeRev":   damage(bson.D{{Key: "$set", Value: bson.D{{Key: "rev", Value: -2}}}}),
			"FractionalRev": damage(bson.D{{Key: "$set", Value: bson.D{{Key: "rev", Value: 2.5}}}}),
		},
		Refuse:     func(e *store.Event) { e.User = strings.Repeat("x", maxDocument) },
		Concurrent: true,
	})
}

// damage changes the stored document of a rollup.
func damage(update bson.D) func(t *testing.T, s store.Store, key store.DayKey) {
	return func(t *testing.T, s store.Store, key store.DayKey) {
		t.Helper()
		result, err := s.(*Store).days.UpdateOne(t.Context(), bson.D{{Key: "_id", Value: key.String()}}, update)
		if err != nil {
			t.Fatal(err)
		}
		if result.ModifiedCount != 1 {
			t.Fatalf("there is no rollup %s to damage", key)
		}
	}
}
