package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
)

// serve takes connections until ctx is done and passes their commands on to
// the backend, over all connections one at a time: the next one goes when the
// answer to the one before has come.
func serve(ctx context.Context, listener net.Listener, backend string) error {
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	var one sync.Mutex
	for {
		client, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			// Drivers leave without a word, so that an error is only the end.
			_ = pass(ctx, client, backend, &one)
		}()
	}
}

// pass passes the commands of one client on to a connection of its own.
func pass(ctx context.Context, client net.Conn, backend string, one *sync.Mutex) error {
	defer client.Close()
	defer context.AfterFunc(ctx, func() { client.Close() })()
	server, err := net.Dial("tcp", backend)
	if err != nil {
		return err
	}
	defer server.Close()
	for {
		request, err := readMessage(client)
		if err != nil {
			return err
		}
		one.Lock()
		_, err = server.Write(request)
		var answer []byte
		if err == nil {
			answer, err = readMessage(server)
		}
		one.Unlock()
		if err != nil {
			return err
		}
		if _, err := client.Write(answer); err != nil {
			return err
		}
	}
}

// readMessage reads one message of the MongoDB wire protocol, which begins
// with its length. Every request has one answer: the messages that have none,
// or many, are of unacknowledged writes and of streamed server states, which
// FerretDB does not have.
func readMessage(r io.Reader) ([]byte, error) {
	const maxMessage = 48_000_000
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n < 16 || n > maxMessage {
		return nil, fmt.Errorf("message of %d bytes", n)
	}
	message := make([]byte, n)
	copy(message, head[:])
	_, err := io.ReadFull(r, message[len(head):])
	return message, err
}
