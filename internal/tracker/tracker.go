// Package tracker serves the script that stands in the pages of sites and
// sends their events.
package tracker

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/daybook-analytics/daybook/internal/web"
)

// Path is where the script is.
const Path = "/js/daybook.js"

// script is what `make tracker` makes of daybook.js.
//
//go:embed daybook.min.js
var script []byte

// representation is the script in one encoding.
type representation struct {
	body           []byte
	etag, encoding string
}

// Register adds GET /js/daybook.js to a router. Pages of any origin may load
// it; browsers ask after an hour whether it has changed.
func Register(rt *web.Router) {
	sum := sha256.Sum256(script)
	version := hex.EncodeToString(sum[:8])
	plain := representation{body: script, etag: `"` + version + `"`}
	zipped := representation{body: compress(script), etag: `"` + version + `-gzip"`, encoding: "gzip"}

	rt.Handle(Path, web.Methods{http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
		h := w.Header()
		h.Set("Content-Type", "text/javascript; charset=utf-8")
		h.Set("Cache-Control", "public, max-age=3600")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Vary", "Accept-Encoding")
		sent := plain
		if acceptsGzip(r.Header.Values("Accept-Encoding")) {
			sent = zipped
			h.Set("Content-Encoding", sent.encoding)
		}
		h.Set("ETag", sent.etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(sent.body))
		return nil
	}})
}

// acceptsGzip tells whether a client takes gzip. One that ranks encodings in
// another way than by refusing gzip with q=0 gets it too.
func acceptsGzip(accepted []string) bool {
	for coding := range strings.SplitSeq(strings.Join(accepted, ","), ",") {
		name, params, _ := strings.Cut(coding, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q := strings.TrimSpace(params)
			return q == "" || strings.Trim(strings.TrimPrefix(q, "q="), "0.") != ""
		}
	}
	return false
}

// compress makes the smallest gzip that the standard library can.
func compress(b []byte) []byte {
	var zipped bytes.Buffer
	// The level is valid, and writes to a buffer do not fail.
	w, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	_, _ = w.Write(b)
	_ = w.Close()
	return zipped.Bytes()
}
