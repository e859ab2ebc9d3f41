package sender

import (
	"context"
	"sync"
)

// Pipeline sends requests side by side and hands out their results in the
// order in which they were submitted, so that what is confirmed is always
// everything up to some request. T is whatever stands for a request.
//
// Submit and Close are called by one goroutine.
type Pipeline[T any] struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	send   func(context.Context, T) (Result, error)

	// slots has one token for each request that is being sent.
	slots chan struct{}
	// order holds the requests that are not confirmed yet.
	order chan *task[T]
	done  sync.WaitGroup
}

type task[T any] struct {
	request T
	result  Result
	err     error
	sent    chan struct{} // closed when result and err are set
}

// window is how many requests, for each that may be under way, may wait for
// an earlier one's confirmation; with none a slow request would stop all
// others.
const window = 4

// NewPipeline makes a pipeline with at most parallel requests under way. send
// is called in a goroutine for each request; confirm in one goroutine for each
// that was sent, in order. After the first error of either, nothing more is
// sent or confirmed.
func NewPipeline[T any](ctx context.Context, parallel int, send func(context.Context, T) (Result, error), confirm func(T, Result) error) *Pipeline[T] {
	p := &Pipeline[T]{send: send, slots: make(chan struct{}, parallel), order: make(chan *task[T], window*parallel)}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	p.done.Go(func() {
		for t := range p.order {
			<-t.sent
			if t.err == nil && p.ctx.Err() == nil {
				t.err = confirm(t.request, t.result)
			}
			if t.err != nil {
				p.cancel(t.err) // only the first counts
			}
		}
	})
	return p
}

// Submit sends a request when there is room. It returns the error that ended
// the pipeline, if one has.
func (p *Pipeline[T]) Submit(request T) error {
	select {
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	case p.slots <- struct{}{}:
	}
	t := &task[T]{request: request, sent: make(chan struct{})}
	select {
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	case p.order <- t:
	}
	p.done.Go(func() {
		t.result, t.err = p.send(p.ctx, request)
		close(t.sent)
		<-p.slots
	})
	return nil
}

// Close waits until everything submitted is confirmed, or the pipeline has
// failed, and returns what ended it. It must be called exactly once.
func (p *Pipeline[T]) Close() error {
	close(p.order)
	p.done.Wait()
	err := context.Cause(p.ctx)
	p.cancel(nil)
	return err
}
