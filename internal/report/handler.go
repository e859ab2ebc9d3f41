package report

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/web"
)

// requestTime is the most that one answer takes. It is longer than any raw
// scan, and shorter than the server's limit for writing the answer.
const requestTime = 55 * time.Second

// handler answers the requests to an endpoint that are let in.
func (r *Report) handler(e *endpoint) web.Handler {
	return r.admitted(func(w http.ResponseWriter, req *http.Request, pass *access.Pass) error {
		return r.respond(w, req, pass, e)
	})
}

// admitted makes a handler that only those requests come to that the gate lets
// in. Nothing of a request is read before that. pass says which sites it may
// ask about, which every handler has to see to.
func (r *Report) admitted(h func(w http.ResponseWriter, req *http.Request, pass *access.Pass) error) web.Handler {
	return func(w http.ResponseWriter, req *http.Request) error {
		var pass access.Pass // without a gate, of everybody
		if r.opts.Gate != nil {
			var err error
			if pass, err = r.opts.Gate.Admit(w, req); err != nil {
				return err
			}
		}
		return h(w, req, &pass)
	}
}

// respond answers a question to an endpoint.
func (r *Report) respond(w http.ResponseWriter, req *http.Request, pass *access.Pass, e *endpoint) error {
	q, err := parseQuery(e, req.URL.RawQuery)
	if err != nil {
		return err
	}
	if err := q.allow(pass); err != nil {
		return err
	}
	if e.table != nil && !req.URL.Query().Has("format") {
		q.csv = acceptsCSV(req.Header.Get("Accept"))
	}
	if q.async {
		return r.jobs.submitted(w, req, q)
	}
	ctx, cancel := context.WithTimeout(req.Context(), requestTime)
	defer cancel()
	o, err := r.look(ctx, q)
	if err != nil {
		return err
	}
	if o.etag != "" && matchesETag(req.Header.Get("If-None-Match"), o.etag) {
		setHeaders(w.Header(), o.asOf, o.etag)
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	a, err := r.complete(ctx, q, o)
	if err != nil {
		return err
	}
	setHeaders(w.Header(), a.asOf, a.etag)
	body, contentType := a.body, "text/csv; charset=utf-8"
	if q.csv {
		w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", csvName(q)))
	} else {
		body, contentType = append(a.json(), '\n'), "application/json; charset=utf-8"
	}
	w.Header().Set("Content-Type", contentType)
	// An error here means that the client has gone.
	_, _ = w.Write(body)
	return nil
}

// acceptsCSV tells whether an Accept header asks for CSV by its name, and for
// nothing else more than that.
func acceptsCSV(accept string) bool {
	var csv, json, others float64
	for choice := range strings.SplitSeq(accept, ",") {
		kind, params, err := mime.ParseMediaType(choice)
		if err != nil {
			continue
		}
		weight, err := strconv.ParseFloat(cmp.Or(params["q"], "1"), 64)
		if err != nil {
			continue
		}
		switch kind {
		case "text/csv":
			csv = weight
		case "application/json":
			json = weight
		default:
			others = max(others, weight)
		}
	}
	return csv > json && csv >= others
}

// setHeaders says up to when an answer is true, and who may keep it: with an
// ETag whoever asks each time whether it is still the same, else nobody.
func setHeaders(h http.Header, asOf time.Time, etag string) {
	h.Set("Vary", "Accept")
	if text := asOfText(asOf); text != nil {
		h.Set("Daybook-As-Of", *text)
	}
	if etag == "" {
		h.Set("Cache-Control", "no-store")
		return
	}
	h.Set("Cache-Control", "private, no-cache")
	h.Set("ETag", etag)
}

// outlook is what is known of an answer before any rollup is read.
type outlook struct {
	asOf time.Time
	// now and before are the heads of the period and of the one that is
	// compared with it.
	now, before []store.Head
	// etag is that of the answer if it is made from rollups alone; empty if it
	// cannot be.
	etag string
}

// answered is an encoded answer.
type answered struct {
	// body is CSV, or JSON that lacks as_of and what follows it.
	body []byte
	// etag is empty for an answer that nobody may keep.
	etag string
	asOf time.Time
}

// answer answers one question.
func (r *Report) answer(ctx context.Context, q *query) (*answered, error) {
	o, err := r.look(ctx, q)
	if err != nil {
		return nil, err
	}
	return r.complete(ctx, q, o)
}

// look finds out what there is to answer a question from. It sets the dates of
// the query.
func (r *Report) look(ctx context.Context, q *query) (*outlook, error) {
	o := new(outlook)
	// Before the numbers are read, so that they hold all that it promises.
	var err error
	if o.asOf, err = r.asOf.get(ctx); err != nil {
		return nil, err
	}
	if q.site != "" {
		if err := r.resolve(ctx, q); err != nil {
			return nil, err
		}
	}
	if q.endpoint.run != nil || q.needsRaw() {
		return o, nil
	}
	if o.now, err = r.heads(ctx, q, q.span); err != nil {
		return nil, err
	}
	if q.compare != nil {
		if o.before, err = r.heads(ctx, q, *q.compare); err != nil {
			return nil, err
		}
	}
	o.etag = etagOf(q, o.now, o.before)
	return o, nil
}

// resolve sets the dates of a query by the time zone of its site.
func (r *Report) resolve(ctx context.Context, q *query) error {
	settings, err := r.sites.Get(ctx, q.site)
	if err != nil {
		return err
	}
	return q.resolve(r.opts.Now(), settings.Zone, settings.All())
}

func (r *Report) heads(ctx context.Context, q *query, s span) ([]store.Head, error) {
	return r.store.DayHeads(ctx, q.site, s.zone, s.from, s.to)
}

// complete answers a question that was looked at. An answer from rollups alone
// is made once as long as the rollups stay the same, any other once for all
// who ask at the same time.
func (r *Report) complete(ctx context.Context, q *query, o *outlook) (*answered, error) {
	if o.etag == "" {
		body, _, err := r.make(ctx, q, o)
		return &answered{body: body, asOf: o.asOf}, err
	}
	// Two sites never have an answer in common, however their ETags are made.
	question := q.site + " " + o.etag
	if body, ok := r.answers.get(question); ok {
		return &answered{body: body, etag: o.etag, asOf: o.asOf}, nil
	}
	a, err := shared(ctx, r.scans, question, func(ctx context.Context) (*answered, error) {
		body, lasting, err := r.make(ctx, q, o)
		if err != nil || !lasting {
			return &answered{body: body, asOf: o.asOf}, err
		}
		r.answers.put(question, body, len(body)+len(question))
		return &answered{body: body, etag: o.etag}, nil
	})
	if err != nil || a.etag == "" {
		// What was not in the rollups may have been counted some moments ago,
		// by another's request: then as_of is that of the other.
		return a, err
	}
	return &answered{body: a.body, etag: a.etag, asOf: o.asOf}, nil
}

// make reads what a question is about and makes the body of the answer.
// lasting tells that it was made of the rollups that the ETag is of, and of
// nothing else.
func (r *Report) make(ctx context.Context, q *query, o *outlook) (body []byte, lasting bool, err error) {
	if q.endpoint.run != nil {
		answer, err := q.endpoint.run(ctx, r, q)
		if err != nil {
			return nil, false, err
		}
		if own, ok := answer.(interface{ ownAsOf() time.Time }); ok {
			o.asOf = own.ownAsOf()
		}
		body, err = encode(q, answer)
		return body, false, err
	}
	now, err := r.read(ctx, q, q.span, o.now)
	if err != nil {
		return nil, false, err
	}
	var before *period
	if q.compare != nil {
		if before, err = r.read(ctx, q, *q.compare, o.before); err != nil {
			return nil, false, err
		}
	}
	answer, err := q.endpoint.answer(q, now, before)
	if err != nil {
		return nil, false, err
	}
	body, err = encode(q, answer)
	return body, now.lasting && (before == nil || before.lasting), err
}

// encode makes the body of an answer.
func encode(q *query, answer any) ([]byte, error) {
	if q.csv {
		var body bytes.Buffer
		err := writeCSV(&body, q.endpoint.table(answer))
		return body.Bytes(), err
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	body, found := bytes.CutSuffix(body, []byte("null}"))
	if !found || !bytes.HasSuffix(body, []byte(`"as_of":`)) {
		panic("the answer of " + q.endpoint.path + " does not end with an empty as_of")
	}
	return body, nil
}

// json gives the body of an answer that is no CSV as a JSON object.
func (a *answered) json() []byte {
	text, err := json.Marshal(asOfText(a.asOf))
	if err != nil {
		panic(err)
	}
	return bytes.Join([][]byte{a.body, text, {'}'}}, nil)
}

// asOfText is the form of as_of in answers; nil is never.
func asOfText(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.UTC().Format("2006-01-02T15:04:05.000Z")
	return &text
}
