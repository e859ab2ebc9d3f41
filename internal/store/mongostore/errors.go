package mongostore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver"

	"github.com/daybook-analytics/daybook/internal/store"
)

// passing are the codes of errors that may go away by themselves: a server
// that shuts down or is no primary (any more), a majority or a shard that
// cannot be reached, a disk that is full.
var passing = []int{
	6,     // HostUnreachable
	7,     // HostNotFound
	24,    // LockTimeout
	50,    // MaxTimeMSExpired
	64,    // WriteConcernFailed
	89,    // NetworkTimeout
	91,    // ShutdownInProgress
	100,   // UnsatisfiableWriteConcern
	112,   // WriteConflict
	133,   // FailedToSatisfyReadPreference
	134,   // ReadConcernMajorityNotAvailableYet
	189,   // PrimarySteppedDown
	202,   // NetworkInterfaceExceededTimeLimit
	262,   // ExceededTimeLimit
	9001,  // SocketException
	10107, // NotWritablePrimary
	11600, // InterruptedAtShutdown
	11602, // InterruptedDueToReplStateChange
	13388, // StaleConfig
	13435, // NotPrimaryNoSecondaryOk
	13436, // NotPrimaryOrSecondary
	14031, // OutOfDiskSpace
}

// refusals are the codes with which the server refuses one document for what
// is in it, so that it would refuse it always.
var refusals = []int{
	2,     // BadValue
	121,   // DocumentValidationFailure
	10334, // BSONObjectTooLarge
}

// explain says what could not be done. When the caller's context has ended
// that is the reason, whatever the driver made of it; else errors that may
// pass wrap store.ErrUnavailable.
func explain(ctx context.Context, doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		return fmt.Errorf("%s: %w: %w", doing, ctx.Err(), err)
	case ctx.Err() == nil && unavailable(err):
		return fmt.Errorf("%s: %w: %w", doing, store.ErrUnavailable, err)
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

func unavailable(err error) bool {
	// A server selection that found none is a timeout too.
	if mongo.IsNetworkError(err) || mongo.IsTimeout(err) {
		return true
	}
	// After an error of the network the driver gives up all its connections,
	// and for a moment makes no new ones.
	var pool driver.RetryablePoolError
	if errors.As(err, &pool) && pool.Retryable() {
		return true
	}
	var server mongo.ServerError
	return errors.As(err, &server) &&
		(server.HasErrorLabel("RetryableWriteError") || slices.ContainsFunc(passing, server.HasErrorCode))
}

// writeErrors takes apart what an unordered write of several documents came
// to: the errors of single documents, by their index. Everything else, such
// as a majority that was not reached, is an error of the whole.
func writeErrors(err error) (map[int]mongo.WriteError, error) {
	var bulk mongo.BulkWriteException
	if err == nil || !errors.As(err, &bulk) {
		return nil, err
	}
	if bulk.WriteConcernError != nil {
		return nil, err
	}
	single := make(map[int]mongo.WriteError, len(bulk.WriteErrors))
	for _, e := range bulk.WriteErrors {
		single[e.Index] = e.WriteError
	}
	return single, nil
}

func isDuplicateKey(e mongo.WriteError) bool { return e.HasErrorCode(11000) }

func isRefusal(e mongo.WriteError) bool { return slices.ContainsFunc(refusals, e.HasErrorCode) }
