//go:build !386

package node

import (
	"sync/atomic"
	"syscall"
)

// pollWire is a session's socket on a loop. What is not atomic is guarded by the
// session's lock, but that the loop's goroutine, which alone closes fd, may read
// fd without.
type pollWire struct {
	engine  *epoll
	session *session
	flags   atomic.Uint32
	fd      int32
	want    uint32 // what the socket is watched for
}

// Flags of a wire.
const (
	wireCorked uint32 = 1 << iota // the loop feeds the session, and writes behind
	wireDoomed                    // the loop is to close it
)

func (w *pollWire) loop() *loop { return w.engine.loopOf(w.fd) }

// ready is called by the loop.
func (w *pollWire) ready(events uint32) {
	if w.flags.Load()&wireDoomed != 0 {
		w.close()
		return
	}
	if events&wantOut != 0 {
		w.proceed()
	}
	if events&(wantIn|failing) != 0 {
		w.read(events)
	}
	if w.flags.Load()&wireDoomed != 0 {
		w.close()
	}
}

// read feeds the session, and writes all its answers at once.
func (w *pollWire) read(events uint32) {
	s := w.session
	if s.full() && w.pause() {
		if events&failing != 0 {
			s.disconnected()
		}
		return
	}
	buf := w.loop().buf[:]
	n, errno := readSocket(w.fd, buf)
	switch {
	case n > 0:
		w.flags.Or(wireCorked)
		_ = s.receive(buf[:n]) // an error closes the session; it is fed until it ended
		w.uncork()
	case errno != syscall.EAGAIN:
		s.disconnected()
	}
}

// pause stops reading until resume, unless that was called already.
func (w *pollWire) pause() bool {
	s := w.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.inFlight.paused.Load() || s.reason != stillOpen {
		return false
	}
	w.watch(w.want &^ wantIn)
	return true
}

func (w *pollWire) resume() { w.watch(w.want | wantIn) }

// watch changes what the socket is watched for.
func (w *pollWire) watch(want uint32) {
	if want == w.want || w.fd < 0 {
		return
	}
	w.want = want
	l := w.loop()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watch(w.fd, want)
}

func (w *pollWire) uncork() {
	s := w.session
	s.mu.Lock()
	defer s.mu.Unlock()
	w.flags.And(^wireCorked)
	if s.out.busy && w.want&wantOut == 0 {
		w.write()
	}
}

func (w *pollWire) flush() {
	if w.flags.Load()&wireCorked == 0 {
		w.write()
	}
}

// write writes until nothing is left or nothing fits.
func (w *pollWire) write() {
	s := w.session
	for {
		b, then := s.output()
		if b == nil {
			w.unblock()
			w.finish(then)
			return
		}
		n, errno := writeSocket(w.fd, b)
		if n > 0 {
			s.wrote(n)
		}
		switch {
		case errno == syscall.EAGAIN || errno == 0 && n < len(b):
			w.block()
			return
		case errno != 0:
			s.breakOff()
			return
		}
	}
}

// block has the loop call proceed when the socket has room again.
func (w *pollWire) block() {
	w.watch(w.want | wantOut)
	l := w.loop()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.blocked[w] = w.engine.node.now()
}

func (w *pollWire) unblock() {
	if w.want&wantOut == 0 {
		return
	}
	w.watch(w.want &^ wantOut)
	l := w.loop()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.blocked, w)
}

// proceed writes on.
func (w *pollWire) proceed() {
	s := w.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.want&wantOut != 0 {
		w.write()
	}
}

func (w *pollWire) finish(then after) {
	switch then {
	case afterEndOutput:
		shutSocket(w.fd, syscall.SHUT_WR)
	case afterCut:
		w.cut(false)
	}
}

// cut has the loop close the socket: it hears of the shutdown as of any other
// end.
func (w *pollWire) cut(hard bool) {
	if w.fd < 0 {
		return
	}
	if hard {
		resetOnClose(w.fd)
	}
	if w.flags.Or(wireDoomed)&wireDoomed == 0 {
		shutSocket(w.fd, syscall.SHUT_RDWR)
	}
}

// close is the last call of the loop.
func (w *pollWire) close() {
	s, l := w.session, w.loop()
	s.mu.Lock()
	l.mu.Lock()
	l.remove(w.fd)
	delete(l.blocked, w)
	l.mu.Unlock()
	closeSocket(w.fd)
	w.fd = -1
	s.giveUp()
	s.out.busy = true // nobody writes any more
	s.mu.Unlock()
	s.ended()
	w.engine.running.Done()
}

// stillborn ends a session, with its lock held, that the engine can't take.
func (w *pollWire) stillborn() {
	closeSocket(w.fd)
	w.fd = -1
	w.session.giveUp()
	w.session.breakOff()
	w.engine.node.leaving.Go(w.session.ended)
}
