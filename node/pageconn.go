package node

import (
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// pageConn is a connection of plain HTTP as the HTTP server sees it. The head of each
// request has gone through the strict parser before the server gets a byte of it: the
// server's own takes what others may read otherwise. A head that is refused, or asks
// for a WebSocket, is the end of the connection to the server. When the server closes
// it, behind all that it had to say, the head gets its answer.
//
// After a request with a body no other head is looked for: the server closes.
type pageConn struct {
	net.Conn
	node *Node

	// Owned by the reader: one goroutine at a time.
	unread []byte // not given to the server yet
	ready  int    // bytes of it that the server may have
	body   bool   // all that comes is the server's

	mu     sync.Mutex
	closed bool
	last   func() // answers the head that the server does not get; nil: there is none
}

// newPageConn returns a connection of which h was read, and copies h.
func newPageConn(n *Node, conn net.Conn, h *head) *pageConn {
	return &pageConn{
		Conn: conn, node: n,
		unread: slices.Concat(h.raw, h.rest), ready: len(h.raw), body: h.has(fieldBody),
	}
}

func (c *pageConn) Read(b []byte) (int, error) {
	if c.ready == 0 && !c.body {
		if err := c.nextHead(); err != nil {
			return 0, err
		}
	}
	most := c.ready
	if c.body {
		most = len(c.unread)
	}
	if most == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.unread[:most])
	c.unread = c.unread[n:]
	c.ready = max(0, c.ready-n)
	return n, nil
}

// nextHead reads until the next head is complete. An idle connection has no buffer.
// The server may end a read by a deadline, and read on later.
func (c *pageConn) nextHead() error {
	if c.hasLast() {
		return io.EOF
	}
	if len(c.unread) == 0 {
		c.unread = nil
	}
	for searched := 0; ; {
		start, end, err := findHead(c.unread, searched)
		switch {
		case err != nil:
			return c.refuse(err)
		case end > 0:
			return c.pass(start, end)
		case len(c.unread) >= c.node.opts.MaxHead:
			return c.refuse(errHeadTooLarge)
		}
		searched = len(c.unread)
		chunk := make([]byte, min(512, c.node.opts.MaxHead-searched))
		n, err := c.Conn.Read(chunk)
		c.unread = append(c.unread, chunk[:n]...)
		if n == 0 && err != nil {
			return err
		}
	}
}

// pass makes the head between start and end the server's, if it is for that.
func (c *pageConn) pass(start, end int) error {
	h := head{raw: c.unread[start:end:end], rest: c.unread[end:]}
	if err := h.parse(); err != nil {
		return c.refuse(err)
	}
	if !c.node.isPage(&h) {
		return c.endWith(func() { c.node.takeBack(c.Conn, &h) })
	}
	c.node.counts.connects[resultHTTP].Inc()
	c.unread, c.ready, c.body = c.unread[start:], len(h.raw), h.has(fieldBody)
	return nil
}

func (c *pageConn) refuse(err error) error {
	return c.endWith(func() { c.node.refuse(c.Conn, c.node.headRefusal(err), func() {}) })
}

// endWith has f answer the head when the server has closed the connection.
func (c *pageConn) endWith(f func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = f
	return io.EOF
}

func (c *pageConn) hasLast() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last != nil
}

// Close is the server's.
func (c *pageConn) Close() error {
	c.mu.Lock()
	last := c.last
	again := c.closed
	c.closed = true
	c.mu.Unlock()
	switch {
	case again:
		return nil
	case last == nil || !c.node.handshakes.begin():
		return c.Conn.Close()
	}
	c.node.handshakes.start(func() {
		defer c.node.handshakes.leave()
		last()
	})
	return nil
}

// takeBack takes a connection back from the HTTP server: its second or later request
// asks for a WebSocket. It goes the same way as first requests then.
func (n *Node) takeBack(conn net.Conn, h *head) {
	deadline := time.Now().Add(n.opts.HandshakeTimeout)
	conn.SetDeadline(deadline)
	if !n.handshakes.acquireUntil(deadline) {
		n.refuse(conn, tryLater(resultUnavailable, "node is busy with other connections: try again"), func() {})
		return
	}
	n.welcome(conn, h, deadline, n.handshakes.free)
}
