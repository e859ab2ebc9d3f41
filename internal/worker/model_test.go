package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// The world of the model: few of everything, so that everything collides.
var (
	modelStreams = []string{"1:0", "2:0"} // two epochs that carry the same sites
	modelSites   = []string{"a", "b"}
	// Between two of these times in turn a day begins in Kolkata, in UTC and in
	// São Paulo.
	modelZones = []string{"", "Asia/Kolkata", "America/Sao_Paulo"}
	modelTimes = []time.Time{
		time.Date(2026, 3, 1, 18, 25, 0, 0, time.UTC),
		time.Date(2026, 3, 1, 23, 59, 0, 0, time.UTC),
		time.Date(2026, 3, 2, 0, 1, 0, 0, time.UTC),
		time.Date(2026, 3, 2, 3, 1, 0, 0, time.UTC),
	}
	modelDates = []string{"2026-03-01", "2026-03-02"}
)

const poison = "poison"

// modelEvent is event n: what it says follows from its number, as a client's
// retry says what the first try said.
func modelEvent(n int) event.Event {
	e := event.Event{
		ID:   fmt.Sprintf("e%d", n),
		Site: modelSites[n%2],
		User: fmt.Sprintf("u%d", n%5),
		Time: modelTimes[n/2%4],
	}
	e.Values[rollup.EventType] = rollup.PageView
	e.Values[rollup.Path] = fmt.Sprintf("/%d", n%3)
	e.Values[rollup.UTMCampaign] = e.ID // tells which events a rollup has counted
	switch n % 7 {
	case 3:
		e.Values[rollup.EventType] = "signup"
	case 4:
		e.Values[rollup.Bot] = e.ID // and this which of bots
	case 5:
		e.Values[rollup.Country] = "DE"
	case 6:
		e.Values[rollup.EventType] = poison
	}
	return e
}

// op is one move of a schedule.
type op struct {
	kind   int // see world.do
	actor  int
	calls  int   // how many calls a worker makes
	fault  fault // of the last of them
	stream int
	events []int // numbers of events; -1 is a line that is no event
}

func drawOp(t *rapid.T) op {
	o := op{kind: rapid.IntRange(0, 19).Draw(t, "kind")}
	switch o.kind {
	case 0, 1, 2:
		o.stream = rapid.IntRange(0, len(modelStreams)-1).Draw(t, "stream")
		o.events = rapid.SliceOfN(rapid.IntRange(-1, 20), 1, 4).Draw(t, "events")
	default:
		o.actor = rapid.IntRange(0, 3).Draw(t, "actor")
		o.calls = rapid.IntRange(1, 10).Draw(t, "calls")
		// Most calls go well, else no step would ever end.
		if f := rapid.IntRange(0, 4*numFaults).Draw(t, "fault"); f < numFaults {
			o.fault = fault(f)
		}
	}
	return o
}

// world is the doubles, the actors on them, and what was accepted.
type world struct {
	t        *rapid.T
	queue    *modelQueue
	store    *modelStore
	workers  []*actor
	batch    []int // entries a step, by worker
	lossy    bool  // rollups get lost, and are rebuilt in the end
	expiring bool  // the first day's raw events get removed
	changing bool  // sites get other time zones
	rebuild  *actor
	expiry   *actor
	change   *actor
	changed  store.DayKey          // what change changes: the site and its new zone
	built    map[store.DayKey]bool // the record of what it has built
	accepted map[int]bool
	garbage  int
	last     map[string]rollup.EntryID
}

func newWorld(t *rapid.T) *world {
	w := &world{
		t:     t,
		queue: &modelQueue{entries: map[string][]queue.Entry{}},
		store: &modelStore{
			atomic:      rapid.Bool().Draw(t, "atomic steps"),
			events:      map[string]store.Event{},
			days:        map[store.DayKey][]byte{},
			checkpoints: map[string]store.Checkpoint{},
			letters:     map[string]store.DeadLetter{},
			kept:        map[string]string{},
			records:     map[string]store.Record{},
			busy:        map[string]*actor{},
			poison:      poison,
		},
		accepted: map[int]bool{},
		built:    map[store.DayKey]bool{},
		last:     map[string]rollup.EntryID{},
		lossy:    rapid.Bool().Draw(t, "rollups get lost"),
		batch:    rapid.SliceOfN(rapid.IntRange(1, 4), 1, 4).Draw(t, "entries a step, by worker"),
	}
	// A rollup that is lost after its raw events is lost for good.
	w.expiring = !w.lossy && rapid.Bool().Draw(t, "raw events expire")
	w.changing = !w.expiring && rapid.Bool().Draw(t, "zones change")
	for _, name := range modelSites {
		if zone := rapid.SampledFrom(modelZones).Draw(t, "zone of "+name); zone != "" {
			body, err := json.Marshal(site.Settings{Zone: zone, Zones: []string{"", zone}})
			if err != nil {
				t.Fatal(err)
			}
			w.store.records[name] = store.Record{Name: name, Rev: 1, Body: body}
		}
	}
	if w.changing && len(w.batch) < len(modelStreams) {
		w.batch = append(w.batch, 1) // a change waits for both streams
	}
	for i := range w.batch {
		w.workers = append(w.workers, w.startWorker(i))
	}
	return w
}

// startWorker starts a worker that knows nothing but what the store holds.
// Workers 0 and 2 work on the first stream, 1 and 3 on the second: two on one
// stream are a worker and its zombie, and either may be either.
func (w *world) startWorker(i int) *actor {
	stream := modelStreams[i%len(modelStreams)]
	return newActor(fmt.Sprintf("worker %d on %s", i, stream), func(a *actor) {
		worker := New(actorQueue{w.queue, a}, actorStore{w.store, a},
			Options{ID: a.name, BatchEntries: w.batch[i]}, slog.New(slog.DiscardHandler))
		s := worker.stream(stream)
		for {
			s.trimmedAt = time.Time{} // trim after every step
			_, _ = worker.once(context.Background(), s)
		}
	})
}

// settings are those of a site now.
func (w *world) settings(name string) *site.Settings {
	settings := new(site.Settings)
	if record, ok := w.store.records[name]; ok {
		var err error
		if *settings, err = site.Parse(record); err != nil {
			w.t.Fatal(err)
		}
	}
	return settings
}

// key is day n of four, in the zone that its site has now or, if there is one
// and it is wanted, will have next.
func (w *world) key(n int, next bool) store.DayKey {
	name := modelSites[n%2]
	zones := w.settings(name).Folding()
	if !next {
		zones = zones[:1]
	}
	return store.DayKey{Site: name, Zone: zones[len(zones)-1], Date: modelDates[n/2%2]}
}

func (w *world) startRebuild(key store.DayKey) {
	w.rebuild = newActor("rebuild of "+key.String(), func(a *actor) {
		_, _, _ = reconcile.RebuildDay(context.Background(), actorStore{w.store, a}, key, reconcile.Options{Limits: rollup.DefaultLimits})
	})
}

// startChange starts to change the time zone of a site, which tries again when
// something fails. One that was killed is to be started again for the same.
func (w *world) startChange(name, zone string) {
	w.change = newActor("change of "+name+" to "+zone, func(a *actor) {
		q, st := actorQueue{w.queue, a}, actorStore{w.store, a}
		ctx := context.Background()
		change := reconcile.ZoneChange{
			Site: name, Zone: zone, Limits: rollup.DefaultLimits,
			Wait: func(ctx context.Context) error {
				drain, err := reconcile.NewDrain(ctx, q)
				for err == nil {
					checkpoints, failed := st.Checkpoints(ctx)
					if failed == nil && drain.Done(checkpoints) {
						return nil
					}
					err = failed
				}
				return err
			},
			Restart: func(context.Context) error {
				clear(w.built)
				return nil
			},
			Build: func(ctx context.Context, days []store.DayKey, build reconcile.BuildFunc) error {
				for _, key := range days {
					if w.built[key] {
						continue
					}
					if _, _, err := build(ctx, key); err != nil {
						return err
					}
					w.built[key] = true
				}
				return nil
			},
		}
		for change.Run(ctx, st) != nil {
		}
	})
}

// startExpiry starts to remove the raw events of the first day of a site.
func (w *world) startExpiry(site string) {
	w.expiry = newActor("expiry of "+site, func(a *actor) {
		_ = actorStore{w.store, a}.expire(site, modelDates[1])
	})
}

// turn lets an actor make its next call.
func (w *world) turn(a *actor, f fault) bool {
	a.fault = f
	call, alive := a.next()
	if alive {
		w.t.Logf("%s: previous call %s; next: %s", a.name, f, call)
	} else {
		w.t.Logf("%s: previous call %s; ended", a.name, f)
	}
	return alive
}

func (w *world) do(o op) {
	switch {
	case o.kind <= 1 || o.kind == 2 && !w.changing: // ingest accepts an entry
		stream := modelStreams[o.stream]
		var lines []byte
		for _, n := range o.events {
			if n < 0 {
				lines = append(lines, "garbage\n"...)
				w.garbage++
				continue
			}
			e := modelEvent(n)
			lines = append(e.AppendLine(lines), '\n')
			w.accepted[n] = true
		}
		w.queue.append(stream, string(lines), len(o.events))
		w.last[stream] = rollup.EntryID{Ms: w.queue.clock}
		w.t.Logf("append to %s as %d: %v", stream, w.queue.clock, o.events)
	case o.kind == 3 && o.calls > 9 && w.change != nil: // kill -9 and resume
		w.change.kill()
		w.startChange(w.changed.Site, w.changed.Zone)
	case o.kind == 3: // kill -9 and restart
		i := o.actor % len(w.workers)
		w.workers[i].kill()
		w.workers[i] = w.startWorker(i)
		w.t.Logf("%s: killed and restarted", w.workers[i].name)
	case o.kind == 4 && w.rebuild == nil:
		w.startRebuild(w.key(o.actor, o.calls > 5))
	case o.kind == 5 && w.lossy && w.store.busy[modelSites[o.actor%2]] == nil:
		key := w.key(o.actor, o.calls > 5)
		delete(w.store.days, key)
		w.t.Logf("%s is lost", key)
	case o.kind == 5 && w.expiring && w.expiry == nil && len(w.accepted) > 15:
		w.startExpiry(modelSites[o.actor%2])
	case o.kind == 7 && w.changing && w.change == nil:
		w.changed = store.DayKey{Site: modelSites[o.actor%2], Zone: modelZones[o.calls%3]}
		w.startChange(w.changed.Site, w.changed.Zone)
	case o.kind >= 15 && w.change != nil:
		for n := range o.calls {
			f := none
			if n == o.calls-1 {
				f = o.fault
			}
			if w.change != nil && !w.turn(w.change, f) {
				w.change = nil
			}
			w.checkServed()
			// It mostly waits for them.
			w.turn(w.workers[(o.actor+n)%len(w.workers)], none)
		}
	case o.kind >= 15 && w.expiry != nil:
		if !w.turn(w.expiry, o.fault) {
			w.expiry = nil
		}
	case o.kind <= 6 && w.rebuild != nil:
		if !w.turn(w.rebuild, o.fault) {
			w.rebuild = nil
		}
	default:
		a := w.workers[o.actor%len(w.workers)]
		for range o.calls - 1 {
			w.turn(a, none)
		}
		w.turn(a, o.fault)
	}
}

// settle lets all actors go on without faults until everything that was
// accepted is behind the checkpoints.
func (w *world) settle() {
	for w.rebuild != nil || w.expiry != nil {
		// They may wait for the site of a worker's step, or of the change.
		if w.rebuild != nil && !w.turn(w.rebuild, none) {
			w.rebuild = nil
		}
		if w.expiry != nil && !w.turn(w.expiry, none) {
			w.expiry = nil
		}
		if w.change != nil && !w.turn(w.change, none) {
			w.change = nil
		}
		for _, a := range w.workers {
			w.turn(a, none)
		}
	}
	w.killWorkers()
	for i := range modelStreams {
		if i >= len(w.batch) {
			w.batch = append(w.batch, 1)
		}
		w.workers = append(w.workers, w.startWorker(i))
	}
	for turns := 0; w.change != nil || w.behind(); turns++ {
		if turns > 10_000 {
			w.t.Fatal("it does not come to an end")
		}
		for _, a := range w.workers {
			w.turn(a, none)
		}
		if w.change != nil && !w.turn(w.change, none) {
			w.change = nil
		}
		w.checkServed()
	}
	w.killWorkers()
	if w.lossy {
		for n := range 4 {
			w.startRebuild(w.key(n, false))
			for w.turn(w.rebuild, none) {
			}
		}
		w.rebuild = nil
	}
}

// behind tells whether something that was accepted is not behind the
// checkpoints.
func (w *world) behind() bool {
	for stream, last := range w.last {
		if w.store.checkpoints[stream].Position.Entry.Compare(last) < 0 {
			return true
		}
	}
	return false
}

// checkServed makes sure that the rollups that answers are read from have
// counted all that is behind the checkpoints, whatever zone they are in.
func (w *world) checkServed() {
	if w.lossy || !w.changing {
		return
	}
	for _, e := range w.store.events {
		if w.store.checkpoints[e.Stream].Position.Compare(e.Position) < 0 {
			continue
		}
		if key := w.served(&e.Event); !w.counts(key, e.ID) {
			w.t.Fatalf("%s has not counted %s, which is behind the checkpoint", key, e.ID)
		}
	}
}

// served gives the key of the rollup that answers about an event are read from.
func (w *world) served(e *event.Event) store.DayKey {
	zone := w.settings(e.Site).Zone
	location, err := event.Location(zone)
	if err != nil {
		w.t.Fatal(err)
	}
	return store.DayKey{Site: e.Site, Zone: zone, Date: e.Date(location)}
}

func (w *world) killWorkers() {
	for _, a := range w.workers {
		a.kill()
	}
	w.workers = nil
}

func (w *world) close() {
	w.killWorkers()
	for _, a := range []*actor{w.rebuild, w.expiry, w.change} {
		if a != nil {
			a.kill()
		}
	}
}

// check compares every day with the fold of the accepted events, each once.
// Those of a day whose raw events were removed may be dead letters instead.
func (w *world) check() {
	want := map[store.DayKey]*rollup.Day{}
	position := rollup.Position{}
	refused := map[string]string{} // why there must be a dead letter, by event
	for n := range w.accepted {
		e := modelEvent(n)
		if e.Type() == poison {
			refused[e.ID] = "which the store refuses"
			continue
		}
		key := w.served(&e)
		first := min(key.Date, e.Date(time.UTC)) // of the dates by which it may be too old
		if first < w.store.kept[key.Site] && !w.counts(key, e.ID) {
			refused[e.ID] = "which is not counted"
			continue
		}
		if want[key] == nil {
			want[key] = rollup.NewDay(key.Site, key.Date)
		}
		position.Line++
		clock, err := event.NewClock(key.Zone, key.Date)
		if err != nil {
			w.t.Fatal(err)
		}
		want[key].Fold("", []rollup.Event{e.ForFold(position, clock)})
	}
	for key, day := range want {
		stored := w.store.day(key)
		if stored == nil {
			w.t.Errorf("%s: no rollup, %d events belong there", key, day.Events)
			continue
		}
		for _, d := range stored.Diff(day) {
			w.t.Errorf("%s: %s is %s, not %s", key, d.Field, d.Stored, d.True)
		}
	}
	for key := range w.store.days {
		if want[key] == nil && key.Zone == w.settings(key.Site).Zone {
			w.t.Errorf("%s: a rollup where no event belongs", key)
		}
	}
	garbage := 0
	for _, letter := range w.store.letters {
		if string(letter.Line) == "garbage" {
			garbage++
		} else {
			delete(refused, strings.Split(string(letter.Line), "\t")[1])
		}
	}
	if garbage != w.garbage {
		w.t.Errorf("%d dead letters for %d lines that are no event", garbage, w.garbage)
	}
	for id, why := range refused {
		w.t.Errorf("no dead letter for event %s, %s", id, why)
	}
}

// counts tells whether the rollup of a day has counted an event.
func (w *world) counts(key store.DayKey, id string) bool {
	day := w.store.day(key)
	return day != nil && day.Tables[rollup.UTMCampaign].Bounds(id).Hi+day.Tables[rollup.Bot].Bounds(id).Hi > 0
}

// TestExactlyOnce is the proof of the protocol: whatever happens to whom at
// which call, in the end every day is the fold of the accepted events.
//
// Schedules are drawn at random and shrunk to the shortest that fails. In
// each, up to four workers on two streams that carry the same sites, and a
// rebuild, take turns call by call; at any call one may fail before or after
// its effect or half way, be told of conflicts that are none, be held up for
// as long as it takes others to do anything, or be killed and restarted.
// Events arrive several times, late, undecodable and unstorable, and some are
// of bots. Steps are
// atomic batches, as in the embedded store, or take effect call by call, as
// on MongoDB. In half of the schedules rollups get lost, too; then all days
// are rebuilt before they are compared. In a quarter raw events expire while
// they are worked on; then each event of their day is counted once, or not
// counted and a dead letter. Sites have different time zones, and in more than
// a third of the schedules these are changed while all that goes on; then the
// rollups that answers are read from must have counted, at every moment, all
// that is behind the checkpoints.
//
// That it can fail: each of these breakages was made by hand, and caught
// within 1,000 schedules (the dead letters after 15,000), with the seed given.
//
//   - Day.Fold without the check of the mark: 10704060079066803512
//   - the checkpoint committed before the fold: 9235842580821883353
//   - compare-and-swap without rev, in the double: 14881733810178347439
//   - trimming what was read before its step: 7200600944884288899
//   - clients' retries folded: 13965894844566317057
//   - replays not folded: 9831779653684446077
//   - a missing rollup made from raw events beyond the checkpoints:
//     18399655924910239829
//   - cached rollups kept after an error: 1507753809848701738
//   - conflicts of a swap ignored: 8231157466262356672
//   - too old events counted: 12272617852698354239
//   - raw events that expire between sift and insert: 6994195697540227288
//   - dead letters after the fold: 14726730569372725585
//   - events folded into the old zone alone while a site is changed:
//     4215946831362139311
//   - settings that a worker keeps from step to step: 16665943034973515100
//   - a change of zone that does not wait for what is in the queue:
//     4132084790872417670
//   - one that builds only days without a rollup: 10142847841564182058
//   - one that builds none: 1203920222586343129
//   - a rebuild that reads the raw events of its own date alone:
//     10620480063291016161
func TestExactlyOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		defer w.close()
		for _, o := range rapid.SliceOfN(rapid.Custom(drawOp), 100, 300).Draw(t, "schedule") {
			w.do(o)
		}
		w.settle()
		w.check()
	})
}
