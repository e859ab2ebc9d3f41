package retention

import (
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
)

const kolkata = "Asia/Kolkata"

// setZone changes the time zone of a site.
func (w *world) setZone(name, zone string) {
	w.t.Helper()
	r := w.keeper("2026-03-10").runner
	job, err := r.CreateZoneChange(w.t.Context(), name, zone, "test")
	if err == nil {
		err = r.RunZoneChange(w.t.Context(), job, w.queue, 2)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestZones erases and expires events of a site that had another time zone
// before, so that raw events of one day have several dates.
func TestZones(t *testing.T) {
	onAll(t, func(t *testing.T, w *world) {
		utc := dates("a", "2026-03-01", 6)
		for _, key := range utc {
			w.send(key, 48, "u1", "u2", erased)
		}
		w.settle()
		w.setZone("a", kolkata)
		for _, key := range utc {
			w.send(key, 48, "u1", "u2", erased)
		}
		w.settle()
		keys := dates("a", "2026-03-01", 7)
		for i := range keys {
			keys[i].Zone = kolkata
		}
		for _, key := range keys {
			w.wantDay(key, all)
		}

		// While it is being changed again, and that was broken off.
		_, err := site.NewDirectory(w.store, 0).Change(t.Context(), "a", func(s *site.Settings) error { s.ChangeTo(""); return nil })
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range utc {
			if _, _, err := reconcile.RebuildDay(t.Context(), w.store, key, reconcile.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		k := w.keeper("2026-03-10")
		receipt, err := k.Erase(t.Context(), Erasure{Site: "a", User: erased})
		if err != nil || receipt.Problem != "" || receipt.Events != 6*32 || len(receipt.Days) != 7 {
			t.Errorf("%v, %+v", err, receipt)
		}
		left := func(e *event.Event) bool { return e.User != erased }
		for _, key := range append(keys, utc...) {
			w.wantDay(key, left)
		}

		// On the 5th in Kolkata it is still the 4th in UTC. What is dated up to
		// the 2nd goes, and the rollups stay. Of the second half of the events,
		// 6 of the 1st in UTC are dated the 2nd, and as many of the 2nd the 3rd.
		k.now = func() time.Time { return time.Date(2026, 3, 4, 20, 0, 0, 0, time.UTC) }
		done, err := k.Expire(t.Context(), Policy{Days: 2}, "test")
		wantExpired(t, done, err, Expired{Site: "a", KeepDays: 2, Before: "2026-03-03", Dates: []string{"2026-03-01", "2026-03-02"}, Events: 4*32 - 6})
		for i, key := range keys {
			w.wantDay(key, left)
			check, err := reconcile.CheckDay(t.Context(), w.store, key)
			// Of the 3rd the first hours may have been dated the 2nd.
			want := reconcile.OK
			if i < 3 {
				want = reconcile.Partial
			}
			if err != nil || check.State != want {
				t.Errorf("%s is %s, want %s, %v", key, check.State, want, err)
			}
		}

		if _, err := k.Erase(t.Context(), Erasure{Site: "a", Before: "2026-03-06"}); err == nil {
			t.Error("days were erased that are yet to come in the site's zone")
		}
		receipt, err = k.Erase(t.Context(), Erasure{Site: "a", Before: "2026-03-05"})
		if err != nil || receipt.Problem != "" || len(receipt.Days) != 4 {
			t.Errorf("%v, %+v", err, receipt)
		}
		for i, key := range keys {
			if day := w.day(key); (day == nil) != (i < 4) {
				t.Errorf("%s: %v", key, day)
			}
		}
		receipt, err = k.Erase(t.Context(), Erasure{Site: "a"})
		if err != nil || receipt.Problem != "" {
			t.Errorf("%v, %+v", err, receipt)
		}
		for _, zone := range []string{"", kolkata} {
			if dates, err := w.store.DayDates(t.Context(), "a", zone, "", ""); err != nil || len(dates) > 0 {
				t.Errorf("%v, left in %q: %v", err, zone, dates)
			}
		}
		if _, err := w.store.Day(t.Context(), store.DayKey{Site: "a", Zone: kolkata, Date: "2026-03-06"}); err == nil {
			t.Error("a rollup is left")
		}
	})
}
