package report

import (
	"testing"
	"time"
)

func TestPeriodWords(t *testing.T) {
	for _, c := range []struct {
		now, zone, word, from, to string
	}{
		{"2026-11-24T12:00:00Z", "", "today", "2026-11-24", "2026-11-24"},
		{"2026-11-24T12:00:00Z", "", "yesterday", "2026-11-23", "2026-11-23"},
		{"2026-11-24T12:00:00Z", "", "7d", "2026-11-18", "2026-11-24"},
		{"2026-11-24T12:00:00Z", "", "30d", "2026-10-26", "2026-11-24"},
		{"2026-11-24T12:00:00Z", "", "month", "2026-11-01", "2026-11-24"},
		{"2026-11-24T12:00:00Z", "", "year", "2026-01-01", "2026-11-24"},
		{"2026-11-24T12:00:00Z", "", "all", "", ""},
		{"2026-11-24T12:00:00Z", "", "", "", ""},
		{"2026-11-01T12:00:00Z", "", "month", "2026-11-01", "2026-11-01"},
		{"2026-01-01T00:00:00Z", "", "yesterday", "2025-12-31", "2025-12-31"},
		{"2024-03-01T00:00:00Z", "", "yesterday", "2024-02-29", "2024-02-29"},

		// The day of a site begins and ends by its own clock, also where
		// clocks are changed: 25 hours on 25 October 2026, 23 on 29 March.
		{"2026-10-24T21:59:59Z", "Europe/Berlin", "today", "2026-10-24", "2026-10-24"},
		{"2026-10-24T22:00:00Z", "Europe/Berlin", "today", "2026-10-25", "2026-10-25"},
		{"2026-10-25T22:59:59Z", "Europe/Berlin", "today", "2026-10-25", "2026-10-25"},
		{"2026-10-25T23:00:00Z", "Europe/Berlin", "yesterday", "2026-10-25", "2026-10-25"},
		{"2026-10-25T23:00:00Z", "Europe/Berlin", "7d", "2026-10-20", "2026-10-26"},
		{"2026-03-28T23:00:00Z", "Europe/Berlin", "today", "2026-03-29", "2026-03-29"},
		{"2026-03-29T21:59:59Z", "Europe/Berlin", "today", "2026-03-29", "2026-03-29"},
		{"2026-03-29T22:00:00Z", "Europe/Berlin", "7d", "2026-03-24", "2026-03-30"},
		{"2026-12-31T23:30:00Z", "Europe/Berlin", "year", "2027-01-01", "2027-01-01"},
		{"2026-06-30T18:29:59Z", "Asia/Kolkata", "month", "2026-06-01", "2026-06-30"},
		{"2026-06-30T18:30:00Z", "Asia/Kolkata", "month", "2026-07-01", "2026-07-01"},
		// There was no midnight on 4 November 2018, and no 30 December 2011.
		{"2018-11-04T03:00:00Z", "America/Sao_Paulo", "today", "2018-11-04", "2018-11-04"},
		{"2018-11-04T02:59:59Z", "America/Sao_Paulo", "today", "2018-11-03", "2018-11-03"},
		{"2011-12-30T10:00:00Z", "Pacific/Apia", "today", "2011-12-31", "2011-12-31"},
		{"2011-12-30T09:59:59Z", "Pacific/Apia", "today", "2011-12-29", "2011-12-29"},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		q := &query{asked: asked{word: c.word}}
		if err := q.resolve(now, c.zone, []string{c.zone}); err != nil {
			t.Fatal(err)
		}
		oneDay := c.word == "today" || c.word == "yesterday"
		if s := q.span; s.from != c.from || s.to != c.to || s.zone != c.zone || s.date != oneDay {
			t.Errorf("%s at %s in %s is %+v, want %s to %s", c.word, c.now, c.zone, s, c.from, c.to)
		}
	}
}

func TestCompared(t *testing.T) {
	for _, c := range []struct{ from, to, word, wantFrom, wantTo string }{
		{"2026-11-24", "2026-11-24", "previous", "2026-11-23", "2026-11-23"},
		{"2026-11-18", "2026-11-24", "previous", "2026-11-11", "2026-11-17"},
		{"2024-03-01", "2024-03-31", "previous", "2024-01-30", "2024-02-29"},
		{"2026-11-18", "2026-11-24", "year", "2025-11-18", "2025-11-24"},
		{"2024-02-29", "2024-02-29", "year", "2023-02-28", "2023-02-28"},
		{"2024-02-01", "2024-02-29", "year", "2023-02-01", "2023-02-28"},
		{"2025-02-01", "2025-02-28", "year", "2024-02-01", "2024-02-28"},
		{"0000-01-02", "0000-01-02", "previous", "0000-01-01", "0000-01-01"},
		{"9999-12-31", "9999-12-31", "previous", "9999-12-30", "9999-12-30"},
		{"1600-01-01", "1999-12-31", "previous", "1200-01-01", "1599-12-31"},
	} {
		s := span{from: c.from, to: c.to, zone: "Europe/Berlin", zones: []string{"Europe/Berlin"}, date: c.from == c.to}
		got, err := s.compared(c.word)
		if err != nil {
			t.Fatal(err)
		}
		if got.from != c.wantFrom || got.to != c.wantTo || got.zone != s.zone || len(got.zones) != 1 || got.date != s.date {
			t.Errorf("%s of %s to %s is %+v, want %s to %s", c.word, c.from, c.to, got, c.wantFrom, c.wantTo)
		}
	}
	for _, word := range compareWords {
		s := span{from: "0000-01-01", to: "0000-01-01"}
		if got, err := s.compared(word); err == nil {
			t.Errorf("%s of the first day there is is %+v", word, got)
		}
	}
}
