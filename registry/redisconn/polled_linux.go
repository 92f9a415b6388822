package redisconn

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// polledConn is a descriptor that the runtime's poller does not watch: what arrives on it
// wakes no goroutine. The owner asks for it.
type polledConn struct {
	mu     sync.Mutex // held during a call, so that fd is not closed meanwhile
	fd     int
	closed bool
}

// detach makes a polledConn of a connection that is not used otherwise any more.
func detach(c *rawConn) (*polledConn, error) {
	fd := -1
	var errno syscall.Errno
	err := c.raw.Control(func(from uintptr) {
		n, _, e := syscall.RawSyscall(syscall.SYS_FCNTL, from, syscall.F_DUPFD_CLOEXEC, 0)
		fd, errno = int(n), e
	})
	if err == nil && errno != 0 {
		err = errno
	}
	if err != nil {
		return nil, &os.SyscallError{Syscall: "dup", Err: err}
	}
	_ = c.Close() // the connection lives on in fd, out of the poller
	return &polledConn{fd: fd}, nil
}

// call makes one read or write. Nothing done is no error.
func (p *polledConn) call(trap uintptr, b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, net.ErrClosed
	}
	n, err := rawCall(trap, uintptr(p.fd), b)
	switch {
	case err == syscall.EAGAIN:
		return 0, nil
	case err != 0:
		return 0, &os.SyscallError{Syscall: "polled connection", Err: err}
	case n == 0 && trap == syscall.SYS_READ:
		return 0, io.EOF
	}
	return n, nil
}

func (p *polledConn) tryRead(b []byte) (int, error) { return p.call(syscall.SYS_READ, b) }

func (p *polledConn) tryWrite(b []byte) (int, error) { return p.call(syscall.SYS_WRITE, b) }

// writeAll waits until all of b is written, or the deadline has passed.
func (p *polledConn) writeAll(b []byte, deadline time.Time) (n int, err error) {
	for n < len(b) {
		m, err := p.tryWrite(b[n:])
		n += m
		if err != nil {
			return n, err
		}
		if m > 0 {
			continue
		}
		left := time.Until(deadline)
		if left <= 0 {
			return n, os.ErrDeadlineExceeded
		}
		if err := p.awaitWritable(min(left, pollSlice)); err != nil {
			return n, err
		}
	}
	return n, nil
}

// pollSlice is how long a goroutine that waits for a connection may miss that it is closed.
const pollSlice = 100 * time.Millisecond

// awaitWritable waits in the kernel, without the lock: if fd is another
// connection's meanwhile, it wakes up early or late, and nothing else.
func (p *polledConn) awaitWritable(d time.Duration) error {
	type pollFd struct {
		fd      int32
		events  int16
		revents int16
	}
	const pollOut = 4
	ask := pollFd{fd: int32(p.fd), events: pollOut}
	timeout := syscall.NsecToTimespec(d.Nanoseconds())
	_, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&ask)), 1, uintptr(unsafe.Pointer(&timeout)), 0, 0, 0)
	if errno != 0 && !errors.Is(errno, syscall.EINTR) {
		return &os.SyscallError{Syscall: "poll", Err: errno}
	}
	return nil
}

func (p *polledConn) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	return syscall.Close(p.fd)
}
