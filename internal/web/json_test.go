package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestReadJSON(t *testing.T) {
	rt, _ := newTestRouter()
	rt.Handle("/", Methods{http.MethodPost: func(w http.ResponseWriter, r *http.Request) error {
		var in struct{ Key string }
		if err := ReadJSON(w, r, 20, &in); err != nil {
			return err
		}
		WriteJSON(w, http.StatusOK, in.Key)
		return nil
	}})
	for body, want := range map[string]struct {
		status int
		answer string
	}{
		`{"key":"a"}`:             {200, `"a"`},
		"{\"key\":\"a\"}\n":       {200, `"a"`},
		`{}`:                      {200, `""`},
		`{"kex":"a"}`:             {400, `{"error":"the body cannot be used: json: unknown field \"kex\""}`},
		`{"key":"a"}{}`:           {400, `{"error":"the body cannot be used: there is more behind its end"}`},
		`{"key":1}`:               {400, ""},
		`{"key":"a`:               {400, `{"error":"the body cannot be used: unexpected EOF"}`},
		"":                        {400, `{"error":"the body cannot be used: EOF"}`},
		`{"key":"aaaaaaaaaaaaaa"`: {413, `{"error":"the body is larger than 20 bytes"}`},
	} {
		w := httptest.NewRecorder()
		rt.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
		if want.answer == "" {
			want.answer = strings.TrimSuffix(w.Body.String(), "\n")
		}
		wantAnswer(t, w, want.status, want.answer)
	}
}
