package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestLoad sends two kinds of requests to a server, which counts them.
func TestLoad(t *testing.T) {
	var a, b, others atomic.Int64
	server := httptest.NewServer(take(func(r *http.Request) error {
		switch body, _ := io.ReadAll(r.Body); string(body) {
		case "a":
			a.Add(1)
		case "bb":
			b.Add(1)
		default:
			others.Add(1)
		}
		return nil
	}))
	defer server.Close()
	l := load{
		url: server.URL, connections: 3, answer: accepted,
		requests: posts("/event", "text/plain", [][]byte{[]byte("a"), []byte("bb")}),
	}
	perSecond, answered, err := l.run(t.Context(), 50*time.Millisecond)
	if err != nil || perSecond <= 0 {
		t.Fatalf("%v, %v requests a second", err, perSecond)
	}
	if sum := a.Load() + b.Load(); sum != int64(answered) || a.Load() == 0 || b.Load() == 0 || others.Load() > 0 {
		t.Errorf("%d requests were answered; the server had %d, %d and %d others", answered, a.Load(), b.Load(), others.Load())
	}

	l.answer = "{}\n"
	if _, _, err := l.run(t.Context(), 50*time.Millisecond); err == nil || !strings.Contains(err.Error(), "not as expected: HTTP/1.1 202") {
		t.Errorf("a wrong answer gives %v", err)
	}
	server.Close()
	if _, _, err := l.run(t.Context(), 50*time.Millisecond); err == nil {
		t.Error("no answer gives no error")
	}
}

func TestReadAnswer(t *testing.T) {
	const answer = "HTTP/1.1 202 Accepted\r\nX: y\r\ncontent-length: 2\r\n\r\nok"
	for n := range len(answer) {
		if whole, err := readAnswer([]byte(answer[:n]), "ok"); whole || err != nil {
			t.Errorf("the first %d bytes: %v, %v", n, whole, err)
		}
	}
	if whole, err := readAnswer([]byte(answer), "ok"); !whole || err != nil {
		t.Errorf("all of it: %v, %v", whole, err)
	}
	for name, wrong := range map[string]string{
		"another body":   "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nno",
		"a longer body":  "HTTP/1.1 202 Accepted\r\nContent-Length: 3\r\n\r\nok!",
		"another status": "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nok",
		"no length":      "HTTP/1.1 202 Accepted\r\n\r\nok",
		"two answers":    answer + answer,
	} {
		if _, err := readAnswer([]byte(wrong), "ok"); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
