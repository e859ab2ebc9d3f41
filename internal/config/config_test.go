package config

import (
	"strings"
	"testing"
	"time"
)

func TestIngestURL(t *testing.T) {
	for url, right := range map[string]bool{
		"":                           true,
		"https://in.example":         true,
		"http://127.0.0.1:3000":      true,
		"http://[::1]:3000":          true,
		"https://in.example/":        false,
		"https://in.example/js":      false,
		"https://*.example":          false,
		"https://user@in.example":    false,
		"in.example":                 false,
		"ftp://in.example":           false,
		"https://":                   false,
		"https://in.example:0":       false,
		"javascript:alert(1)":        false,
		"https://in.example\" x=\"y": false,
	} {
		err := Report{ReportAddr: ":3001", IngestURL: url, RawScans: 2, RawScanEvents: 1000, RawScanTime: time.Second}.Validate()
		if (err == nil) != right {
			t.Errorf("%q: %v", url, err)
		}
		if err != nil && (!strings.HasPrefix(err.Error(), "--ingest-url ") || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%q: %v", url, err)
		}
	}
}
