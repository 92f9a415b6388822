package node

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// readSize is the buffer of each reading goroutine, in bytes. Longer frames take
// more reads.
const readSize = 2 << 10

// goroutines is the engine with a reading goroutine for each session, and a
// writing one while there is something to write. It works everywhere.
type goroutines struct {
	writeTimeout time.Duration
	running      sync.WaitGroup

	mu    sync.Mutex
	wires map[*goWire]struct{}
}

func newGoroutines(writeTimeout time.Duration) *goroutines {
	return &goroutines{writeTimeout: writeTimeout, wires: map[*goWire]struct{}{}}
}

// goWire is one session's connection.
type goWire struct {
	engine  *goroutines
	session *session
	conn    net.Conn
	resumed chan struct{} // holds one wake-up
}

func (e *goroutines) add(s *session, conn net.Conn, leftover []byte) wire {
	w := &goWire{engine: e, session: s, conn: conn, resumed: make(chan struct{}, 1)}
	e.mu.Lock()
	e.wires[w] = struct{}{}
	e.mu.Unlock()
	e.running.Go(func() { w.read(leftover) })
	return w
}

func (e *goroutines) stop(ctx context.Context) error {
	for _, s := range e.sessions() {
		s.disconnected()
	}
	return wait(ctx, &e.running)
}

func (e *goroutines) sessions() []*session {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]*session, 0, len(e.wires))
	for w := range e.wires {
		all = append(all, w.session)
	}
	return all
}

// read is the session's reading goroutine.
func (w *goWire) read(leftover []byte) {
	if len(leftover) > 0 {
		_ = w.session.receive(leftover) // an error closes the session; it is fed until it ended
	}
	buf := make([]byte, readSize)
	for {
		for w.session.full() {
			<-w.resumed
		}
		n, err := w.conn.Read(buf)
		if n > 0 {
			_ = w.session.receive(buf[:n])
		}
		if err != nil {
			w.session.disconnected()
			break
		}
	}
	w.conn.Close()
	w.engine.mu.Lock()
	delete(w.engine.wires, w)
	w.engine.mu.Unlock()
	w.session.ended()
}

func (w *goWire) flush() { w.engine.running.Go(w.write) }

// write is the session's writing goroutine. It ends when nothing is left.
func (w *goWire) write() {
	for {
		b, then := w.session.takeOutput()
		if b == nil {
			w.finish(then)
			return
		}
		err := w.writeAll(b.b)
		w.session.wrote(b)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			w.session.stalled()
			return
		case err != nil:
			w.session.disconnected()
			return
		}
	}
}

// writeAll fails if the peer takes nothing for the write timeout. A peer that
// is slow but takes some is given more time; its queue's bound judges it.
func (w *goWire) writeAll(b []byte) error {
	for {
		w.conn.SetWriteDeadline(time.Now().Add(w.engine.writeTimeout))
		n, err := w.conn.Write(b)
		if n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		b = b[n:]
	}
}

func (w *goWire) finish(then after) {
	switch then {
	case afterEndOutput:
		if half, ok := w.conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	case afterCut:
		w.conn.Close()
		w.resume()
	}
}

func (w *goWire) resume() {
	select {
	case w.resumed <- struct{}{}:
	default:
	}
}

func (w *goWire) cut(hard bool) {
	if tcp, ok := w.conn.(*net.TCPConn); ok && hard {
		_ = tcp.SetLinger(0)
	}
	w.conn.Close()
	w.resume()
}
