package storetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// testDays proves Day, SwapDay and SiteDays.
func (b Backend) testDays(t *testing.T) {
	t.Run("RoundTrip", func(t *testing.T) {
		s, reopen := b.openTwice(t)
		days := []*rollup.Day{
			rollup.NewDay(site, "2026-01-01"),
			newDay(store.DayKey{Site: site, Date: "2026-01-02"}, stream, 100),
			newDay(berlin, stream, 50),
			fullDay(t),
		}
		for _, d := range days {
			swap(t, s, d)
		}
		for _, d := range days {
			wantDay(t, load(t, s, store.KeyOf(d)), d)
		}
		s = reopen()
		for _, d := range days {
			wantDay(t, load(t, s, store.KeyOf(d)), d)
		}
	})

	t.Run("NotFound", func(t *testing.T) {
		_, err := b.open(t).Day(t.Context(), day)
		wantErr(t, err, store.ErrNotFound)
	})

	t.Run("CompareAndSwap", func(t *testing.T) {
		s := b.open(t)
		d := newDay(day, stream, 3)
		swap(t, s, d)
		foldUpTo(d, stream, 5)
		swap(t, s, d)

		for _, rev := range []uint64{0, 1, d.Rev - 1, d.Rev + 1} {
			stale := newDay(day, stream, 9)
			stale.Rev = rev
			wantErr(t, s.SwapDay(t.Context(), stale), store.ErrConflict)
			wantEqual(t, "rev after the conflict", stale.Rev, rev)
		}
		wantDay(t, load(t, s, day), d)
	})

	t.Run("NotResurrected", func(t *testing.T) {
		s := b.open(t)
		d := newDay(day, stream, 3)
		d.Rev = 4
		wantErr(t, s.SwapDay(t.Context(), d), store.ErrConflict)
		_, err := s.Day(t.Context(), day)
		wantErr(t, err, store.ErrNotFound)
	})

	t.Run("Fields", func(t *testing.T) { testFields(t, b.open(t)) })

	t.Run("SiteDays", func(t *testing.T) {
		s := b.open(t)
		dates := []string{"2025-12-31", "2026-01-01", "2026-02-28", "2026-11-24"}
		for _, i := range []int{2, 0, 3, 1} {
			swap(t, s, newDay(store.DayKey{Site: site, Date: dates[i]}, stream, i+1))
		}
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
			{"nowhere", "", "", nil},
		} {
			what := fmt.Sprintf("dates of %s from %q to %q", c.site, c.from, c.to)
			wantEqual(t, what, siteDates(t, s, c.site, "", c.from, c.to), c.want)
		}

		enough, n := errors.New("enough"), 0
		err := s.SiteDays(t.Context(), site, "", "", "", rollup.AllFields, func(d *rollup.Day, _ *store.DamagedError) error {
			n++
			wantEqual(t, "events", d.Events, uint64(n))
			if n == 2 {
				return enough
			}
			return nil
		})
		wantErr(t, err, enough)
		wantEqual(t, "calls", n, 2)
	})

	t.Run("SitesDoNotMix", func(t *testing.T) {
		s := b.open(t)
		// In the order of bytes, others stand between a site and its dates
		// wherever a separator is chosen badly.
		sites := []string{"a", "a.", "a.b", "a-", "a-2026", "a:", "a:b", "a_", "a0", "aa", "ab", "A", ".", ":", "-", "_"}
		for i, name := range sites {
			d := newDay(store.DayKey{Site: name, Date: date}, stream, i+1)
			swap(t, s, d)
			for n := range i + 1 {
				e := newEvent(fmt.Sprint(n), n+1)
				e.Site = name
				insert(t, s, e)
			}
		}
		for i, name := range sites {
			wantEqual(t, "dates of "+name, siteDates(t, s, name, "", "", ""), []string{date})
			key := store.DayKey{Site: name, Date: date}
			wantEqual(t, "events of "+name, load(t, s, key).Events, uint64(i+1))
			wantEqual(t, "raw events of "+name, len(scan(t, s, key, nil, nil)), i+1)
			dates, err := s.EventDates(t.Context(), name, "", "")
			check(t, err)
			wantEqual(t, "event dates of "+name, dates, []string{date})
		}
	})
}

// testDamage proves that a damaged rollup is reported by every way of reading
// it, keeps nothing else from being read, and can be replaced with the rev
// that is reported.
func (b Backend) testDamage(t *testing.T) {
	for name, damage := range b.Damage {
		t.Run(name, func(t *testing.T) {
			s := b.open(t)
			var days []*rollup.Day
			for i, date := range []string{"2026-11-23", date, "2026-11-25"} {
				d := newDay(store.DayKey{Site: site, Date: date}, stream, i+1)
				swap(t, s, d)
				swap(t, s, d)
				days = append(days, d)
			}
			damage(t, s, day)

			_, err := s.Day(t.Context(), day)
			reported := wantDamaged(t, err)

			var seen []string
			check(t, s.SiteDays(t.Context(), site, "", "", "", rollup.AllFields, func(d *rollup.Day, damaged *store.DamagedError) error {
				if damaged != nil {
					wantEqual(t, "damaged", damaged.Key, day)
					wantEqual(t, "rev in SiteDays", damaged.Rev, reported.Rev)
					if d != nil {
						t.Error("SiteDays gives a day that is damaged")
					}
					seen = append(seen, "damaged")
					return nil
				}
				seen = append(seen, d.Date)
				return nil
			}))
			wantEqual(t, "days", seen, []string{"2026-11-23", "damaged", "2026-11-25"})

			step := s.Begin()
			defer step.Discard()
			_, err = step.Insert(t.Context(), []store.Event{newEvent("a", 1)})
			check(t, err)
			first := store.DayKey{Site: site, Date: days[0].Date}
			whole, damaged, err := step.Load(t.Context(), []store.DayKey{first, day})
			check(t, err)
			wantEqual(t, "whole days", len(whole), 1)
			wantDay(t, whole[first], days[0])
			wantEqual(t, "damaged days", len(damaged), 1)
			wantEqual(t, "rev in Load", damaged[day].Rev, reported.Rev)

			// A writer that does not know of the damage does not write over it.
			unaware := store.NewDay(day)
			unaware.Rev = reported.Rev + 1
			conflicts, err := step.Swap(t.Context(), []*rollup.Day{unaware})
			check(t, err)
			wantEqual(t, "conflicts", conflicts, []store.DayKey{day})
			commit(t, step, stream, at(1))

			repaired := newDay(day, stream, 2)
			repaired.Rev = reported.Rev
			swap(t, s, repaired)
			wantDay(t, load(t, s, day), repaired)

			damage(t, s, day)
			_, err = s.Day(t.Context(), day)
			reported = wantDamaged(t, err)
			repaired.Rev = reported.Rev
			step = s.Begin()
			defer step.Discard()
			_, err = step.Insert(t.Context(), []store.Event{newEvent("b", 2)})
			check(t, err)
			conflicts, err = step.Swap(t.Context(), []*rollup.Day{repaired})
			check(t, err)
			wantEqual(t, "conflicts", conflicts, nil)
			commit(t, step, stream, at(2))
			wantDay(t, load(t, s, day), repaired)
		})
	}
}

func wantDamaged(t *testing.T, err error) *store.DamagedError {
	t.Helper()
	var damaged *store.DamagedError
	if !errors.As(err, &damaged) {
		t.Fatalf("error is %v, want a DamagedError", err)
	}
	wantEqual(t, "damaged", damaged.Key, day)
	if damaged.Err == nil {
		t.Error("the damage has no reason")
	}
	return damaged
}

// testFields proves that a rollup which is read in part has the fields that were
// asked for, and cannot be stored.
func testFields(t *testing.T, s store.Store) {
	want := newDay(day, stream, 100)
	swap(t, s, want)
	month := newMonth(store.DayKey{Site: site, Date: date[:len("2006-01")]}, store.Head{Date: date, Rev: want.Rev})
	month.Merge(want)
	check(t, s.PutMonth(t.Context(), month))
	for _, fields := range []rollup.Fields{0, rollup.TableField(rollup.Path), rollup.HourUsersField, rollup.VisitsField, rollup.PagesField | rollup.TableField(rollup.OS)} {
		read := func(what string, got, want *rollup.Day) {
			if got.Events != want.Events || got.Rev == 0 || got.Users.Estimate() != want.Users.Estimate() {
				t.Errorf("%s read with the fields %#x has %d events of %d users, want %d of %d", what, fields,
					got.Events, got.Users.Estimate(), want.Events, want.Users.Estimate())
			}
			if err := got.Whole(); err == nil {
				t.Errorf("%s read with the fields %#x passes for a whole one", what, fields)
			}
			for dim := range rollup.NumDimensions {
				rows := 0
				if fields&rollup.TableField(dim) != 0 {
					rows = want.Tables[dim].Len()
				}
				wantEqual(t, fmt.Sprintf("%s read with the fields %#x: rows of %s", what, fields, dim), got.Tables[dim].Len(), rows)
			}
			visits, pages := want.Visits.Stats().Visits, want.Visits.Stats().Entry.Len()
			if fields&(rollup.VisitsField|rollup.PagesField) == 0 {
				visits = 0
			}
			if fields&rollup.PagesField == 0 {
				pages = 0
			}
			wantEqual(t, fmt.Sprintf("%s read with the fields %#x: visits", what, fields), got.Visits.Stats().Visits, visits)
			wantEqual(t, fmt.Sprintf("%s read with the fields %#x: entry pages", what, fields), got.Visits.Stats().Entry.Len(), pages)
		}
		check(t, s.SiteDays(t.Context(), site, "", date, date, fields, func(got *rollup.Day, damaged *store.DamagedError) error {
			if damaged != nil {
				return damaged
			}
			read("day", got, want)
			err := s.SwapDay(t.Context(), got)
			if err == nil || errors.Is(err, store.ErrConflict) {
				t.Errorf("storing what was read in part gives %v", err)
			}
			return nil
		}))
		got, err := s.Month(t.Context(), store.KeyOf(month), fields)
		check(t, err)
		got.Rev = 1 // a month has none
		read("month", got, month)
	}
}

// siteDates lists the dates that SiteDays gives.
func siteDates(t tb, s store.Store, site, zone, from, to string) []string {
	t.Helper()
	var dates []string
	check(t, s.SiteDays(t.Context(), site, zone, from, to, rollup.AllFields, func(d *rollup.Day, damaged *store.DamagedError) error {
		if damaged != nil {
			return damaged
		}
		wantEqual(t, "rollup", store.KeyOf(d), store.DayKey{Site: site, Zone: zone, Date: d.Date})
		dates = append(dates, d.Date)
		return nil
	}))
	return dates
}

// fullDay makes a day with everything in it that a day can have: marks of
// many streams, all hours, a dense sketch, tables at their limits with floors
// and errors, and keys with all that is special to some store.
func fullDay(t *testing.T) *rollup.Day {
	d := rollup.NewDay(site, date)
	odd := []string{".", "$", "$set", "a.b.c", "$a.$b", "/é/世界/🙂", " ", `"'\`, "0", "_id", "null", "%00", "a|b", "\u2028", "\x01"}
	for i := range 60_000 {
		e := rollup.Event{Position: at(i + 1), Hour: i % 24, User: fmt.Sprint("user ", i)}
		for dim := range rollup.Bot {
			// Half of the events have few values, the other half many, so
			// that some rows are exact and others are not.
			e.Values[dim] = fmt.Sprint("value ", i)
			if i%2 == 0 {
				e.Values[dim] = odd[i/2%len(odd)]
			}
		}
		e.Values[rollup.EventType] = rollup.PageView
		if i%3 == 0 {
			e.Values[rollup.EventType] = odd[i%len(odd)]
		}
		d.Fold(fmt.Sprint("1:", i%20), []rollup.Event{e})
		if i%20 == 0 {
			e.Values[rollup.Bot] = odd[i/20%len(odd)]
			d.Fold("1:20", []rollup.Event{e})
		}
		if i == 40_000 {
			d.Compact(rollup.DefaultLimits)
		}
	}
	d.Compact(rollup.DefaultLimits)
	d.Marks["9:$.é"] = rollup.Position{
		Entry: rollup.EntryID{Ms: rollup.MaxMs, Seq: rollup.MaxSeq},
		Line:  rollup.MaxLine,
	}
	d.Marks["9:1"] = rollup.Position{}

	if d.Bots() != 3000 || d.Tables[rollup.Bot].Len() != len(odd) {
		t.Fatalf("the full day has %d bots in %d rows", d.Bots(), d.Tables[rollup.Bot].Len())
	}
	paths := &d.Tables[rollup.Path]
	if rows := paths.Rows(); paths.Floor() == 0 || rows[0].Err != 0 || rows[len(rows)-1].Err == 0 {
		t.Fatal("the full day has no floor, no exact row or no row with an error")
	}
	if users, err := d.Users.AppendBinary(nil); err != nil || len(users) < 16<<10 {
		t.Fatalf("the full day's sketch is not dense: %d bytes, error %v", len(users), err)
	}
	return d
}
