package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// Asset is a file that stays the same while the process runs. It is compressed
// once, and not for each who asks for it. It is safe for concurrent use.
type Asset struct {
	contentType, cacheControl string
	plain, zipped             representation
}

// representation is an Asset in one encoding.
type representation struct {
	body []byte
	etag string
}

// NewAsset makes an Asset of a body, which must not change any more.
// cacheControl says how long browsers keep it; each time after that they ask
// by its ETag whether it has changed.
func NewAsset(body []byte, contentType, cacheControl string) *Asset {
	sum := sha256.Sum256(body)
	version := hex.EncodeToString(sum[:8])
	return &Asset{
		contentType: contentType, cacheControl: cacheControl,
		plain:  representation{body, `"` + version + `"`},
		zipped: representation{compress(body), `"` + version + `-gzip"`},
	}
}

// Serve answers GET and HEAD with the file; a Handler.
func (a *Asset) Serve(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", a.cacheControl)
	h.Set("Vary", "Accept-Encoding")
	sent := a.plain
	if acceptsGzip(r.Header.Values("Accept-Encoding")) {
		sent = a.zipped
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", sent.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(sent.body))
	return nil
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
