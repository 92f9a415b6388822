package node

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// readSize is the buffer of each reading goroutine, in bytes, at most readBudget.
// Longer frames take more reads.
const readSize = 2 << 10

// goroutines is the engine with a reading goroutine for each session, and a
// writing one while there is something to write. It works everywhere, and with
// connections that are more than a socket.
//
// It can't write without waiting, so the answers to what one read brought gather
// until the writing goroutine has its turn: where MaxQueue is only a few KiB, a
// client that asks much at once may be closed as a slow consumer although it reads.
type goroutines struct {
	node    *Node
	running sync.WaitGroup

	mu    sync.Mutex
	wires map[*goWire]struct{}
}

func newGoroutines(n *Node) engine {
	return &goroutines{node: n, wires: map[*goWire]struct{}{}}
}

func (e *goroutines) accept(l net.Listener, plain *handoff) { e.node.acceptAll(l, plain) }

func (e *goroutines) refuseWaiting() {} // acceptAll's are in the node's handshakes

func (e *goroutines) gather(bool) {} // a writing goroutine takes what is there

func (e *goroutines) tick() {} // its connections have deadlines

// goWire is one session's connection.
type goWire struct {
	engine  *goroutines
	session *session
	conn    net.Conn
	resumed chan struct{} // holds one wake-up
}

func (e *goroutines) add(s *session, conn net.Conn) wire {
	w := &goWire{engine: e, session: s, conn: conn, resumed: make(chan struct{}, 1)}
	e.mu.Lock()
	e.wires[w] = struct{}{}
	e.mu.Unlock()
	e.running.Go(w.read)
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
func (w *goWire) read() {
	buf := make([]byte, readSize)
	for {
		for w.session.full() {
			<-w.resumed
		}
		n, err := w.conn.Read(buf)
		if n > 0 {
			_ = w.session.receive(buf[:n]) // an error closes the session; it is fed until it ended
			w.engine.node.router.Flush()
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

func (w *goWire) flush(bool) {
	w.session.out.busy = true
	w.engine.running.Go(w.write)
}

// write is the session's writing goroutine. It ends when nothing is left.
func (w *goWire) write() {
	for {
		b, then := w.session.output()
		if b == nil {
			w.finish(then)
			return
		}
		err := w.writeAll(b)
		w.session.wrote(len(b))
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
		w.conn.SetWriteDeadline(time.Now().Add(w.engine.node.opts.PongTimeout))
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

// output is outputLocked for a writer that does not hold the session's lock.
func (s *session) output() ([]byte, after) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outputLocked()
}

// wrote is wroteLocked for such a writer.
func (s *session) wrote(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wroteLocked(n)
}
