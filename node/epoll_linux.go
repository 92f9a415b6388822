//go:build !386

package node

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"time"
)

// epoll is the engine with one goroutine for many sessions. It owns their
// sockets as raw descriptors. An idle session costs it a pollWire and a slot.
type epoll struct {
	// Static after accept.
	node  *Node
	loops []*loop // each socket is on one of them for its life
	plain *handoff

	gathering gathering
	others    engine         // for connections that are more than a socket
	looping   sync.WaitGroup // one for each loop
	running   sync.WaitGroup // one for each session
	questions sync.WaitGroup // one for each question to the authenticator or the router
	ending    sync.WaitGroup // stop's goroutine

	looked moment // for stalled sessions; owned by tick

	mu       sync.Mutex
	stopped  bool
	gathered []*pollWire // room for gather, taken by who is in it
}

// newEpoll returns an engine whose loops run. A loop is busy with system calls
// most of the time, and the other half of the processors is for what its messages
// cause elsewhere.
func newEpoll(n *Node) (engine, error) {
	e := &epoll{node: n, others: newGoroutines(n)}
	e.gathering.most = min(maxGathered, n.opts.MaxQueue/2)
	loops := max(1, runtime.GOMAXPROCS(0)/2)
	for range loops {
		l, err := newLoop(loops)
		if err != nil {
			e.closeLoops()
			return nil, err
		}
		e.loops = append(e.loops, l)
		e.looping.Go(func() { l.run(n.router.Flush) })
	}
	return e, nil
}

func (e *epoll) loopOf(fd int32) *loop { return e.loops[int(fd)%len(e.loops)] }

// accept accepts without a goroutine for each handshake: see arrival. Not more
// than MaxHandshakes connections are on their way; the others wait in the
// kernel's queue, and those whose head or first message is late make room for them.
func (e *epoll) accept(l net.Listener, plain *handoff) {
	e.plain = plain
	from, err := newAcceptor(l)
	if err != nil {
		e.node.log.Warn("no epoll for handshakes; a goroutine serves each", "error", err)
		e.node.acceptAll(l, plain)
		return
	}
	h := &e.node.handshakes
	defer from.file.Close()
	defer context.AfterFunc(h.ctx, func() { from.file.Close() })()
	for h.acquire(func() { e.node.hurry(e.hurry) }) {
		fd, err := from.next()
		if err == nil {
			e.node.accepted()
			err = e.arrive(fd)
		}
		if err != nil && !e.node.acceptFailed(err) {
			return
		}
	}
}

// arrive begins a handshake, unless the node stops. If it fails, fd is closed.
func (e *epoll) arrive(fd int32) error {
	h := &e.node.handshakes
	if !h.begin() {
		closeSocket(fd)
		return net.ErrClosed
	}
	a := &arrival{engine: e, fd: fd, deadline: time.Now().Add(e.node.opts.HandshakeTimeout)}
	l := e.loopOf(fd)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.addLocked(fd, a); err != nil {
		closeSocket(fd)
		h.leave()
		return err
	}
	l.heads.addLocked(a)
	return nil
}

func (e *epoll) refuseWaiting() {
	for _, l := range e.loops {
		l.hurry(time.Now().Add(e.node.opts.HandshakeTimeout + time.Second))
		for _, a := range l.waiters() {
			a.stop()
		}
	}
}

// add takes the socket out of conn. That is for connections that had a request
// of HTTP before.
func (e *epoll) add(s *session, conn net.Conn) wire {
	fd, ok := detachSocket(conn)
	if !ok {
		return e.others.add(s, conn)
	}
	w := &pollWire{engine: e, session: s, fd: fd, want: wantIn}
	l := w.loop()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !e.enter() {
		w.stillbornLocked()
		return w
	}
	if err := l.addLocked(fd, w); err != nil {
		e.running.Done()
		w.stillbornLocked()
	}
	return w
}

// enter lets a session in, unless the engine has stopped. The loop's mu is held
// until the session has its slot, where stop finds it.
func (e *epoll) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.stopped {
		e.running.Add(1)
	}
	return !e.stopped
}

// hurry refuses those whose head should come before end.
func (e *epoll) hurry(end time.Time) {
	for _, l := range e.loops {
		l.hurry(end)
	}
}

func (e *epoll) tick() {
	e.hurry(time.Now())
	now, patience := e.node.now(), e.node.opts.PongTimeout
	if now.since(e.looked) < patience/16 {
		return
	}
	e.looked = now
	for _, l := range e.loops {
		for _, s := range l.stalled(now, patience) {
			s.stalled()
		}
	}
}

func (e *epoll) stop(ctx context.Context) error {
	e.mu.Lock()
	if !e.stopped {
		e.stopped = true
		e.ending.Go(e.end)
	}
	e.mu.Unlock()
	for _, l := range e.loops {
		for _, s := range l.sessions() {
			s.disconnected()
		}
	}
	return errors.Join(wait(ctx, &e.ending), e.others.stop(ctx))
}

// end closes the loops when nobody needs them any more.
func (e *epoll) end() {
	e.node.handshakes.running.Wait() // they may still become sessions
	e.questions.Wait()
	e.running.Wait()
	e.closeLoops()
	e.node.leaving.Wait() // from here on nobody leaves
}

func (e *epoll) closeLoops() {
	for _, l := range e.loops {
		l.close()
	}
	e.looping.Wait()
}
