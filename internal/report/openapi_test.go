package report

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of docs/api-report.md")

// The tables in the documentation are those that requests are parsed by and
// answers are made of.
func TestDocs(t *testing.T) {
	const file = "../../docs/api-report.md"
	const begin, end = "<!-- The tables up to the end mark are made by: go test ./internal/report -run TestDocs -update -->\n", "<!-- end mark -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no marks for the tables", file)
	}
	want := before + begin + endpointDocs() + end + after
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("%s is not up to date: run go test ./internal/report -run TestDocs -update", file)
	}
	if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// endpointDocs describes all endpoints and their answers in Markdown.
func endpointDocs() string {
	var out strings.Builder
	common := make(map[string]bool)
	out.WriteString("\n### Parameters of a period\n\nAll endpoints about one site have these.\n\n")
	for _, p := range commonParams {
		common[p.name] = true
	}
	writeParameters(&out, commonParams)
	for _, e := range endpoints {
		fmt.Fprintf(&out, "\n### GET %s\n\n%s\n\n", e.path, e.summary)
		var own []parameter
		for _, p := range e.params {
			if !common[p.name] {
				own = append(own, p)
			}
		}
		switch shared := len(e.params) - len(own); {
		case shared == len(commonParams) && len(own) == 0:
			out.WriteString("It has the parameters of a period and no others.\n\n")
		case shared == len(commonParams):
			out.WriteString("Beside the parameters of a period:\n\n")
			writeParameters(&out, own)
			out.WriteString("\n")
		default:
			writeParameters(&out, e.params)
			out.WriteString("\n")
		}
		writeFields(&out, reflect.TypeOf(e.sample))
	}
	out.WriteString("\n### POST " + batchPath + "\n\n")
	writeFields(&out, reflect.TypeFor[Batch]())
	out.WriteString("\n### GET " + jobsPath + "{id}\n\n")
	writeFields(&out, reflect.TypeFor[Job]())
	out.WriteString("\n")
	return out.String()
}

func writeParameters(out *strings.Builder, params []parameter) {
	out.WriteString("| parameter | meaning | allowed |\n| --- | --- | --- |\n")
	for _, p := range params {
		meaning := p.meaning
		if p.required {
			meaning += "; required"
		}
		if p.repeats {
			meaning += "; may be repeated"
		}
		fmt.Fprintf(out, "| `%s` | %s | %s |\n", p.name, meaning, strings.ReplaceAll(p.allowed, "|", `\|`))
	}
}

func writeFields(out *strings.Builder, t reflect.Type) {
	out.WriteString("| field of the answer | meaning |\n| --- | --- |\n")
	writeFieldsOf(out, "", t)
}

// writeFieldsOf lists the fields of a struct, and behind each those of the
// structs in it. What is compared has those of the answer again.
func writeFieldsOf(out *strings.Builder, prefix string, t reflect.Type) {
	for _, f := range fieldsOf(t) {
		doc := f.doc
		if f.enum != nil {
			doc = strings.TrimSuffix("`"+strings.Join(f.enum, "`, `")+"`: "+doc, ": ")
		}
		fmt.Fprintf(out, "| `%s%s` | %s |\n", prefix, f.name, doc)
		inner, name := f.typ, prefix+f.name+"."
		if inner.Kind() == reflect.Slice && inner != reflect.TypeFor[json.RawMessage]() {
			inner, name = inner.Elem(), prefix+f.name+"[]."
		}
		if inner.Kind() == reflect.Struct && inner.PkgPath() != "time" && f.name != "compare" && f.name != "change" {
			writeFieldsOf(out, name, inner)
		}
	}
}

// Everything in the document has a description, and no name is used twice for
// different types.
func TestOpenAPIIsComplete(t *testing.T) {
	types := make(map[string]reflect.Type)
	var check func(typ reflect.Type)
	check = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ.PkgPath() == "time" {
			return
		}
		if known, ok := types[typ.Name()]; ok && typ.Name() != "" {
			if known != typ {
				t.Errorf("%s and %s have one name in the document", known, typ)
			}
			return
		}
		types[typ.Name()] = typ
		for _, f := range fieldsOf(typ) {
			if f.doc == "" && !strings.HasSuffix(typ.Name(), "Change") {
				t.Errorf("%s.%s has no description", typ, f.name)
			}
			check(f.typ)
		}
	}
	for _, e := range endpoints {
		if e.summary == "" || e.sample == nil {
			t.Fatalf("%s has no summary or no sample", e.path)
		}
		check(reflect.TypeOf(e.sample))
		for _, p := range e.params {
			if p.meaning == "" || p.allowed == "" {
				t.Errorf("parameter %s of %s has no meaning or does not say what is allowed", p.name, e.path)
			}
		}
	}
	check(reflect.TypeFor[Batch]())
	check(reflect.TypeFor[Job]())
}
