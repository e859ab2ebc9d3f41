package transfer

import (
	"bufio"
	"encoding/csv"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// bufferBytes is how much is written at once.
const bufferBytes = 64 << 10

// field is one value of a record.
type field struct {
	name, value string
	// number says that the value is one, and is not quoted in JSON.
	number bool
}

// writer writes records in one format.
type writer struct {
	format string
	out    *bufio.Writer
	csv    *csv.Writer
	n      int // how many were written

	// Used again for each record:
	json  []byte
	cells []string
}

func newWriter(out io.Writer, format string) *writer {
	w := &writer{format: format, out: bufio.NewWriterSize(out, bufferBytes)}
	w.csv = csv.NewWriter(w.out)
	return w
}

// begin writes what stands before the first record; names are those of its
// fields.
func (w *writer) begin(names []string) error {
	switch w.format {
	case CSV:
		return w.csv.Write(names)
	case JSON:
		_, err := w.out.WriteString("[")
		return err
	}
	return nil
}

// record writes one record. JSON has no fields without a value, CSV always the
// same ones.
func (w *writer) record(fields []field) error {
	if w.format == CSV {
		w.cells = w.cells[:0]
		for _, f := range fields {
			w.cells = append(w.cells, harmless(f.value))
		}
		return w.csv.Write(w.cells)
	}
	b := w.json[:0]
	b = append(b, '{')
	for _, f := range fields {
		if f.value == "" {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		// The errors are about text that is no UTF-8, which is mended.
		b, _ = jsontext.AppendQuote(b, f.name)
		b = append(b, ':')
		if f.number {
			b = append(b, f.value...)
		} else {
			b, _ = jsontext.AppendQuote(b, f.value)
		}
	}
	b = append(b, '}')
	w.json = b
	return w.object(b)
}

// object writes a record that is a JSON object already.
func (w *writer) object(json []byte) error {
	if w.format == JSON {
		separator := "\n"
		if w.n > 0 {
			separator = ",\n"
		}
		if _, err := w.out.WriteString(separator); err != nil {
			return err
		}
	}
	w.n++
	if _, err := w.out.Write(json); err != nil {
		return err
	}
	if w.format == NDJSON {
		return w.out.WriteByte('\n')
	}
	return nil
}

// end writes what stands behind the last record, and all that is buffered.
func (w *writer) end() error {
	w.csv.Flush()
	if err := w.csv.Error(); err != nil {
		return err
	}
	if w.format == JSON {
		if _, err := w.out.WriteString("\n]\n"); err != nil {
			return err
		}
	}
	return w.out.Flush()
}

// harmless is a value that no spreadsheet takes for a formula: one that begins
// like one gets an apostrophe in front. Values come from whoever sends events.
func harmless(value string) string {
	if value == "" {
		return ""
	}
	switch value[0] {
	case '=', '+', '-', '@', '\t', '\r':
		return "'" + value
	}
	return value
}
