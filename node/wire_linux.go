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
	wireGathered uint32 = 1 << iota // the goroutine that ends a feeding writes; set and cleared with the session's lock held
	wireDoomed                      // the loop is to close it
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

// read feeds the session, and writes at once what that led to.
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
		w.loop().fed += n
		w.engine.gathering.begin()
		_ = s.receive(buf[:n]) // an error closes the session; it is fed until it ended
		w.endFeeding()
	case errno != syscall.EAGAIN:
		s.disconnected()
	}
}

// pause stops reading until resume, unless that was called already.
func (w *pollWire) pause() bool {
	s := w.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.inFlight.paused() || s.isClosing() {
		return false
	}
	w.watchLocked(w.want &^ wantIn)
	return true
}

func (w *pollWire) resume() { w.watchLocked(w.want | wantIn) }

// watchLocked changes what the socket is watched for.
func (w *pollWire) watchLocked(want uint32) {
	if want == w.want || w.fd < 0 {
		return
	}
	w.want = want
	l := w.loop()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchLocked(w.fd, want)
}

// endFeeding writes what was put off, first to w itself: if its peer has ended, the
// next read is the last, and another loop's goroutine may write too late.
func (w *pollWire) endFeeding() {
	l := w.loop()
	l.gathered = w.engine.gathering.end(l.gathered)
	w.writeGathered()
	for _, other := range l.gathered {
		other.writeGathered()
	}
	clear(l.gathered)
}

// gather makes a batch a feeding. Several may be under way.
func (e *epoll) gather(on bool) {
	if on {
		e.gathering.begin()
		return
	}
	wires := e.gathering.end(e.swapGathered(nil))
	for _, w := range wires {
		w.writeGathered()
	}
	clear(wires)
	e.swapGathered(wires)
}

// swapGathered takes the room for what gathers, and leaves another one or none.
func (e *epoll) swapGathered(room []*pollWire) (taken []*pollWire) {
	e.mu.Lock()
	defer e.mu.Unlock()
	taken, e.gathered = e.gathered, room
	return taken
}

func (w *pollWire) writeGathered() {
	if w.flags.Load()&wireGathered == 0 {
		return
	}
	s := w.session
	s.mu.Lock()
	defer s.mu.Unlock()
	w.flags.And(^wireGathered)
	if w.fd >= 0 && !s.out.busy && s.out.size() > 0 {
		w.writeLocked()
	}
}

func (w *pollWire) flush(now bool) {
	g := &w.engine.gathering
	switch {
	case w.fd < 0:
	case now || w.session.out.size() >= g.most:
		w.writeLocked()
	case w.flags.Load()&wireGathered != 0:
	case g.putOff(w):
	default:
		w.writeLocked()
	}
}

// writeBudget is what is written, in bytes, before others have their turn with the
// session's lock and on the loop.
const writeBudget = 64 << 10

// writeLocked writes until nothing is left, nothing fits, or it was enough for now.
func (w *pollWire) writeLocked() {
	s := w.session
	s.out.busy = true
	for budget := writeBudget; ; {
		b, then := s.outputLocked()
		if b == nil {
			w.unblockLocked()
			w.finish(then)
			return
		}
		b = b[:min(len(b), budget)]
		n, errno := writeSocket(w.fd, b)
		if n > 0 {
			s.wroteLocked(n)
			budget -= n
		}
		switch {
		case errno == syscall.EAGAIN || errno == 0 && (n < len(b) || budget == 0 && s.out.size() > 0):
			w.blockLocked()
			s.rankLocked()
			return
		case errno != 0:
			s.breakOffLocked()
			return
		}
	}
}

// blockLocked has the loop call proceed when the socket has room again.
func (w *pollWire) blockLocked() {
	w.watchLocked(w.want | wantOut)
	l := w.loop()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.blocked[w] = w.engine.node.now()
}

func (w *pollWire) unblockLocked() {
	if w.want&wantOut == 0 {
		return
	}
	w.watchLocked(w.want &^ wantOut)
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
		w.writeLocked()
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
	l.removeLocked(w.fd)
	delete(l.blocked, w)
	l.mu.Unlock()
	closeSocket(w.fd)
	w.fd = -1
	s.giveUpLocked()
	s.out.busy = true // nobody writes any more
	s.mu.Unlock()
	s.ended()
	w.engine.running.Done()
}

// stillbornLocked ends a session, with its lock held, that the engine can't take.
func (w *pollWire) stillbornLocked() {
	closeSocket(w.fd)
	w.fd = -1
	w.session.giveUpLocked()
	w.session.breakOffLocked()
	w.engine.node.leaving.Go(w.session.ended)
}
