package mongostore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/daybook-analytics/daybook/internal/store"
)

func TestOpenRefusesBadURIs(t *testing.T) {
	for _, c := range []struct{ uri, want string }{
		{"", "MongoDB URI: "},
		{"localhost:27017", "scheme must be"},
		{"mongodb://127.0.0.1/?w=0", "leave w out"},
		{"mongodb://127.0.0.1/?w=many&journal=maybe", "journal"},
	} {
		t.Run(c.uri, func(t *testing.T) {
			_, err := Open(t.Context(), c.uri, Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
			if errors.Is(err, store.ErrUnavailable) {
				t.Error("a bad URI does not go away by itself")
			}
		})
	}
}

func TestURI(t *testing.T) {
	for _, c := range []struct {
		uri, database, w string
		journal          bool
	}{
		{"mongodb://127.0.0.1", "daybook", "majority", true},
		{"mongodb://a,b:1/stats?replicaSet=rs", "stats", "majority", true},
		{"mongodb://127.0.0.1/stats?w=2&journal=false&readPreference=secondary&readConcernLevel=local", "stats", "2", false},
	} {
		t.Run(c.uri, func(t *testing.T) {
			o, database, err := clientOptions(c.uri, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if database != c.database {
				t.Errorf("database is %s, want %s", database, c.database)
			}
			if w := fmt.Sprint(o.WriteConcern.W); w != c.w || *o.WriteConcern.Journal != c.journal {
				t.Errorf("write concern is %s, journal %v; want %s, %v", w, *o.WriteConcern.Journal, c.w, c.journal)
			}
			if o.ReadPreference.Mode().String() != "primary" || o.ReadConcern.Level != "majority" {
				t.Errorf("reads are %s from %s", o.ReadConcern.Level, o.ReadPreference)
			}
		})
	}
}

func TestOpenWithoutServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), "mongodb://"+l.Addr().String(), Options{ServerSelectionTimeout: 20 * time.Millisecond})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error is %v, want ErrUnavailable", err)
	}
}

// poolClearedError stands for the driver's error of this kind, which it does not
// export.
type poolClearedError struct{ error }

func (poolClearedError) Retryable() bool { return true }

func TestExplain(t *testing.T) {
	network := mongo.CommandError{Message: "connection reset", Labels: []string{"NetworkError"}}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name        string
		ctx         context.Context
		err         error
		unavailable bool
	}{
		{"Network", t.Context(), network, true},
		{"PoolCleared", t.Context(), mongo.CommandError{Message: "cleared", Wrapped: poolClearedError{errors.New("cleared")}}, true},
		{"NotPrimary", t.Context(), mongo.CommandError{Code: 10107}, true},
		{"DiskFull", t.Context(), mongo.WriteException{WriteErrors: mongo.WriteErrors{{Code: 14031}}}, true},
		{"NoMajority", t.Context(), mongo.BulkWriteException{WriteConcernError: &mongo.WriteConcernError{Code: 64}}, true},
		{"InOneDocument", t.Context(), mongo.BulkWriteException{WriteErrors: []mongo.BulkWriteError{{WriteError: mongo.WriteError{Code: 91}}}}, true},
		{"Unauthorized", t.Context(), mongo.CommandError{Code: 13}, false},
		{"Other", t.Context(), errors.New("other"), false},
		{"Canceled", canceled, network, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := explain(c.ctx, "read", c.err)
			if !strings.HasPrefix(err.Error(), "read: ") || !strings.Contains(err.Error(), c.err.Error()) {
				t.Errorf("error %q does not say what failed and why", err)
			}
			if got := errors.Is(err, store.ErrUnavailable); got != c.unavailable {
				t.Errorf("unavailable is %v, want %v: %v", got, c.unavailable, err)
			}
			if got := errors.Is(err, context.Canceled); got != (c.ctx.Err() != nil) {
				t.Errorf("canceled is %v: %v", got, err)
			}
		})
	}
}

func TestWriteErrors(t *testing.T) {
	failed := []mongo.BulkWriteError{
		{WriteError: mongo.WriteError{Index: 1, Code: 11000}},
		{WriteError: mongo.WriteError{Index: 4, Code: 121, Message: "Document failed validation"}},
	}
	single, err := writeErrors(mongo.BulkWriteException{WriteErrors: failed})
	if err != nil {
		t.Fatal(err)
	}
	if len(single) != 2 || !isDuplicateKey(single[1]) || isRefusal(single[1]) || !isRefusal(single[4]) || isDuplicateKey(single[4]) {
		t.Errorf("errors are %v", single)
	}

	// Nobody knows whether what was written is kept.
	_, err = writeErrors(mongo.BulkWriteException{WriteErrors: failed, WriteConcernError: &mongo.WriteConcernError{Code: 64}})
	if err == nil {
		t.Error("a write that no majority has passes for written")
	}
	if single, err := writeErrors(nil); err != nil || len(single) != 0 {
		t.Errorf("no error gives %v, %v", single, err)
	}
}
