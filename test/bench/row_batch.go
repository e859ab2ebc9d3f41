package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// batchConnections is how many requests are under way at once. It makes little
// difference: on two busy cores 2 gave 320,000 events a second, 4 gave 330,000
// and 8 gave 350,000.
const batchConnections = 8

// rowBatch measures requests of many events into the embedded log against
// decoding the same bytes, which is done in this process while no server has
// anything to do.
func rowBatch(ctx context.Context, b *bench) (results []result, err error) {
	p, ingest, err := b.startIngest(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = p.stop(err) }()
	batches := requests{
		whole: newDelivery(pageViews(16 * batchEvents)).requests, events: batchEvents,
		answer: fmt.Sprintf(`{"accepted":%d,"rejected":[]}`+"\n", batchEvents),
	}
	bodies := make([][]byte, len(batches.whole))
	for i, request := range batches.whole {
		_, bodies[i], _ = bytes.Cut(request, []byte("\r\n\r\n"))
	}
	c, err := b.compare(ctx, b.sending(ingest, batches, batchConnections), b.decoding(bodies))
	if err != nil {
		return nil, err
	}
	return []result{result{What: fmt.Sprintf("POST /events, NDJSON, %d events a request, ingest alone", batchEvents), Unit: "events/s"}.
		against("encoding/json decodes the lines", c).
		goal(c.ratio.Median >= 1, "≥ 1 ×")}, nil
}

// decoded is an event as encoding/json decodes it.
type decoded struct {
	Site      string `json:"site_id"`
	Type      string `json:"event_type"`
	Path      string `json:"path"`
	User      string `json:"user_id"`
	Timestamp string `json:"timestamp"`
	ID        string `json:"event_id"`
	Referrer  string `json:"referrer"`
	Country   string `json:"country"`
	Device    string `json:"device"`
	Browser   string `json:"browser"`
	OS        string `json:"os"`
	Source    string `json:"utm_source"`
	Medium    string `json:"utm_medium"`
	Campaign  string `json:"utm_campaign"`
}

// decoding is a side that decodes bodies of NDJSON on all cores and throws the
// events away, in events a second.
func (b *bench) decoding(bodies [][]byte) side {
	return func(ctx context.Context) (float64, error) {
		// This process keeps next to nothing, so that it would collect garbage far
		// more often than a server: without this it decodes a fifth less.
		defer debug.SetGCPercent(debug.SetGCPercent(1000))
		var events atomic.Int64
		begun := time.Now()
		group, ctx := errgroup.WithContext(ctx)
		for i := range runtime.GOMAXPROCS(0) {
			group.Go(func() error {
				for next := i; time.Since(begun) < b.span && ctx.Err() == nil; next++ {
					n, err := decode(bodies[next%len(bodies)])
					if err != nil {
						return err
					}
					events.Add(int64(n))
				}
				return ctx.Err()
			})
		}
		err := group.Wait()
		return float64(events.Load()) / time.Since(begun).Seconds(), err
	}
}

// decode decodes a body, and gives the number of its events. One decoder for all
// lines is faster than json.Unmarshal of each.
func decode(body []byte) (events int, err error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	for {
		var event decoded
		err := decoder.Decode(&event)
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return 0, err
		}
		events++
	}
}
