package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
)

const (
	// bookInterval is how often the store is read, so that what is changed is
	// known everywhere some seconds later.
	bookInterval = 2 * time.Second
	// bookShare bounds what reading costs where there are very many sites: it
	// rests at least so many times as long as it took.
	bookShare = 10
	bookTime  = 30 * time.Second
)

// Book is what a process knows of the settings of sites and of keys. It reads
// all of them again and again; while the store is away what it knows stays. All
// methods are safe for concurrent use.
type Book struct {
	records store.Records
	log     *slog.Logger
	page    atomic.Pointer[Page]

	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
	begun  atomic.Bool
	wake   chan struct{}

	// Of whoever reads: who calls Read, and after Start its goroutine.
	known   map[recordName]read
	failing bool
}

// read is a record as it was read last.
type read struct {
	rev   uint64
	value any
}

// recordName names a record of any kind.
type recordName struct {
	kind store.RecordKind
	name string
}

// NewBook makes a Book of the records in a store. It knows nothing before Read. Without records, where they are nil, nobody has made keys or set
// anything of sites.
func NewBook(records store.Records, log *slog.Logger) *Book {
	b := &Book{records: records, log: log, known: map[recordName]read{}, wake: make(chan struct{}, 1)}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// Page is what a Book knew at one moment. It never changes.
type Page struct {
	sites  map[string]*Site
	keys   map[string]*Key
	closed map[Scope]bool
	// origins are those that sites allow by their whole names, and wild the
	// sites that have others.
	origins map[string]bool
	wild    []*Site
}

// Site is what is set of one site, ready for use.
type Site struct {
	site.Settings
	// Location is the time zone of its days.
	Location *time.Location
}

// unset is a site of which nothing is set.
var unset = &Site{Location: time.UTC}

// Site gives what is set of a site; of one that nobody has set anything of,
// the defaults. Of no Page at all it gives these of every site.
func (p *Page) Site(name string) *Site {
	if p != nil {
		if s, ok := p.sites[name]; ok {
			return s
		}
	}
	return unset
}

// Key gives the key that a token opens, also one that is revoked; nil if there
// is none.
func (p *Page) Key(token string) *Key {
	key, ok := p.keys[idOf(token)]
	if !ok || !key.opens(token) {
		return nil
	}
	return key
}

// Closed tells whether there is or was a key for what is asked for with the
// scope, so that it is not for everybody. Admin keys close what is read, and
// not the way of events.
func (p *Page) Closed(scope Scope) bool { return p.closed[scope] }

// KnowsOrigin tells whether any site names a web origin among those that it
// allows.
func (p *Page) KnowsOrigin(origin string) bool {
	return p.origins[origin] || slices.ContainsFunc(p.wild, func(s *Site) bool { return s.AllowsOrigin(origin) })
}

// addSite adds a site to a page that is being made.
func (p *Page) addSite(name string, s *Site) {
	p.sites[name] = s
	wild := false
	for _, origin := range s.Origins {
		p.origins[origin] = true
		wild = wild || strings.Contains(origin, "*")
	}
	if wild {
		p.wild = append(p.wild, s)
	}
}

// Page gives what is known now; nil if nothing was read yet.
func (b *Book) Page() *Page { return b.page.Load() }

// Start begins to read everything again and again.
func (b *Book) Start() error {
	if b.begun.Swap(true) {
		return errors.New("the settings of sites and keys are read already")
	}
	if b.records != nil {
		b.done.Go(b.follow)
	}
	return nil
}

// Stop ends the reading.
func (b *Book) Stop(context.Context) error {
	b.cancel()
	b.done.Wait()
	return nil
}

// Wake makes the Book read at once, since something was changed in this process.
func (b *Book) Wake() {
	select {
	case b.wake <- struct{}{}:
	default: // it is about to
	}
}

// follow reads until Stop.
func (b *Book) follow() {
	rest := bookInterval
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-b.wake:
		case <-time.After(rest):
		}
		begun := time.Now()
		rest = bookInterval
		if b.Read(b.ctx) == nil { // an error is told
			rest = max(rest, bookShare*time.Since(begun))
		}
	}
}

// tell logs that reading begins to fail, and that it is well again.
func (b *Book) tell(err error) {
	switch {
	case err != nil && !b.failing:
		b.log.Warn("the settings of sites and the keys cannot all be read; what is known of them stays", "error", err)
	case err == nil && b.failing:
		b.log.Info("the settings of sites and the keys are read again")
	}
	b.failing = err != nil
}

// nowhere is the only allowed origin of a site whose settings cannot be read:
// that of no page.
var nowhere = []string{"nowhere"}

// Read reads everything. It must not be called after Start. After an error
// everything is as it was.
//
// A damaged record is no error: it is told in the log, and what was known of
// it stays. If that is nothing, a key closes every role, and a site allows no
// page.
func (b *Book) Read(ctx context.Context) error {
	damaged, err := b.read(ctx)
	if ctx.Err() == nil {
		b.tell(cmp.Or(err, damaged))
	}
	return err
}

func (b *Book) read(ctx context.Context) (damaged, err error) {
	ctx, cancel := context.WithTimeout(ctx, bookTime)
	defer cancel()
	page := &Page{sites: map[string]*Site{}, keys: map[string]*Key{}, closed: map[Scope]bool{}, origins: map[string]bool{}}
	known := make(map[recordName]read, len(b.known))
	each := func(kind store.RecordKind, parse func(store.Record) (any, error), add func(name string, value any)) error {
		if b.records == nil {
			return nil
		}
		return eachRecord(ctx, b.records, kind, func(record store.Record) error {
			name := recordName{kind, record.Name}
			old, ok := b.known[name]
			if !ok || old.rev != record.Rev {
				value, err := parse(record)
				switch {
				case err == nil:
					old = read{record.Rev, value}
				case ok && kind != store.KeyKind:
					damaged = err
				default:
					damaged = err
					// Whatever it was for must not be open for want of it.
					if kind == store.KeyKind {
						page.closed[Ingest], page.closed[Read] = true, true
					} else {
						page.addSite(record.Name, &Site{Settings: site.Settings{Origins: nowhere}, Location: time.UTC})
					}
					return nil
				}
			}
			known[name] = old
			add(record.Name, old.value)
			return nil
		})
	}
	err = each(store.SiteKind, parseSite, func(name string, value any) { page.addSite(name, value.(*Site)) })
	if err == nil {
		parse := func(record store.Record) (any, error) { return parseKey(record) }
		err = each(store.KeyKind, parse, func(id string, value any) {
			key := value.(*Key)
			page.keys[id] = key
			page.closed[key.Scope] = true
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read the settings of sites and the keys: %w", err)
	}
	page.closed[Read] = page.closed[Read] || page.closed[Admin]
	b.known = known
	b.page.Store(page)
	return damaged, nil
}

func parseSite(record store.Record) (any, error) {
	settings, err := site.Parse(record)
	if err != nil {
		return nil, err
	}
	location, err := event.Location(settings.Zone)
	if err != nil {
		return nil, fmt.Errorf("site %s: %w", record.Name, err)
	}
	return &Site{Settings: settings, Location: location}, nil
}
