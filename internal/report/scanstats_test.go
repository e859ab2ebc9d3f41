package report_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybook-analytics/daybook/internal/report"
	"github.com/daybook-analytics/daybook/internal/web"
)

func TestScansAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newSlowStore()
		var scanned, told atomic.Int64
		r := report.New(st, report.Options{RawScans: 2, RawScanTime: 5 * time.Second, RawScanEvents: 10, Scanned: func(took time.Duration) {
			told.Add(1)
			scanned.Add(int64(took))
		}}, quiet)
		h := web.NewRouter(quiet)
		r.Register(h)
		wantStats := func(want report.ScanStats) {
			t.Helper()
			synctest.Wait()
			if got := r.RawScans(); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
		answers := []<-chan *httptest.ResponseRecorder{ask(t.Context(), h, 1), ask(t.Context(), h, 1), ask(t.Context(), h, 2)}
		wantStats(report.ScanStats{Running: 2, Started: 2})
		if w := <-ask(t.Context(), h, 3); w.Code != http.StatusServiceUnavailable {
			t.Errorf("a third scan: %d", w.Code)
		}
		wantStats(report.ScanStats{Running: 2, Started: 2, RefusedBusy: 1})
		for _, answer := range answers {
			<-answer
		}
		wantStats(report.ScanStats{Started: 2, RefusedBusy: 1, RefusedTime: 2})
		if told.Load() != 2 || scanned.Load() != int64(10*time.Second) {
			t.Errorf("told of %d scans of together %v, want 2 of 10s", told.Load(), time.Duration(scanned.Load()))
		}
		close(st.letGo)
		st.events = 11
		<-ask(t.Context(), h, 4)
		st.events = 10
		<-ask(t.Context(), h, 5)
		wantStats(report.ScanStats{Started: 4, RefusedBusy: 1, RefusedTime: 2, RefusedEvents: 1})
	})
}
