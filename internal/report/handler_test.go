package report

import "testing"

func TestAcceptsCSV(t *testing.T) {
	for accept, want := range map[string]bool{
		"":                                 false,
		"*/*":                              false,
		"text/*":                           false,
		"application/json":                 false,
		"text/csv":                         true,
		"text/csv; charset=utf-8":          true,
		"text/csv, */*":                    true,
		"text/csv, */*;q=0.1":              true,
		"text/csv;q=0.5, */*":              false,
		"text/csv, application/json":       false,
		"application/json;q=0.9, text/csv": true,
		"application/json, text/csv;q=0.9": false,
		"text/csv;q=0":                     false,
		"text/csv;q=x":                     false,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": false,
	} {
		if got := acceptsCSV(accept); got != want {
			t.Errorf("%q: %t", accept, got)
		}
	}
}
