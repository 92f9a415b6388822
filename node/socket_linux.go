//go:build !386

package node

import (
	"errors"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// The calls on clients' sockets are raw ones: they can't block, and a call that
// tells the scheduler so wakes its monitor thread whenever the process was idle,
// which costs more than the call. Package syscall on 386 lacks some of them.

// readSocket reads once. No bytes and no error mean that the peer has ended.
func readSocket(fd int32, b []byte) (int, syscall.Errno) {
	for {
		n, _, err := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch err {
		case 0:
			return int(n), 0
		case syscall.EINTR:
		default:
			return 0, err
		}
	}
}

// writeSocket writes what fits. A broken socket is an error and, unlike with
// write, no signal.
func writeSocket(fd int32, b []byte) (int, syscall.Errno) {
	for {
		n, _, err := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), syscall.MSG_NOSIGNAL, 0, 0)
		switch err {
		case 0:
			return int(n), 0
		case syscall.EINTR:
		default:
			return 0, err
		}
	}
}

func closeSocket(fd int32) {
	_, _, _ = syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0) // also closed if interrupted
}

func shutSocket(fd int32, how int) {
	_, _, _ = syscall.RawSyscall(syscall.SYS_SHUTDOWN, uintptr(fd), uintptr(how), 0) // fails if the peer was faster
}

// resetOnClose has the kernel throw away what the peer did not take.
func resetOnClose(fd int32) {
	_ = syscall.SetsockoptLinger(int(fd), syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
}

// acceptor accepts connections of a listener. It has no lock.
type acceptor struct {
	file  *os.File // owns the descriptor: its finalizer would close it
	raw   syscall.RawConn
	try   func(uintptr) bool
	fd    uintptr
	errno syscall.Errno
}

// newAcceptor duplicates l's socket, because a listener's own RawConn can't be
// waited on. Small writes to what it accepts leave at once.
func newAcceptor(l net.Listener) (*acceptor, error) {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	f, err := tcp.File()
	if err != nil {
		return nil, err
	}
	a := &acceptor{file: f}
	a.try = a.accept
	if a.raw, err = f.SyscallConn(); err == nil {
		err = noDelay(a.raw)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return a, nil
}

// next waits for a connection and returns its descriptor, which does not block.
func (a *acceptor) next() (fd int32, err error) {
	if a.raw.Read(a.try) != nil { // an error of os that os does not name
		return 0, net.ErrClosed
	}
	if a.errno != 0 {
		return 0, os.NewSyscallError("accept4", a.errno)
	}
	return int32(a.fd), nil
}

func (a *acceptor) accept(listener uintptr) bool {
	for {
		a.fd, _, a.errno = syscall.RawSyscall6(syscall.SYS_ACCEPT4, listener, 0, 0, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
		switch a.errno {
		case syscall.EAGAIN:
			return false
		case syscall.EINTR, syscall.ECONNABORTED:
		default:
			return true
		}
	}
}

// noDelay is inherited by sockets that are accepted.
func noDelay(l syscall.RawConn) error {
	var err error
	if e := l.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	}); e != nil {
		return e
	}
	return os.NewSyscallError("setsockopt", err)
}

// socketConn makes a connection of a socket, whose descriptor it takes over. If it
// can't, out of descriptors, it answers the client with r.
func socketConn(fd int32, r *refusal) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "client")
	defer f.Close()
	conn, err := net.FileConn(f) // of a duplicate
	if err != nil {
		_, _ = writeSocket(fd, r.bytes())
	}
	return conn, err
}

// detachSocket takes a connection's socket over. It fails for a connection that is
// more than a socket.
func detachSocket(conn net.Conn) (fd int32, ok bool) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return 0, false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, false
	}
	var errno syscall.Errno
	if err := raw.Control(func(old uintptr) {
		var n uintptr
		n, _, errno = syscall.RawSyscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 0)
		fd = int32(n)
	}); err != nil || errno != 0 {
		return 0, false
	}
	conn.Close()
	return fd, true
}
