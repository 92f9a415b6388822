//go:build !386

package node

import (
	"context"

	"github.com/beeline-ws/beeline/router"
)

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
