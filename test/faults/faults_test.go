// Package faults puts networks that fail between Daybook's roles and their
// servers, and fills queues, while events come in. In the end everything that
// was acknowledged is counted, once.
//
// It is a module of its own so that Daybook does not depend on the proxy.
// `make test-faults` runs it; docs/testing-faults.md says what it shows and
// how to run it for longer.
package faults

import (
	"flag"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/daybook-analytics/daybook/internal/config"
)

var (
	seed   = flag.Uint64("seed", 0, "seed of the load and the faults; 0 takes one by chance")
	rounds = flag.Int("rounds", 2, "how often a network fails in each way in TestNetworkFaults")
)

// noHang is far more than any answer may take. How long they do take is
// printed and not judged: it is the machine's matter too.
const noHang = 30 * time.Second

func TestMain(m *testing.M) {
	flag.Parse()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	// A connection that toxiproxy cuts may leave its own goroutines behind,
	// waiting for each other.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).write"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"))
}

// random gives a source of chance of its own to each part of a test.
func random(part uint64) *rand.Rand { return rand.New(rand.NewPCG(*seed, part)) }

// TestNetworkFaults lets the connections to Redis, to MongoDB and to both
// fail in every way, again and again, while events come in. Nothing is
// restarted.
//
// That it can fail was tried. It did with a client that sends again with
// other event_ids, with a worker that folds duplicates, and with an ingest
// that confirms what failed (redis, both); and with a store that takes
// replays for duplicates (mongodb, both).
func TestNetworkFaults(t *testing.T) {
	for name, c := range map[string]struct{ redis, mongodb bool }{
		"redis":   {redis: true},
		"mongodb": {mongodb: true},
		"both":    {redis: true, mongodb: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Logf("run it again with -seed %d", *seed)
			// Without faults on the side of MongoDB the store is embedded.
			queue, store := redis(t), config.Store{}
			var networks []*network
			if c.redis {
				networks = append(networks, newNetwork(t, "Redis", &queue.Redis))
			}
			if c.mongodb {
				store = mongodb(t)
				networks = append(networks, newNetwork(t, "MongoDB", &store.MongoDB))
			}
			roles := startRoles(t, queue, store)

			load := newLoad(t, roles)
			load.start(4)
			var failing sync.WaitGroup
			for i, n := range networks {
				failing.Go(func() { n.fail(random(uint64(i))) })
			}
			failing.Wait()
			load.stop()
			if !c.redis && load.refused() > 0 {
				t.Errorf("%d requests were refused, though ingest needs only Redis", load.refused())
			}
			if c.redis && load.refused() == 0 {
				t.Error("no request was refused: the faults did not reach Redis")
			}
			if n := roles.log.count("step failed, trying again"); n == 0 {
				t.Error("no step failed: the faults did not reach the worker")
			}
			load.print()
			load.check()
		})
	}
}
