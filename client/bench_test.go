package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"
)

var benchEvent = Event{
	Type: PageView, Path: "https://shop.example/products/42?utm_source=news", User: "user-12345",
	Referrer: "https://www.google.com/", UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", ClientIP: "192.0.2.17",
}

// refuse is a server that refuses every request once it has read it, so that
// the client alone is measured.
type refuse struct{}

func (refuse) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// BenchmarkTrack measures what an event costs the program, from Track up to
// the request that it is in.
func BenchmarkTrack(b *testing.B) {
	c := benchmark(b, refuse{})
	if s := c.Stats(); s.Dropped != s.Taken {
		b.Errorf("%+v", s)
	}
}

// BenchmarkServer measures the way of an event to a server on this machine,
// with queue, store and rollup beside it.
func BenchmarkServer(b *testing.B) {
	s := startServer(b)
	transport := s.transport()
	defer transport.CloseIdleConnections()
	c := benchmark(b, transport)
	if s := c.Stats(); s.Delivered != s.Taken {
		b.Errorf("%+v: %v", s, c.Close(context.Background()))
	}
}

func benchmark(b *testing.B, transport http.RoundTripper) *Client {
	c, err := New("http://daybook.example", Options{Site: "shop", HTTP: &http.Client{Transport: transport}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		for {
			err := c.Track(benchEvent)
			if err == nil {
				break
			}
			if !errors.Is(err, ErrFull) {
				b.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
	}
	_ = c.Close(context.Background()) // Stats tell
	return c
}
