package visitor

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
)

// memory is the records of salts of a store, which may be away.
type memory struct {
	mu    sync.Mutex
	salts map[string]store.Record
	away  bool
	// race, if set, is called before each write, as if another process were
	// faster.
	race func(name string)
}

func newMemory() *memory { return &memory{salts: map[string]store.Record{}} }

func (m *memory) begin(kind store.RecordKind) error {
	if kind != store.SaltKind {
		return fmt.Errorf("records of %s are not those of salts", kind)
	}
	if m.away {
		return store.ErrUnavailable
	}
	return nil
}

func (m *memory) RecordsAfter(_ context.Context, kind store.RecordKind, after string, limit int) ([]store.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(kind); err != nil {
		return nil, err
	}
	var page []store.Record
	for _, name := range slices.Sorted(maps.Keys(m.salts)) {
		if name > after && len(page) < limit {
			page = append(page, m.salts[name])
		}
	}
	return page, nil
}

func (m *memory) SwapRecord(_ context.Context, kind store.RecordKind, record *store.Record) error {
	if m.race != nil {
		m.race(record.Name)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(kind); err != nil {
		return err
	}
	if m.salts[record.Name].Rev != record.Rev {
		return store.ErrConflict
	}
	record.Rev++
	m.salts[record.Name] = store.Record{Name: record.Name, Rev: record.Rev, Body: bytes.Clone(record.Body)}
	return nil
}

func (m *memory) DropRecord(_ context.Context, kind store.RecordKind, record store.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(kind); err != nil {
		return err
	}
	if stored, ok := m.salts[record.Name]; !ok || stored.Rev != record.Rev {
		return store.ErrConflict
	}
	delete(m.salts, record.Name)
	return nil
}

func (m *memory) set(away bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = away
}

func (m *memory) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.salts))
}

// begin starts Salts that end with the test.
func begin(t testing.TB, records SaltRecords, log *slog.Logger) *Salts {
	t.Helper()
	s := NewSalts(records, log)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

var (
	quiet  = slog.New(slog.DiscardHandler)
	client = netip.MustParseAddr("192.0.2.1")
)

func zone(hours int) *time.Location { return time.FixedZone("", hours*3600) }

func idOf(t *testing.T, s *Salts, now time.Time, zone *time.Location) string {
	t.Helper()
	id, ok := s.ID(now, zone, "shop.example", client, "Firefox")
	if !ok {
		t.Fatalf("no salt for %s", now.In(zone))
	}
	return id
}

// Whatever the time is, there is a salt of each date that it is in some zone or
// will be in an hour, and no other one.
func TestSaltsOfAllZones(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := begin(t, m, quiet)
		for range 24 * 5 {
			time.Sleep(time.Hour)
			synctest.Wait()
			var dates []string
			for hours := -12; hours <= 14; hours++ {
				for _, at := range []time.Time{time.Now(), time.Now().Add(time.Hour)} {
					idOf(t, s, at, zone(hours))
					dates = append(dates, at.In(zone(hours)).Format(time.DateOnly))
				}
			}
			slices.Sort(dates)
			if dates = slices.Compact(dates); !slices.Equal(m.names(), dates) {
				t.Fatalf("at %s there are the salts of %v, and the dates are %v", time.Now(), m.names(), dates)
			}
		}
	})
}

// A salt is destroyed when its date is over everywhere: about 51 hours after
// it was made nobody can make an ID of that date again, with whatever process.
func TestSaltsAreDestroyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := begin(t, m, quiet)
		day := time.Date(2000, 1, 5, 12, 0, 0, 0, time.UTC)
		const name = "2000-01-05"
		// It is the 5th first where clocks are 14 hours ahead.
		first := time.Date(2000, 1, 4, 10, 0, 0, 0, time.UTC)
		time.Sleep(time.Until(first.Add(-saltsAhead - time.Second)))
		synctest.Wait()
		if slices.Contains(m.names(), name) {
			t.Fatalf("more than an hour before the first use there are %v", m.names())
		}
		time.Sleep(saltsInterval + time.Second)
		synctest.Wait()
		if !slices.Contains(m.names(), name) {
			t.Fatalf("less than an hour before the first use there are %v", m.names())
		}
		id := idOf(t, s, day, time.UTC)

		// It is the 5th at last where they are 12 hours behind.
		last := time.Date(2000, 1, 6, 12, 0, 0, 0, time.UTC)
		time.Sleep(time.Until(last.Add(-time.Second)))
		synctest.Wait()
		if again := idOf(t, s, day, time.UTC); again != id {
			t.Fatalf("%s became %s on the same date", id, again)
		}
		time.Sleep(saltsInterval + time.Second)
		synctest.Wait()
		if slices.Contains(m.names(), name) {
			t.Fatalf("a date that is over everywhere has a salt: %v", m.names())
		}
		other := begin(t, m, quiet)
		for _, s := range []*Salts{s, other} {
			if again, ok := s.ID(day, time.UTC, "shop.example", client, "Firefox"); ok || again != "" {
				t.Errorf("an ID of a date that is over is made: %q", again)
			}
		}
	})
}

// Two processes have the same salts, also when they make them at once.
func TestSaltsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		// The first is about to write a salt when the second makes all of them.
		second := sync.OnceValue(func() *Salts { return begin(t, m, quiet) })
		m.race = func(string) {
			m.race = nil
			second()
		}
		first, third := begin(t, m, quiet), begin(t, m, quiet)
		for range 4 {
			now := time.Now()
			for _, hours := range []int{-12, 0, 14} {
				id := idOf(t, first, now, zone(hours))
				for _, s := range []*Salts{second(), third} {
					if other := idOf(t, s, now, zone(hours)); other != id {
						t.Errorf("at %s: %s and %s", now.In(zone(hours)), id, other)
					}
				}
			}
			time.Sleep(24 * time.Hour)
			synctest.Wait()
		}
	})
}

// While the store is away what is known stays in use, until it is over.
func TestSaltsWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var log bytes.Buffer
		s := begin(t, m, slog.New(slog.NewTextHandler(&log, nil)))
		began := time.Now() // midnight in UTC
		id := idOf(t, s, began, time.UTC)
		m.set(true)
		time.Sleep(23 * time.Hour)
		synctest.Wait()
		if again := idOf(t, s, time.Now(), time.UTC); again != id {
			t.Errorf("%s became %s on the same date", id, again)
		}
		// There was no chance to make the salt of a later date.
		if id, ok := s.ID(time.Now().Add(24*time.Hour), zone(14), "shop.example", client, "Firefox"); ok {
			t.Errorf("without a salt there is the ID %s", id)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if id, ok := s.ID(began, time.UTC, "shop.example", client, "Firefox"); ok {
			t.Errorf("of a date that is over everywhere there is still the ID %s", id)
		}
		if n := strings.Count(log.String(), "cannot be looked after"); n != 1 {
			t.Errorf("that the store is away is reported %d times:\n%s", n, log.String())
		}
		m.set(false)
		time.Sleep(saltsAgain + time.Second)
		synctest.Wait()
		idOf(t, s, time.Now(), time.UTC)
		if names := m.names(); names[0] < "2000-01-02" {
			t.Errorf("when the store is back there are %v", names)
		}
		if !strings.Contains(log.String(), "looked after again") {
			t.Errorf("that the store is back is not reported:\n%s", log.String())
		}
	})
}

// A store that is away at the start is waited for.
func TestSaltsStartWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.set(true)
		var log bytes.Buffer
		s := begin(t, m, slog.New(slog.NewTextHandler(&log, nil)))
		if id, ok := s.ID(time.Now(), time.UTC, "shop.example", client, "Firefox"); ok {
			t.Errorf("without a salt there is the ID %s", id)
		}
		m.set(false)
		time.Sleep(saltsAgain + time.Second)
		synctest.Wait()
		idOf(t, s, time.Now(), time.UTC)
		if text := log.String(); strings.Count(text, "cannot be looked after") != 1 || strings.Count(text, "looked after again") != 1 {
			t.Errorf("the log is:\n%s", text)
		}
	})
}

// A salt that the store has lost is put there again: its IDs are in use.
func TestLostSaltIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := begin(t, m, quiet)
		id := idOf(t, s, time.Now(), time.UTC)
		m.mu.Lock()
		clear(m.salts)
		m.mu.Unlock()
		time.Sleep(saltsInterval + time.Second)
		synctest.Wait()
		if other := idOf(t, begin(t, m, quiet), time.Now(), time.UTC); other != id {
			t.Errorf("after the store lost it the ID %s became %s", id, other)
		}
	})
}

// What a process with the right clock has destroyed one with a slow clock does
// not bring back.
func TestDestroyedSaltStaysDestroyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		begin(t, m, quiet)
		slow := NewSalts(m, quiet)
		slow.now = func() time.Time { return time.Now().Add(-clocksApart + time.Minute) }
		if err := slow.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = slow.Stop(context.Background()) })
		const name = "2000-01-01"
		over := time.Date(2000, 1, 2, 12, 0, 0, 0, time.UTC)
		time.Sleep(time.Until(over.Add(-time.Second)))
		if !slices.Contains(m.names(), name) {
			t.Fatalf("before the date is over there are %v", m.names())
		}
		gone := false
		for range 180 {
			time.Sleep(time.Minute)
			synctest.Wait()
			there := slices.Contains(m.names(), name)
			if gone && there {
				t.Fatalf("at %s a salt is back that was destroyed", time.Now())
			}
			gone = !there
		}
		if !gone {
			t.Errorf("the salt of %s is there still", name)
		}
	})
}

// A damaged salt is replaced, and does not keep others from being destroyed.
func TestDamagedSaltIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		today := time.Now().UTC().Format(time.DateOnly)
		damage := func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.salts[today] = store.Record{Name: today, Rev: m.salts[today].Rev + 1, Body: make([]byte, saltBytes-1)}
		}
		damage()
		m.salts["1999-12-01"] = store.Record{Name: "1999-12-01", Rev: 1, Body: make([]byte, saltBytes)}
		var log bytes.Buffer
		s := begin(t, m, slog.New(slog.NewTextHandler(&log, nil)))
		if names := m.names(); slices.Contains(names, "1999-12-01") {
			t.Errorf("what is over is there still: %v", names)
		}
		if !strings.Contains(log.String(), today) {
			t.Errorf("the log does not tell that the salt of %s is damaged:\n%s", today, log.String())
		}
		id := idOf(t, s, time.Now(), time.UTC)
		// While a process knows it the same one is put there again.
		damage()
		time.Sleep(saltsInterval + time.Second)
		synctest.Wait()
		if other := idOf(t, begin(t, m, quiet), time.Now(), time.UTC); other != id {
			t.Errorf("after it was damaged the ID %s became %s", id, other)
		}
	})
}

// Who is stopped before the start, or twice, has no salt and no fault.
func TestStop(t *testing.T) {
	s := NewSalts(newMemory(), quiet)
	for range 2 {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}
	if id, ok := s.ID(time.Now(), time.UTC, "shop.example", client, "Firefox"); ok {
		t.Errorf("without a salt there is the ID %s", id)
	}
}

// An ID is of the visitor's date on one site with one browser, and of nothing
// else.
func TestID(t *testing.T) {
	m := newMemory()
	s := begin(t, m, quiet)
	now := time.Now()
	of := func(s *Salts, now time.Time, site, addr, userAgent string) string {
		t.Helper()
		id, ok := s.ID(now, time.UTC, site, netip.MustParseAddr(addr), userAgent)
		if !ok || !strings.HasPrefix(id, "~") || len(id) != 1+22 {
			t.Fatalf("the ID is %q, %v", id, ok)
		}
		return id
	}
	id := of(s, now, "shop.example", "192.0.2.1", "Firefox")
	for what, same := range map[string]string{
		"asked again":                    of(s, now, "shop.example", "192.0.2.1", "Firefox"),
		"an address in the form of IPv6": of(s, now, "shop.example", "::ffff:192.0.2.1", "Firefox"),
	} {
		if same != id {
			t.Errorf("%s: %s, and not %s", what, same, id)
		}
	}
	if of(s, now, "a", "fe80::1%eth0", "b") != of(s, now, "a", "fe80::1%eth1", "b") {
		t.Error("the zone of an address changes the ID")
	}
	ids := map[string]string{id: "the first"}
	for what, other := range map[string]string{
		"another site":       of(s, now, "shop.example2", "192.0.2.1", "Firefox"),
		"another address":    of(s, now, "shop.example", "192.0.2.2", "Firefox"),
		"an address of IPv6": of(s, now, "shop.example", "2001:db8::1", "Firefox"),
		"another agent":      of(s, now, "shop.example", "192.0.2.1", "Firefox/1"),
		"no agent":           of(s, now, "shop.example", "192.0.2.1", ""),
		"no site":            of(s, now, "", "192.0.2.1", "Firefox"),
		"other salts":        of(begin(t, newMemory(), quiet), now, "shop.example", "192.0.2.1", "Firefox"),
	} {
		if same, ok := ids[other]; ok {
			t.Errorf("%s and %s are %s", what, same, other)
		}
		ids[other] = what
	}
	// What one part ends with is not what the next one begins with.
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	oneBytes, twoBytes := one.As16(), two.As16()
	long, _ := s.ID(now, time.UTC, "site"+string(oneBytes[:]), two, "x")
	short, _ := s.ID(now, time.UTC, "site", one, string(twoBytes[:])+"x")
	if long == short {
		t.Error("two visitors with the same bytes in a row have one ID")
	}
	// The date is the one of the site's time zone.
	east, _ := s.ID(now, zone(14), "shop.example", client, "Firefox")
	west, _ := s.ID(now, zone(-12), "shop.example", client, "Firefox")
	if east == west {
		t.Error("two dates have one ID")
	}
	for name, record := range m.salts {
		if len(record.Body) != saltBytes || bytes.Equal(record.Body, make([]byte, saltBytes)) {
			t.Errorf("the salt of %s is %x", name, record.Body)
		}
	}
}

func BenchmarkID(b *testing.B) {
	s := begin(b, newMemory(), quiet)
	now := time.Now()
	userAgent := strings.Repeat("x", 120)
	b.ReportAllocs()
	for b.Loop() {
		s.ID(now, time.UTC, "shop.example", client, userAgent)
	}
}
