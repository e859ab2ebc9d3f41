package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/web"
)

// maxBatchEvents is the most events of one POST /events.
const maxBatchEvents = 10_000

const mediaNDJSON, mediaXNDJSON = "application/ndjson", "application/x-ndjson"

var batchMedia = []string{"application/json", "text/plain", mediaXNDJSON, mediaNDJSON}

// errTooMany makes the error that refuses a batch as a whole.
func errTooMany(most int) error {
	return &web.Error{
		Status:  http.StatusRequestEntityTooLarge,
		Message: fmt.Sprintf("these are more than %d events; none was taken, send them in several requests", most),
	}
}

// most is how many events the request may have.
func (req *request) most() int {
	if req.sender.public() {
		return maxPublicEvents
	}
	return maxBatchEvents
}

// rejection says why one event of a batch was refused.
type rejection struct {
	// Index is the element of the array, or the line, counted from 0.
	Index int `json:"index"`
	*web.Error
	reason string
}

// decodeMany decodes the body of POST /events.
func (in *Ingest) decodeMany(req *request, media string) error {
	if media == mediaNDJSON || media == mediaXNDJSON {
		return in.decodeLines(req)
	}
	index := 0
	err := req.decoder.DecodeArray(req.body, req.sender.now, func(sent event.Sent, bad *event.FieldError) error {
		if most := req.most(); index == most {
			return errTooMany(most)
		}
		if bad != nil {
			req.reject(index, bad)
		} else if err := in.add(req, &sent); err != nil {
			req.reject(index, err)
		}
		index++
		return nil
	})
	return notJSON(err)
}

// decodeLines decodes NDJSON. Blank lines are no events, but they count as
// lines.
func (in *Ingest) decodeLines(req *request) error {
	index := -1
	for line := range bytes.SplitSeq(req.body, []byte("\n")) {
		index++
		if len(bytes.Trim(line, " \t\r")) == 0 {
			continue
		}
		if most := req.most(); len(req.lines.ends)+len(req.rejected) == most {
			return errTooMany(most)
		}
		if len(line) > event.MaxBytes {
			req.reject(index, event.TooLarge(len(line)))
			continue
		}
		sent, err := req.decoder.Decode(line, req.sender.now)
		if err == nil {
			err = in.add(req, &sent)
		}
		if err != nil {
			req.reject(index, err)
		}
	}
	return nil
}

// reject puts away why an event was refused.
func (req *request) reject(index int, err error) {
	var (
		answer *web.Error
		field  *event.FieldError
		reason = reasonOf(err)
	)
	switch {
	case errors.As(err, &field):
		answer = web.Invalid(field.Field, field.Value, field.Problem, field.Allowed)
	case !errors.As(err, &answer):
		answer = &web.Error{Message: "the line is " + err.Error()}
	}
	req.rejected = append(req.rejected, rejection{Index: index, Error: answer, reason: reason})
}

func answerMany(w http.ResponseWriter, accepted int, rejected []rejection) {
	status := http.StatusAccepted
	if accepted == 0 && len(rejected) > 0 {
		status = http.StatusUnprocessableEntity
	}
	if rejected == nil {
		rejected = []rejection{} // an empty list, not null
	}
	web.WriteJSON(w, status, struct {
		Accepted int         `json:"accepted"`
		Rejected []rejection `json:"rejected"`
	}{accepted, rejected})
}
