package redisconn

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// rawConn is a TCP or Unix connection that is read and written by raw system
// calls. They don't block, so the scheduler need not be told of them: telling it
// wakes its monitor thread in an otherwise idle process, which costs more than
// the call itself. What can't be done at once waits in the runtime's poller, as
// in package net; deadlines and Close are net's own.
type rawConn struct {
	net.Conn
	raw syscall.RawConn

	reading sync.Mutex
	in      transfer // guarded by reading
	writing sync.Mutex
	out     transfer // guarded by writing
}

// transfer is a read or write under way.
type transfer struct {
	buf  []byte
	done int
	err  error // nil, io.EOF or a syscall.Errno

	// Made once, because a closure a call would be an allocation.
	all  func(fd uintptr) bool // reports whether it is over; if not, the poller waits
	some func(fd uintptr) bool // the same without waiting
}

// withRawCalls returns conn with raw system calls, if it is of a kind that can
// have them.
func withRawCalls(conn net.Conn) net.Conn {
	var sys syscall.Conn
	switch c := conn.(type) {
	case *net.TCPConn:
		sys = c
	case *net.UnixConn:
		sys = c
	default:
		return conn
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return conn
	}
	c := &rawConn{Conn: conn, raw: raw}
	c.in.all = c.in.read
	c.out.all = c.out.write
	c.out.some = func(fd uintptr) bool { c.out.write(fd); return true }
	return c
}

// SyscallConn is what go-redis looks for to see whether the connection lives.
func (c *rawConn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

// Read reads what there is, and waits if there is nothing.
func (c *rawConn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	c.in.begin(b)
	err := c.raw.Read(c.in.all)
	return c.end(&c.in, "read", err)
}

// Write writes all of b.
func (c *rawConn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.out.begin(b)
	err := c.raw.Write(c.out.all)
	return c.end(&c.out, "write", err)
}

// tryWrite writes what the kernel takes at once. While another write waits it is
// nothing.
func (c *rawConn) tryWrite(b []byte) (int, error) {
	if !c.writing.TryLock() {
		return 0, nil
	}
	defer c.writing.Unlock()
	c.out.begin(b)
	err := c.raw.Write(c.out.some)
	return c.end(&c.out, "write", err)
}

// end returns a transfer's result in the form of package net. err is the poller's:
// the connection is closed, or its deadline has passed.
func (c *rawConn) end(t *transfer, op string, err error) (int, error) {
	n, failed := t.done, t.err
	t.buf, t.err = nil, nil
	switch {
	case err != nil:
		return n, renamed(err, op)
	case failed == nil || errors.Is(failed, io.EOF):
		return n, failed
	}
	return n, &net.OpError{Op: op, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(),
		Err: &os.SyscallError{Syscall: op, Err: failed}}
}

// renamed gives an error of a syscall.RawConn the name that package net has for
// the operation.
func renamed(err error, op string) error {
	var e *net.OpError
	if errors.As(err, &e) {
		e.Op = op
	}
	return err
}

func (t *transfer) begin(b []byte) { t.buf, t.done, t.err = b, 0, nil }

func (t *transfer) read(fd uintptr) bool {
	n, err := rawCall(syscall.SYS_READ, fd, t.buf)
	switch {
	case err == syscall.EAGAIN:
		return false
	case err != 0:
		t.err = err
	case n == 0:
		t.err = io.EOF
	}
	t.done = n
	return true
}

func (t *transfer) write(fd uintptr) bool {
	for t.done < len(t.buf) {
		n, err := rawCall(syscall.SYS_WRITE, fd, t.buf[t.done:])
		t.done += n
		switch {
		case err == syscall.EAGAIN:
			return false
		case err != 0:
			t.err = err
			return true
		}
	}
	return true
}

// maxRawCall bounds what one call copies: the scheduler can't take the processor
// away meanwhile.
const maxRawCall = 1 << 20

// rawCall reads into or writes from b, which must not be empty. The descriptor is
// package net's, so it never blocks.
func rawCall(trap, fd uintptr, b []byte) (int, syscall.Errno) {
	for {
		n, _, err := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(min(len(b), maxRawCall)))
		switch err {
		case 0:
			return int(n), 0
		case syscall.EINTR:
			continue
		}
		return 0, err
	}
}
