package report

import (
	"encoding/csv"
	"io"
	"slices"
	"strings"
)

// writeCSV writes a table as RFC 4180 has it: lines end with CRLF, and a cell
// is quoted where it must be. Text that a spreadsheet would take for a formula
// is disarmed.
func writeCSV(w io.Writer, table [][]string) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	for _, cells := range table {
		row := make([]string, len(cells))
		for i, cell := range cells {
			row[i] = disarm(cell)
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// csvName is a name for the file with the table that answers a question, as in
// daybook-site-abc-breakdown-path-2025-11-01-2025-11-30.csv. It has only
// letters, digits and . _ -, which every file system takes.
func csvName(q *query) string {
	parts := []string{"daybook", strings.ReplaceAll(q.site, ":", "_"), q.endpoint.name()}
	if q.endpoint == &breakdownEndpoint {
		parts = append(parts, q.dimension.String())
	}
	parts = append(parts, q.span.from)
	if q.span.to != q.span.from {
		parts = append(parts, q.span.to)
	}
	parts = slices.DeleteFunc(parts, func(part string) bool { return part == "" })
	return strings.Join(parts, "-") + ".csv"
}

// disarm puts a single quote before text that a spreadsheet would run as a
// formula; with it, the text is shown as it is. No number in a table has a
// sign, so that numbers stay numbers.
//
// The first characters are those that OWASP lists under "CSV Injection", among
// them the full-width forms that some spreadsheets take for the same. That a
// cell cannot end early is up to the quotes of encoding/csv.
func disarm(cell string) string {
	if strings.IndexAny(cell, "=+-@\t\r\n＝＋－＠") == 0 {
		return "'" + cell
	}
	return cell
}
