package main

import (
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
)

// What is sent of an event is the event.
func TestAppendJSON(t *testing.T) {
	p := &population{name: "site", sites: 5, days: 2, end: yesterday().AddDate(0, 0, 1), events: 1000, users: 100, paths: 100}
	var decoder event.Decoder
	n := 0
	for want := range p.live() {
		n++
		got, err := decoder.Decode(appendJSON(nil, want), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		got.ID = want.ID // it is given at ingest
		if got.Event != *want {
			t.Fatalf("event %d is decoded as\n%+v, want\n%+v", n, got, *want)
		}
	}
	if n != p.events {
		t.Errorf("%d events, want %d", n, p.events)
	}
}
