package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/daybook-analytics/daybook/internal/store"
)

// removals are the methods that take events away before a date, and how many
// events they tell of.
var removals = map[string]func(ctx context.Context, s store.Store, site, before string) (int64, error){
	"Expire": func(ctx context.Context, s store.Store, site, before string) (int64, error) {
		return s.Expire(ctx, site, before)
	},
	"EraseDays": func(ctx context.Context, s store.Store, site, before string) (int64, error) {
		events, _, err := s.EraseDays(ctx, site, before)
		return events, err
	},
	"EraseUser": func(ctx context.Context, s store.Store, site, before string) (int64, error) {
		removed, err := s.EraseUser(ctx, site, "u", before)
		var n int64
		for _, events := range maps.All(removed) {
			n += events
		}
		return n, err
	},
}

// testRemovalCancelled proves that nothing is done with a context that has
// ended.
func (b Backend) testRemovalCancelled(t *testing.T) {
	s := b.open(t)
	stocks := fill(t, s)
	job := store.Job{ID: "job"}
	check(t, s.SwapJob(t.Context(), &job))
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for name, remove := range removals {
		t.Run(name, func(t *testing.T) {
			_, err := remove(done, s, site, date)
			wantErr(t, err, context.Canceled)
			_, err = remove(done, s, site, "2027-01-01")
			wantErr(t, err, context.Canceled)
		})
	}
	changed := job
	for name, call := range map[string]func() error{
		"Sites":     func() error { _, err := s.Sites(done, "", 10); return err },
		"DayDates":  func() error { _, err := s.DayDates(done, site, "", "", ""); return err },
		"KeptSince": func() error { _, err := s.KeptSince(done, site); return err },
		"Job":       func() error { _, err := s.Job(done, "job"); return err },
		"Records": func() error {
			_, err := s.Records(done, store.SiteKind, []string{site})
			return err
		},
		"RecordsAfter": func() error { _, err := s.RecordsAfter(done, store.SiteKind, "", 10); return err },
		"SwapRecord":   func() error { return s.SwapRecord(done, store.SiteKind, &store.Record{Name: site}) },
		"DropRecord":   func() error { return s.DropRecord(done, store.SiteKind, store.Record{Name: site}) },
		"Jobs":         func() error { _, err := s.Jobs(done, "", 10); return err },
		"SwapJob":      func() error { return s.SwapJob(done, &changed) },
		"DropJob":      func() error { return s.DropJob(done, "job") },
	} {
		t.Run(name, func(t *testing.T) { wantErr(t, call(), context.Canceled) })
	}
	wantStocks(t, s, stocks)
	stored, err := s.Job(t.Context(), "job")
	check(t, err)
	wantEqual(t, "rev of the job", stored.Rev, 1)
	records, err := s.RecordsAfter(t.Context(), store.SiteKind, "", 10)
	check(t, err)
	wantEqual(t, "records of sites", len(records), 0)
}

// testRemovalStopped proves that what was removed until a removal was stopped
// is told and stays removed, that no date of which something is gone is taken
// for whole at any time, and that running it again ends it.
func (b Backend) testRemovalStopped(t *testing.T) {
	const n = 1200
	dates := []string{"2026-11-22", "2026-11-23"}
	for name, remove := range removals {
		t.Run(name, func(t *testing.T) {
			s, reopen := b.openTwice(t)
			for _, d := range dates {
				events := make([]store.Event, n)
				for i := range events {
					events[i] = newEvent(fmt.Sprint(d, " ", i), i+1)
					events[i].Date, events[i].User = d, "u"
				}
				insert(t, s, events...)
			}
			// gone looks at what is there while the removal is at work, and
			// tells how much is gone.
			gone := func() (total int64) {
				for _, d := range dates {
					events := 0
					check(t, s.ScanDay(t.Context(), site, []string{d}, nil, nil, func(*store.Event) error { events++; return nil }))
					total += int64(n - events)
					if events == n || name == "EraseUser" {
						continue
					}
					kept, err := s.KeptSince(t.Context(), site)
					check(t, err)
					if kept <= d {
						t.Fatalf("of %s are %d events gone, and all are kept since %q", d, n-events, kept)
					}
				}
				return total
			}

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			type result struct {
				removed int64
				err     error
			}
			ended := make(chan result, 1)
			go func() {
				removed, err := remove(ctx, s, site, date)
				ended <- result{removed, err}
			}()
			var first result
			for running := true; running; {
				if gone() > 0 {
					cancel()
				}
				select {
				case first = <-ended:
					running = false
				default:
				}
			}
			if first.err != nil && !errors.Is(first.err, context.Canceled) {
				t.Fatal(first.err)
			}
			s = reopen()
			if first.err == nil {
				wantEqual(t, "events gone", gone(), len64(dates)*n)
			}
			if told, is := first.removed, gone(); told > is {
				t.Fatalf("told of %d removed events, %d are gone", told, is)
			}
			second, err := remove(t.Context(), s, site, date)
			check(t, err)
			wantEqual(t, "events gone", gone(), len64(dates)*n)
			if first.removed+second > len64(dates)*n {
				t.Fatalf("told of %d and %d removed events, there were %d", first.removed, second, len(dates)*n)
			}
		})
	}
}

func len64[T any](s []T) int64 { return int64(len(s)) }

// testRemovalLive proves that steps at the same time lose nothing that is not
// to go, whether of the same site or of others.
func (b Backend) testRemovalLive(t *testing.T) {
	const perWriter = 4
	const old = "2026-11-20"
	kept := []store.DayKey{day, {Site: site, Date: "2026-11-25"}, {Site: site + ".b", Date: old}, {Site: "site-ab", Date: old}}
	going := store.DayKey{Site: site, Date: old}
	for name, remove := range removals {
		t.Run(name, func(t *testing.T) {
			s := b.open(t)
			live, stop := context.WithCancel(t.Context())
			defer stop()
			removing := make(chan error, 1)
			go func() {
				for live.Err() == nil {
					if _, err := remove(t.Context(), s, site, date); err != nil {
						removing <- err
						return
					}
				}
				removing <- nil
			}()
			race(t, func(w int) error {
				for n := 1; n <= perWriter; n++ {
					if err := countOnce(t.Context(), s, fmt.Sprint("1:", w), n, append(kept[:len(kept):len(kept)], going)); err != nil {
						return err
					}
				}
				return nil
			})
			stop()
			check(t, <-removing)

			for _, key := range kept {
				wantEqual(t, "events of "+key.String(), load(t, s, key).Events, writers*perWriter)
				wantEqual(t, "raw events of "+key.String(), len(scan(t, s, key, nil, nil)), writers*perWriter)
			}
			counted, err := s.Day(t.Context(), going)
			switch {
			case errors.Is(err, store.ErrNotFound):
				wantEqual(t, "method that removes rollups", name, "EraseDays")
				if b.Atomic {
					wantEqual(t, "raw events without a rollup", len(scan(t, s, going, nil, nil)), 0)
				}
			case err != nil:
				t.Fatal(err)
			case name != "EraseDays":
				wantEqual(t, "events of the rollup", counted.Events, writers*perWriter)
			case b.Atomic:
				wantEqual(t, "raw events", uint64(len(scan(t, s, going, nil, nil))), counted.Events)
			}
			// All raw events and all IDs that are left belong together.
			left := map[string]bool{}
			for _, e := range scan(t, s, going, nil, nil) {
				left[e.ID] = true
			}
			var events []store.Event
			var want []store.Result
			for w := range writers {
				for n := 1; n <= perWriter; n++ {
					e := newEvent(fmt.Sprint(old, " 1:", w, " ", n), n)
					e.Date, e.Stream = old, fmt.Sprint("1:", w)
					events = append(events, e)
					result := store.Inserted
					if left[e.ID] {
						result = store.Replayed
					}
					want = append(want, result)
				}
			}
			wantEqual(t, "results of inserting again", insert(t, s, events...), want)
		})
	}
}
