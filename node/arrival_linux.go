//go:build !386

package node

import (
	"bytes"
	"context"
	"errors"
	"net"
	"syscall"
	"time"
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
