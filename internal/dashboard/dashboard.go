// Package dashboard serves the pages that people look at: the files that `make
// dashboard` builds from ui, and the sessions of who signs in to them. All that
// the pages show they ask of the paths of the report role.
package dashboard

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/daybook-analytics/daybook/internal/web"
)

// dist is what Vite has built of ui.
//
//go:embed all:ui/dist
var dist embed.FS

const (
	index = "index.html"
	// assets is the directory of files that have a hash of what is in them in
	// their names.
	assets = "assets/"
)

// contentPolicy lets the page load what is its own, and ask its own server.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"manifest-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// What the Cache-Control of files says: that a browser asks each time whether it
// has the newest, or never asks again.
const (
	asksAlways = "no-cache"
	asksNever  = "public, max-age=31536000, immutable"
)

// contentTypes are those of the files by the ends of their names.
var contentTypes = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".md":   "text/markdown; charset=utf-8",
	".svg":  "image/svg+xml",
}

// pages are the paths that all have the one page, which knows by its URL what
// to show.
var pages = []string{"/", "/sites/{site}", "/operators"}

// Register adds the dashboard to a router: its pages and files, which anybody
// may load since they tell nothing, and /session.
func Register(rt *web.Router, sessions Sessions) {
	for name, body := range files() {
		if name == index {
			registerPages(rt, body)
			continue
		}
		cacheControl := asksAlways
		if strings.HasPrefix(name, assets) {
			cacheControl = asksNever
		}
		asset := web.NewAsset(body, contentTypes[path.Ext(name)], cacheControl)
		rt.Handle("/"+name, web.Methods{http.MethodGet: asset.Serve})
	}
	sessions.register(rt)
}

func registerPages(rt *web.Router, body []byte) {
	page := web.NewAsset(body, contentTypes[path.Ext(index)], asksAlways)
	for _, path := range pages {
		rt.Handle(path, web.Methods{http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Content-Security-Policy", contentPolicy)
			return page.Serve(w, r)
		}})
	}
	for _, almost := range []string{"/sites", "/sites/", "/sites/{site}/", "/operators/"} {
		rt.Handle(almost, web.Methods{http.MethodGet: redirect})
	}
}

// redirect leads people to the page that they mean, with the same query. Browsers
// keep what is behind the #, which may be the key of a share link.
func redirect(w http.ResponseWriter, r *http.Request) error {
	to := strings.TrimSuffix(r.URL.EscapedPath(), "/")
	if to == "/sites" {
		to = "/"
	}
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	http.Redirect(w, r, to, http.StatusPermanentRedirect)
	return nil
}

// files gives all of what was built, by its path below dist.
func files() map[string][]byte {
	built, err := fs.Sub(dist, "ui/dist")
	all := map[string][]byte{}
	if err == nil {
		err = fs.WalkDir(built, ".", func(name string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				all[name], err = fs.ReadFile(built, name)
			}
			return err
		})
	}
	if err != nil {
		panic(err) // the files are a part of the program
	}
	return all
}
