// Package mongostore is the store on MongoDB 6 or newer, a replica set or a
// sharded cluster. What its documents look like, what each index is for and
// how to shard them is docs/format/mongodb.md.
//
// # What the database decides
//
// Every guarantee rests on the atomicity of a write to one document. A raw
// event is inserted under a unique _id; a rollup is replaced where _id and
// rev are still those that were read; checkpoints and leases are updated in
// the same way. There are no transactions, and no clock is compared.
//
// Writes are acknowledged by a majority, journaled; reads are of what a
// majority has, from the primary. Otherwise a failover could take back an
// event that was taken for a replay, or a rollup that another was made from.
package mongostore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/daybook-analytics/daybook/internal/store"
)

// DefaultDatabase is the database of a URI that names none.
const DefaultDatabase = "daybook"

// Options are what is not said in the URI.
type Options struct {
	// ServerSelectionTimeout is how long a call waits for a server that can
	// take it before it fails with store.ErrUnavailable. 0 means 5 seconds.
	ServerSelectionTimeout time.Duration
	// Later is for who can wait for a server: Open does not look whether one
	// answers.
	Later bool
}

// Store is a store.Store on MongoDB.
type Store struct {
	client *mongo.Client
	db     *mongo.Database

	events, days, months, checkpoints, leases, deadLetters, schema, retention, jobs *mongo.Collection

	records map[store.RecordKind]*mongo.Collection
}

var _ store.Store = (*Store)(nil)

// Open connects to the database that the URI names and makes sure that a
// primary answers, unless told otherwise; when none does, the error wraps
// store.ErrUnavailable. The URI may set a write concern (w, journal) other than majority and journaled;
// docs/format/mongodb.md says what that would lose.
func Open(ctx context.Context, uri string, opts Options) (*Store, error) {
	c, database, err := clientOptions(uri, opts)
	if err != nil {
		return nil, fmt.Errorf("MongoDB URI: %w", err)
	}
	s, err := connect(c, database)
	if err != nil || opts.Later {
		return s, err
	}
	if err := s.client.Ping(ctx, nil); err != nil {
		return nil, errors.Join(explain(ctx, "connect to MongoDB", err), s.Close())
	}
	return s, nil
}

// connectTimeout is how long a connection may take to be made, unless the URI
// says otherwise (connectTimeoutMS). It is also how long the driver waits for
// the sign of life that it asks of a server every 10 seconds. Only when that
// is missing does it give up calls that get no answer: so a server that stands
// still is noticed within about 20 seconds, and not after more than a minute.
const connectTimeout = 5 * time.Second

// clientOptions reads the URI.
func clientOptions(uri string, opts Options) (c *options.ClientOptions, database string, err error) {
	parsed, err := connstring.ParseAndValidate(uri)
	if err != nil {
		return nil, "", err
	}
	journal := true
	c = options.Client().
		SetAppName("daybook").
		SetServerSelectionTimeout(cmp.Or(opts.ServerSelectionTimeout, 5*time.Second)).
		SetConnectTimeout(connectTimeout).
		SetWriteConcern(&writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: &journal}).
		ApplyURI(uri).
		SetReadConcern(readconcern.Majority()).
		SetReadPreference(readpref.Primary())
	if !c.WriteConcern.Acknowledged() {
		return nil, "", errors.New("with w=0 nobody would know what is written: leave w out, or set it to majority")
	}
	return c, cmp.Or(parsed.Database, DefaultDatabase), nil
}

// connect makes a store of a database.
func connect(c *options.ClientOptions, database string) (*Store, error) {
	client, err := mongo.Connect(c)
	if err != nil {
		return nil, fmt.Errorf("MongoDB: %w", err)
	}
	db := client.Database(database)
	return &Store{
		client:      client,
		db:          db,
		events:      db.Collection("events"),
		days:        db.Collection("daily_stats"),
		months:      db.Collection("monthly_stats"),
		checkpoints: db.Collection("checkpoints"),
		leases:      db.Collection("leases"),
		deadLetters: db.Collection("dead_letters"),
		schema:      db.Collection("schema"),
		retention:   db.Collection("retention"),
		jobs:        db.Collection("jobs"),
		records: map[store.RecordKind]*mongo.Collection{
			store.SiteKind: db.Collection("sites"),
			store.KeyKind:  db.Collection("keys"),
			store.SaltKind: db.Collection("salts"),
		},
	}, nil
}

// closeTimeout is how long Close waits for a server that does not answer.
const closeTimeout = time.Second

// Close tells the server that its sessions are over and closes the
// connections.
func (s *Store) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return s.client.Disconnect(ctx)
}
