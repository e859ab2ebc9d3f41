package importer

import (
	"encoding/json"
	"errors"
	"fmt"
)

// A jsonEvent is a line of NDJSON, taken apart only as far as the import
// needs: whether the event is right is for the server to say.
type jsonEvent map[string]json.RawMessage

func parseJSONEvent(line []byte) (jsonEvent, error) {
	var e jsonEvent
	if err := json.Unmarshal(line, &e); err != nil {
		return nil, fmt.Errorf("it is not a JSON object: %w", err)
	}
	if e == nil {
		return nil, errors.New("it is null, not a JSON object")
	}
	return e, nil
}

// text is the value of a field, empty if it is not there or no string.
func (e jsonEvent) text(field string) string {
	var s string
	if json.Unmarshal(e[field], &s) != nil {
		return ""
	}
	return s
}

func (e jsonEvent) set(field, value string) {
	// A string always encodes.
	e[field], _ = json.Marshal(value)
}

// has tells whether the field is there and not null.
func (e jsonEvent) has(field string) bool {
	value, ok := e[field]
	return ok && string(value) != "null"
}
