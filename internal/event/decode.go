package event

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxBytes is the most that one event may take as JSON.
const MaxBytes = 64 << 10

// SyntaxError says that bytes are not the JSON that was expected.
type SyntaxError struct {
	// Offset is how many bytes were read before the fault.
	Offset int64
	// Problem says what is wrong there.
	Problem string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("not JSON: %s, at byte %d", e.Problem, e.Offset)
}

// Decoder decodes events from JSON. It is strict about syntax: invalid UTF-8,
// lone surrogates, an object with the same name twice and data after the end
// are syntax errors. Fields that no event has are skipped.
//
// The zero Decoder is ready. It is worth using again, one goroutine at a
// time; until then it keeps hold of the bytes it was given.
type Decoder struct {
	json jsontext.Decoder
	// in is only there because jsontext reads a bytes.Buffer in place.
	in bytes.Buffer
	// follows has for each field the one that came behind it last time, and at
	// the end the one that came first: senders keep to their order, so that a
	// name need mostly not be looked up.
	follows [numFields + 1]int

	// Of the event that is being decoded:
	text   []byte           // the values, unquoted, one behind the other
	values [numFields]value // of each field
}

// value is what is given for a field.
type value struct {
	given      bool // there, and not null
	start, end int  // its place in Decoder.text
}

// Decode decodes, checks and normalizes the one event that b holds. An event
// without a timestamp gets now; one without an event_id has an empty ID. The
// error is a *SyntaxError or a *FieldError.
//
// The strings of an event are parts of one, which holds nothing else.
func (d *Decoder) Decode(b []byte, now time.Time) (Sent, error) {
	d.reset(b)
	e, err := d.next(now)
	if _, syntax := errors.AsType[*SyntaxError](err); syntax {
		return Sent{}, err
	}
	if end := d.end(); end != nil {
		return Sent{}, end
	}
	return e, err
}

// DecodeArray decodes the events of the JSON array that b holds, as Decode
// does, and calls fn for each in turn: either bad is nil, or it says what is
// wrong with this event. An error of fn ends the decoding and is returned.
// Any other error, a *SyntaxError or a *FieldError, says that b is no array;
// what fn was given before it must then be thrown away.
func (d *Decoder) DecodeArray(b []byte, now time.Time, fn func(e Sent, bad *FieldError) error) error {
	d.reset(b)
	if kind := d.json.PeekKind(); kind != jsontext.KindBeginArray {
		raw, err := d.json.ReadValue()
		if err != nil {
			return syntaxError(err, d.json.InputOffset())
		}
		bad := wrongKind("body", kind, raw, "an array of events")
		if err := d.end(); err != nil {
			return err
		}
		return bad
	}
	if _, err := d.json.ReadToken(); err != nil {
		return syntaxError(err, d.json.InputOffset())
	}
	for d.json.PeekKind() != jsontext.KindEndArray {
		start := d.json.InputOffset()
		e, err := d.next(now)
		bad, _ := errors.AsType[*FieldError](err)
		if err != nil && bad == nil {
			return err
		}
		element := bytes.TrimLeft(b[start:d.json.InputOffset()], " \t\r\n,")
		if len(element) > MaxBytes {
			bad = TooLarge(len(element))
		}
		if err := fn(e, bad); err != nil {
			return err
		}
	}
	if _, err := d.json.ReadToken(); err != nil {
		return syntaxError(err, d.json.InputOffset())
	}
	return d.end()
}

// TooLarge is the error of an event of more than MaxBytes.
func TooLarge(size int) *FieldError {
	return &FieldError{
		Field:   "event",
		Problem: fmt.Sprintf("is %d bytes long", size),
		Allowed: fmt.Sprintf("at most %d bytes", MaxBytes),
	}
}

func (d *Decoder) reset(b []byte) {
	d.in = *bytes.NewBuffer(b)
	d.json.Reset(&d.in)
}

// end makes sure that nothing follows.
func (d *Decoder) end() error {
	if _, err := d.json.ReadToken(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errors.New("more data after the end")
		}
		return syntaxError(err, d.json.InputOffset())
	}
	return nil
}

// next decodes the next value as an event. It reads all of the value even
// when a field is wrong, so that syntax errors come first.
func (d *Decoder) next(now time.Time) (Sent, error) {
	if kind := d.json.PeekKind(); kind != jsontext.KindBeginObject {
		raw, err := d.json.ReadValue()
		if err != nil {
			return Sent{}, syntaxError(err, d.json.InputOffset())
		}
		return Sent{}, wrongKind("event", kind, raw, "an object")
	}
	bad, err := d.readObject()
	switch {
	case err != nil:
		return Sent{}, syntaxError(err, d.json.InputOffset())
	case bad != nil:
		return Sent{}, bad
	}
	return d.event(now)
}

// readObject reads an object's fields to text. The first field of a wrong
// kind is the bad one.
func (d *Decoder) readObject() (bad *FieldError, err error) {
	d.text = d.text[:0]
	d.values = [numFields]value{}
	last := numFields
	if _, err := d.json.ReadToken(); err != nil {
		return nil, err
	}
	for d.json.PeekKind() != jsontext.KindEndObject {
		name, err := d.json.ReadValue()
		if err != nil {
			return nil, err
		}
		// The name has its place at the end of text for a moment only.
		start := len(d.text)
		d.text, _ = jsontext.AppendUnquote(d.text, name)
		f, known := d.follows[last], true
		if fields[f].name != string(d.text[start:]) {
			f, known = fieldNumbers[string(d.text[start:])]
		}
		d.text = d.text[:start]
		if !known {
			if err := d.json.SkipValue(); err != nil {
				return nil, err
			}
			continue
		}
		d.follows[last], last = f, f

		kind := d.json.PeekKind()
		raw, err := d.json.ReadValue()
		if err != nil {
			return nil, err
		}
		switch {
		case kind == jsontext.KindNull:
		case kind == jsontext.KindString:
			// Of a string that was read the unquoting cannot fail.
			d.text, _ = jsontext.AppendUnquote(d.text, raw)
			d.values[f] = value{given: true, start: start, end: len(d.text)}
		case bad == nil:
			bad = wrongKind(fields[f].name, kind, raw, "a string")
		}
	}
	_, err = d.json.ReadToken()
	return bad, err
}

// wrongKind is the error of a field that is no string, or of something else
// of a kind that does not belong there.
func wrongKind(field string, kind jsontext.Kind, raw jsontext.Value, allowed string) *FieldError {
	is := kind.String()
	switch kind {
	case jsontext.KindTrue, jsontext.KindFalse:
		is = "a boolean"
	case jsontext.KindNumber:
		is = "a number"
	case jsontext.KindString:
		is = "a string"
	case jsontext.KindBeginObject:
		is = "an object"
	case jsontext.KindBeginArray:
		is = "an array"
	}
	return &FieldError{Field: field, Value: string(raw), Problem: "is " + is, Allowed: allowed}
}

// syntaxError makes a SyntaxError of what jsontext says.
func syntaxError(err error, offset int64) *SyntaxError {
	e := &SyntaxError{Offset: offset, Problem: err.Error()}
	detail, ok := errors.AsType[*jsontext.SyntacticError](err)
	if ok {
		e.Offset = detail.ByteOffset
		e.Problem = detail.Err.Error()
	}
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		e.Problem = fmt.Sprintf("the name %.50q stands twice in one object", detail.JSONPointer.LastToken())
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Problem = "it ends too early"
	case errors.Is(err, io.EOF):
		e.Problem = "it is empty"
	}
	return e
}
