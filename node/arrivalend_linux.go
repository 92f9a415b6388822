//go:build !386

package node

import (
	"errors"
	"net"
	"syscall"
)

// drop closes the socket of a client that has gone, and counts it. Its slot is the
// caller's to free: the router may still have to answer.
func (a *arrival) drop() {
	n := a.engine.node
	n.counts.connects[resultGone].Inc()
	a.remove()
	closeSocket(a.fd)
	n.handshakes.leave()
}

// refuseHead refuses a connection whose head can't be read.
func (a *arrival) refuseHead(err error) {
	n := a.engine.node
	if !errors.Is(err, errGone) {
		a.refuse(n.headRefusal(err))
		return
	}
	a.drop()
	n.handshakes.free()
}

// refuse answers in a goroutine, for that may take a while.
func (a *arrival) refuse(r *refusal) {
	n := a.engine.node
	a.leave(r, func(conn net.Conn) {
		n.refuse(conn, r, n.handshakes.free)
	})
}

// leave gives the connection to f, which runs in a goroutine of its own and frees
// its slot. Without descriptors the client is refused with r, as far as that fits, and
// cut.
func (a *arrival) leave(r *refusal, f func(net.Conn)) {
	h := &a.engine.node.handshakes
	a.remove()
	defer h.leave()
	conn, err := socketConn(a.fd, r)
	if err != nil {
		a.engine.node.counts.connects[r.result].Inc()
		h.free()
		return
	}
	h.start(func() { f(conn) })
}

// remove takes the socket off the loop.
func (a *arrival) remove() {
	a.release()
	l := a.loop()
	l.mu.Lock()
	defer l.mu.Unlock()
	a.unlistLocked()
	_ = l.controlLocked(syscall.EPOLL_CTL_DEL, a.fd, 0)
	l.removeLocked(a.fd)
}

func (a *arrival) release() {
	if a.spill != nil {
		a.engine.node.release(a.spill)
		a.spill = nil
	}
}
