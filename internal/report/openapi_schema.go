package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// object is a JSON object of the OpenAPI document.
type object = map[string]any

// fieldDocs describe fields that mean the same in all answers. Others have
// their description in a tag.
var fieldDocs = map[string]string{
	"compare": "the same of the other period, where one is compared",
	"change":  "how much more it is than in the other period, as a share of that, where one is compared: 0.25 is a quarter more; null where the other number is 0",
	"as_of":   "every event that was accepted before this time is in the numbers, later ones may be; UTC, null before the first events were counted",
}

// schemas are the JSON Schemas of Go types, by name, as components of an
// OpenAPI document. They are made from the types that the answers are encoded
// from, so that the document cannot differ from them.
type schemas map[string]object

// of gives the schema of the values of a type as encoding/json writes them;
// structs are given by reference.
func (s schemas) of(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[json.RawMessage]():
		return object{"type": "object"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return object{"anyOf": []any{s.of(t.Elem()), object{"type": "null"}}}
	case reflect.Struct:
		if t.Name() == "" {
			return s.structure(t)
		}
		if _, done := s[t.Name()]; !done {
			s[t.Name()] = nil // it may contain itself
			s[t.Name()] = s.structure(t)
		}
		return object{"$ref": "#/components/schemas/" + t.Name()}
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int:
		return object{"type": "integer"}
	case reflect.Uint64:
		return object{"type": "integer", "format": "int64", "minimum": 0}
	case reflect.Float64:
		return object{"type": "number"}
	}
	panic(fmt.Sprintf("an answer has a field of type %s, for which there is no schema", t))
}

// field is a field of an answer as it stands in JSON.
type field struct {
	name string
	typ  reflect.Type
	// optional tells that it is left out when it is empty.
	optional bool
	doc      string
	enum     []string
}

// fieldsOf lists the fields of a struct, those of embedded ones included.
// Beside json it knows two tags: doc, what the field means, and enum, the only
// values that it has.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "" || name == "-" {
			continue
		}
		one := field{name: name, typ: f.Type, optional: options == "omitempty", doc: cmp.Or(f.Tag.Get("doc"), fieldDocs[name])}
		if enum := f.Tag.Get("enum"); enum != "" {
			one.enum = strings.Split(enum, ",")
		}
		if one.optional && f.Type.Kind() == reflect.Pointer {
			one.typ = f.Type.Elem() // what is left out when it is nil is never null
		}
		fields = append(fields, one)
	}
	return fields
}

func (s schemas) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	for _, f := range fieldsOf(t) {
		property := s.of(f.typ)
		if f.doc != "" {
			property["description"] = f.doc
		}
		if f.enum != nil {
			property["enum"] = f.enum
		}
		properties[f.name] = property
		if !f.optional {
			required = append(required, f.name)
		}
	}
	return object{"type": "object", "properties": properties, "required": required}
}
