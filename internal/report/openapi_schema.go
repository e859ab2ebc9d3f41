package report

import (
	"fmt"
	"reflect"
	"strings"
)

// object is a JSON object of the OpenAPI document.
type object = map[string]any

// schemas are the JSON Schemas of Go types, by name, as components of an
// OpenAPI document. They are made from the types that the answers are encoded
// from, so that the document cannot differ from them.
type schemas map[string]object

// of gives the schema of the values of a type as encoding/json writes them;
// structs are given by reference. Beside json it knows two tags of a field:
// doc, its description, and enum, the only values it has.
func (s schemas) of(t reflect.Type) object {
	switch t.Kind() {
	case reflect.Pointer:
		return object{"anyOf": []any{s.of(t.Elem()), object{"type": "null"}}}
	case reflect.Struct:
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

func (s schemas) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous {
			continue // its fields are visible themselves
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		typ := f.Type
		if options == "omitempty" {
			// What is left out when it is nil is never null.
			if typ.Kind() == reflect.Pointer {
				typ = typ.Elem()
			}
		} else {
			required = append(required, name)
		}
		property := s.of(typ)
		if doc := f.Tag.Get("doc"); doc != "" {
			property["description"] = doc
		}
		if enum := f.Tag.Get("enum"); enum != "" {
			property["enum"] = strings.Split(enum, ",")
		}
		properties[name] = property
	}
	return object{"type": "object", "properties": properties, "required": required}
}
