package web

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

const internalError = `{"error":"internal error; the server's log has more"}`

func TestRoutes(t *testing.T) {
	rt, _ := newTestRouter()
	rt.Handle("/read", Methods{http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
		WriteJSON(w, http.StatusOK, "read by "+r.Method)
		return nil
	}})
	rt.Handle("/write", Methods{
		http.MethodPut:  func(http.ResponseWriter, *http.Request) error { return nil },
		http.MethodPost: func(http.ResponseWriter, *http.Request) error { return Invalid("x", "1", "is odd", "even ones") },
	})
	for _, test := range []struct {
		method, target string
		status         int
		body, allow    string
	}{
		{"GET", "/read?x=1", 200, `"read by GET"`, ""},
		{"HEAD", "/read", 200, `"read by HEAD"`, ""}, // the server leaves the body out
		{"POST", "/write", 422, `{"error":"x is odd","field":"x","value":"1","allowed":"even ones"}`, ""},
		{"POST", "/read", 405, `{"error":"method POST is not allowed here","allowed":"GET, HEAD"}`, "GET, HEAD"},
		{"GET", "/write", 405, `{"error":"method GET is not allowed here","allowed":"POST, PUT"}`, "POST, PUT"},
		{strings.Repeat("X", 200), "/write", 405, `{"error":"method ` + strings.Repeat("X", 100) + `… is not allowed here","allowed":"POST, PUT"}`, "POST, PUT"},
		{"GET", "/", 404, `{"error":"there is nothing at /"}`, ""},
		{"POST", "/write/", 404, `{"error":"there is nothing at /write/"}`, ""},
		{"GET", "/%3Cscript%3E", 404, `{"error":"there is nothing at /\u003cscript\u003e"}`, ""},
		{"GET", "/" + strings.Repeat("y", 200), 404, `{"error":"there is nothing at /` + strings.Repeat("y", 99) + `…"}`, ""},
	} {
		w := do(rt, test.method, test.target)
		wantAnswer(t, w, test.status, test.body)
		if got := w.Header().Get("Allow"); got != test.allow {
			t.Errorf("%s %s: Allow %q, want %q", test.method, test.target, got, test.allow)
		}
	}
}

func TestPanic(t *testing.T) {
	rt, log := newTestRouter()
	rt.Handle("/panic", Methods{http.MethodGet: func(http.ResponseWriter, *http.Request) error { panic("a secret") }})
	wantAnswer(t, do(rt, "GET", "/panic"), 500, internalError)
	if !strings.Contains(log.String(), "a secret") || !strings.Contains(log.String(), "router_test.go") {
		t.Errorf("the log does not tell what happened and where:\n%s", log)
	}

	rt.Handle("/abort", Methods{http.MethodGet: func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) }})
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("http.ErrAbortHandler became %v", err)
		}
	}()
	do(rt, "GET", "/abort")
}
