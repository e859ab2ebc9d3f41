package report

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/daybook-analytics/daybook/internal/web"
)

// endpoint is one kind of question, answered for GET, and as one of several
// questions in a POST.
type endpoint struct {
	path string
	// params are all parameters that it takes.
	params []parameter
	// parts says what the answer is made of beside counts and users; nil is
	// nothing.
	parts func(q *query) parts
	// months tells that the answer is made from the sum of the period, so
	// that months may stand for their days. Otherwise it is made from the
	// single days, and the period has no sum; with q.interval "month" months
	// may be among them.
	months bool
	// answer makes the answer, a struct that is encoded as JSON. before is
	// nil unless something is compared. The last field of every answer is
	// AsOf *string `json:"as_of"`; it is left nil, and filled in when the
	// answer is sent, because the same answer may be sent again later. An
	// answer depends on q, on the periods, and on no clock but q.today. An
	// error says what is wrong with the question.
	answer func(q *query, now, before *period) (any, error)
	// table makes the rows of the CSV of an answer, the first being the
	// header; nil if it has none.
	table func(answer any) [][]string
	// run, if set, answers instead of answer, for what is not about periods of
	// one site. Such an answer is never kept.
	run func(ctx context.Context, r *Report, q *query) (any, error)
}

// endpoints are all of them. Each has a file of its own.
var endpoints = []*endpoint{&statsEndpoint}

// requestTime is the most that one answer takes. It is longer than any raw
// scan, and shorter than the server's limit for writing the answer.
const requestTime = 55 * time.Second

// answered is an encoded answer.
type answered struct {
	// body is CSV, or JSON that lacks as_of and what follows it.
	body []byte
	csv  bool
	asOf time.Time
}

// json gives the body as a JSON object with as_of.
func (a *answered) json() []byte {
	asOf := asOfText(a.asOf)
	text, err := json.Marshal(asOf)
	if err != nil {
		panic(err)
	}
	body := make([]byte, 0, len(a.body)+len(text)+1)
	body = append(body, a.body...)
	body = append(body, text...)
	return append(body, '}')
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
	body, found := bytes.CutSuffix(body, []byte(`null}`))
	if !found || !bytes.HasSuffix(body, []byte(`"as_of":`)) {
		panic("the answer of " + q.endpoint.path + " does not end with an empty as_of")
	}
	return body, nil
}

// asOfText is the form of as_of in answers; nil is never.
func asOfText(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.UTC().Format("2006-01-02T15:04:05.000Z")
	return &text
}

// handler answers the questions to an endpoint.
func (r *Report) handler(e *endpoint) web.Handler {
	return func(w http.ResponseWriter, req *http.Request) error {
		q, err := parseQuery(e, req.URL.RawQuery)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(req.Context(), requestTime)
		defer cancel()
		a, err := r.answer(ctx, q)
		if err != nil {
			return err
		}
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		if a.csv {
			h.Set("Content-Type", "text/csv; charset=utf-8")
			_, _ = w.Write(a.body)
			return nil
		}
		h.Set("Content-Type", "application/json; charset=utf-8")
		_, _ = w.Write(append(a.json(), '\n'))
		return nil
	}
}

// answer answers one question.
func (r *Report) answer(ctx context.Context, q *query) (*answered, error) {
	// Before the numbers are read, so that they hold all that it promises.
	asOf, err := r.asOf.get(ctx)
	if err != nil {
		return nil, err
	}
	if err := q.resolve(r.opts.Now(), time.UTC, "", nil); err != nil {
		return nil, err
	}
	answer, err := r.make(ctx, q)
	if err != nil {
		return nil, err
	}
	body, err := encode(q, answer)
	if err != nil {
		return nil, err
	}
	return &answered{body: body, csv: q.csv, asOf: asOf}, nil
}

// make reads what a question is about and makes the answer.
func (r *Report) make(ctx context.Context, q *query) (any, error) {
	if q.endpoint.run != nil {
		return q.endpoint.run(ctx, r, q)
	}
	now, err := r.read(ctx, q, q.span)
	if err != nil {
		return nil, err
	}
	var before *period
	if q.compare != nil {
		if before, err = r.read(ctx, q, *q.compare); err != nil {
			return nil, err
		}
	}
	return q.endpoint.answer(q, now, before)
}
