//go:build !386

package node

import (
	"bytes"
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/beeline-ws/beeline/router"
)

// arrival is a socket on its way to a session: the loop reads its head, the
// authenticator says who its client is, the router answers its join. Until it waits for
// one of them it belongs to the loop's goroutine. Then it belongs to the first that
// answers: one of these, the goroutine that stops the node, or the loop again, which
// watches whether the client goes.
type arrival struct {
	engine   *epoll
	fd       int32
	deadline time.Time
	spill    *buffer // a head that did not come at once

	// What it will be, while it waits. The session is nil before it joins.
	session  *session
	response acceptance
	rest     []byte // what came behind the head

	// Guarded by the loop's mu.
	state      arrivalState
	muted      bool               // watched only for its end
	hurried    bool               // watched so that the loop refuses it
	cancel     context.CancelFunc // of its authentication
	list       *arrivals
	prev, next *arrival
}

// arrivalState says what an arrival waits for.
type arrivalState uint8

const (
	// arrivalReading: its head. When that is complete the arrival is authenticating or
	// joining, or it is refused.
	arrivalReading arrivalState = iota
	// arrivalAuthenticating: the authenticator's answer, in a goroutine. It becomes
	// joining, answered if it is refused or the node stops, or vanished.
	arrivalAuthenticating
	// arrivalJoining: the router's answer. It becomes answered, also if the node stops, or
	// vanished.
	arrivalJoining
	// arrivalAnswered: nothing: it is welcomed or refused.
	arrivalAnswered
	// arrivalVanished: its client has gone. Its slot is free when the question that is
	// under way has its answer: otherwise a client that comes and goes in a loop could have
	// any number of questions under way.
	arrivalVanished
)

func (a *arrival) loop() *loop { return a.engine.loopOf(a.fd) }

// ready is called by the loop.
func (a *arrival) ready(events uint32) {
	switch {
	case a.isWaiting():
		if events&(ended|failing) != 0 {
			a.vanish()
		}
	case events&wantOut != 0 && (events&wantIn == 0 || !time.Now().Before(a.deadline)):
		a.refuseHead(errHeadTimeout)
	default: // what has come is read, also of one that is hurried
		a.read()
	}
}

// isWaiting reports whether the socket is not to be read, and if so, watches it only
// for its end: it has something to say, and would say it again and again.
func (a *arrival) isWaiting() bool {
	l := a.loop()
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting := a.state != arrivalReading
	if waiting && !a.muted && l.slotLocked(a.fd).user == a {
		a.muted = true
		l.watchLocked(a.fd, ended)
	}
	return waiting
}

// vanish ends the wait of a client that has gone: what the router delivers to such a
// session would be called delivered. If there was an answer already, the loop hears of the
// end until the socket is plugged, or removed, which is soon.
func (a *arrival) vanish() {
	if !a.endWait(arrivalVanished) {
		return
	}
	if a.session != nil {
		a.session.abandon()
	}
	a.withdraw()
	a.drop()
}

// withdraw has the question that is under way end, since nobody waits for its answer.
func (a *arrival) withdraw() {
	if a.cancel != nil {
		a.cancel()
	}
	if a.session != nil {
		a.engine.node.router.Withdraw(a.session.client, a.session)
	}
}

// stop answers an arrival that waits, because the node stops.
func (a *arrival) stop() {
	if !a.endWait(arrivalAnswered) {
		return
	}
	if a.session == nil {
		a.refuse(a.engine.node.denied(context.Canceled))
	} else {
		a.conclude(router.ErrUnavailable)
	}
	a.withdraw()
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
		a.addToHead(buf[:n])
	case errno != syscall.EAGAIN:
		a.refuseHead(errGone)
	}
}

func (a *arrival) addToHead(b []byte) {
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
	at, r := n.route(h)
	if r != nil {
		a.refuse(r)
		return
	}
	if at.order == clientFirst {
		a.welcomeLater(at, h)
		return
	}
	id, err := n.authenticateNow(h.show())
	if err != nil && !errors.Is(err, ErrLater) {
		a.refuse(n.denied(err))
		return
	}
	a.response, a.rest = accept(h, at.subprotocol), bytes.Clone(h.rest)
	shown := &h.shown
	if err != nil {
		shown = shown.clone()
	}
	a.release()
	if err != nil {
		a.authenticate(at, shown)
		return
	}
	if s, err := n.open(at, &id); err != nil {
		a.refuse(n.refusalFor(err))
	} else if a.startJoin(s) { // from here on a belongs to the first that answers
		n.router.JoinAsync(a.deadline, s.client, s, a.hearRouter)
	}
}

// welcomeLater makes a session of a connection whose client is to say who it is. The
// session frees the slot.
func (a *arrival) welcomeLater(at *endpoint, h *head) {
	n := a.engine.node
	s, err := n.openFor(at, h, a.deadline, n.handshakes.free)
	if err != nil {
		a.refuse(n.refusalFor(err))
		return
	}
	a.response, a.rest = accept(h, at.subprotocol), bytes.Clone(h.rest)
	a.release()
	a.endWait(arrivalAnswered) // no other one has begun
	a.session = s
	attach := func() {
		n.read(s, a.rest)
		s.attach(a.response, a.plug)
		n.handshakes.leave()
	}
	if len(a.rest) == 0 {
		attach()
	} else {
		n.handshakes.start(attach)
	}
}

// authenticate asks the authenticator in a goroutine of its own.
func (a *arrival) authenticate(at *endpoint, shown *Handshake) {
	n := a.engine.node
	ctx, cancel := context.WithDeadline(n.handshakes.ctx, a.deadline)
	a.engine.questions.Add(1)
	a.startWait(arrivalAuthenticating, func() { a.cancel = cancel })
	go func() {
		defer a.engine.questions.Done()
		defer cancel()
		id, err := n.authenticate(ctx, shown)
		var s *session
		if err == nil {
			s, err = n.open(at, &id)
		}
		a.hearAuthenticator(s, err)
	}()
}

// hearAuthenticator takes the authenticator's answer: the session, or why there is none.
func (a *arrival) hearAuthenticator(s *session, err error) {
	n := a.engine.node
	switch {
	case err != nil && a.endWait(arrivalAnswered):
		a.refuse(n.refusalFor(err))
	case err == nil && a.startJoin(s):
		n.router.JoinAsync(a.deadline, s.client, s, a.hearRouter)
	default:
		if s != nil {
			s.abandon()
		}
		a.answeredLate()
	}
}

// answeredLate frees the slot of a client that has gone, after the answer to the question
// that was under way.
func (a *arrival) answeredLate() {
	if a.hasVanished() {
		a.engine.node.handshakes.free()
	}
}

func (a *arrival) hasVanished() bool {
	l := a.loop()
	l.mu.Lock()
	defer l.mu.Unlock()
	return a.state == arrivalVanished
}

// startWait begins a wait, unless another one has ended; set is called with the loop's mu
// held.
func (a *arrival) startWait(state arrivalState, set func()) bool {
	l := a.loop()
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.state >= arrivalAnswered {
		return false
	}
	a.unlistLocked()
	a.state = state
	set()
	l.waiting.addLocked(a)
	return true
}

// startJoin has a wait for the router to join s. It fails if the wait for the
// authenticator has ended before its answer.
func (a *arrival) startJoin(s *session) bool {
	a.engine.questions.Add(1)
	if a.startWait(arrivalJoining, func() { a.session = s }) {
		return true
	}
	a.engine.questions.Done()
	return false
}

// endWait ends the wait, by an answer or because the client has vanished. It reports
// whether nobody has ended it before.
func (a *arrival) endWait(state arrivalState) (first bool) {
	l := a.loop()
	l.mu.Lock()
	defer l.mu.Unlock()
	a.unlistLocked()
	if first = a.state < arrivalAnswered; first {
		a.state = state
	}
	return first
}

// hearRouter takes the router's answer. If it comes too late the session, which
// was abandoned, leaves again.
func (a *arrival) hearRouter(err error) {
	if a.endWait(arrivalAnswered) {
		a.conclude(err)
	} else {
		if err == nil {
			a.session.leaveLate()
		}
		a.answeredLate()
	}
	a.engine.questions.Done()
}

// conclude welcomes or refuses a client that has joined, or not for err.
func (a *arrival) conclude(err error) {
	n := a.engine.node
	switch r := n.concludeJoin(a.session, err, a.deadline); {
	case r != nil:
		a.refuse(r)
	case len(a.rest) == 0:
		a.welcome()
	default:
		n.handshakes.start(a.welcome) // what came with the head is no work for who calls this
	}
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
		l.removeLocked(a.fd)
		w.stillbornLocked()
		return w
	}
	l.slotLocked(a.fd).user = w
	if a.muted || a.hurried {
		l.watchLocked(a.fd, wantIn)
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

// arrivals are those that wait for the same, the oldest first.
type arrivals struct{ first, last *arrival }

// addLocked is called, as unlistLocked is, with the loop's mu held.
func (q *arrivals) addLocked(a *arrival) {
	a.list, a.prev = q, q.last
	if q.last == nil {
		q.first = a
	} else {
		q.last.next = a
	}
	q.last = a
}

// unlistLocked takes a off the list that it is on, if any.
func (a *arrival) unlistLocked() {
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
