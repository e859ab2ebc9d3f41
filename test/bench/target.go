package main

import (
	"context"
	"fmt"
)

// target is a server that takes events.
type target struct {
	url string
	// sent is how many events the server has accepted so far.
	sent int
	// verify makes sure that all events sent so far have come out behind the
	// server; nil for one that keeps nothing.
	verify func(ctx context.Context, sent int) error
}

// requests are what is sent to a target.
type requests struct {
	whole  [][]byte
	events int    // of each request
	answer string // to each request
}

// sending is a side that sends requests to a target, in events a second. An
// event that is accepted and does not come out is an error.
func (b *bench) sending(to *target, what requests, connections int) side {
	return func(ctx context.Context) (float64, error) {
		l := load{url: to.url, connections: connections, requests: what.whole, answer: what.answer}
		perSecond, answered, err := l.run(ctx, b.span)
		if err != nil {
			return 0, err
		}
		to.sent += answered * what.events
		if to.verify != nil {
			err = to.verify(ctx, to.sent)
		}
		return perSecond * float64(what.events), err
	}
}

// same is an error if the events that have come out are not those sent.
func same(out, sent int) error {
	if out != sent {
		return fmt.Errorf("%d events were accepted, and %d have come out", sent, out)
	}
	return nil
}

// aim is a ratio to a yardstick that is aimed at with a number of connections;
// 0 is none.
type aim struct {
	connections int
	ratio       float64
}

// compareSingle compares POST /event of one event a request with a yardstick.
func (b *bench) compareSingle(ctx context.Context, what string, ours *target, against string, yardstick *target, single requests, aims ...aim) ([]result, error) {
	var results []result
	for _, aim := range aims {
		r := result{What: fmt.Sprintf("POST /event, %s, %d connections", what, aim.connections), Unit: "requests/s"}
		c, err := b.compare(ctx, b.sending(ours, single, aim.connections), b.sending(yardstick, single, aim.connections))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.What, err)
		}
		r = r.against(against, c)
		if aim.ratio > 0 {
			r = r.goal(c.ratio.Median >= aim.ratio, "≥ %.2f ×", aim.ratio)
		}
		results = append(results, r)
	}
	return results, nil
}
