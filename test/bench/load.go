package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load is a closed loop of requests: on each of a number of connections one
// request is under way at a time, and the next follows its answer. It shares
// the processors with the server that it measures, so it does as little as it
// can: whole requests are made beforehand, and of an answer only what is
// needed is read.
type load struct {
	// url is that of the server, as "http://127.0.0.1:3000".
	url         string
	connections int
	// requests are sent in turn, by each connection from another one on.
	requests [][]byte
	// answer is the body that every request is answered with, with status 202;
	// any other answer is an error.
	answer string
}

// answerTime is how long a load waits for the last answers.
const answerTime = 30 * time.Second

// run sends requests for a fifth of span as a warm-up and then for span, and
// gives the requests a second of the latter and how many were answered in all.
// When it returns, none is under way.
func (l *load) run(ctx context.Context, span time.Duration) (perSecond float64, answered int, err error) {
	warmUp := span / 5
	deadline := time.Now().Add(warmUp + span + answerTime)
	connections := make([]*connection, l.connections)
	for i := range connections {
		conn, err := net.Dial("tcp", strings.TrimPrefix(l.url, "http://"))
		if err != nil {
			return 0, 0, err
		}
		defer conn.Close()
		if err := conn.SetDeadline(deadline); err != nil {
			return 0, 0, err
		}
		connections[i] = &connection{Conn: conn}
	}
	total := func() (n int64) {
		for _, c := range connections {
			n += c.answered.Load()
		}
		return n
	}

	// The first error ends the load, and so does the end of the caller's ctx.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() {
		for _, c := range connections {
			_ = c.Close() // an error is that of the connection itself
		}
	})()
	var enough atomic.Bool
	var running sync.WaitGroup
	for i, c := range connections {
		running.Go(func() {
			for next := i * len(l.requests) / l.connections; !enough.Load(); next++ {
				if err := c.exchange(l.requests[next%len(l.requests)], l.answer); err != nil {
					cancel(err)
					return
				}
				c.answered.Add(1)
			}
		})
	}
	pause := func(d time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	pause(warmUp)
	begun, before := time.Now(), total()
	pause(span)
	took, after := time.Since(begun), total()
	enough.Store(true)
	running.Wait()
	return float64(after-before) / took.Seconds(), int(total()), context.Cause(ctx)
}

// connection is one of a load.
type connection struct {
	net.Conn
	answered atomic.Int64
	buf      [4096]byte // an answer
}

// exchange sends a request and reads its answer.
func (c *connection) exchange(request []byte, answer string) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	for n := 0; ; {
		if n == len(c.buf) {
			return fmt.Errorf("the answer is longer than expected: %s", c.buf[:])
		}
		read, err := c.Read(c.buf[n:])
		if err != nil {
			return fmt.Errorf("reading an answer: %w", err)
		}
		n += read
		if whole, err := readAnswer(c.buf[:n], answer); whole || err != nil {
			return err
		}
	}
}

// readAnswer tells whether what was read is a whole answer of HTTP/1.1. A
// whole one that does not have status 202 and the body wanted is an error.
func readAnswer(read []byte, want string) (whole bool, err error) {
	head, body, ok := bytes.Cut(read, []byte("\r\n\r\n"))
	if !ok {
		return false, nil
	}
	status, headers, _ := bytes.Cut(head, []byte("\r\n"))
	length, err := contentLength(headers)
	if err != nil {
		return false, fmt.Errorf("%w: %s", err, read)
	}
	if len(body) < length {
		return false, nil
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 202 ")) || string(body) != want {
		return false, fmt.Errorf("the answer is not as expected: %s", read)
	}
	return true, nil
}

func contentLength(headers []byte) (int, error) {
	const name = "Content-Length"
	for len(headers) > 0 {
		var line []byte
		line, headers, _ = bytes.Cut(headers, []byte("\r\n"))
		if len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(string(line[:len(name)]), name) {
			return strconv.Atoi(string(bytes.TrimSpace(line[len(name)+1:])))
		}
	}
	return 0, errors.New("the answer has no " + name)
}

// posts makes whole requests of bodies.
func posts(path, contentType string, bodies [][]byte) [][]byte {
	requests := make([][]byte, len(bodies))
	for i, body := range bodies {
		requests[i] = fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: daybook.test\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
			http.MethodPost, path, contentType, len(body), body)
	}
	return requests
}
