package web

import (
	"net"
	"sync"
)

// maxConnections is the most connections of one server. Each takes a file
// descriptor and some memory (about 20 KB while it is idle, 40 KB with TLS),
// and a process that has no descriptors left cannot open the files of its
// store either.
const maxConnections = 16 << 10

// boundedListener accepts no more connections than it has slots. Others wait
// in the system's queue, until one ends.
type boundedListener struct {
	net.Listener
	slots  chan struct{} // one in it for each connection
	close  sync.Once
	closed chan struct{}
}

func newBoundedListener(listener net.Listener, slots int) *boundedListener {
	return &boundedListener{Listener: listener, slots: make(chan struct{}, slots), closed: make(chan struct{})}
}

// Accept implements net.Listener. Whoever accepts gives the slot back with
// release when the connection has ended.
func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		l.release()
	}
	return conn, err
}

func (l *boundedListener) release() { <-l.slots }

// Close implements net.Listener.
func (l *boundedListener) Close() error {
	l.close.Do(func() { close(l.closed) })
	return l.Listener.Close()
}
