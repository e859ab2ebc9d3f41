package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// kind is a way in which a rollup can be wrong.
type kind struct {
	name  string
	do    func(w *world, key store.DayKey)
	state State
	// field is what the check must name.
	field string
	// smaller tells that a rebuild gives less than is stored.
	smaller bool
}

var kinds = []kind{
	{name: "lost", do: (*world).lose, state: Missing, field: "total_events"},
	{name: "corrupt", do: (*world).corrupt, state: Damaged, field: "total_events"},
	{name: "halved", state: Drifted, field: "total_events", do: altered(func(d *rollup.Day) { d.Events /= 2 })},
	{name: "doubled", state: Drifted, field: "total_events", smaller: true, do: altered(func(d *rollup.Day) { d.Events *= 2 })},
	{name: "a view less", state: Drifted, field: "total_views", do: altered(func(d *rollup.Day) { d.Views-- })},
	{name: "an event in another hour", state: Drifted, field: "hour 03 events", do: altered(func(d *rollup.Day) { d.HourEvents[3]++; d.HourEvents[4]-- })},
	{name: "a view in another hour", state: Drifted, field: "hour 20 views", do: altered(func(d *rollup.Day) { d.HourViews[20]++ })},
	{name: "a path too often", state: Drifted, field: "path /1", do: altered(func(d *rollup.Day) { d.Tables[rollup.Path].Add("/1", 1) })},
	{name: "a browser that nobody has", state: Drifted, field: "browser Mosaic", do: altered(func(d *rollup.Day) { d.Tables[rollup.Browser].Add("Mosaic", 1) })},
	{name: "a user too many", state: Drifted, field: "unique_users", do: altered(func(d *rollup.Day) { d.Users.Insert("nobody") })},
	{name: "no users", state: Drifted, field: "unique_users", do: altered(func(d *rollup.Day) { d.Users = rollup.Sketch{} })},
}

func altered(change func(*rollup.Day)) func(*world, store.DayKey) {
	return func(w *world, key store.DayKey) { w.alter(key, change) }
}

// days gives n days of several sites with some events each.
func (w *world) days(n int) []store.DayKey {
	w.t.Helper()
	var keys []store.DayKey
	for i := range n {
		date := time.Date(2026, 1, 1+i/4, 0, 0, 0, 0, time.UTC)
		key := store.DayKey{Site: fmt.Sprintf("site-%d", i%4), Date: date.Format(time.DateOnly)}
		w.send(key, 150+i)
		keys = append(keys, key)
	}
	w.settle()
	w.exact(keys...)
	return keys
}

// TestCheckFindsEveryDamage damages 50 of 100 days, each in its own way, and
// expects these found with what is wrong with them, and no other.
func TestCheckFindsEveryDamage(t *testing.T) {
	w := newWorld(t)
	keys := w.days(100)
	rng := rand.New(rand.NewPCG(2, 3))
	want := map[store.DayKey]kind{}
	for i, at := range rng.Perm(len(keys))[:50] {
		k := kinds[i%len(kinds)]
		k.do(w, keys[at])
		want[keys[at]] = k
	}
	found := 0
	err := EachDay(t.Context(), w.store, Range{}, func(key store.DayKey) error {
		c, err := CheckDay(t.Context(), w.store, key)
		if err != nil {
			return err
		}
		k, damaged := want[key]
		switch {
		case !damaged && c.State != OK:
			t.Errorf("%s is right, and called %s: %v", key, c.State, c.AllDifferences())
		case damaged && c.State != k.state:
			t.Errorf("%s is %s, and called %s", key, k.name, c.State)
		case damaged:
			found++
			named := false
			for _, d := range c.AllDifferences() {
				named = named || d.Field == k.field
			}
			if !named {
				t.Errorf("%s is %s, which %v does not tell", key, k.name, c.AllDifferences())
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found != 50 {
		t.Errorf("%d of 50 damages found", found)
	}
}

// TestRebuildMendsEveryDamage rebuilds what is damaged, and leaves alone what
// would lose counts unless it is forced.
func TestRebuildMendsEveryDamage(t *testing.T) {
	w := newWorld(t)
	keys := w.days(len(kinds) + 5)
	for i, k := range kinds {
		k.do(w, keys[i])
	}
	rebuild := func(spec Spec) *Job {
		t.Helper()
		r := w.runner()
		job, err := r.Create(t.Context(), spec, "test")
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Run(t.Context(), job, 3, nil); err != nil {
			t.Fatal(err)
		}
		if job, err = r.Job(t.Context(), job.ID); err != nil {
			t.Fatal(err)
		}
		return job
	}

	dry := rebuild(Spec{DryRun: true})
	if dry.Faulty != len(kinds) || dry.Rebuilt != len(kinds)-1 || dry.Refused != 1 || dry.State != Done {
		t.Errorf("dry run: %+v", dry)
	}
	if again := rebuild(Spec{DryRun: true}); again.Faulty != len(kinds) {
		t.Errorf("a dry run changed something: %d faulty days after it", again.Faulty)
	}
	job := rebuild(Spec{})
	if job.Faulty != len(kinds) || job.Rebuilt != len(kinds)-1 || job.Refused != 1 || job.Finished != len(keys) {
		t.Errorf("rebuild: %+v", job)
	}
	for i, k := range kinds {
		if !k.smaller {
			w.exact(keys[i])
		}
	}
	job = rebuild(Spec{Force: true})
	if job.Faulty != 1 || job.Rebuilt != 1 || job.Refused != 0 || len(job.Findings) != 1 || job.Findings[0].Differences[0].Field != "total_events" {
		t.Errorf("forced rebuild: %+v", job)
	}
	w.exact(keys...)
}

// TestRebuildUnderLoad damages a busy day again and again, rebuilds it while
// the load goes on, and counts.
func TestRebuildUnderLoad(t *testing.T) {
	w := newWorld(t)
	hot := store.DayKey{Site: "hot", Date: "2026-01-01"}
	w.send(hot, 5000)
	w.settle()

	ctx, stop := context.WithCancel(t.Context())
	var batches atomic.Int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				w.send(hot, 10) // 1,000 events a second
				batches.Add(1)
			case <-ctx.Done():
				return
			}
		}
	}()
	rng := rand.New(rand.NewPCG(4, 5))
	for range 15 {
		kinds[rng.IntN(len(kinds))].do(w, hot)
		r := w.runner()
		before := batches.Load()
		job, err := r.Create(t.Context(), Spec{Range: Range{Site: "hot"}, Force: true}, "test")
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Run(t.Context(), job, 1, nil); err != nil {
			t.Fatal(err)
		}
		// It has ended while the load went on, if the load still does.
		for deadline := time.Now().Add(10 * time.Second); batches.Load() == before; {
			if time.Now().After(deadline) {
				t.Fatal("the load has stopped")
			}
			time.Sleep(time.Millisecond)
		}
	}
	stop()
	<-ended
	w.settle()
	w.exact(hot)
	if day := w.day(hot); day.Events != uint64(w.sent) {
		t.Errorf("%d events counted, %d sent", day.Events, w.sent)
	}
}

// dyingStore stops working, as for a process that is killed, after a number
// of calls.
type dyingStore struct {
	JobStore
	calls atomic.Int64
}

var errDead = errors.New("the process is dead")

func (d *dyingStore) die() error {
	if d.calls.Add(-1) < 0 {
		return errDead
	}
	return nil
}

func (d *dyingStore) Day(ctx context.Context, key store.DayKey) (*rollup.Day, error) {
	if err := d.die(); err != nil {
		return nil, err
	}
	return d.JobStore.Day(ctx, key)
}

func (d *dyingStore) SwapDay(ctx context.Context, day *rollup.Day) error {
	if err := d.die(); err != nil {
		return err
	}
	return d.JobStore.SwapDay(ctx, day)
}

func (d *dyingStore) SwapJob(ctx context.Context, job *store.Job) error {
	if err := d.die(); err != nil {
		return err
	}
	return d.JobStore.SwapJob(ctx, job)
}

// TestKilledAndResumed kills a job at ten places and lets others go on with
// it: it ends exact, and no day that was finished is done again.
func TestKilledAndResumed(t *testing.T) {
	w := newWorld(t)
	keys := w.days(60)
	for _, key := range keys {
		w.lose(key)
	}
	job, err := w.runner().Create(t.Context(), Spec{}, "test")
	if err != nil {
		t.Fatal(err)
	}
	id := job.ID
	rng := rand.New(rand.NewPCG(6, 7))
	later := time.Now()
	finished := 0
	for kill := range 11 {
		st := &dyingStore{JobStore: w.store}
		st.calls.Store(int64(5 + rng.IntN(25)))
		if kill == 10 {
			st.calls.Store(1_000_000)
		}
		r := NewRunner(st, rollup.DefaultLimits, slog.New(slog.DiscardHandler))
		later = later.Add(2 * StaleAfter)
		r.now = func() time.Time { return later }
		if job, err = r.Resume(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if job.Finished != finished {
			t.Errorf("%d days were finished, of which the record knows %d", finished, job.Finished)
		}
		err = r.Run(t.Context(), job, 3, func(*Job) { finished++ })
		if kill < 10 && !errors.Is(err, errDead) {
			t.Fatalf("killed, it ended with %v", err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if finished != len(keys) || job.State != Done || job.Finished != len(keys) {
		t.Errorf("%d days were finished in all, of %d; the record says %d, %s", finished, len(keys), job.Finished, job.State)
	}
	w.exact(keys...)
}

// TestKilledTwice kills a job that was resumed before it came to the days that
// were finished ahead of the others: they stay finished.
func TestKilledTwice(t *testing.T) {
	w := newWorld(t)
	keys := w.days(12)
	r := w.runner()
	job, err := r.Create(t.Context(), Spec{}, "test")
	if err != nil {
		t.Fatal(err)
	}
	last := slices.MaxFunc(keys, compareKeys)
	job.Finished, job.Ahead = 1, []store.DayKey{last}
	ctx, kill := context.WithCancel(t.Context())
	if err := r.Run(ctx, job, 1, func(*Job) { kill() }); !errors.Is(err, context.Canceled) {
		t.Fatalf("killed, it ended with %v", err)
	}
	if job, err = r.Resume(t.Context(), job.ID); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(job.Ahead, last) {
		t.Errorf("after %d days it has forgotten that %s is finished", job.Finished, last)
	}
	if err := r.Run(t.Context(), job, 1, nil); err != nil || job.Finished != len(keys) {
		t.Errorf("%v, %d days were finished, of %d", err, job.Finished, len(keys))
	}
}

func TestCancelAndTakeOver(t *testing.T) {
	w := newWorld(t)
	keys := w.days(8)
	r := w.runner()
	job, err := r.Create(t.Context(), Spec{}, "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Resume(t.Context(), job.ID); !errors.Is(err, ErrNotResumable) {
		t.Errorf("a job at work was resumed: %v", err)
	}
	err = r.Run(t.Context(), job, 1, func(j *Job) {
		if j.Finished == 2 {
			if _, err := w.runner().Cancel(t.Context(), j.ID); err != nil {
				t.Error(err)
			}
		}
	})
	if !errors.Is(err, ErrCancelled) {
		t.Errorf("a cancelled job ended with %v", err)
	}
	if job, err = r.Job(t.Context(), job.ID); err != nil || job.State != Cancelled || job.Finished != 2 {
		t.Errorf("%v %+v", err, job)
	}
	if _, err := r.Resume(t.Context(), job.ID); !errors.Is(err, ErrNotResumable) {
		t.Errorf("a cancelled job was resumed: %v", err)
	}

	// A process that was only held up finds that its job went on without it.
	if job, err = r.Create(t.Context(), Spec{}, "test"); err != nil {
		t.Fatal(err)
	}
	other := w.runner()
	other.now = func() time.Time { return time.Now().Add(2 * StaleAfter) }
	err = r.Run(t.Context(), job, 1, func(j *Job) {
		if j.Finished != 3 {
			return
		}
		taken, err := other.Resume(t.Context(), j.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Run(t.Context(), taken, 2, nil); err != nil {
			t.Fatal(err)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "taken over") {
		t.Errorf("a job that was taken over ended with %v", err)
	}
	if job, err = r.Job(t.Context(), job.ID); err != nil || job.State != Done || job.Finished != len(keys) {
		t.Errorf("%v %+v", err, job)
	}
}

// TestPartialDaysAreLeftAlone expires raw events: their days cannot be
// checked, are never called wrong, and are never rebuilt unless forced.
func TestPartialDaysAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	old := store.DayKey{Site: "s", Date: "2026-01-01"}
	recent := store.DayKey{Site: "s", Date: "2026-01-02"}
	w.send(old, 100)
	w.send(recent, 100)
	w.settle()
	if _, err := w.store.Expire(t.Context(), "s", "2026-01-02"); err != nil {
		t.Fatal(err)
	}
	c, err := CheckDay(t.Context(), w.store, old)
	if err != nil || c.State != Partial {
		t.Errorf("%v %+v", err, c)
	}
	w.exact(recent)
	if _, rebuilt, err := RebuildDay(t.Context(), w.store, old, Options{Limits: rollup.DefaultLimits}); rebuilt || !errors.Is(err, ErrPartial) {
		t.Errorf("a day without its raw events: rebuilt %v, %v", rebuilt, err)
	}
	if day := w.day(old); day.Events != 100 {
		t.Errorf("its rollup has %d events, want 100 as before", day.Events)
	}
	right, err := newTallies(w.store).right(t.Context(), old)
	if err != nil || !right {
		t.Errorf("the check of counts calls it wrong: %v %v", right, err)
	}
	if _, rebuilt, err := RebuildDay(t.Context(), w.store, old, Options{Limits: rollup.DefaultLimits, Force: true}); err != nil || !rebuilt {
		t.Errorf("forced: rebuilt %v, %v", rebuilt, err)
	}
}

// TestExactMakesTablesExact refolds a day whose tables have overflowed.
func TestExactMakesTablesExact(t *testing.T) {
	w := newWorld(t)
	key := store.DayKey{Site: "s", Date: "2026-01-01"}
	w.send(key, 500)
	w.settle()
	limits := rollup.Limits{Keys: 10, Bytes: rollup.DefaultLimits.Bytes}
	w.alter(key, func(d *rollup.Day) {
		table := &d.Tables[rollup.Path]
		table.Compact(10)
		for _, path := range []string{"/0", "/1", "/2"} { // come back from below the floor
			table.Add(path, 1)
		}
	})
	_, rebuilt, err := RebuildDay(t.Context(), w.store, key, Options{Limits: limits, Exact: true})
	if err != nil || !rebuilt {
		t.Fatalf("rebuilt %v, %v", rebuilt, err)
	}
	day := w.day(key)
	if top, exact := day.Tables[rollup.Path].Top(10); !exact || len(top) != 10 {
		t.Errorf("top paths exact %v: %v", exact, top)
	}
	if _, rebuilt, err := RebuildDay(t.Context(), w.store, key, Options{Limits: limits, Exact: true}); err != nil || rebuilt {
		t.Errorf("a second time: rebuilt %v, %v", rebuilt, err)
	}
}
