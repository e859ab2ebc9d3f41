package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// testEvents proves Insert and EventDates.
func (b Backend) testEvents(t *testing.T) {
	t.Run("RoundTrip", func(t *testing.T) {
		s, reopen := b.openTwice(t)
		full := newEvent("full", 1)
		for dim := range full.Values {
			full.Values[dim] = "value of " + rollup.Dimension(dim).String()
		}
		odd := newEvent(`a|b.$c "é" 世界`, 2)
		odd.User = "$where.user|é"
		odd.Values[rollup.Path] = "/a.b/$c?/é/世界/%00"
		odd.Time = time.UnixMilli(1).UTC()
		bare := newEvent("bare", 3)
		bare.User = ""
		bare.Values = rollup.Values{rollup.EventType: "signup"}
		want := []store.Event{full, odd, bare}

		wantEqual(t, "results", insert(t, s, want...), repeat(store.Inserted, 3))
		wantEqual(t, "events", scan(t, s, day, nil, nil), want)
		wantEqual(t, "events after opening again", scan(t, reopen(), day, nil, nil), want)
	})

	t.Run("Replayed", func(t *testing.T) {
		s, reopen := b.openTwice(t)
		events := []store.Event{newEvent("a", 1), newEvent("b", 2)}
		insert(t, s, events...)
		again := append(slices.Clone(events), newEvent("c", 3))
		want := []store.Result{store.Replayed, store.Replayed, store.Inserted}
		wantEqual(t, "results", insert(t, s, again...), want)
		s = reopen()
		wantEqual(t, "results after opening again", insert(t, s, again...), repeat(store.Replayed, 3))
		wantEqual(t, "events", scan(t, s, day, nil, nil), again)
	})

	t.Run("Duplicate", func(t *testing.T) {
		s := b.open(t)
		first := newEvent("a", 1)
		insert(t, s, first)

		later := newEvent("a", 2)
		otherStream := newEvent("a", 1)
		otherStream.Stream = "1:1"
		otherDate := newEvent("a", 3)
		otherDate.Date = "2026-11-25"
		otherSite := newEvent("a", 4)
		otherSite.Site = site + "2"
		got := insert(t, s, later, otherStream, otherDate, otherSite)
		want := []store.Result{store.Duplicate, store.Duplicate, store.Duplicate, store.Inserted}
		wantEqual(t, "results", got, want)

		wantEqual(t, "events", scan(t, s, day, nil, nil), []store.Event{first})
		next := store.DayKey{Site: site, Date: otherDate.Date}
		wantEqual(t, "events of the other date", scan(t, s, next, nil, nil), nil)
	})

	t.Run("DuplicateInOneBatch", func(t *testing.T) {
		s := b.open(t)
		otherDate := newEvent("a", 3)
		otherDate.Date = "2026-11-25"
		got := insert(t, s, newEvent("a", 1), newEvent("a", 2), otherDate, newEvent("b", 4))
		want := []store.Result{store.Inserted, store.Duplicate, store.Duplicate, store.Inserted}
		wantEqual(t, "results", got, want)
		wantEqual(t, "events", scan(t, s, day, nil, nil), []store.Event{newEvent("a", 1), newEvent("b", 4)})

		// The same batch again is a replay that tells the same apart.
		got = insert(t, s, newEvent("a", 1), newEvent("a", 2), otherDate, newEvent("b", 4))
		want = []store.Result{store.Replayed, store.Duplicate, store.Duplicate, store.Replayed}
		wantEqual(t, "results of the replay", got, want)
	})

	t.Run("Refused", func(t *testing.T) {
		s := b.open(t)
		bad := newEvent("bad", 2)
		b.Refuse(&bad)
		step := s.Begin()
		defer step.Discard()
		// What is refused does not take its key.
		outcomes, err := step.Insert(t.Context(), []store.Event{newEvent("a", 1), bad, newEvent("c", 3), newEvent("bad", 4), newEvent("bad", 5)})
		check(t, err)
		want := []store.Result{store.Inserted, store.Refused, store.Inserted, store.Inserted, store.Duplicate}
		wantEqual(t, "results", results(outcomes), want)
		if outcomes[1].Reason == "" {
			t.Error("the refusal has no reason")
		}
		commit(t, step, stream, at(5))
		wantEqual(t, "events", ids(scan(t, s, day, nil, nil)), []string{"a", "c", "bad"})
	})

	t.Run("Many", func(t *testing.T) {
		s := b.open(t)
		const n = 3000
		var events []store.Event
		want := repeat(store.Inserted, n)
		for i := range n {
			e := newEvent(fmt.Sprint("event ", i), i+1)
			if i%100 == 99 {
				e.ID = fmt.Sprint("event ", i-50)
				want[i] = store.Duplicate
			}
			events = append(events, e)
		}
		wantEqual(t, "results", insert(t, s, events...), want)
		var kept []string
		for i, r := range want {
			if r == store.Inserted {
				kept = append(kept, events[i].ID)
				want[i] = store.Replayed
			}
		}
		wantEqual(t, "events", ids(scan(t, s, day, nil, nil)), kept)
		wantEqual(t, "results of the replay", insert(t, s, events...), want)
	})

	t.Run("None", func(t *testing.T) {
		s := b.open(t)
		wantEqual(t, "results", insert(t, s), nil)
	})

	t.Run("EventDates", func(t *testing.T) {
		s := b.open(t)
		dates := []string{"2025-12-31", "2026-01-01", "2026-02-28", "2026-11-24"}
		n := 0
		for _, d := range dates {
			for _, stream := range []string{"1:0", "1:1"} {
				for range 3 {
					n++
					e := newEvent(fmt.Sprint(n), n)
					e.Date, e.Stream = d, stream
					insert(t, s, e)
				}
			}
		}
		other := newEvent("other", 1)
		other.Site, other.Date = site+".b", "2026-03-03"
		insert(t, s, other)

		for _, c := range []struct {
			site, from, to string
			want           []string
		}{
			{site, "", "", dates},
			{site, "2026-01-01", "", dates[1:]},
			{site, "", "2026-01-01", dates[:2]},
			{site, "2026-01-01", "2026-02-28", dates[1:3]},
			{site, "2026-01-02", "2026-02-27", nil},
			{site, "2027-01-01", "2026-01-01", nil},
			{site + ".b", "", "", []string{"2026-03-03"}},
			{"nowhere", "", "", nil},
		} {
			got, err := s.EventDates(t.Context(), c.site, c.from, c.to)
			check(t, err)
			if !slices.Equal(got, c.want) {
				t.Errorf("dates of %s from %q to %q: got %v, want %v", c.site, c.from, c.to, got, c.want)
			}
		}
	})
}

// testScan proves ScanDay.
func (b Backend) testScan(t *testing.T) {
	s := b.open(t)
	streams := []string{"1:0", "1:10", "1:2", "2:0"} // in the order of their names
	const perStream = 7
	var all []store.Event
	for _, name := range streams {
		for n := 1; n <= perStream; n++ {
			e := newEvent(fmt.Sprint(name, " ", n), n)
			e.Stream = name
			e.Time = noon.Add(-time.Duration(n) * time.Minute) // not in the order of time
			all = append(all, e)
		}
	}
	shuffled := slices.Clone(all)
	slices.Reverse(shuffled)
	insert(t, s, shuffled[:10]...)
	insert(t, s, shuffled[10:]...)
	for i, other := range []store.DayKey{{Site: site, Date: "2026-11-23"}, {Site: site, Date: "2026-11-25"}, {Site: site + "x", Date: date}} {
		e := newEvent(fmt.Sprint("other ", i), 5)
		e.Site, e.Date = other.Site, other.Date
		insert(t, s, e)
	}

	marks := func(n int, names ...string) rollup.Marks {
		m := rollup.Marks{}
		for _, name := range names {
			m[name] = at(n)
		}
		return m
	}
	for _, c := range []struct {
		name        string
		after, upTo rollup.Marks
	}{
		{"All", nil, nil},
		{"AfterAll", marks(3, streams...), nil},
		{"AfterSome", marks(3, "1:10", "2:0"), nil},
		{"AfterEnd", marks(perStream, streams...), nil},
		{"AfterUnknown", marks(3, "9:9"), nil},
		{"UpToAll", nil, marks(3, streams...)},
		{"UpToSome", nil, marks(3, "1:2", "1:0")},
		{"UpToBeyond", nil, marks(100, streams...)},
		{"UpToNothing", nil, rollup.Marks{}},
		{"UpToUnknown", nil, marks(3, "9:9")},
		{"Between", marks(2, "1:0", "1:2"), marks(5, "1:0", "1:10")},
		{"BetweenOne", marks(2, streams...), marks(3, streams...)},
		{"BetweenNothing", marks(3, streams...), marks(3, streams...)},
		{"Crossed", marks(5, streams...), marks(2, streams...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			var want []string
			for i := range all {
				e := &all[i]
				if !c.after.Covers(e.Stream, e.Position) && (c.upTo == nil || c.upTo.Covers(e.Stream, e.Position)) {
					want = append(want, e.ID)
				}
			}
			wantEqual(t, "events", ids(scan(t, s, day, c.after, c.upTo)), want)
		})
	}

	t.Run("Nothing", func(t *testing.T) {
		wantEqual(t, "events", scan(t, s, store.DayKey{Site: "nowhere", Date: date}, nil, nil), nil)
	})
	t.Run("EndsWithError", func(t *testing.T) {
		enough, n := errors.New("enough"), 0
		err := s.ScanDay(t.Context(), site, []string{date}, nil, nil, func(*store.Event) error {
			if n++; n == 3 {
				return enough
			}
			return nil
		})
		wantErr(t, err, enough)
		wantEqual(t, "calls", n, 3)
	})
}
