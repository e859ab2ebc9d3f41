package queuetest

import (
	"slices"
	"sync"
	"time"

	"github.com/daybook-analytics/daybook/internal/queue"
	"github.com/daybook-analytics/daybook/rollup"
)

// wantLayout checks how many streams the epochs have.
func (f *fixture) wantLayout(q queue.Queue, streams ...int) {
	f.Helper()
	if got := f.streams(q); !slices.Equal(got, streams) {
		f.Fatalf("epochs have %v streams, want %v", got, streams)
	}
}

func (f *fixture) streams(q queue.Queue) []int {
	f.Helper()
	layout, err := q.Layout(f.ctx)
	if err != nil {
		f.Fatalf("Layout: %v", err)
	}
	var streams []int
	for i, epoch := range layout.Epochs {
		if epoch.Number != i+1 {
			f.Fatalf("epoch %d has the number %d", i+1, epoch.Number)
		}
		streams = append(streams, epoch.Streams)
	}
	return streams
}

func (f *fixture) openEpoch(q queue.Queue, streams int) queue.Epoch {
	f.Helper()
	epoch, err := q.OpenEpoch(f.ctx, streams)
	if err != nil {
		f.Fatalf("OpenEpoch: %v", err)
	}
	return epoch
}

var layoutTests = []test{
	{"is made once and kept", func(f *fixture) {
		f.once(3, func(q queue.Queue) { f.wantLayout(q, 3) })
		f.once(5, func(q queue.Queue) { f.wantLayout(q, 3) })
	}},
	{"a new epoch is there at once, and kept", func(f *fixture) {
		f.once(2, func(q queue.Queue) {
			f.appendEach(q, "1:1", 2)
			if got, want := f.openEpoch(q, 3), (queue.Epoch{Number: 2, Streams: 3}); got != want {
				f.Fatalf("epoch %v, want %v", got, want)
			}
			f.wantLayout(q, 2, 3)
			f.append(q, group("2:2", "new"), group("1:1", "old"))
		})
		f.once(1, func(q queue.Queue) {
			f.wantLayout(q, 2, 3)
			f.wantContents(f.all(q, "1:1", rollup.EntryID{}), []string{"0", "1", "old"})
			f.wantContents(f.all(q, "2:2", rollup.EntryID{}), []string{"new"})
			f.openEpoch(q, queue.MaxStreams)
			f.openEpoch(q, 1)
			f.wantLayout(q, 2, 3, queue.MaxStreams, 1)
			f.append(q, group("3:255", "a"), group("4:0", "b"))
		})
	}},
	{"refuses a number of streams that is not allowed", func(f *fixture) {
		q := f.open(1)
		for _, streams := range []int{-1, 0, queue.MaxStreams + 1} {
			if epoch, err := q.OpenEpoch(f.ctx, streams); err == nil {
				f.Errorf("%d streams: epoch %v", streams, epoch)
			}
		}
		f.wantLayout(q, 1)
	}},
	{"epochs opened at the same time get numbers of their own", func(f *fixture) {
		q := f.open(1)
		epochs := make([]queue.Epoch, 8)
		var wg sync.WaitGroup
		for i := range epochs {
			wg.Go(func() { epochs[i], _ = q.OpenEpoch(f.ctx, 10+i) })
		}
		wg.Wait()
		streams := f.streams(q)
		if len(streams) != 1+len(epochs) {
			f.Fatalf("%d epochs, want %d", len(streams), 1+len(epochs))
		}
		for i, epoch := range epochs {
			if epoch.Number < 2 || streams[epoch.Number-1] != 10+i {
				f.Errorf("epoch %d was opened with %d streams; all epochs: %v", epoch.Number, 10+i, streams)
			}
		}
	}},
	{"first opens at the same time agree", func(f *fixture) {
		if !f.Shared {
			return
		}
		queues := make([]queue.Queue, 6)
		var wg sync.WaitGroup
		for i := range queues {
			wg.Go(func() { queues[i] = f.open(i + 1) })
		}
		wg.Wait()
		for _, q := range queues {
			f.wantLayout(q, f.streams(queues[0])...)
		}
	}},
	{"an epoch that another opened is there soon", func(f *fixture) {
		if !f.Shared {
			return
		}
		a, b := f.open(1), f.open(1)
		f.openEpoch(a, 2)
		// Its streams are known at once to whoever is told of them.
		f.append(b, group("2:1", "x"))
		f.wantContents(f.all(b, "2:1", rollup.EntryID{}), []string{"x"})
		f.openEpoch(a, 3)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for len(f.streams(b)) < 3 {
			select {
			case <-tick.C:
			case <-f.ctx.Done():
				f.Fatalf("the other's layout is still %v", f.streams(b))
			}
		}
		f.wantLayout(b, 1, 2, 3)
	}},
}
