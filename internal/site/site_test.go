package site

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
)

// records is a store of records in memory.
type records struct {
	of    map[string]store.Record
	reads int
	// intrude, if set, is what somebody else does just before the next write.
	intrude func()
}

func newRecords() *records { return &records{of: map[string]store.Record{}} }

func (r *records) Records(_ context.Context, _ store.RecordKind, sites []string) (map[string]store.Record, error) {
	r.reads++
	found := map[string]store.Record{}
	for _, site := range sites {
		if record, ok := r.of[site]; ok {
			found[site] = record
		}
	}
	return found, nil
}

func (r *records) RecordsAfter(_ context.Context, _ store.RecordKind, after string, limit int) ([]store.Record, error) {
	var list []store.Record
	for _, record := range r.of {
		if record.Name > after {
			list = append(list, record)
		}
	}
	slices.SortFunc(list, func(a, b store.Record) int { return strings.Compare(a.Name, b.Name) })
	return list[:min(limit, len(list))], nil
}

func (r *records) SwapRecord(_ context.Context, _ store.RecordKind, record *store.Record) error {
	r.others()
	if r.of[record.Name].Rev != record.Rev {
		return store.ErrConflict
	}
	record.Rev++
	r.of[record.Name] = *record
	return nil
}

func (r *records) DropRecord(_ context.Context, _ store.RecordKind, record store.Record) error {
	r.others()
	if r.of[record.Name].Rev != record.Rev {
		return store.ErrConflict
	}
	delete(r.of, record.Name)
	return nil
}

// others do what they do just before a write.
func (r *records) others() {
	if intrude := r.intrude; intrude != nil {
		r.intrude = nil
		intrude()
	}
}

func TestSettingsThroughAChange(t *testing.T) {
	ctx := t.Context()
	d := NewDirectory(newRecords(), 0)
	state := func(want Settings, all, folding []string) {
		t.Helper()
		got, err := d.Get(ctx, "shop")
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) || !slices.Equal(got.All(), all) || !slices.Equal(got.Folding(), folding) {
			t.Errorf("%+v with zones %q, folding %q; want %+v, %q, %q", got, got.All(), got.Folding(), want, all, folding)
		}
	}
	change := func(do func(*Settings)) {
		t.Helper()
		if _, err := d.Change(ctx, "shop", func(s *Settings) error { do(s); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	berlin, utc := "Europe/Berlin", ""
	both := []string{"", berlin}

	state(Settings{}, []string{""}, []string{""})
	change(func(s *Settings) { s.ChangeTo(berlin) })
	state(Settings{Next: &berlin, Zones: both}, both, both)
	change((*Settings).Finish)
	state(Settings{Zone: berlin, Zones: both}, both, []string{berlin})
	change(func(s *Settings) { s.ChangeTo(utc) })
	state(Settings{Zone: berlin, Next: &utc, Zones: both}, both, []string{berlin, ""})
	change((*Settings).GiveUp)
	state(Settings{Zone: berlin, Zones: both}, both, []string{berlin})
}

// TestChangesAreNotLost has a change between another one's reading and writing.
func TestChangesAreNotLost(t *testing.T) {
	r := newRecords()
	d := NewDirectory(r, 0)
	r.intrude = func() {
		if _, err := d.Change(t.Context(), "shop", func(s *Settings) error { s.ChangeTo("Asia/Kolkata"); return nil }); err != nil {
			t.Error(err)
		}
	}
	got, err := d.Change(t.Context(), "shop", func(s *Settings) error { s.ChangeTo("Europe/Berlin"); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"", "Asia/Kolkata", "Europe/Berlin"}; !slices.Equal(got.Zones, want) {
		t.Errorf("zones %q after two changes at once, want %q", got.Zones, want)
	}

	refuse := errors.New("no")
	if _, err := d.Change(t.Context(), "blog", func(*Settings) error { return refuse }); !errors.Is(err, refuse) {
		t.Errorf("a refused change gives %v", err)
	}
	if len(r.of) != 1 {
		t.Error("a refused change left a record")
	}
}

// TestNothingSetIsNoRecord takes away all that is set, while somebody else sets
// something.
func TestNothingSetIsNoRecord(t *testing.T) {
	r := newRecords()
	d := NewDirectory(r, 0)
	change := func(do func(*Settings)) {
		t.Helper()
		if _, err := d.Change(t.Context(), "shop", func(s *Settings) error { do(s); return nil }); err != nil {
			t.Error(err)
		}
	}
	takeAway := func(s *Settings) { s.Added, s.Origins = false, nil }
	change(takeAway)
	if len(r.of) != 0 {
		t.Error("nothing has a record")
	}
	change(func(s *Settings) { s.Added, s.Origins = true, []string{"https://shop.example"} })
	if len(r.of) != 1 {
		t.Error("there is no record")
	}
	r.intrude = func() { change(func(s *Settings) { s.Bots = KeepBots }) }
	change(takeAway)
	if got, err := d.Get(t.Context(), "shop"); err != nil || !reflect.DeepEqual(got, Settings{Bots: KeepBots}) {
		t.Errorf("%+v, %v", got, err)
	}
	change(func(s *Settings) { s.Bots = FilterBots })
	if len(r.of) != 0 {
		t.Error("nothing has a record still")
	}
}

func TestWhatIsKnownIsKeptForATime(t *testing.T) {
	r := newRecords()
	now := time.Unix(0, 0)
	d := NewDirectory(r, time.Second)
	d.now = func() time.Time { return now }
	writer := NewDirectory(r, 0)
	zone := func(want string) {
		t.Helper()
		all, err := d.GetAll(t.Context(), []string{"blog", "shop"})
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != 2 || all["shop"].Zone != want || all["blog"].Zone != "" {
			t.Errorf("%+v, want shop in %q", all, want)
		}
	}
	zone("")
	if _, err := writer.Change(t.Context(), "shop", func(s *Settings) error { s.Zone = "Asia/Kolkata"; return nil }); err != nil {
		t.Fatal(err)
	}
	reads := r.reads
	zone("")
	if r.reads != reads {
		t.Error("the store was asked again at once")
	}
	now = now.Add(time.Second)
	zone("Asia/Kolkata")
}

func TestEachSite(t *testing.T) {
	r := newRecords()
	for n := range listedAtOnce + 1 {
		site := fmt.Sprintf("%05d", n)
		r.of[site] = store.Record{Name: site, Body: []byte("{}")}
	}
	n := 0
	err := NewDirectory(r, 0).Each(t.Context(), func(site string, _ Settings) error {
		if site != fmt.Sprintf("%05d", n) {
			t.Fatalf("site %s at place %d", site, n)
		}
		n++
		return nil
	})
	if err != nil || n != listedAtOnce+1 {
		t.Errorf("%d sites listed, %v", n, err)
	}
	r.of["broken"] = store.Record{Name: "broken", Body: []byte("{")}
	if _, err := NewDirectory(r, 0).Get(t.Context(), "broken"); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("a broken record gives %v", err)
	}
}

func TestZonesByTheirNames(t *testing.T) {
	for name, want := range map[string]string{"UTC": "", "Europe/Berlin": "Europe/Berlin", "Australia/Lord_Howe": "Australia/Lord_Howe"} {
		zone, err := ParseZone(name)
		if err != nil || zone != want || ZoneName(zone) != name {
			t.Errorf("%s: %q, %v, shown as %s", name, zone, err, ZoneName(zone))
		}
	}
	for _, name := range []string{"localtime", "posixrules", "posix/Europe/Berlin", "right/UTC", "", "Local", "Europe/Berln", "../Berlin", "+02:00"} {
		if _, err := ParseZone(name); err == nil {
			t.Errorf("there is a time zone %q", name)
		}
	}
}
