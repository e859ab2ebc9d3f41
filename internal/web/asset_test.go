package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAsset(t *testing.T) {
	body := []byte(strings.Repeat("something that can be compressed, ", 100))
	asset := NewAsset(body, "text/x", "max-age=7")
	rt, _ := newTestRouter()
	rt.Handle("/a", Methods{http.MethodGet: asset.Serve})
	ask := func(method string, header http.Header) *httptest.ResponseRecorder {
		t.Helper()
		w, r := httptest.NewRecorder(), httptest.NewRequest(method, "/a", nil)
		r.Header = header
		rt.ServeHTTP(w, r)
		for name, want := range map[string]string{"Cache-Control": "max-age=7", "Vary": "Accept-Encoding"} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s %v: %s is %q, want %q", method, header, name, got, want)
			}
		}
		return w
	}
	tags := map[string]bool{}
	for _, test := range []struct{ accepted, encoding string }{
		{"", ""},
		{"br, zstd", ""},
		{"gzip", "gzip"},
		{"deflate, GZIP ; q=0.5, br", "gzip"},
		{"gzip;q=0, br", ""},
		{"gzip;q=0.000", ""},
		{"gzip;q=1.0", "gzip"},
	} {
		accepted := http.Header{"Accept-Encoding": {test.accepted}}
		w := ask(http.MethodGet, accepted)
		got := w.Body.Bytes()
		if w.Code != http.StatusOK || w.Header().Get("Content-Encoding") != test.encoding || w.Header().Get("Content-Type") != "text/x" {
			t.Fatalf("Accept-Encoding %q: %d %v, want encoding %q", test.accepted, w.Code, w.Header(), test.encoding)
		}
		if test.encoding == "gzip" {
			if len(got) >= len(body) {
				t.Errorf("compressed it has %d bytes", len(got))
			}
			zipped, err := gzip.NewReader(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			if got, err = io.ReadAll(zipped); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, body) {
			t.Errorf("Accept-Encoding %q: not the file: %s", test.accepted, got)
		}
		tag := w.Header().Get("ETag")
		tags[test.encoding+tag] = true
		if again := ask(http.MethodGet, http.Header{"Accept-Encoding": {test.accepted}, "If-None-Match": {tag}}); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
			t.Errorf("Accept-Encoding %q with the ETag: %d and %d bytes", test.accepted, again.Code, again.Body.Len())
		}
		if head := ask(http.MethodHead, accepted); head.Code != http.StatusOK || head.Body.Len() > 0 || head.Header().Get("ETag") != tag {
			t.Errorf("HEAD: %d %v and %d bytes", head.Code, head.Header(), head.Body.Len())
		}
	}
	if len(tags) != 2 {
		t.Errorf("two encodings have the ETags %v", tags)
	}
	if other := NewAsset([]byte("other"), "", ""); other.plain.etag == asset.plain.etag || other.zipped.etag == asset.zipped.etag {
		t.Error("another file has the same ETag")
	}
}
