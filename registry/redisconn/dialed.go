package redisconn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// dialed is a connection, and where it leads. Of a connection of a client that Connect did
// not make only the first field is known.
type dialed struct {
	net.Conn
	by     *dialer        // nil: not known, as are the following
	target string         // host:port, as the URL, a Sentinel or the Cluster names the server
	place  netip.AddrPort // what target was resolved to; invalid for a Unix socket

	// Set before the connection is shared, by connections.keep.
	openedAt   time.Time
	closeWhole func() error  // closes the connection and what is built on it
	onClose    func(*dialed) // called once
	onUnusable func(error)   // called with why it did not come into use

	closed atomic.Bool
	use    atomic.Int32 // a useState
}

// useState says whether a connection came into use. go-redis introduces each one (HELLO,
// AUTH, SELECT), and keeps only that it could not go on, not the server's answer.
type useState = int32

const (
	// introducing: the server has answered nothing. An error as the answer, or the end of
	// the connection, leads to unusable, any other answer to inUse.
	introducing useState = iota
	// unusable: the server has answered only errors, or nothing, and onUnusable was called.
	// An answer that is none leads to inUse: some servers refuse HELLO alone.
	unusable
	// inUse: the server has answered something that was no error. This is final.
	inUse
)

// Read reads, and takes note of a refusal.
func (c *dialed) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.use.Load() != inUse {
		c.answered(b[:n], err)
	}
	return n, err
}

// Write writes. A server that refuses connections answers why and closes, so writing fails
// and the reason is there to be read.
func (c *dialed) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil && c.use.Load() == introducing {
		c.readRefusal(err)
	}
	return n, err
}

// maxRefusal bounds how much of a refusal is kept, in bytes.
const maxRefusal = 256

// answered takes what was read before the connection was in use.
func (c *dialed) answered(answer []byte, err error) {
	switch {
	case len(answer) > 0 && answer[0] == '-':
		line, _, _ := bytes.Cut(answer[1:], []byte("\r\n"))
		c.unusable(errors.New(string(line[:min(len(line), maxRefusal)])))
	case len(answer) > 0:
		c.use.Store(inUse)
	case err != nil && c.use.Load() == introducing:
		c.unusable(err)
	}
}

// refusalTime is for reading what has already arrived.
const refusalTime = 5 * time.Millisecond

// readRefusal reads what the server has answered on a connection that can't be written;
// err is why it can't.
func (c *dialed) readRefusal(err error) {
	room := make([]byte, maxRefusal)
	_ = c.Conn.SetReadDeadline(time.Now().Add(refusalTime))
	n, _ := c.Conn.Read(room)
	if n == 0 {
		c.unusable(err)
		return
	}
	c.answered(room[:n], nil)
}

// unusable takes why the connection did not come into use.
func (c *dialed) unusable(err error) {
	if c.onUnusable == nil || c.closed.Load() {
		return
	}
	c.use.CompareAndSwap(introducing, unusable)
	var op *net.OpError
	if !errors.As(err, &op) {
		err = fmt.Errorf("%v: %w", c.RemoteAddr(), err)
	}
	c.onUnusable(err)
}

// SyscallConn is what go-redis looks for to see whether the connection lives.
func (c *dialed) SyscallConn() (syscall.RawConn, error) {
	if sys, ok := c.Conn.(syscall.Conn); ok {
		return sys.SyscallConn()
	}
	return opaque{c}, nil
}

// Close closes the connection and strikes it off its client's account.
func (c *dialed) Close() error {
	if c.onUnusable != nil && c.use.Load() == introducing && !c.closed.Load() {
		c.readRefusal(io.EOF)
	}
	if c.closed.CompareAndSwap(false, true) && c.onClose != nil {
		c.onClose(c)
	}
	return c.Conn.Close()
}

// opaque stands for a connection whose socket must not be read past its TLS. Whether it
// lives is known only as far as this end has closed it.
type opaque struct{ c *dialed }

func (o opaque) look(func(uintptr) bool) error {
	if o.c.closed.Load() {
		return net.ErrClosed
	}
	return nil
}

// Read reads nothing.
func (o opaque) Read(f func(uintptr) bool) error { return o.look(f) }

// Write writes nothing.
func (o opaque) Write(f func(uintptr) bool) error { return o.look(f) }

// Control controls nothing.
func (o opaque) Control(func(uintptr)) error { return errors.ErrUnsupported }
