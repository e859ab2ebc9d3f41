package dashboard

import (
	"bytes"
	"compress/gzip"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/daybook-analytics/daybook/internal/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// most is the most bytes of all files together, gzipped.
const most = 120 << 10

// serve gives a router with the dashboard, and a function to ask it with
// headers as "Name: value".
func serve(sessions Sessions) func(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	rt := web.NewRouter(slog.New(slog.DiscardHandler))
	Register(rt, sessions)
	return func(method, target, body string, headers ...string) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequest(method, target, strings.NewReader(body))
		r.Host = "127.0.0.1:3001"
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Add(name, value)
		}
		rt.ServeHTTP(w, r)
		return w
	}
}

// wantHeaders checks headers of an answer.
func wantHeaders(t *testing.T, what string, w *httptest.ResponseRecorder, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got := w.Header().Get(name); got != value {
			t.Errorf("%s: %s is %q, want %q", what, name, got, value)
		}
	}
}

// All paths of pages have the one page, with a policy of its own, which
// browsers ask for each time.
func TestPages(t *testing.T) {
	ask := serve(Sessions{})
	for _, target := range []string{"/", "/sites/shop.example", "/sites/a%3Cb?period=7d", "/operators"} {
		w := ask(http.MethodGet, target, "", "Accept-Encoding: gzip")
		zipped, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatalf("%s: %d %v", target, w.Code, err)
		}
		body, err := io.ReadAll(zipped)
		if err != nil || w.Code != http.StatusOK || !bytes.Equal(body, files()[index]) {
			t.Errorf("%s: %d %v %s", target, w.Code, err, body)
		}
		wantHeaders(t, target, w, map[string]string{
			"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache", "Content-Encoding": "gzip",
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
			"X-Content-Type-Options":  "nosniff", "Referrer-Policy": "no-referrer",
		})
		again := ask(http.MethodGet, target, "", "Accept-Encoding: gzip", "If-None-Match: "+w.Header().Get("ETag"))
		if again.Code != http.StatusNotModified || again.Body.Len() > 0 || again.Header().Get("Content-Security-Policy") != contentPolicy {
			t.Errorf("%s with its ETag: %d %v", target, again.Code, again.Header())
		}
		if w := ask(http.MethodPost, target, "{}"); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", target, w.Code)
		}
	}
}

// Who writes the path of a page almost right is led to it.
func TestRedirects(t *testing.T) {
	ask := serve(Sessions{})
	for target, want := range map[string]string{
		"/sites":                          "/",
		"/sites/":                         "/",
		"/sites?a=b":                      "/?a=b",
		"/sites/shop/":                    "/sites/shop",
		"/sites/shop/?period=7d&filter=a": "/sites/shop?period=7d&filter=a",
		"/sites/a%3Cb%3F%25%0A/":          "/sites/a%3Cb%3F%25%0A",
		"/sites/%5C%5Cevil.example/":      "/sites/%5C%5Cevil.example",
		"/operators/":                     "/operators",
	} {
		w := ask(http.MethodGet, target, "")
		if got := w.Header().Get("Location"); w.Code != http.StatusPermanentRedirect || got != want {
			t.Errorf("%s: %d to %q, want %q", target, w.Code, got, want)
		}
		if w := ask(http.MethodPost, target, "{}"); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", target, w.Code)
		}
	}
	// Nobody is led to another server.
	for _, target := range []string{"//evil.example/", "/%2Fevil.example/", "/%2Fevil.example/%2e%2e/operators/", "//evil.example/sites/"} {
		w := ask(http.MethodGet, target, "")
		if to := w.Header().Get("Location"); strings.HasPrefix(to, "//") || strings.Contains(to, ":") {
			t.Errorf("%s: %d to %q", target, w.Code, to)
		}
	}
}

// The page has no script and no style in it, and nothing from elsewhere, all of
// which its policy would forbid; what it names is there.
func TestPageHoldsItsPolicy(t *testing.T) {
	ask := serve(Sessions{})
	page := string(files()[index])
	for _, wrong := range []string{"<style", "style=", "onload=", "onclick=", "//"} {
		if strings.Contains(page, wrong) {
			t.Errorf("the page has %s", wrong)
		}
	}
	if inline := regexp.MustCompile(`<script[^>]*>[^<]`).FindString(page); inline != "" {
		t.Errorf("the page has a script in it: %s", inline)
	}
	links := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page, -1)
	if len(links) < 2 {
		t.Errorf("the page names %v, and has no script and style", links)
	}
	for _, link := range links {
		if w := ask(http.MethodGet, link[1], ""); w.Code != http.StatusOK {
			t.Errorf("%s: %d", link[1], w.Code)
		}
	}
}

// Files whose names have a hash are kept for ever, the others are asked for
// each time.
func TestFiles(t *testing.T) {
	ask := serve(Sessions{})
	hashed := 0
	for name, body := range files() {
		if name == index {
			continue
		}
		want := "no-cache"
		if strings.HasPrefix(name, "assets/") {
			hashed++
			want = "public, max-age=31536000, immutable"
			if !regexp.MustCompile(`-[\w-]{8}\.\w+$`).MatchString(name) {
				t.Errorf("%s has no hash in its name, and is kept for ever", name)
			}
		}
		w := ask(http.MethodGet, "/"+name, "")
		if w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), body) {
			t.Errorf("%s: %d and %d bytes", name, w.Code, w.Body.Len())
		}
		if contentTypes[path.Ext(name)] == "" {
			t.Errorf("nobody knows the type of %s: add it to contentTypes", name)
		}
		wantHeaders(t, name, w, map[string]string{
			"Cache-Control": want, "Content-Type": contentTypes[path.Ext(name)], "Vary": "Accept-Encoding",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		})
	}
	if hashed == 0 {
		t.Error("there are no assets")
	}
	for _, target := range []string{"/assets/none-12345678.js", "/assets/", "/assets", "/index.html", "/sites/a/b", "/sites/a/b/", "/package.json"} {
		w := ask(http.MethodGet, target, "")
		if w.Code != http.StatusNotFound || !strings.HasPrefix(w.Body.String(), `{"error":`) {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

// All files together are small.
func TestSize(t *testing.T) {
	total := 0
	for name := range files() {
		target := "/" + strings.TrimSuffix(name, index)
		w := serve(Sessions{})(http.MethodGet, target, "", "Accept-Encoding: gzip")
		t.Logf("%s: %d bytes gzipped", name, w.Body.Len())
		total += w.Body.Len()
	}
	t.Logf("%d bytes together", total)
	if total >= most {
		t.Errorf("the dashboard has %d bytes gzipped, and must have less than %d", total, most)
	}
}
