package node

import (
	"context"
	"errors"
	"net"
	"os"
	"time"
)

// maxEarly is what is read of a client that waits for its welcome, in bytes.
const maxEarly = 4 << 10

// earlyBytes are what a client says while it waits for its welcome. It is read to notice
// whether the client goes.
type earlyBytes struct {
	conn     net.Conn
	deadline time.Time // for reading, of the handshake
	bytes    []byte    // up to maxEarly
}

// read reads while f runs, and reports whether the client has gone: then f's context has
// ended, with the cause errGone.
func (e *earlyBytes) read(ctx context.Context, f func(context.Context)) (gone bool) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if e.bytes == nil {
		e.bytes = make([]byte, 0, maxEarly)
	} else {
		e.conn.SetReadDeadline(e.deadline) // the last reading was ended by another one
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		if gone = e.readAll(); gone {
			cancel(errGone)
		}
	}()
	f(ctx)
	e.conn.SetReadDeadline(time.Unix(1, 0)) // ends the reading
	<-read
	return gone
}

// readAll reads until there is no room, or the deadline has come, and reports whether the
// connection has ended.
func (e *earlyBytes) readAll() (ended bool) {
	for len(e.bytes) < maxEarly {
		n, err := e.conn.Read(e.bytes[len(e.bytes):maxEarly])
		e.bytes = e.bytes[:len(e.bytes)+n]
		if err != nil {
			return !errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
	return false
}
