// Package config holds the settings of the roles. Each is a flag and an
// environment variable of the same name (--report-addr,
// DAYBOOK_REPORT_ADDR); the tags are read by github.com/alecthomas/kong.
// docs/configuration.md lists them all.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/limit"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/retention"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

// Process are the settings of every role.
type Process struct {
	LogLevel  slog.Level    `default:"info" placeholder:"LEVEL" help:"Least level that is logged: debug, info, warn or error."`
	LogFormat string        `default:"text" enum:"text,json" help:"Form of the log: text or json."`
	Grace     time.Duration `default:"20s" help:"Time to finish what was accepted after SIGTERM or SIGINT; a second signal ends at once."`
}

// Validate tells which setting is wrong and what is allowed.
func (p Process) Validate() error {
	if p.Grace < time.Second || p.Grace > 10*time.Minute {
		return fmt.Errorf("--grace %s: allowed are 1s to 10m", p.Grace)
	}
	return nil
}

// Queue chooses and sets the queue.
type Queue struct {
	Redis       string `placeholder:"URL" help:"Redis 7 or later as the queue, as redis://HOST:6379/0; by default the queue is a log in --data."`
	RedisPrefix string `default:"daybook" placeholder:"NAME" help:"Begin of all keys in Redis, so that installations can share one."`
	Streams     int    `default:"4" placeholder:"N" help:"Number of streams of a new queue, the most workers that can share the work (1 to 256)."`
}

// Validate tells which setting is wrong and what is allowed.
func (q Queue) Validate() error {
	if q.Redis != "" && !strings.HasPrefix(q.Redis, "redis://") && !strings.HasPrefix(q.Redis, "rediss://") {
		return fmt.Errorf("--redis %q: it begins with redis:// or rediss://", q.Redis)
	}
	if q.Streams < 1 || q.Streams > 256 {
		return fmt.Errorf("--streams %d: allowed are 1 to 256", q.Streams)
	}
	if q.RedisPrefix == "" || strings.ContainsAny(q.RedisPrefix, "{}: \t\n") {
		return fmt.Errorf("--redis-prefix %q: it must not be empty or contain braces, colons or spaces", q.RedisPrefix)
	}
	return nil
}

// Store chooses and sets the store.
type Store struct {
	MongoDB string `name:"mongodb" placeholder:"URI" help:"MongoDB 6 or later as the store, as mongodb://HOST:27017/daybook; by default the store is in --data."`
}

// Validate tells which setting is wrong and what is allowed.
func (s Store) Validate() error {
	if s.MongoDB != "" && !strings.HasPrefix(s.MongoDB, "mongodb://") && !strings.HasPrefix(s.MongoDB, "mongodb+srv://") {
		return fmt.Errorf("--mongodb %q: it begins with mongodb:// or mongodb+srv://", Redact(s.MongoDB))
	}
	return nil
}

// Data is where the embedded queue and store are.
type Data struct {
	Data string `default:"./daybook-data" placeholder:"DIR" help:"Directory of the embedded queue and store; it is made when missing."`
}

// Access are the settings of who may use the roles that others reach.
type Access struct {
	Auth            access.Mode `default:"auto" enum:"auto,keys,none" help:"Who needs a key: auto is everybody as soon as there is one for the role, and until then the role is open, but to this machine only; keys is everybody always; none is nobody (admin endpoints always need one)."`
	TrustedProxies  []string    `placeholder:"CIDR,..." help:"Addresses and ranges of proxies that are believed when they tell the address of a client."`
	LimitPerKey     int         `default:"0" placeholder:"N" help:"Most requests a second of each key, ten times as many at once; beyond it 429. 0 is no limit."`
	LimitPerAddress int         `default:"50" placeholder:"N" help:"Most requests a second of each client address without a key or with a public one, ten times as many at once; beyond it 429. This machine has no limit. 0 is no limit."`
	TLSCert         string      `placeholder:"FILE" help:"Certificate, in PEM, to serve HTTPS with; it is read again when it changes."`
	TLSKey          string      `placeholder:"FILE" help:"Key of the certificate, in PEM."`
}

// burst is how many seconds of a limit can come at once.
const burst = 10

// Options gives the settings of a gate.
func (a Access) Options() (access.Options, error) {
	proxies, err := web.ParseProxies(a.TrustedProxies)
	if err != nil {
		return access.Options{}, fmt.Errorf("--trusted-proxies: %w", err)
	}
	rate := func(perSecond int) limit.Rate {
		return limit.Rate{PerSecond: float64(perSecond), Burst: burst * perSecond}
	}
	return access.Options{Mode: a.Auth, Proxies: proxies, PerKey: rate(a.LimitPerKey), PerAddress: rate(a.LimitPerAddress)}, nil
}

// Validate tells which setting is wrong and what is allowed.
func (a Access) Validate() error {
	const most = 100_000
	if a.LimitPerKey < 0 || a.LimitPerKey > most || a.LimitPerAddress < 0 || a.LimitPerAddress > most {
		return fmt.Errorf("--limit-per-key %d and --limit-per-address %d: allowed are 0 to %d", a.LimitPerKey, a.LimitPerAddress, most)
	}
	if (a.TLSCert == "") != (a.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key belong together: one of them is missing")
	}
	_, err := a.Options()
	return err
}

// Ingest are the settings of the ingest role.
type Ingest struct {
	IngestAddr       string `default:"127.0.0.1:3000" placeholder:"HOST:PORT" help:"Address on which events are taken."`
	MaxBacklogEvents int64  `default:"50000000" placeholder:"N" help:"Most events in the queue; beyond it events are answered with 503. 0 is no limit."`
	MaxBacklogBytes  int64  `default:"21474836480" placeholder:"N" help:"Most bytes of events in the queue; beyond it events are answered with 503. 0 is no limit."`

	CountryHeader string `placeholder:"NAME" help:"Header in which a trusted proxy tells the country of a client, as CF-IPCountry."`
	GeoIP         string `name:"geoip" placeholder:"FILE" help:"Database in MaxMind's format that tells the countries of addresses; it is read again when it changes."`
	DataCenters   string `name:"datacenters" placeholder:"FILE" help:"Ranges of addresses of data centres, one a line in the notation of CIDR, for sites that filter what comes from there."`
}

// Validate tells which setting is wrong and what is allowed.
func (i Ingest) Validate() error {
	if i.MaxBacklogEvents < 0 || i.MaxBacklogBytes < 0 {
		return fmt.Errorf("--max-backlog-events %d and --max-backlog-bytes %d must not be negative", i.MaxBacklogEvents, i.MaxBacklogBytes)
	}
	return validAddr("--ingest-addr", i.IngestAddr)
}

// Worker are the settings of the worker role.
type Worker struct {
	TableKeys int           `default:"2000" placeholder:"N" help:"Keys (paths, referrers, ...) that a rollup counts exactly per dimension; the rest is within bounds (100 to 10000)."`
	Pace      time.Duration `default:"200ms" help:"Least time between two writes of a stream's rollups unless it is behind (10ms to 10s). Where writing takes long it becomes longer by itself, up to 2s."`
	LeaseTime time.Duration `default:"5s" help:"Time without a sign of life after which a worker's streams go to the others (3s to 60s)."`

	CheckSchedule   string `default:"*/5 * * * *" placeholder:"CRON" help:"When the totals of recent days are compared with their raw events, in the five fields of cron, in UTC; off is never."`
	NightlySchedule string `default:"17 3 * * *" placeholder:"CRON" help:"When yesterday and a sample of older days are checked in full, in the five fields of cron, in UTC; off is never."`

	KeepRawDays       int            `default:"0" placeholder:"N" help:"Whole days before today, in the time zone of the site, that raw events are kept; 0 is for ever. Rollups are always kept."`
	KeepRawDaysOf     map[string]int `mapsep:"," placeholder:"SITE=N" help:"The same for single sites, as shop=30,blog=0."`
	RetentionSchedule string         `default:"47 3 * * *" placeholder:"CRON" help:"When older raw events are removed, in the five fields of cron, in UTC; off is never."`
}

// Retention says for how long raw events are kept.
func (w Worker) Retention() retention.Policy {
	return retention.Policy{Days: w.KeepRawDays, Of: w.KeepRawDaysOf}
}

// off is a schedule that never comes, as the empty one.
const off = "off"

// Schedule is when reconciliation runs.
func (w Worker) Schedule() reconcile.Schedule {
	s := reconcile.Schedule{Check: w.CheckSchedule, Nightly: w.NightlySchedule, Retention: w.RetentionSchedule}
	if s.Check == off {
		s.Check = ""
	}
	if s.Nightly == off {
		s.Nightly = ""
	}
	if s.Retention == off {
		s.Retention = ""
	}
	return s
}

// Limits are the bounds of a rollup.
func (w Worker) Limits() rollup.Limits {
	return rollup.Limits{Keys: w.TableKeys, Bytes: rollup.DefaultLimits.Bytes}
}

// Validate tells which setting is wrong and what is allowed.
func (w Worker) Validate() error {
	if err := w.Limits().Validate(); err != nil {
		return fmt.Errorf("--table-keys: %w", err)
	}
	if w.Pace < 10*time.Millisecond || w.Pace > 10*time.Second {
		return fmt.Errorf("--pace %s: allowed are 10ms to 10s", w.Pace)
	}
	if w.LeaseTime < 3*time.Second || w.LeaseTime > time.Minute {
		return fmt.Errorf("--lease-time %s: allowed are 3s to 60s", w.LeaseTime)
	}
	if err := w.Retention().Validate(); err != nil {
		return fmt.Errorf("--keep-raw-days, --keep-raw-days-of: %w", err)
	}
	return w.Schedule().Validate()
}

// WorkerHealth is where a worker on its own answers health checks.
type WorkerHealth struct {
	WorkerAddr string `default:"127.0.0.1:3002" placeholder:"HOST:PORT" help:"Address of the worker's /healthz, /readyz and /metrics."`
}

// Validate tells which setting is wrong and what is allowed.
func (w WorkerHealth) Validate() error { return validAddr("--worker-addr", w.WorkerAddr) }

// Report are the settings of the report role.
type Report struct {
	ReportAddr    string        `default:"127.0.0.1:3001" placeholder:"HOST:PORT" help:"Address on which queries are answered, and the dashboard is."`
	IngestURL     string        `placeholder:"URL" help:"Web origin under which browsers reach the ingest role, as https://in.example: the dashboard shows it in the line that pages need. By default that is the port of ingest on the dashboard's own host."`
	RawScans      int           `default:"2" placeholder:"N" help:"Most scans of raw events at once, for filters and for days without a rollup (1 to 64)."`
	RawScanEvents int           `default:"5000000" placeholder:"N" help:"Most events that one scan reads; beyond it a question is refused unless it has async=true (1000 and up)."`
	RawScanTime   time.Duration `default:"10s" help:"Most time that one scan takes; beyond it the answer is 503 unless the question has async=true (100ms to 50s)."`
}

// Validate tells which setting is wrong and what is allowed.
func (r Report) Validate() error {
	if r.RawScans < 1 || r.RawScans > 64 {
		return fmt.Errorf("--raw-scans %d: allowed are 1 to 64", r.RawScans)
	}
	if r.RawScanEvents < 1000 {
		return fmt.Errorf("--raw-scan-events %d: allowed are 1000 and up", r.RawScanEvents)
	}
	if r.RawScanTime < 100*time.Millisecond || r.RawScanTime > 50*time.Second {
		return fmt.Errorf("--raw-scan-time %s: allowed are 100ms to 50s", r.RawScanTime)
	}
	if r.IngestURL != "" {
		if origin, err := site.ParseOrigin(r.IngestURL); err != nil || strings.Contains(origin, "*") {
			return fmt.Errorf("--ingest-url %.200q: it is the scheme, the host and perhaps the port of ingest, as https://in.example or http://127.0.0.1:3000", r.IngestURL)
		}
	}
	return validAddr("--report-addr", r.ReportAddr)
}

// Validate gives the first error of the groups of settings.
func Validate(groups ...interface{ Validate() error }) error {
	for _, g := range groups {
		if err := g.Validate(); err != nil {
			return err
		}
	}
	return nil
}

func validAddr(flag, addr string) error {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return fmt.Errorf("%s %q: it has the form HOST:PORT, as 127.0.0.1:3000 or :3000", flag, addr)
	}
	return nil
}

// Redact gives a URL without its password, for messages.
func Redact(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "(a URL that cannot be parsed)"
	}
	return u.Redacted()
}
