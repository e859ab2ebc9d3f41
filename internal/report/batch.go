package report

import (
	"bytes"
	"context"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/web"
)

// batchPath is where several questions are asked in one request.
const batchPath = "/stats/query"

// Limits of a request with several questions.
const (
	maxBatch      = 20
	maxBatchBytes = 64 << 10
	// maxBatchAnswer is the most bytes of all answers together.
	maxBatchAnswer = 16 << 20
)

// Batch is the answer of POST /stats/query.
type Batch struct {
	Answers []BatchAnswer `json:"answers" doc:"an answer to each question, in the order of the questions"`
}

// BatchAnswer is the answer to one of the questions.
type BatchAnswer struct {
	Status int                `json:"status" doc:"the status that GET would have had"`
	Body   stdjson.RawMessage `json:"body" doc:"the body that GET would have had"`
}

// batch answers several questions, one after the other, so that one client
// takes no more of the server at a time than with single questions. An answer
// is what GET would give to the same client: the same function makes it.
func (r *Report) batch(w http.ResponseWriter, req *http.Request, pass *access.Pass) error {
	questions, err := decodeBatch(http.MaxBytesReader(w, req.Body, maxBatchBytes))
	if err != nil {
		return err
	}
	// All together take no longer than one would, so that what is answered by
	// then can still be sent.
	ctx, cancel := context.WithTimeout(req.Context(), requestTime)
	defer cancel()
	answers, size := Batch{Answers: make([]BatchAnswer, len(questions))}, 0
	for i, q := range questions {
		get, err := http.NewRequestWithContext(ctx, http.MethodGet, q.endpoint.path+"?"+q.values.Encode(), nil)
		if err != nil {
			return err
		}
		rec := &recorder{header: http.Header{}, status: http.StatusOK}
		if err := r.respond(rec, get, pass, q.endpoint); err != nil {
			web.WriteError(rec, get, r.log, err)
		}
		if size += rec.body.Len(); size > maxBatchAnswer {
			size -= rec.body.Len()
			rec = &recorder{header: http.Header{}}
			web.WriteError(rec, get, r.log, &web.Error{Status: http.StatusUnprocessableEntity,
				Message: fmt.Sprintf("the answers are longer than %d MiB together: ask this one alone, or for fewer rows", maxBatchAnswer>>20)})
		}
		answers.Answers[i] = BatchAnswer{Status: rec.status, Body: rec.body.Bytes()}
	}
	w.Header().Set("Cache-Control", "no-store")
	web.WriteJSON(w, http.StatusOK, answers)
	return nil
}

// recorder keeps an answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (rec *recorder) Header() http.Header         { return rec.header }
func (rec *recorder) WriteHeader(status int)      { rec.status = status }
func (rec *recorder) Write(b []byte) (int, error) { return rec.body.Write(b) }

// question is one of several: the parameters that GET would have.
type question struct {
	endpoint *endpoint
	values   url.Values
}

func decodeBatch(body io.Reader) ([]question, error) {
	var batch struct {
		Queries []map[string]jsontext.Value `json:"queries"`
	}
	const allowed = `{"queries": [{"endpoint": "stats", "site_id": "...", ...}, ...]}`
	if err := json.UnmarshalRead(body, &batch, json.RejectUnknownMembers(true)); err != nil {
		if errors.As(err, new(*http.MaxBytesError)) {
			return nil, err
		}
		return nil, &web.Error{Status: http.StatusBadRequest, Allowed: allowed,
			Message: "the body cannot be read: " + web.Shorten(err.Error())}
	}
	if n := len(batch.Queries); n == 0 || n > maxBatch {
		return nil, web.Invalid("queries", "", fmt.Sprintf("has %d questions", n), fmt.Sprintf("1 to %d", maxBatch))
	}
	questions := make([]question, len(batch.Queries))
	for i, members := range batch.Queries {
		var err error
		if questions[i], err = newQuestion(fmt.Sprintf("queries[%d].", i), members); err != nil {
			return nil, err
		}
	}
	return questions, nil
}

// newQuestion makes a question of the members of its object. prefix names it
// in errors.
func newQuestion(prefix string, members map[string]jsontext.Value) (question, error) {
	q := question{values: make(url.Values)}
	for name, value := range members {
		values, ok := texts(value)
		if !ok {
			return q, web.Invalid(prefix+name, string(value), "is no value of a parameter",
				"a string, a number, true, false, or a list of them")
		}
		if name != "endpoint" {
			q.values[name] = values
			continue
		}
		for _, e := range endpoints {
			if slices.Equal(values, []string{e.name()}) {
				q.endpoint = e
			}
		}
	}
	if q.endpoint == nil {
		return q, web.Invalid(prefix+"endpoint", string(members["endpoint"]), "is none of the endpoints", strings.Join(endpointNames(), ", "))
	}
	if q.values.Get("format") == "csv" {
		return q, web.Invalid(prefix+"format", "csv", "is not possible here: the answers are parts of one JSON object", "json")
	}
	return q, nil
}

// texts gives the values that a parameter has in JSON as they are in a query
// string.
func texts(value jsontext.Value) (values []string, ok bool) {
	switch value.Kind() {
	case jsontext.KindString:
		text, err := jsontext.AppendUnquote(nil, value)
		return []string{string(text)}, err == nil
	case jsontext.KindNumber, jsontext.KindTrue, jsontext.KindFalse:
		return []string{string(value)}, true
	case jsontext.KindBeginArray:
		var items []jsontext.Value
		if err := json.Unmarshal(value, &items); err != nil {
			return nil, false
		}
		for _, item := range items {
			// A list in a list is none of the values.
			one, ok := texts(item)
			if !ok || item.Kind() == jsontext.KindBeginArray {
				return nil, false
			}
			values = append(values, one...)
		}
		return values, true
	}
	return nil, false
}

// name is what the endpoint is called where several questions are asked.
func (e *endpoint) name() string { return path.Base(e.path) }

func endpointNames() []string {
	names := make([]string, len(endpoints))
	for i, e := range endpoints {
		names[i] = e.name()
	}
	return names
}
