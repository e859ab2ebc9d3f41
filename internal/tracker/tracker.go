// Package tracker serves the script that stands in the pages of sites and
// sends their events.
package tracker

import (
	_ "embed"
	"net/http"

	"github.com/daybook-analytics/daybook/internal/web"
)

// Path is where the script is.
const Path = "/js/daybook.js"

// script is what `make tracker` makes of daybook.js.
//
//go:embed daybook.min.js
var script []byte

// Register adds GET /js/daybook.js to a router. Pages of any origin may load
// it; browsers ask after an hour whether it has changed.
func Register(rt *web.Router) {
	asset := web.NewAsset(script, "text/javascript; charset=utf-8", "public, max-age=3600")
	rt.Handle(Path, web.Methods{http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
		h := w.Header()
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		h.Set("Access-Control-Allow-Origin", "*")
		return asset.Serve(w, r)
	}})
}
