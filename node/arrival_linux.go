//go:build !386

package node

import (
	"bytes"
	"errors"
	"net"
	"syscall"
	"time"
)

// arrival is a socket on its way to a session: the loop reads its head, the
// router answers its join. Until the join it belongs to the loop's goroutine,
// then to whoever is the first to answer: the router, who stops the node, or the
// loop again, which watches whether the client goes.
type arrival struct {
	engine   *epoll
	fd       int32
	deadline time.Time
	spill    *buffer // a head that did not come at once

	// Of the join.
	session  *session
	response acceptance
	rest     []byte // what came behind the head

	// Guarded by the loop's mu.
	joining    bool // it waits for an answer
	answered   bool // and has it
	vanished   bool // its client has gone, which was the answer
	muted      bool // watched only for its end
	hurried    bool // watched so that the loop refuses it
	list       *arrivals
	prev, next *arrival
}

func (a *arrival) loop() *loop { return a.engine.loopOf(a.fd) }

// ready is called by the loop.
func (a *arrival) ready(events uint32) {
	switch {
	case a.isJoining():
		if events&(ended|failing) != 0 {
			a.vanish()
		}
	case events&wantOut != 0 && (events&wantIn == 0 || !time.Now().Before(a.deadline)):
		a.refuseHead(errHeadTimeout)
	default: // what has come is read, also of one that is hurried
		a.read()
	}
}

// isJoining tells whether the socket is not to be read, and if so, watches it only
// for its end: it has something to say, and would say it again and again.
func (a *arrival) isJoining() bool {
	l := a.loop()
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.joining && !a.muted && l.slot(a.fd).user == a {
		a.muted = true
		l.watch(a.fd, ended)
	}
	return a.joining
}

// vanish ends a join whose client has gone: what the router delivers to such a session
// would be called delivered. Its slot is free only when the router has answered, or who
// comes and goes could have any number of claims under way. If there was an answer
// already, the loop hears of the end until the socket is plugged, or removed, which is
// soon.
func (a *arrival) vanish() {
	if !a.endJoin(true) {
		return
	}
	a.session.abandon()
	a.engine.node.router.Withdraw(a.session.client, a.session)
	a.drop()
}

// drop closes the socket of a client that has gone, and counts it. Its slot is the
// caller's to free: the router may still have to answer.
func (a *arrival) drop() {
	n := a.engine.node
	n.counts.connects[resultGone].Inc()
	a.remove()
	closeSocket(a.fd)
	n.handshakes.leave()
}

// read takes what there is of the head, together with what follows at most
// MaxHead bytes.
func (a *arrival) read() {
	room := a.engine.node.opts.MaxHead - a.spill.size()
	buf := a.loop().buf[:min(room, readBudget)]
	n, errno := readSocket(a.fd, buf)
	switch {
	case n > 0:
		a.take(buf[:n])
	case errno != syscall.EAGAIN:
		a.refuseHead(errGone)
	}
}

func (a *arrival) take(b []byte) {
	searched := a.spill.size()
	if a.spill != nil {
		a.spill.b = append(a.spill.b, b...)
		b = a.spill.b
	}
	start, end, err := findHead(b, searched)
	switch {
	case err != nil:
		a.refuseHead(err)
	case end > 0:
		h := &a.loop().head
		*h = head{raw: b[start:end:end], rest: b[end:]}
		a.decide(h)
		*h = head{}
	case len(b) == a.engine.node.opts.MaxHead:
		a.refuseHead(errHeadTooLarge)
	case a.spill == nil:
		a.spill = a.engine.node.buffer()
		a.spill.b = append(a.spill.b, b...)
	}
}

// decide finds out who the connection is for. h is good until it returns.
func (a *arrival) decide(h *head) {
	n := a.engine.node
	if err := h.parse(); err != nil {
		a.refuseHead(err)
		return
	}
	if n.isPage(h) {
		page := newPageConn(n, nil, h)
		a.leave(tryLater(resultUnavailable, "node is out of file descriptors: try again"), func(conn net.Conn) {
			n.counts.connects[resultHTTP].Inc()
			page.Conn = conn
			a.engine.plain.hand(page)
			n.handshakes.free()
		})
		return
	}
	s, response, r := n.open(h)
	if r != nil {
		a.refuse(r)
		return
	}
	a.session, a.response, a.rest = s, response, bytes.Clone(h.rest)
	a.release()
	a.engine.joining.Add(1)
	a.startJoin() // from here on a is whose answer is the first
	n.router.JoinAsync(a.deadline, s.client, s, a.hearRouter)
}

// startJoin has a wait for the router.
func (a *arrival) startJoin() {
	l := a.loop()
	l.mu.Lock()
	defer l.mu.Unlock()
	a.unlist()
	a.joining = true
	l.joins.add(a)
}

// endJoin tells whether nobody has answered before. vanished says that the answer is
// that the client has gone.
func (a *arrival) endJoin(vanished bool) (first bool) {
	l := a.loop()
	l.mu.Lock()
	defer l.mu.Unlock()
	a.unlist()
	if first = !a.answered; first {
		a.answered, a.vanished = true, vanished
	}
	return first
}

// hearRouter takes the router's answer. If it comes too late the session, which
// was abandoned, leaves again.
func (a *arrival) hearRouter(err error) {
	if !a.answer(err) {
		if err == nil {
			a.session.leaveLate()
		}
		if a.vanished {
			a.engine.node.handshakes.free()
		}
	}
	a.engine.joining.Done()
}

// answer welcomes or refuses, once.
func (a *arrival) answer(err error) (first bool) {
	if !a.endJoin(false) {
		return false
	}
	n := a.engine.node
	switch r := n.concludeJoin(a.session, err, a.deadline); {
	case r != nil:
		a.refuse(r)
	case len(a.rest) == 0:
		a.welcome()
	default:
		n.handshakes.start(a.welcome) // what came with the head is no work for who calls this
	}
	return true
}

func (a *arrival) welcome() {
	n := a.engine.node
	n.read(a.session, a.rest)
	a.session.attach(a.response, a.plug)
	n.handshakes.free()
	n.handshakes.leave()
}

// plug gives the socket to the session.
func (a *arrival) plug() wire {
	w := &pollWire{engine: a.engine, session: a.session, fd: a.fd, want: wantIn}
	l := a.loop()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !a.engine.enter() {
		l.remove(a.fd)
		w.stillborn()
		return w
	}
	l.slot(a.fd).user = w
	if a.muted || a.hurried {
		l.watch(a.fd, wantIn)
	}
	return w
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
	a.unlist()
	_ = l.control(syscall.EPOLL_CTL_DEL, a.fd, 0)
	l.remove(a.fd)
}

func (a *arrival) release() {
	if a.spill != nil {
		a.engine.node.release(a.spill)
		a.spill = nil
	}
}

// arrivals are those that wait for the same, the oldest first.
type arrivals struct{ first, last *arrival }

// add is called, as unlist is, with the loop's mu held.
func (q *arrivals) add(a *arrival) {
	a.list, a.prev = q, q.last
	if q.last == nil {
		q.first = a
	} else {
		q.last.next = a
	}
	q.last = a
}

// unlist takes a off the list that it is on, if any.
func (a *arrival) unlist() {
	q := a.list
	if q == nil {
		return
	}
	if a.prev == nil {
		q.first = a.next
	} else {
		a.prev.next = a.next
	}
	if a.next == nil {
		q.last = a.prev
	} else {
		a.next.prev = a.prev
	}
	a.list, a.prev, a.next = nil, nil, nil
}
