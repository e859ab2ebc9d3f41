package ingest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

// post sends a request with the headers given in pairs.
func post(rt http.Handler, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	rt.ServeHTTP(w, r)
	return w
}

// zip compresses a body with gzip.
func zip(body string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(body))
	_ = w.Close()
	return b.String()
}

const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
	small      = `{"site_id":"s","event_type":"page_view","event_id":"e"}`
)

// pad makes an event of exactly n bytes.
func pad(n int) string {
	const frame = `{"site_id":"s","event_type":"e","x":""}`
	return frame[:len(frame)-2] + strings.Repeat("x", n-len(frame)) + `"}`
}

func TestEventIsTaken(t *testing.T) {
	for _, test := range []struct {
		name, body string
		headers    []string
	}{
		{"JSON", small, []string{"Content-Type", "application/json"}},
		{"with a charset", small, []string{"Content-Type", "Application/JSON; charset=utf-8"}},
		{"of a beacon", small, []string{"Content-Type", "text/plain;charset=UTF-8"}},
		{"identity", small, []string{"Content-Type", typeJSON, "Content-Encoding", "identity"}},
		{"gzip", zip(small), []string{"Content-Type", typeJSON, "Content-Encoding", "gzip"}},
		{"x-gzip", zip(small), []string{"Content-Type", typeJSON, "Content-Encoding", "X-GZIP"}},
		{"with space around", "\n " + small + "\r\n", []string{"Content-Type", typeJSON}},
		{"as large as may be", strings.Repeat(" ", 64<<10-len(small)) + small, []string{"Content-Type", typeJSON}},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := newTestQueue(4)
			in, rt := start(t, q, Options{})
			// The second request has what the first one left behind.
			for range 2 {
				w := post(rt, "/event", test.body, test.headers...)
				if w.Code != 202 || w.Body.String() != `{"status":"accepted"}`+"\n" || w.Header().Get("Content-Type") != "application/json; charset=utf-8" {
					t.Fatalf("got %d %v %s", w.Code, w.Header(), w.Body)
				}
			}
			events := q.events(t)
			if len(events) != 2 || events[0].ID != "e" || events[1].Site != "s" || events[1].Values[rollup.Path] != "/" {
				t.Errorf("got %+v", events)
			}
			if got := in.Stats(); got.Accepted != 2 || got.Rejected.Total()+got.Unavailable.Total() != 0 {
				t.Errorf("stats %+v", got)
			}
		})
	}
}

func TestEventWithoutIDGetsOne(t *testing.T) {
	q := newTestQueue(1)
	_, rt := start(t, q, Options{})
	const body = `{"site_id":"s","event_type":"e"}`
	post(rt, "/event", body, "Content-Type", typeJSON)
	post(rt, "/events", "["+body+","+body+"]", "Content-Type", typeJSON)
	events := q.events(t)
	if len(events) != 3 || events[0].ID == "" || events[0].ID >= events[1].ID || events[1].ID >= events[2].ID {
		t.Errorf("got %+v", events)
	}
}

func TestEventsOfASiteGoToOneStreamOfTheNewestEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(1)
		_, rt := start(t, q, Options{})
		send := func() {
			for site := range 20 {
				body := fmt.Sprintf(`{"site_id":"site-%d","event_type":"e"}`, site)
				post(rt, "/event", body, "Content-Type", typeJSON)
			}
		}
		send()
		q.set(func(q *testQueue) { q.layout.Epochs = append(q.layout.Epochs, queue.Epoch{Number: 2, Streams: 8}) })
		time.Sleep(watchInterval)
		synctest.Wait()
		send()
		for i, groups := range q.appends {
			e := queue.Epoch{Number: 1, Streams: 1}
			if i >= 20 {
				e = queue.Epoch{Number: 2, Streams: 8}
			}
			want := e.StreamName(queue.Partition(fmt.Sprintf("site-%d", i%20), e.Streams))
			if got := groups[0].Stream; got != want {
				t.Errorf("event %d is in stream %s, want %s", i, got, want)
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	jsonType := []string{"Content-Type", typeJSON}
	with := func(more ...string) []string { return append([]string{"Content-Type", typeJSON}, more...) }
	bomb := zip(strings.Repeat(" ", 16<<20))
	for _, test := range []struct {
		name, path, body string
		headers          []string
		status           int
		want             string // is in the answer
	}{
		{"no type", "/event", small, nil, 415, `{"error":"the request has no Content-Type","field":"Content-Type","allowed":"application/json, text/plain"}`},
		{"other type", "/event", small, []string{"Content-Type", "application/xml"}, 415,
			`{"error":"Content-Type application/xml is not taken here","field":"Content-Type","value":"application/xml","allowed":"application/json, text/plain"}`},
		{"form", "/events", small, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "application/json, text/plain, application/x-ndjson, application/ndjson"},
		{"NDJSON to /event", "/event", small, []string{"Content-Type", typeNDJSON}, 415, "is not taken here"},
		{"other encoding", "/event", small, with("Content-Encoding", "br"), 415, `"allowed":"gzip, identity"`},
		{"two encodings", "/events", small, with("Content-Encoding", "gzip", "Content-Encoding", "gzip"), 415, "gzip, gzip"},

		{"too large", "/event", pad(64<<10 + 1), jsonType, 413, "larger than 65536 bytes"},
		{"too large when decompressed", "/event", zip(pad(64<<10 + 1)), with("Content-Encoding", "gzip"), 413, "larger than 65536 bytes"},
		{"bomb", "/event", bomb, with("Content-Encoding", "gzip"), 413, "larger than 65536 bytes"},
		{"batch too large", "/events", "[" + strings.Repeat(" ", 8<<20) + "]", jsonType, 413, "larger than 8388608 bytes"},
		{"batch bomb", "/events", bomb, with("Content-Encoding", "gzip"), 413, "larger than 8388608 bytes"},
		{"bomb of bombs", "/events", strings.Repeat(zip(strings.Repeat(" ", 1<<20)), 10), with("Content-Encoding", "gzip"), 413, "larger than 8388608 bytes"},
		{"too many", "/events", "[" + strings.Repeat(small+",", 10_000) + small + "]", jsonType, 413, "more than 10000 events; none was taken"},
		{"too many bad ones", "/events", "[" + strings.Repeat("1,", 10_000) + "1]", jsonType, 413, "more than 10000 events; none was taken"},
		{"too many lines", "/events", strings.Repeat(small+"\n", 10_001), []string{"Content-Type", typeNDJSON}, 413, "more than 10000 events; none was taken"},

		{"nothing", "/event", "", jsonType, 400, "the body is not JSON: it is empty, at byte 0"},
		{"cut off", "/event", small[:20], jsonType, 400, "the body is not JSON: it ends too early, at byte 20"},
		{"two events", "/event", small + small, jsonType, 400, "more data after the end"},
		{"no gzip", "/event", small, with("Content-Encoding", "gzip"), 400, "not whole, valid gzip"},
		{"no gzip at all", "/event", "", with("Content-Encoding", "gzip"), 400, "not whole, valid gzip"},
		{"gzip cut off", "/event", zip(small)[:40], with("Content-Encoding", "gzip"), 400, "not whole, valid gzip"},
		{"gzip with a wrong sum", "/event", zip(small)[:len(zip(small))-8] + "12345678", with("Content-Encoding", "gzip"), 400, "not whole, valid gzip"},
		{"gzip and something", "/event", zip(small) + "something", with("Content-Encoding", "gzip"), 400, "not whole, valid gzip"},
		{"no array", "/events", "", jsonType, 400, "it is empty"},
		{"broken array", "/events", "[" + small + ",{]", jsonType, 400, "the body is not JSON"},
		{"array that does not end", "/events", "[" + small, jsonType, 400, "it ends too early"},

		{"wrong field", "/event", `{"site_id":"a b","event_type":"e"}`, jsonType, 422,
			`{"error":"site_id has a character that is not allowed","field":"site_id","value":"a b","allowed":"1 to 128 letters, digits and . _ : -"}`},
		{"long value", "/event", `{"site_id":"s","event_type":"` + strings.Repeat("x", 200) + `"}`, jsonType, 422,
			`"value":"` + strings.Repeat("x", 100) + `…"`},
		{"no event", "/event", `[]`, jsonType, 422, `{"error":"event is an array","field":"event","value":"[]","allowed":"an object"}`},
		{"event to /events", "/events", small, jsonType, 422, `"allowed":"an array of events"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := newTestQueue(1)
			in, rt := start(t, q, Options{})
			w := post(rt, test.path, test.body, test.headers...)
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) || !json.Valid(w.Body.Bytes()) {
				t.Errorf("got %d %s, want %d and %s", w.Code, w.Body, test.status, test.want)
			}
			if got := q.events(t); len(got) != 0 {
				t.Errorf("%d events were taken all the same", len(got))
			}
			reason := map[int]string{400: "syntax", 413: "too_large", 415: "media_type"}[test.status]
			if reason == "" {
				var answer struct{ Field string }
				_ = json.Unmarshal(w.Body.Bytes(), &answer)
				reason = answer.Field
			}
			if got := in.Stats(); got.Accepted+got.Unavailable.Total() != 0 || got.Rejected.Total() != 1 || got.Rejected[reason] != 1 {
				t.Errorf("stats %+v, want one rejected for %s", got, reason)
			}
			if held := in.one.held.Load() + in.many.held.Load(); held != 0 {
				t.Errorf("%d bytes are still held", held)
			}
		})
	}
}

func TestMethods(t *testing.T) {
	_, rt := start(t, newTestQueue(1), Options{})
	for _, path := range []string{"/event", "/events"} {
		w := httptest.NewRecorder()
		rt.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != 405 || w.Header().Get("Allow") != "OPTIONS, POST" {
			t.Errorf("GET %s: %d, Allow %q", path, w.Code, w.Header().Get("Allow"))
		}
	}
}

func TestBodyThatEndsTooEarly(t *testing.T) {
	_, rt := start(t, newTestQueue(1), Options{})
	r := httptest.NewRequest(http.MethodPost, "/event", iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(small))))
	r.Header.Set("Content-Type", typeJSON)
	w := httptest.NewRecorder()
	rt.ServeHTTP(w, r)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "ended too early or came too slowly") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestBatches(t *testing.T) {
	const site = `{"site_id":"s","event_type":"e","event_id":"%s"}`
	a, b := fmt.Sprintf(site, "a"), fmt.Sprintf(site, "b")
	const noSite = `{"site_id":5,"event_type":"e"}`
	const noSiteAnswer = `"error":"site_id is a number","field":"site_id","value":"5","allowed":"a string"}`
	for _, test := range []struct {
		name, media, body string
		status            int
		want              string // the answer
		taken             string // the events in the queue
	}{
		{"empty array", typeJSON, `[]`, 202, `{"accepted":0,"rejected":[]}`, ""},
		{"no lines", typeNDJSON, ``, 202, `{"accepted":0,"rejected":[]}`, ""},
		{"blank lines", typeNDJSON, "\n \r\n\t\n", 202, `{"accepted":0,"rejected":[]}`, ""},
		{"array", typeJSON, "[" + a + ",\n" + b + "]", 202, `{"accepted":2,"rejected":[]}`, "a b"},
		{"array of a beacon", "text/plain", "[" + a + "]", 202, `{"accepted":1,"rejected":[]}`, "a"},
		{"lines", typeNDJSON, a + "\r\n\n" + b, 202, `{"accepted":2,"rejected":[]}`, "a b"},
		{"lines of the other name", "application/ndjson; charset=utf-8", a + "\n", 202, `{"accepted":1,"rejected":[]}`, "a"},
		{"array with a bad one", typeJSON, "[" + a + "," + noSite + "," + b + "]", 202,
			`{"accepted":2,"rejected":[{"index":1,` + noSiteAnswer + `]}`, "a b"},
		{"lines with bad ones", typeNDJSON, a + "\n\n" + noSite + "\n{\n" + b + "\n", 202,
			`{"accepted":2,"rejected":[{"index":2,` + noSiteAnswer + `,{"index":3,"error":"the line is not JSON: it ends too early, at byte 1"}]}`, "a b"},
		{"array of bad ones", typeJSON, "[" + noSite + ",null]", 422,
			`{"accepted":0,"rejected":[{"index":0,` + noSiteAnswer + `,{"index":1,"error":"event is null","field":"event","value":"null","allowed":"an object"}]}`, ""},
		{"one bad line", typeNDJSON, "x", 422,
			`{"accepted":0,"rejected":[{"index":0,"error":"the line is not JSON: invalid character 'x' at start of value, at byte 0"}]}`, ""},
		{"large line between", typeNDJSON, a + "\n" + pad(64<<10+1) + "\n" + b, 202,
			`{"accepted":2,"rejected":[{"index":1,"error":"event is 65537 bytes long","field":"event","allowed":"at most 65536 bytes"}]}`, "a b"},
		{"large element between", typeJSON, "[" + a + "," + pad(64<<10+1) + "," + b + "]", 202,
			`{"accepted":2,"rejected":[{"index":1,"error":"event is 65537 bytes long","field":"event","allowed":"at most 65536 bytes"}]}`, "a b"},
	} {
		for _, encoding := range []string{"identity", "gzip"} {
			t.Run(test.name+" "+encoding, func(t *testing.T) {
				q := newTestQueue(2)
				in, rt := start(t, q, Options{})
				body := test.body
				if encoding == "gzip" {
					body = zip(body)
				}
				for range 2 {
					w := post(rt, "/events", body, "Content-Type", test.media, "Content-Encoding", encoding)
					if w.Code != test.status || w.Body.String() != test.want+"\n" {
						t.Errorf("got  %d %s\nwant %d %s", w.Code, w.Body, test.status, test.want)
					}
				}
				var taken []string
				for _, e := range q.events(t) {
					taken = append(taken, e.ID)
				}
				if got, want := strings.Join(taken, " "), strings.TrimSpace(test.taken+" "+test.taken); got != want {
					t.Errorf("taken %q, want %q", got, want)
				}
				if got := in.Stats(); got.Accepted != uint64(len(taken)) || got.Rejected.Total() != 2*uint64(strings.Count(test.want, "index")) ||
					got.Rejected["site_id"] != 2*uint64(strings.Count(test.want, noSiteAnswer)) {
					t.Errorf("stats %+v", got)
				}
			})
		}
	}
}

func TestBatchOfTheMostEvents(t *testing.T) {
	q := newTestQueue(4)
	_, rt := start(t, q, Options{})
	var lines strings.Builder
	for i := range maxBatchEvents {
		fmt.Fprintf(&lines, `{"site_id":"site-%d","event_type":"e","event_id":"%d"}`+"\n", i%7, i)
	}
	w := post(rt, "/events", lines.String(), "Content-Type", typeNDJSON)
	if w.Code != 202 || w.Body.String() != `{"accepted":10000,"rejected":[]}`+"\n" {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	if len(q.appends) != 1 || len(q.appends[0]) > 4 {
		t.Errorf("%d writes, the first of %d entries", len(q.appends), len(q.appends[0]))
	}
	// Each site's events are in the order in which they were sent.
	last := map[string]int{}
	for _, e := range q.events(t) {
		var n int
		if _, err := fmt.Sscan(e.ID, &n); err != nil || n != last[e.Site] && n != last[e.Site]+7 && n > 6 {
			t.Fatalf("event %s follows %d", e.ID, last[e.Site])
		}
		last[e.Site] = n
	}
}

func TestQueueDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Down from the start: it starts all the same, and takes events when
		// the queue is there.
		q := newTestQueue(1)
		q.down = errDown
		in, rt := start(t, q, Options{})
		wantUnavailable(t, post(rt, "/event", small, "Content-Type", typeJSON), "queue")
		q.set(func(q *testQueue) { q.down = nil })
		time.Sleep(watchInterval)
		synctest.Wait()
		if w := post(rt, "/event", small, "Content-Type", typeJSON); w.Code != 202 {
			t.Errorf("after it is back: %d %s", w.Code, w.Body)
		}

		// Down later: each request is told.
		q.set(func(q *testQueue) {
			q.failing = func(groups []queue.Group) []error { return []error{errDown} }
		})
		wantUnavailable(t, post(rt, "/events", small, "Content-Type", typeNDJSON), "queue")
		if got := in.Stats(); got.Accepted != 1 || got.Rejected.Total() != 0 || got.Unavailable.Total() != 2 || got.Unavailable["queue"] != 2 {
			t.Errorf("stats %+v", got)
		}
	})
}

func TestStartTellsOfAFault(t *testing.T) {
	q := newTestQueue(1)
	q.down = fmt.Errorf("layout is damaged")
	in := New(q, Options{}, slog.New(slog.DiscardHandler))
	if err := in.Start(); err == nil || !strings.Contains(err.Error(), "layout is damaged") {
		t.Errorf("got %v", err)
	}
	if err := in.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func wantUnavailable(t *testing.T, w *httptest.ResponseRecorder, text string) {
	t.Helper()
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), text) {
		t.Errorf("got %d, Retry-After %q, %s, want 503 and %q", w.Code, w.Header().Get("Retry-After"), w.Body, text)
	}
}

func TestBacklog(t *testing.T) {
	for name, opts := range map[string]Options{
		"events": {MaxBacklogEvents: 10},
		"bytes":  {MaxBacklogBytes: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newTestQueue(2)
				_, rt := start(t, q, opts)
				send := func() *httptest.ResponseRecorder {
					return post(rt, "/event", small, "Content-Type", typeJSON)
				}
				hold := func(events, bytes int64) {
					q.set(func(q *testQueue) {
						q.backlog = []queue.Backlog{{Events: events / 2, Bytes: bytes / 2}, {Events: events - events/2, Bytes: bytes - bytes/2}}
					})
					time.Sleep(watchInterval)
					synctest.Wait()
				}
				hold(10, 1000)
				if w := send(); w.Code != 202 {
					t.Errorf("at the limit: %d %s", w.Code, w.Body)
				}
				hold(11, 1001)
				wantUnavailable(t, send(), "the queue is full")
				q.set(func(q *testQueue) { q.down = errDown })
				time.Sleep(watchInterval)
				synctest.Wait()
				wantUnavailable(t, send(), "the queue is full")
				q.set(func(q *testQueue) { q.down = nil })
				hold(9, 900)
				if w := send(); w.Code != 202 {
					t.Errorf("below the limit: %d %s", w.Code, w.Body)
				}
			})
		})
	}
}

func TestBodiesAreBoundedTogether(t *testing.T) {
	in, rt := start(t, newTestQueue(1), Options{})
	in.many.held.Store(maxHeldBytes - 10)
	wantUnavailable(t, post(rt, "/events", "[           ]", "Content-Type", typeJSON), "too much is waiting")
	if w := post(rt, "/events", "[]", "Content-Type", typeJSON); w.Code != 202 {
		t.Errorf("what fits: %d %s", w.Code, w.Body)
	}
	if w := post(rt, "/event", small, "Content-Type", typeJSON); w.Code != 202 {
		t.Errorf("single events: %d %s", w.Code, w.Body)
	}
	if held := in.many.held.Load(); held != maxHeldBytes-10 {
		t.Errorf("%d bytes are held", held)
	}
}

func TestStopEndsTheRole(t *testing.T) {
	q := newTestQueue(1)
	in, rt := start(t, q, Options{})
	for range 2 {
		if err := in.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		wantUnavailable(t, post(rt, "/event", small, "Content-Type", typeJSON), "stopping")
		wantUnavailable(t, post(rt, "/events", "[]", "Content-Type", typeJSON), "stopping")
	}

	never := New(q, Options{}, slog.New(slog.DiscardHandler))
	if err := never.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if err := never.Start(); err == nil {
		t.Error("started after it was stopped")
	}
}

// FuzzRequests sends bodies to both endpoints, plain and as what may be gzip.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		small, "[" + small + "," + small + "]", small + "\n{}\n" + small, "[1,{}]", zip(small), zip("[" + small + "]"),
		zip(small)[:20], "", "[", "\xff", `{"site_id":"s","event_type":"e","path":"\u0000?"}`,
	} {
		f.Add([]byte(seed))
	}
	log := slog.New(slog.DiscardHandler)
	f.Fuzz(func(t *testing.T, body []byte) {
		q := newTestQueue(3)
		in := New(q, Options{}, log)
		if err := in.Start(); err != nil {
			t.Fatal(err)
		}
		rt := web.NewRouter(log)
		in.Register(rt)
		accepted := 0
		for _, path := range []string{"/event", "/events"} {
			for _, media := range []string{typeJSON, typeNDJSON} {
				for _, encoding := range []string{"identity", "gzip"} {
					w := post(rt, path, string(body), "Content-Type", media, "Content-Encoding", encoding)
					if w.Code != 202 && (w.Code < 400 || w.Code > 499) || !json.Valid(w.Body.Bytes()) {
						t.Fatalf("%s %s %s: %d %s", path, media, encoding, w.Code, w.Body)
					}
					var answer struct {
						Status   string
						Accepted int
					}
					if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
						t.Fatal(err)
					}
					accepted += answer.Accepted
					if answer.Status == "accepted" {
						accepted++
					}
				}
			}
		}
		if err := in.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		events := q.events(t)
		if len(events) != accepted || in.Stats().Accepted != uint64(accepted) {
			t.Fatalf("%d events were confirmed, %d counted, %d written", accepted, in.Stats().Accepted, len(events))
		}
	})
}
