package ingest

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

// transparent is an image of one pixel that nobody sees.
var transparent = []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;")

// readQuery makes the body of a request of its query, which has the fields of
// an event by their names. Without an event_type it is a page view, and without
// a path one of the page that shows the image, if its browser tells which that
// is. That page is its origin.
func (req *request) readQuery(r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &web.Error{Status: http.StatusBadRequest, Message: "the query is not well-formed: " + web.Shorten(err.Error())}
	}
	fields := make(map[string]string, len(query)+2)
	fields[rollup.EventType.String()] = rollup.PageView
	req.sender.ofPage, req.sender.ofImage = true, true
	if page, err := url.Parse(r.Referer()); err == nil && page.Host != "" {
		fields[rollup.Path.String()] = page.String()
		req.sender.origin = page.Scheme + "://" + page.Host
	}
	for name, values := range query {
		if len(values) > 1 {
			return web.Invalid(web.Shorten(name), values[1], "stands twice in the query", "each field once")
		}
		fields[name] = values[0]
	}
	body, err := json.Marshal(fields)
	req.body = append(req.body, body...)
	return err
}

func answerPixel(w http.ResponseWriter, _ int, _ []rejection) {
	h := w.Header()
	h.Set("Content-Type", "image/gif")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	// An error here means that the client has gone.
	_, _ = w.Write(transparent)
}

// headOfPixel is for those who only look whether the image is there.
func headOfPixel(w http.ResponseWriter, _ *http.Request) error {
	answerPixel(w, 0, nil)
	return nil
}
