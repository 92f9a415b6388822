package node

import (
	"net"
	"sync"
	"time"
)

// handoff is a listener in memory: it gives the HTTP server connections whose
// head was read already.
type handoff struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newHandoff(addr net.Addr) *handoff {
	return &handoff{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

// hand gives conn to the server.
func (l *handoff) hand(conn *pageConn) {
	conn.SetDeadline(time.Time{})
	select {
	case l.conns <- conn:
	case <-l.done:
		conn.Close()
	}
}

func (l *handoff) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *handoff) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *handoff) Addr() net.Addr { return l.addr }
