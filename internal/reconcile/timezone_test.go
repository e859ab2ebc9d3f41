package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// sendAt puts an event at each of the times into the queue, in one entry, and
// gives them.
func (w *world) sendAt(name string, times []time.Time) []event.Event {
	w.t.Helper()
	var events []event.Event
	group := queue.Group{Stream: fmt.Sprintf("1:%d", queue.Partition(name, 2)), Events: len(times)}
	for _, at := range times {
		w.sent++
		e := event.Event{ID: fmt.Sprint(w.sent), Site: name, User: fmt.Sprintf("user-%d", w.sent%7), Time: at.UTC()}
		e.Values[rollup.EventType], e.Values[rollup.Path] = rollup.PageView, fmt.Sprintf("/%d", w.sent%5)
		group.Lines = append(e.AppendLine(group.Lines), '\n')
		events = append(events, e)
	}
	if errs := w.queue.Append(w.t.Context(), []queue.Group{group}); errs != nil {
		w.t.Fatal(errs)
	}
	return events
}

// drain waits until what was sent is counted.
func (w *world) drain() {
	w.t.Helper()
	drain, err := NewDrain(w.t.Context(), w.queue)
	if err != nil {
		w.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		checkpoints, err := w.store.Checkpoints(w.t.Context())
		switch {
		case err != nil:
			w.t.Fatal(err)
		case drain.Done(checkpoints):
			return
		case time.Now().After(deadline):
			w.t.Fatal("the worker does not count what was sent")
		}
	}
}

// every gives the times from one to another.
func every(step time.Duration, from, to time.Time) []time.Time {
	var times []time.Time
	for at := from; at.Before(to); at = at.Add(step) {
		times = append(times, at)
	}
	return times
}

func (w *world) zone(name string) string {
	w.t.Helper()
	settings, err := site.NewDirectory(w.store, 0).Get(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	return settings.Zone
}

// served fails the test unless the rollups that answers are read from are those
// of the events, by what clocks in the site's zone show.
func (w *world) served(name string, events []event.Event) {
	w.t.Helper()
	zone := w.zone(name)
	location, err := time.LoadLocation(zone)
	if err != nil {
		w.t.Fatal(err)
	}
	type want struct {
		hours [24]uint64
		users map[string]bool
	}
	wants := map[string]*want{}
	for i := range events {
		at := events[i].Time.In(location)
		date := at.Format(time.DateOnly)
		if wants[date] == nil {
			wants[date] = &want{users: map[string]bool{}}
		}
		wants[date].hours[at.Hour()]++
		wants[date].users[events[i].User] = true
	}
	err = w.store.SiteDays(w.t.Context(), name, zone, "", "", rollup.AllFields, func(day *rollup.Day, damaged *store.DamagedError) error {
		if damaged != nil {
			return damaged
		}
		want := wants[day.Date]
		if want == nil {
			w.t.Errorf("in %q %s has a rollup of %d events, and none belongs there", zone, day.Date, day.Events)
			return nil
		}
		delete(wants, day.Date)
		if day.HourEvents != want.hours || day.Users.Estimate() != uint64(len(want.users)) {
			w.t.Errorf("in %q %s has %v by the hour and %d users, want %v and %d",
				zone, day.Date, day.HourEvents, day.Users.Estimate(), want.hours, len(want.users))
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for date := range wants {
		w.t.Errorf("in %q %s has no rollup", zone, date)
	}
}

// setZone runs a job that changes the time zone of a site.
func (w *world) setZone(name, zone string) *Job {
	w.t.Helper()
	r := w.runner()
	job, err := r.CreateZoneChange(w.t.Context(), name, zone, "test")
	if err == nil {
		err = r.RunZoneChange(w.t.Context(), job, w.queue, 2)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return job
}

// TestSpecialDays counts days on which clocks are changed, in the zones where
// that is strangest: by the worker, for a site that has its zone from the
// start, and by the change of one that had another.
func TestSpecialDays(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		zone, date string
		hours      float64
	}{
		{"Europe/Berlin", "2026-03-29", 23},
		{"Europe/Berlin", "2026-10-25", 25},
		{"Australia/Lord_Howe", "2026-04-05", 24.5},
		{"Australia/Lord_Howe", "2026-10-04", 23.5},
		{"Asia/Kolkata", "2026-01-01", 24},
		{"America/Sao_Paulo", "2018-11-04", 23}, // begins at 1 o'clock
		{"America/Sao_Paulo", "2018-02-17", 25}, // ends with 23 o'clock twice
		{"Pacific/Apia", "2011-12-30", 0},       // there was none
		{"Pacific/Kiritimati", "2026-02-28", 24},
	} {
		noon, err := time.Parse(time.DateOnly, tt.date)
		if err != nil {
			t.Fatal(err)
		}
		times := every(10*time.Minute, noon.AddDate(0, 0, -2), noon.AddDate(0, 0, 3))
		name := strings.ReplaceAll(tt.zone, "/", ".") + tt.date
		w.setZone("from-start."+name, tt.zone)
		fromStart := w.sendAt("from-start."+name, times)
		later := w.sendAt("later."+name, times)
		w.drain()
		w.served("from-start."+name, fromStart)
		w.served("later."+name, later)
		job := w.setZone("later."+name, tt.zone)
		if job.State != Done || job.Events != int64(len(times)) || job.Finished != job.Days || job.TakenOver != 0 {
			t.Errorf("%s: %+v", name, job)
		}
		w.served("later."+name, later)
		for _, name := range []string{"from-start." + name, "later." + name} {
			key := store.DayKey{Site: name, Zone: tt.zone, Date: tt.date}
			day, err := w.store.Day(t.Context(), key)
			switch {
			case tt.hours == 0 && errors.Is(err, store.ErrNotFound):
			case err != nil:
				t.Error(err)
			case day.Events != uint64(tt.hours*6):
				t.Errorf("%s has %d events, 6 an hour, want those of %v hours", key, day.Events, tt.hours)
			default:
				w.exact(key)
			}
		}
	}
	// Everything is right by the checks too, and nothing is left of old zones.
	n := 0
	err := EachDay(t.Context(), w.store, Range{}, func(key store.DayKey) error { n++; w.exact(key); return nil })
	if err != nil || n == 0 {
		t.Errorf("%d days, %v", n, err)
	}
}

// TestZoneChangeUnderLoad changes the zone of a site back and forth while
// events come in, and loses and doubles none.
func TestZoneChangeUnderLoad(t *testing.T) {
	w := newWorld(t)
	begin := time.Date(2026, 3, 25, 0, 0, 0, 0, time.UTC)
	var events []event.Event
	send := func() {
		// Over the days, some earlier and some later ones.
		for i := range 20 {
			at := begin.Add(time.Duration(len(events)*37%9000+i) * time.Minute)
			events = append(events, w.sendAt("shop", []time.Time{at})...)
		}
	}
	send()
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "", "Australia/Lord_Howe", "Europe/Berlin"} {
		r := w.runner()
		job, err := r.CreateZoneChange(t.Context(), "shop", zone, "test")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- r.RunZoneChange(t.Context(), job, w.queue, 2) }()
		for running := true; running; {
			send()
			select {
			case err = <-ended:
				running = false
			case <-time.After(time.Millisecond):
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		send()
		w.drain()
		if got := w.zone("shop"); got != zone {
			t.Errorf("it is in %q, not %q", got, zone)
		}
		w.served("shop", events)
	}
	w.onlyIn("shop", "Europe/Berlin")
}

// onlyIn fails the test if there are rollups in other zones than the one given.
func (w *world) onlyIn(name, zone string) {
	w.t.Helper()
	settings, err := site.NewDirectory(w.store, 0).Get(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	if settings.Next != nil {
		w.t.Errorf("it is still changing to %q", *settings.Next)
	}
	for _, other := range settings.All() {
		dates, err := w.store.DayDates(w.t.Context(), name, other, "", "")
		if err != nil {
			w.t.Fatal(err)
		}
		if other != zone && len(dates) > 0 {
			w.t.Errorf("rollups are left in %q: %v", other, dates)
		}
	}
}

func (d *dyingStore) SwapRecord(ctx context.Context, kind store.RecordKind, record *store.Record) error {
	if err := d.die(); err != nil {
		return err
	}
	return d.JobStore.SwapRecord(ctx, kind, record)
}

func (d *dyingStore) DropRollups(ctx context.Context, site, zone string) error {
	if err := d.die(); err != nil {
		return err
	}
	return d.JobStore.DropRollups(ctx, site, zone)
}

func (d *dyingStore) Checkpoints(ctx context.Context) (map[string]store.Checkpoint, error) {
	if err := d.die(); err != nil {
		return nil, err
	}
	return d.JobStore.Checkpoints(ctx)
}

// TestZoneChangeKilled kills the job at each of its calls, always with a new
// site, and lets another process go on with it. Answers are right all the time:
// those of the old zone until the new one is complete.
func TestZoneChangeKilled(t *testing.T) {
	w := newWorld(t)
	begin := time.Date(2026, 3, 27, 0, 0, 0, 0, time.UTC)
	later := time.Now()
	zones := map[string]int{} // those that sites had when it was killed
	for calls := 0; ; calls++ {
		name := fmt.Sprintf("shop-%d", calls)
		events := w.sendAt(name, every(6*time.Hour, begin, begin.AddDate(0, 0, 3)))
		w.drain()
		job, err := w.runner().CreateZoneChange(t.Context(), name, "Asia/Kolkata", "test")
		if err != nil {
			t.Fatal(err)
		}
		st := &dyingStore{JobStore: w.store}
		st.calls.Store(int64(calls))
		err = NewRunner(st, rollup.DefaultLimits, slog.New(slog.DiscardHandler)).RunZoneChange(t.Context(), job, w.queue, 1)
		if err == nil {
			break
		}
		if !errors.Is(err, errDead) {
			t.Fatalf("killed, it ended with %v", err)
		}
		zones[w.zone(name)]++
		w.served(name, events)
		events = append(events, w.sendAt(name, every(5*time.Hour, begin, begin.AddDate(0, 0, 4)))...)
		w.drain()
		w.served(name, events)

		r := w.runner()
		later = later.Add(2 * StaleAfter)
		r.now = func() time.Time { return later }
		if job, err = r.Resume(t.Context(), job.ID); err == nil {
			err = r.RunZoneChange(t.Context(), job, w.queue, 1)
		}
		if err != nil {
			t.Fatal(err)
		}
		if job.State != Done || job.Finished < job.Days {
			t.Errorf("killed after %d calls: %+v", calls, job)
		}
		w.served(name, events)
		w.onlyIn(name, "Asia/Kolkata")
	}
	if zones[""] < 10 || zones["Asia/Kolkata"] < 2 {
		t.Errorf("killed while sites had these zones, so often: %v", zones)
	}
}

// TestZoneChangeGivenUp gives a change up that is stuck, by a change to the
// zone that the site still has.
func TestZoneChangeGivenUp(t *testing.T) {
	w := newWorld(t)
	begin := time.Date(2026, 3, 27, 0, 0, 0, 0, time.UTC)
	events := w.sendAt("shop", every(time.Hour, begin, begin.AddDate(0, 0, 2)))
	w.drain()
	r := w.runner()
	job, err := r.CreateZoneChange(t.Context(), "shop", "Asia/Kolkata", "test")
	if err != nil {
		t.Fatal(err)
	}
	if unfinished, err := r.UnfinishedZoneChange(t.Context(), "shop"); err != nil || unfinished == nil || unfinished.ID != job.ID {
		t.Errorf("%v, %+v is called unfinished", err, unfinished)
	}
	if _, err := r.CreateZoneChange(t.Context(), "shop", "", "test"); !errors.Is(err, ErrBusy) {
		t.Errorf("two changes of one site at once: %v", err)
	}
	st := &dyingStore{JobStore: w.store}
	st.calls.Store(12)
	dying := NewRunner(st, rollup.DefaultLimits, slog.New(slog.DiscardHandler))
	if err := dying.RunZoneChange(t.Context(), job, w.queue, 1); !errors.Is(err, errDead) {
		t.Fatal(err)
	}
	events = append(events, w.sendAt("shop", every(time.Hour, begin, begin.AddDate(0, 0, 2)))...)
	w.drain()
	w.served("shop", events)
	if _, err := r.Cancel(t.Context(), job.ID); err != nil {
		t.Fatal(err)
	}
	w.setZone("shop", "")
	w.served("shop", events)
	w.onlyIn("shop", "")
	if unfinished, err := r.UnfinishedZoneChange(t.Context(), "shop"); err != nil || unfinished != nil {
		t.Errorf("%v, %+v is called unfinished", err, unfinished)
	}
	w.setZone("shop", "Asia/Kolkata")
	w.served("shop", events)
	w.onlyIn("shop", "Asia/Kolkata")
}

// TestZoneChangeAfterExpiry takes days over of which raw events are gone.
func TestZoneChangeAfterExpiry(t *testing.T) {
	w := newWorld(t)
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	w.sendAt("shop", every(time.Hour, begin, begin.AddDate(0, 0, 6)))
	w.drain()
	if _, err := w.store.Expire(t.Context(), "shop", "2026-03-04"); err != nil {
		t.Fatal(err)
	}
	r := w.runner()
	removal, err := r.jobs.create(t.Context(), "removal", KindRetention, Spec{}, "test", r.now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.CreateZoneChange(t.Context(), "shop", "Asia/Kolkata", "test"); !errors.Is(err, ErrBusy) {
		t.Errorf("beside a removal of raw events: %v", err)
	}
	if err := w.store.DropJob(t.Context(), removal.ID); err != nil {
		t.Fatal(err)
	}

	job := w.setZone("shop", "Asia/Kolkata")
	// The 4th in Kolkata begins on the 3rd in UTC, so it is taken over too.
	if job.TakenOver != 4 || job.Rebuilt != 3 {
		t.Errorf("%+v", job)
	}
	for date, events := range map[string]uint64{
		"2026-03-01": 24, "2026-03-02": 24, "2026-03-03": 24, "2026-03-04": 24, // as they were
		"2026-03-05": 24, "2026-03-06": 24, "2026-03-07": 5, // from 5:30 on the 6th, UTC, on it is the 7th
	} {
		key := store.DayKey{Site: "shop", Zone: "Asia/Kolkata", Date: date}
		if day := w.day(key); day.Events != events {
			t.Errorf("%s has %d events, want %d", key, day.Events, events)
		}
		check, err := CheckDay(t.Context(), w.store, key)
		if err != nil || check.State != OK && check.State != Partial {
			t.Errorf("%s is %v, %v", key, check, err)
		}
	}
	w.onlyIn("shop", "Asia/Kolkata")
	// Changed back, they are as they were.
	w.setZone("shop", "")
	for _, date := range []string{"2026-03-01", "2026-03-02", "2026-03-03"} {
		if day := w.day(store.DayKey{Site: "shop", Date: date}); day.Events != 24 {
			t.Errorf("changed back, %s has %d events", date, day.Events)
		}
	}
}

// idle is a queue and checkpoints on which nobody works.
type idle struct{ reads int }

func (*idle) Backlog(context.Context) ([]queue.Backlog, error) {
	return []queue.Backlog{{Stream: "1:0"}, {Stream: "1:1", Entries: 1, Newest: rollup.EntryID{Ms: 7}}}, nil
}

func (i *idle) Checkpoints(context.Context) (map[string]store.Checkpoint, error) {
	i.reads++
	return map[string]store.Checkpoint{"1:1": {Position: rollup.Position{Entry: rollup.EntryID{Ms: uint64(min(i.reads, 3))}}}}, nil
}

// TestDrainGivesUp waits for workers as long as they move, and then for its
// patience.
func TestDrainGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &idle{}
		drain, err := NewDrain(t.Context(), st)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		err = drain.Wait(t.Context(), st, drainPatience)
		if err == nil || !strings.Contains(err.Error(), "1:1") {
			t.Errorf("it gave up with %v", err)
		}
		if took := time.Since(begun); took < drainPatience || took > drainPatience+time.Second {
			t.Errorf("it waited for %v", took)
		}
	})
}
