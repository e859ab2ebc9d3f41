package app_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/queue/redisq"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store/mongostore/mongotest"
	"github.com/daybook-analytics/daybook/internal/telemetry"
)

// TestNothingOfVisitorsIsKept looks for addresses, user agents and keys in all
// that is left of a run: the queue before anything is taken from it, the store,
// the log of all levels, and the metrics.
func TestNothingOfVisitorsIsKept(t *testing.T) {
	for _, name := range []string{"embedded", "redis and mongodb"} {
		t.Run(name, func(t *testing.T) { testNothingKept(t, installations[name](t)) })
	}
}

func testNothingKept(t *testing.T, i *installation) {
	var log logged
	// Without a worker all stays in the queue.
	cfg := i.config()
	cfg.Ingest, cfg.Report = i.ingest(), i.report()
	cfg.Access.TrustedProxies = []string{"127.0.0.1"}
	a, end := runWith(t, cfg, telemetry.NewLogger(&log, slog.LevelDebug, false))
	actions, endActions := openAdmin(t, i)
	v := &victim{T: t, app: a, actions: actions, keys: map[string]string{}}
	origins, keep := []string{"https://shop.example"}, string(site.KeepBots)
	for _, add := range []struct {
		name   string
		change admin.SiteChange
	}{{"shop", admin.SiteChange{Origins: &origins}}, {"keeps-bots", admin.SiteChange{Bots: &keep}}} {
		if _, err := actions.AddSite(t.Context(), add.name, add.change); err != nil {
			t.Fatal(err)
		}
	}
	v.key("every", admin.NewKey{Site: access.EverySite, Scope: access.Ingest})
	v.key("public", admin.NewKey{Site: "shop", Scope: access.Ingest, Public: true})
	v.key("read", admin.NewKey{Site: access.EverySite, Scope: access.Read, Note: "for me"})
	v.key("revoked", admin.NewKey{Site: "shop", Scope: access.Ingest})
	if _, err := actions.RevokeKey(t.Context(), v.keys["revoked"]); err != nil {
		t.Fatal(err)
	}

	const (
		four, six, told = "198.51.100.77", "2001:db8::7:77", "203.0.113.77"
		person          = "Mozilla/5.0 (X11; Linux x86_64; rv:143.77) Gecko/20100101 Firefox/143.77"
		bot             = "Mozilla/5.0 (compatible; Googlebot/2.77; +http://www.google.com/bot.html)"
		program         = "backend-of-the-shop/7.77"
	)
	eventually(t, "keys are known", func() bool { return v.event(told, "X-API-Key", v.keys["every"]) == 202 })
	wrong := strings.Replace(v.keys["every"], v.keys["every"][30:], strings.Repeat("A", len(v.keys["every"])-30), 1)
	sent, refused := 0, 0
	for _, site := range []string{"shop", "keeps-bots"} {
		for _, addr := range []string{four, six} {
			for _, agent := range []string{person, bot, program} {
				for key, headers := range map[string][]string{
					"every": nil, "public": {"Origin", "https://shop.example"}, "read": nil, "revoked": nil, "wrong": nil,
				} {
					token := v.keys[key]
					if key == "wrong" {
						if agent != person || site != "shop" {
							continue // more would be taken for guessing
						}
						token = wrong
					}
					fields := fmt.Sprintf(`,"event_type":"page_view","user_agent":%q,"client_ip":%q,"referrer":"https://news.example/?from=%s"`, agent, told, addr)
					for _, fields := range []string{`,"event_type":"page_view"`, fields, `,"event_type":"page_view","country":"\u0000"`} {
						if v.eventOf(site, fields, addr, append(headers, "X-API-Key", token, "User-Agent", agent)...) == http.StatusAccepted {
							sent++
						} else {
							refused++
						}
					}
				}
			}
		}
	}
	if sent == 0 || refused == 0 {
		t.Fatalf("%d events were taken and %d refused", sent, refused)
	}
	metrics, _ := v.get("/metrics", v.keys["read"])
	// A client whose TLS or HTTP is wrong is something that servers like to log.
	broken, err := http.Post("https://"+a.IngestAddr()+"/event", "text/plain", nil)
	if err == nil {
		broken.Body.Close()
	}
	endActions()
	end()

	secrets := map[string][]byte{
		"the address " + four: []byte(four), "the address " + six: []byte(six), "the address " + told: []byte(told),
		"the user agent of a person": []byte(person), "the user agent of a bot": []byte(bot), "the user agent of a program": []byte(program),
		"a part of a user agent": []byte("143.77"), "another part of one": []byte("2.77;"),
	}
	for _, addr := range []string{four, six, told} {
		secrets["the bytes of "+addr] = netip.MustParseAddr(addr).AsSlice()
	}
	for name, token := range v.keys {
		secrets["the key "+name] = []byte(token)
		secrets["the secret of the key "+name] = []byte(token[strings.LastIndex(token, "_")+1:])
	}
	secrets["a wrong key"] = []byte(wrong)
	search := func(where string, text []byte, control string) {
		t.Helper()
		if !bytes.Contains(text, []byte(control)) {
			t.Fatalf("the search in %s is of no use: it does not find %q in %d bytes", where, control, len(text))
		}
		for what, secret := range secrets {
			// Four bytes can come together by chance in what is compressed.
			if len(secret) > 4 && bytes.Contains(text, secret) {
				t.Errorf("%s is in %s", what, where)
			}
		}
	}
	search("the metrics", []byte(metrics), "daybook_ingest_events_accepted_total")
	search("the queue", i.queued(t), "keeps-bots")
	search("the store", i.stored(t), "keeps-bots")

	cfg.Worker, cfg.Ingest = i.worker(), nil
	a, end = runWith(t, cfg, telemetry.NewLogger(&log, slog.LevelDebug, false))
	v.app = a
	eventually(t, "all is counted", func() bool {
		body, _ := v.get("/stats?site_id=keeps-bots", v.keys["read"])
		return strings.Contains(body, `"bots":`) && !strings.Contains(body, `"bots":0`)
	})
	end()
	search("the store after counting", i.stored(t), "crawler")
	search("the log", log.bytes(), "listening")
}

// logged is a log in memory.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logged) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.buf.Bytes())
}

// queued is all that is in the queue, while no process runs.
func (i *installation) queued(t *testing.T) []byte {
	t.Helper()
	if i.queue.Redis == "" {
		return embedded(t, filepath.Join(i.data.Data, "queue"))
	}
	client, err := redisq.Connect(i.queue.Redis)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var text []byte
	keys := client.Scan(t.Context(), 0, "*"+i.queue.RedisPrefix+"*", 1000).Iterator()
	for keys.Next(t.Context()) {
		key := keys.Val()
		var value any
		switch kind := client.Type(t.Context(), key).Val(); kind {
		case "stream":
			value, err = client.XRange(t.Context(), key, "-", "+").Result()
		case "string":
			value, err = client.Get(t.Context(), key).Result()
		case "list":
			value, err = client.LRange(t.Context(), key, 0, -1).Result()
		case "set":
			value, err = client.SMembers(t.Context(), key).Result()
		case "hash":
			value, err = client.HGetAll(t.Context(), key).Result()
		case "none": // it has just expired
		default:
			t.Fatalf("key %s is a %s, which the test cannot read", key, kind)
		}
		if err != nil {
			t.Fatal(err)
		}
		text = fmt.Appendln(text, key, value)
	}
	if err := keys.Err(); err != nil {
		t.Fatal(err)
	}
	return text
}

// stored is all that is in the store, while no process runs.
func (i *installation) stored(t *testing.T) []byte {
	t.Helper()
	if i.store.MongoDB == "" {
		return embedded(t, filepath.Join(i.data.Data, "store"))
	}
	return mongotest.Dump(t, i.store.MongoDB)
}

// embedded is all that is in a database in a directory: its files, and keys and
// values, which are compressed in them.
func embedded(t *testing.T, dir string) (text []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		file, err := os.ReadFile(path)
		text = append(text, file...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	db, err := pebble.Open(dir, &pebble.Options{ReadOnly: true, Logger: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	it, err := db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		text = append(append(text, it.Key()...), it.Value()...)
	}
	if err := it.Error(); err != nil {
		t.Fatal(err)
	}
	return text
}

type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}
