package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/daybook-analytics/daybook/internal/queue/redisq/redistest"
	"github.com/daybook-analytics/daybook/internal/store/mongostore/mongotest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := os.RemoveAll(binaryDir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	}))
}

// binaryDir is where the program is, once it is built.
var binaryDir string

var build = sync.OnceValues(func() (path string, err error) {
	if binaryDir, err = os.MkdirTemp("", "daybook-crash-"); err != nil {
		return "", err
	}
	path = filepath.Join(binaryDir, "daybook")
	cmd := exec.Command("go", "build", "-o", path, "../../cmd/daybook")
	cmd.Env = append(os.Environ(), "GOFLAGS=") // a test's own flags are not for it
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build daybook: %w\n%s", err, out)
	}
	return path, nil
})

// binary builds the program, once, and gives its path.
func binary(t testing.TB) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Settings of the tests; docs/testing.md has them too.
const (
	strikesVariable = "DAYBOOK_CRASH_STRIKES" // at each installation
	outageVariable  = "DAYBOOK_CRASH_OUTAGE"  // length of an outage of Redis
	rateVariable    = "DAYBOOK_CRASH_RATE"    // requests a second during an outage
	seedVariable    = "DAYBOOK_CRASH_SEED"    // by default one by chance
)

// setting reads a setting from the environment.
func setting[T any](t testing.TB, name string, otherwise T, parse func(string) (T, error)) T {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	value, err := parse(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return value
}

// newSeed gives the seed of a test. It fixes the events and the plan of the
// strikes, but not what the processes are just doing when they are struck.
func newSeed(t testing.TB) uint64 {
	seed := setting(t, seedVariable, rand.Uint64N(1e6), func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
	t.Logf("%s=%d", seedVariable, seed)
	return seed
}

// installation is a Daybook with all of its processes.
type installation struct {
	targets        []target
	ingest, report *process
	// pause is the mean time between two requests of a client, batch the most
	// events of one. FerretDB needs it slow: it reads all raw events to find
	// some that it has already.
	pause time.Duration
	batch int
}

func (i *installation) ingestAddr() string { return i.ingest.addr("ingest") }
func (i *installation) reportAddr() string { return i.report.addr("report") }

// installations are all choices of backends.
var installations = []struct {
	name    string
	install func(t *testing.T) *installation
}{
	{"embedded", func(t *testing.T) *installation {
		serve := newProcess(t, false, serveArgs(t)...)
		return &installation{targets: []target{serve}, ingest: serve, report: serve, pause: 50 * time.Millisecond, batch: 30}
	}},
	{"redis with embedded store", installRedis},
	{"redis and mongodb", installMongoDB},
}

func serveArgs(t *testing.T) []string {
	return []string{
		"serve", "--data=" + t.TempDir(), "--lease-time=" + leaseTime.String(),
		"--ingest-addr=127.0.0.1:0", "--report-addr=127.0.0.1:0",
	}
}

func installRedis(t *testing.T) *installation {
	redis := redistest.StartServer(t)
	serve := newProcess(t, true, append(serveArgs(t), "--redis="+redis.URL())...)
	return &installation{targets: []target{serve, redisServer{redis}}, ingest: serve, report: serve, pause: 50 * time.Millisecond, batch: 30}
}

// installMongoDB runs each role as a process of its own. There is one worker,
// and FerretDB is not struck: what it keeps through a crash is not Daybook's.
func installMongoDB(t *testing.T) *installation {
	redis := redistest.StartServer(t)
	onRedis, onMongoDB := "--redis="+redis.URL(), "--mongodb="+mongotest.Start(t)
	if out, err := exec.Command(binary(t), "migrate", "up", onMongoDB).CombinedOutput(); err != nil {
		t.Fatalf("migrate up: %v\n%s", err, out)
	}
	ingest := newProcess(t, true, "ingest", onRedis, onMongoDB, "--ingest-addr=127.0.0.1:0")
	worker := newProcess(t, true, "worker", onRedis, onMongoDB, "--worker-addr=127.0.0.1:0", "--lease-time="+leaseTime.String())
	report := newProcess(t, false, "report", onMongoDB, "--report-addr=127.0.0.1:0")
	return &installation{
		targets: []target{ingest, worker, report, redisServer{redis}},
		ingest:  ingest, report: report, pause: 500 * time.Millisecond, batch: 5,
	}
}

// TestCrash strikes every process of an installation again and again while
// clients send events, and compares what is counted in the end with what was
// acknowledged.
func TestCrash(t *testing.T) {
	n := setting(t, strikesVariable, 7, strconv.Atoi)
	for _, variant := range installations {
		t.Run(variant.name, func(t *testing.T) {
			t.Parallel()
			begun, seed := time.Now(), newSeed(t)
			i := variant.install(t)
			r := newRig(t, seed, i.targets)
			l := newLedger(seed)
			c := newClient(t, l, i.ingestAddr, i.reportAddr)

			// The test's context ends them when it fails.
			var senders, watcher sync.WaitGroup
			t.Cleanup(watcher.Wait)
			t.Cleanup(senders.Wait)
			for sender := range uint64(32) {
				most := 1
				if sender%8 == 0 {
					most = i.batch
				}
				senders.Go(func() { c.run(t.Context(), seed+sender, most, i.pause) })
			}
			answers := 0
			watching, stop := context.WithCancel(t.Context())
			defer stop()
			watcher.Go(func() { answers = c.watch(watching, seed) })

			r.strike(n)
			r.wait(time.Second)
			l.close()
			c.eventually("all events are acknowledged or given up", r.tend, l.settled)
			senders.Wait()
			stop()
			watcher.Wait()

			c.settle(r.tend)
			differences, counted := c.check(r.tend)
			t.Logf("%d events sent, %d acknowledged, %d given up, of which %d are counted; %s; %d reports under way; difference %d; %v; seed %d",
				l.sent(), len(l.acked), len(l.givenUp()), counted, r.tally(), answers, len(differences), time.Since(begun).Round(time.Second), seed)
			mustBeNone(t, "in the end", differences)

			// All of it once more, as by a client that forgot what it sent.
			c.resend(l.acked, r.tend)
			c.settle(r.tend)
			differences, again := c.check(r.tend)
			mustBeNone(t, "after all that was acknowledged was sent again", differences)
			if again != counted {
				t.Errorf("of the events that were given up %d are counted after the others were sent again, %d before", again, counted)
			}
			// And what was given up counts once now, if it did or did not.
			c.resend(l.givenUp(), r.tend)
			c.settle(r.tend)
			differences, counted = c.check(r.tend)
			mustBeNone(t, "after all that was given up was sent again", differences)
			if counted != len(l.givenUp()) {
				t.Errorf("%d of %d events are counted that were sent again after they had been given up", counted, len(l.givenUp()))
			}
		})
	}
}

// mustBeNone fails the test for differences.
func mustBeNone(t *testing.T, when string, differences []string) {
	t.Helper()
	const most = 20
	for n, difference := range differences {
		if n == most {
			t.Errorf("and %d more", len(differences)-most)
			return
		}
		t.Errorf("%s: %s", when, difference)
	}
}
