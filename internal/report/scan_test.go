package report_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// slowStore has one event on each date. The rollups of all sites but "whole"
// are missing, and a scan waits until it is let go or its context ends.
type slowStore struct {
	store.Store // nil: a method that is not below must not be used
	letGo       chan struct{}
	// started counts the scans that began, ended those whose context ended.
	started, ended atomic.Int64
	checkpoints    func(ctx context.Context) (map[string]store.Checkpoint, error)
	events         int
}

func newSlowStore() *slowStore { return &slowStore{letGo: make(chan struct{}), events: 1} }

func (s *slowStore) DayHeads(ctx context.Context, site, _, from, _ string) ([]store.Head, error) {
	switch site {
	case "whole":
		return []store.Head{{Date: from, Rev: 1}}, nil
	case "stuck":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, nil
}

func (s *slowStore) SiteDays(_ context.Context, site, _, from, _ string, _ rollup.Fields, fn func(*rollup.Day, *store.DamagedError) error) error {
	return fn(rollup.NewDay(site, from), nil)
}

func (s *slowStore) Records(context.Context, store.RecordKind, []string) (map[string]store.Record, error) {
	return nil, nil
}

func (s *slowStore) EventDates(_ context.Context, _, from, _ string) ([]string, error) {
	return []string{from}, nil
}

func (s *slowStore) ScanDay(ctx context.Context, site string, dates []string, _, _ rollup.Marks, fn func(*store.Event) error) error {
	s.started.Add(1)
	select {
	case <-s.letGo:
	case <-ctx.Done():
		s.ended.Add(1)
		return fmt.Errorf("scanning: %w", ctx.Err())
	}
	for i := range s.events {
		e := newEvent(site, dates[0], fmt.Sprintf("/%d", i), "u", i)
		if site == "poison" {
			panic("a fault")
		}
		if err := fn(&e); err != nil {
			return err
		}
	}
	return nil
}

func (s *slowStore) Checkpoints(ctx context.Context) (map[string]store.Checkpoint, error) {
	if s.checkpoints != nil {
		return s.checkpoints(ctx)
	}
	return nil, nil
}

// ask asks for a day of site a in the background; the answer comes by the channel.
func ask(ctx context.Context, h http.Handler, day int) <-chan *httptest.ResponseRecorder {
	answer := make(chan *httptest.ResponseRecorder, 1)
	go func() { answer <- get(ctx, h, fmt.Sprintf("site_id=a&date=2026-11-%02d", day)) }()
	return answer
}

func rawAnswer(day int) string {
	return fmt.Sprintf(`{"site_id":"a","date":"2026-11-%02d","total_views":1,"unique_users":1,"top_paths":[{"path":"/0","views":1}],"total_events":1,"bots":0,"top_paths_exact":true,"source":"raw","timezone":"UTC","as_of":null}`, day)
}

func wantRetry(t *testing.T, w *httptest.ResponseRecorder, after, body string) {
	t.Helper()
	want(t, w, http.StatusServiceUnavailable, body)
	if got := w.Header().Get("Retry-After"); got != after {
		t.Errorf("Retry-After is %q, want %q", got, after)
	}
}

// Two scans are under way; a third is refused, all else is answered, and a
// scan is possible again when one of the two has ended.
func TestScansAreBoundedInNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newSlowStore()
		h := serve(st, report.Options{}, quiet)
		first, second := ask(t.Context(), h, 1), ask(t.Context(), h, 2)
		synctest.Wait()

		begun := time.Now()
		want(t, get(t.Context(), h, "site_id=whole&date=2026-11-01"), 200,
			`{"site_id":"whole","date":"2026-11-01","total_views":0,"unique_users":0,"top_paths":[],"total_events":0,"bots":0,"top_paths_exact":true,"source":"rollup","timezone":"UTC","as_of":null}`)
		if d := time.Since(begun); d != 0 {
			t.Errorf("a query without a scan waited %v", d)
		}
		wantRetry(t, <-ask(t.Context(), h, 3), "2",
			`{"error":"a|2026-11-03 has no rollup that can be read, and 2 other scans of raw events are under way, which is the most at once; try again soon"}`)
		if d := time.Since(begun); d != time.Second {
			t.Errorf("the third scan was refused after %v, want 1s", d)
		}

		third := ask(t.Context(), h, 3)
		synctest.Wait()
		close(st.letGo)
		want(t, <-first, 200, rawAnswer(1))
		want(t, <-second, 200, rawAnswer(2))
		want(t, <-third, 200, rawAnswer(3))
	})
}

func TestOneScanForAllWhoWantTheDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newSlowStore()
		h := serve(st, report.Options{}, quiet)
		var answers []<-chan *httptest.ResponseRecorder
		for range 20 {
			answers = append(answers, ask(t.Context(), h, 1))
		}
		synctest.Wait()
		close(st.letGo)
		for _, answer := range answers {
			want(t, <-answer, 200, rawAnswer(1))
		}
		if n := st.started.Load(); n != 1 {
			t.Errorf("%d scans for one day", n)
		}
		// What was counted is not kept: later events must be seen.
		want(t, <-ask(t.Context(), h, 1), 200, rawAnswer(1))
		if n := st.started.Load(); n != 2 {
			t.Errorf("%d scans after asking again later, want 2", n)
		}
	})
}

// The scan goes on while anybody waits for it, whoever began it, and ends
// with the last.
func TestScanEndsWithTheLastWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newSlowStore()
		h := serve(st, report.Options{}, quiet)
		ctx1, cancel1 := context.WithCancel(t.Context())
		ctx2, cancel2 := context.WithCancel(t.Context())
		first, second := ask(ctx1, h, 1), ask(ctx2, h, 1)
		synctest.Wait()

		cancel1()
		<-first
		synctest.Wait()
		if n := st.ended.Load(); n != 0 {
			t.Fatal("the scan ended with the first of two who wait")
		}
		cancel2()
		<-second
		if n := st.ended.Load(); n != 1 {
			t.Fatal("the scan goes on after the last request was answered")
		}

		third := ask(t.Context(), h, 1)
		synctest.Wait()
		close(st.letGo)
		want(t, <-third, 200, rawAnswer(1))
		if n := st.started.Load(); n != 2 {
			t.Errorf("%d scans, want a second one", n)
		}
	})
}

func TestScansAreBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newSlowStore()
		h := serve(st, report.Options{RawScanTime: 3 * time.Second}, quiet)
		begun := time.Now()
		wantRetry(t, <-ask(t.Context(), h, 1), "60",
			"{\"error\":\"a|2026-11-01 has no rollup that can be read, and its raw events could not be counted within 3s; `daybook rebuild` restores the rollup\"}")
		if d := time.Since(begun); d != 3*time.Second {
			t.Errorf("the scan was ended after %v", d)
		}
		close(st.letGo) // the slot is free again
		want(t, <-ask(t.Context(), h, 1), 200, rawAnswer(1))
	})
}

func TestScansAreBoundedInEvents(t *testing.T) {
	st := newSlowStore()
	close(st.letGo)
	h := serve(st, report.Options{RawScanEvents: 1000}, quiet)
	st.events = 1000
	if w := get(t.Context(), h, "site_id=a&date=2026-11-01"); !strings.Contains(w.Body.String(), `"total_events":1000,`) {
		t.Errorf("answer for as many events as are allowed is %s", w.Body)
	}
	st.events = 1001
	wantRetry(t, get(t.Context(), h, "site_id=a&date=2026-11-01"), "60",
		"{\"error\":\"a|2026-11-01 has no rollup that can be read, and more than 1000 raw events, too many to count for an answer; `daybook rebuild` restores the rollup\"}")
}

// A day of ever new paths is counted in bounded memory, and says so.
func TestScanOfManyPaths(t *testing.T) {
	st := newSlowStore()
	close(st.letGo)
	st.events = 45_000
	w := get(t.Context(), serve(st, report.Options{}, quiet), "site_id=a&date=2026-11-01&limit=1")
	if body := w.Body.String(); !strings.Contains(body, `"total_views":45000,`) || !strings.Contains(body, `"top_paths_exact":false`) {
		t.Errorf("answer is %s", body)
	}
}

func TestPanicInAScan(t *testing.T) {
	st := newSlowStore()
	close(st.letGo)
	h := serve(st, report.Options{}, quiet)
	want(t, get(t.Context(), h, "site_id=poison&date=2026-11-01"), 500, `{"error":"internal error; the server's log has more"}`)
	want(t, get(t.Context(), h, "site_id=a&date=2026-11-01"), 200, rawAnswer(1))
}

func TestRequestTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		w := get(t.Context(), serve(newSlowStore(), report.Options{}, quiet), "site_id=stuck&date=2026-11-01")
		wantRetry(t, w, "1", `{"error":"this took too long"}`)
		if d := time.Since(begun); d != 55*time.Second {
			t.Errorf("the request ended after %v", d)
		}
	})
}

// The checkpoints are read once a second, the smallest time of all counts,
// and an error is not kept.
func TestAsOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newSlowStore()
		reads := 0
		var failure error
		st.checkpoints = func(context.Context) (map[string]store.Checkpoint, error) {
			reads++
			return map[string]store.Checkpoint{
				"1:0": {AsOf: asOf.Add(time.Duration(reads) * time.Hour)},
				"1:1": {AsOf: asOf.Add(time.Duration(reads) * time.Minute).In(time.FixedZone("", 3600))},
			}, failure
		}
		h := serve(st, report.Options{}, quiet)
		wantAsOf := func(asOf string, wantReads int) {
			t.Helper()
			var answers sync.WaitGroup
			for range 5 {
				answers.Go(func() {
					w := get(t.Context(), h, "site_id=whole&date=2026-11-01")
					if !strings.Contains(w.Body.String(), fmt.Sprintf(`"as_of":%q`, asOf)) {
						t.Errorf("answer is %s, want as_of %s", w.Body, asOf)
					}
				})
			}
			answers.Wait()
			if reads != wantReads {
				t.Errorf("checkpoints were read %d times, want %d", reads, wantReads)
			}
		}
		wantAsOf("2026-11-24T10:01:00.005Z", 1)
		time.Sleep(999 * time.Millisecond)
		wantAsOf("2026-11-24T10:01:00.005Z", 1)
		time.Sleep(time.Millisecond)
		wantAsOf("2026-11-24T10:02:00.005Z", 2)

		time.Sleep(time.Second)
		failure = fmt.Errorf("%w: no route to host", store.ErrUnavailable)
		wantRetry(t, get(t.Context(), h, "site_id=whole&date=2026-11-01"), "1", `{"error":"the store cannot be reached just now"}`)
		failure = nil
		wantAsOf("2026-11-24T10:04:00.005Z", 4)
	})
}

// failingStore gives an error where it is told to.
type failingStore struct {
	*slowStore
	failure error
}

func (s failingStore) DayHeads(context.Context, string, string, string, string) ([]store.Head, error) {
	return nil, s.failure
}

func TestErrorsOfTheStore(t *testing.T) {
	st := newSlowStore()
	for failure, answer := range map[error]string{
		fmt.Errorf("reading: %w", store.ErrUnavailable): "the store cannot be reached just now",
		errors.New("a secret of the inside"):            "internal error; the server's log has more",
	} {
		h := serve(failingStore{st, failure}, report.Options{}, quiet)
		w := get(t.Context(), h, "site_id=a&from=2026-11-01")
		if w.Code < 500 || w.Body.String() != fmt.Sprintf("{\"error\":%q}\n", answer) {
			t.Errorf("after %v the answer is %d %s", failure, w.Code, w.Body)
		}
	}
}
