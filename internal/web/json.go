package web

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// ReadJSON reads the body of a request, at most so many bytes, into what in
// points to. A misspelt field must not be taken for none, so that fields which
// in does not have are an error, and so is what follows behind the end. All
// errors are answers.
func ReadJSON(w http.ResponseWriter, r *http.Request, most int64, in any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, most))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(in)
	if err == nil {
		if _, err = decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		err = cmp.Or(err, errors.New("there is more behind its end"))
	}
	if errors.As(err, new(*http.MaxBytesError)) {
		return err
	}
	return &Error{Status: http.StatusBadRequest, Message: "the body cannot be used: " + Shorten(err.Error())}
}

// WriteJSON answers with v as JSON on one line. v must be of a type that
// always encodes.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	// An error here means that the client has gone.
	_, _ = w.Write(append(body, '\n'))
}
