package ingest

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/internal/web"
)

// Limits of bodies, as they are sent and also decompressed.
const (
	maxEventBody = event.MaxBytes
	maxBatchBody = 8 << 20
	// maxHeldBytes is the most that the bodies of all requests of one
	// endpoint may take at a time. It is counted as they are read, so that
	// slow senders hold no more than they sent.
	maxHeldBytes = 32 << 20
	// maxKeptBytes is the most that each of a request's buffers may take to
	// stay with it. With a request that sends slowly it would take memory that
	// is not counted as held.
	maxKeptBytes = event.MaxBytes
	// maxKeptLines is the same for the ends of its lines.
	maxKeptLines = 2000
	// minRead is how much room a body has at least when it is read on.
	minRead = 512
)

// endpoint is what tells POST /event, POST /events and GET /pixel.gif apart.
type endpoint struct {
	limit int64
	// media are the types of bodies; nil is a request without one, whose event
	// is in its query.
	media []string
	// decode decodes the body, whose media type it is given, into the
	// request's lines and rejections.
	decode func(req *request, media string) error
	answer func(w http.ResponseWriter, accepted int, rejected []rejection)

	pool sync.Pool    // of *request
	held atomic.Int64 // bytes of bodies
}

// request is what it takes to handle one request up to its answer; it is used
// again for later ones of the same endpoint.
type request struct {
	sender   sender
	body     []byte
	gzip     gzip.Reader
	decoder  event.Decoder
	streams  []string
	lines    lines
	rejected []rejection
}

// get gives a request that is empty.
func (e *endpoint) get() *request {
	req, _ := e.pool.Get().(*request)
	if req == nil {
		req = new(request)
	}
	req.body, req.lines.text, req.lines.ends, req.rejected = req.body[:0], req.lines.text[:0], req.lines.ends[:0], nil
	return req
}

// put keeps a request for later ones, without what is large in it.
func (e *endpoint) put(req *request) {
	req.sender = sender{}
	if cap(req.body) > maxKeptBytes {
		buffers.put(req.body)
		req.body = nil
		req.decoder = event.Decoder{} // which still has hold of the body
	}
	if cap(req.lines.text) > maxKeptBytes {
		buffers.put(req.lines.text)
		req.lines.text = nil
	}
	if cap(req.lines.ends) > maxKeptLines {
		req.lines.ends = nil
	}
	e.pool.Put(req)
}

// handler takes a request from its first byte to its answer.
func (in *Ingest) handler(e *endpoint) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if in.allowOrigin(w, r) {
			w.Header().Set("Access-Control-Expose-Headers", "Retry-After, RateLimit, RateLimit-Policy")
		}
		accepted, rejected, err := in.take(e, w, r)
		if err != nil {
			in.refused(err)
			return err
		}
		in.accepted.Add(uint64(accepted))
		for _, r := range rejected {
			in.rejected.add(r.reason)
		}
		e.answer(w, accepted, rejected)
		return nil
	}
}

// take admits, reads and decodes a request and commits its events. It gives how
// many those are, and why others were refused; nothing else of the request is
// left while a slow client reads the answer.
func (in *Ingest) take(e *endpoint, w http.ResponseWriter, r *http.Request) (accepted int, rejected []rejection, err error) {
	streams := in.streams.Load()
	switch {
	case in.stopping.Load():
		return 0, nil, errStopping
	case in.full.Load():
		return 0, nil, errBacklog
	case streams == nil:
		return 0, nil, queue.ErrUnavailable
	}
	s, err := in.admit(w, r)
	if err != nil {
		return 0, nil, err
	}
	req := e.get()
	defer e.put(req)
	req.sender, req.streams = s, *streams
	var media string
	if e.media == nil {
		if err := req.readQuery(r); err != nil {
			return 0, nil, err
		}
	} else {
		if media, err = mediaType(r, e.media); err != nil {
			return 0, nil, err
		}
		held, err := e.read(req, w, r)
		defer e.held.Add(-held)
		if err != nil {
			return 0, nil, err
		}
	}
	err = e.decode(req, media)
	if req.sender.refused {
		w.Header().Del("Access-Control-Allow-Origin")
	}
	if err == nil && len(req.lines.ends) > 0 {
		err = in.committer.commit(&req.lines)
	}
	if err != nil {
		return 0, nil, err
	}
	return len(req.lines.ends), req.rejected, err
}

// mediaType gives the media type of the body if it is one of those allowed.
func mediaType(r *http.Request, allowed []string) (string, error) {
	header := r.Header.Get("Content-Type")
	media, _, _ := strings.Cut(header, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	if slices.Contains(allowed, media) {
		return media, nil
	}
	message := "the request has no Content-Type"
	if header != "" {
		message = "Content-Type " + web.Shorten(header) + " is not taken here"
	}
	return "", &web.Error{
		Status: http.StatusUnsupportedMediaType, Message: message, Field: "Content-Type",
		Value: web.Shorten(header), Allowed: strings.Join(allowed, ", "),
	}
}

// read reads the body, decompressed, into the request. The bytes that it
// gives are held until the caller releases them, also after an error.
func (e *endpoint) read(req *request, w http.ResponseWriter, r *http.Request) (held int64, err error) {
	var body io.Reader = http.MaxBytesReader(w, r.Body, e.limit)
	compressed := false
	switch encoding := strings.ToLower(strings.Join(r.Header.Values("Content-Encoding"), ", ")); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		compressed = true
		if err := req.gzip.Reset(body); err != nil {
			return 0, readError(err, compressed)
		}
		body = &req.gzip
	default:
		return 0, &web.Error{
			Status:  http.StatusUnsupportedMediaType,
			Message: "Content-Encoding " + web.Shorten(encoding) + " is not taken here", Field: "Content-Encoding",
			Value: web.Shorten(encoding), Allowed: "gzip, identity",
		}
	}

	for {
		req.body = buffers.grow(req.body, minRead)
		n, err := body.Read(req.body[len(req.body):cap(req.body)])
		req.body = req.body[:len(req.body)+n]
		held += int64(n)
		switch {
		case e.held.Add(int64(n)) > maxHeldBytes:
			return held, errBusy
		case held > e.limit:
			return held, &http.MaxBytesError{Limit: e.limit}
		case errors.Is(err, io.EOF):
			return held, nil
		case err != nil:
			return held, readError(err, compressed)
		}
	}
}

// readError is the answer to a body that cannot be read.
func readError(err error, compressed bool) error {
	if errors.As(err, new(*http.MaxBytesError)) {
		return err
	}
	message := "the body ended too early or came too slowly"
	if compressed {
		message = "the body is not whole, valid gzip"
	}
	return &web.Error{Status: http.StatusBadRequest, Message: message, Cause: err}
}

// add appends an event to the lines of the request, unless it gives the reason
// why its sender must not send it.
func (in *Ingest) add(req *request, sent *event.Sent) error {
	e, err := in.receive(&req.sender, sent)
	if err != nil {
		return err
	}
	if e.ID == "" {
		e.ID = in.ids.next()
	}
	l := &req.lines
	if len(l.text) == 0 {
		// All lines together are mostly shorter than the body that they are of.
		l.text = buffers.grow(l.text, len(req.body))
	}
	l.text = append(e.AppendLine(l.text), '\n')
	stream := req.streams[queue.Partition(e.Site, len(req.streams))]
	l.ends = append(l.ends, lineEnd{stream: stream, end: len(l.text)})
	return nil
}

var eventMedia = []string{"application/json", "text/plain"}

// decodeOne decodes the body of POST /event.
func (in *Ingest) decodeOne(req *request, _ string) error {
	sent, err := req.decoder.Decode(req.body, req.sender.now)
	if err != nil {
		return notJSON(err)
	}
	return in.add(req, &sent)
}

// notJSON makes the answer to a body with a syntax error; other errors stay.
func notJSON(err error) error {
	if syntax, ok := errors.AsType[*event.SyntaxError](err); ok {
		return &web.Error{Status: http.StatusBadRequest, Message: "the body is " + syntax.Error()}
	}
	return err
}

// acceptedAnswer is the body of the answer to one event.
var acceptedAnswer = []byte(`{"status":"accepted"}` + "\n")

func answerOne(w http.ResponseWriter, _ int, _ []rejection) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusAccepted)
	// An error here means that the client has gone.
	_, _ = w.Write(acceptedAnswer)
}
