package node

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/beeline-ws/beeline/router"
)

// opening is what a session has from its upgrade to its welcome, under a protocol whose
// client speaks first: it holds no lease, gets no messages, and keeps the slot of its
// handshake, whose time bounds it. While no slot is free, a client that does not speak has no
// longer than its head may take; see openings.
type opening struct {
	ctx      context.Context // ends with the handshake's time, with the node, or with the session
	cancel   context.CancelFunc
	unwatch  func() bool // of the end of ctx
	deadline time.Time
	free     func()     // its slot
	shown    *Handshake // what the authenticator will be shown

	// Guarded by the session's mu.
	asking bool // the authenticator or the router has a question to answer
}

// welcomeLater makes a session of a connection whose client is to say who it is.
func (n *Node) welcomeLater(conn net.Conn, at *endpoint, h *head, deadline time.Time, free func()) {
	s, err := n.openFor(at, h, deadline, free)
	if err != nil {
		n.refuse(conn, n.refusalFor(err), free)
		return
	}
	conn.SetDeadline(time.Time{})
	n.read(s, h.rest)
	s.attach(accept(h, at.subprotocol), func() wire { return n.engine.add(s, conn) })
}

// openFor makes a session that has until deadline to be welcomed. free is called then, or
// when it has ended.
func (n *Node) openFor(at *endpoint, h *head, deadline time.Time, free func()) (*session, error) {
	s, err := n.open(at, &Identity{})
	if err != nil {
		return nil, err
	}
	o := &opening{deadline: deadline, free: free, shown: h.show().clone()}
	o.ctx, o.cancel = context.WithDeadline(n.handshakes.ctx, deadline)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.special.opening = o
	n.openings.add(s, deadline)
	o.unwatch = context.AfterFunc(o.ctx, s.openingOver)
	return s, nil
}

// openingOver closes a session that was not welcomed in time, or before the node stops.
func (s *session) openingOver() {
	if s.node.draining.Load() {
		s.close(closedDraining)
		return
	}
	s.close(closedOpening)
}

// endOpeningLocked ends, with mu held, the opening of a session that is welcomed or closes. The
// slot of one that closes is free when the question that is under way has its answer:
// otherwise a client that comes and goes in a loop could have any number under way.
func (s *session) endOpeningLocked() {
	if s.special == nil || s.special.opening == nil {
		return
	}
	o := s.special.opening
	s.node.openings.remove(s)
	o.unwatch()
	o.cancel()
	if !o.asking {
		s.special.opening = nil
		o.free()
	}
}

// answeredLocked notes, with mu held, that no question is under way any more.
func (s *session) answeredLocked() {
	s.special.opening.asking = false
	if s.isClosing() {
		s.endOpeningLocked()
	}
}

// identify has the authenticator say who the client is, which has said first; then the
// session joins, and is welcomed. The protocol calls it once.
func (s *session) identify(first []byte) {
	s.mu.Lock()
	o := s.special.opening
	if o == nil || o.asking || s.isClosing() {
		s.mu.Unlock()
		return
	}
	o.asking = true
	s.node.openings.remove(s)
	s.mu.Unlock()
	o.shown.First = first
	id, err := s.node.authenticateNow(o.shown)
	if !errors.Is(err, ErrLater) {
		s.identified(o, &id, err)
		return
	}
	o.shown.First = bytes.Clone(first)
	s.node.leaving.Go(func() {
		id, err := s.node.authenticate(o.ctx, o.shown)
		s.identified(o, &id, err)
	})
}

// identified takes the authenticator's answer. An error that comes because the opening is
// over is none of the client's: see openingOver.
func (s *session) identified(o *opening, id *Identity, err error) {
	s.mu.Lock()
	if err != nil || s.isClosing() {
		over := o.ctx.Err() != nil
		s.answeredLocked()
		s.mu.Unlock()
		if err != nil && !over {
			s.refuse(s.node.denied(err))
		}
		return
	}
	s.carry(id)
	s.membership = joining
	s.node.leaving.begin()
	s.mu.Unlock()
	s.node.router.JoinAsync(o.deadline, s.client, s, s.hearRouter)
}

// hearRouter takes the answer to the join of a session that has a connection.
func (s *session) hearRouter(err error) {
	defer s.node.leaving.done()
	if s.concludeJoin(err) || err == nil || s.isClosing() {
		return
	}
	if errors.Is(err, router.ErrDuplicate) {
		s.node.counts.connects[resultDuplicate].Inc()
		s.close(closedDuplicate)
		return
	}
	s.refuse(s.node.joinRefusal(err))
}

// concludeJoin welcomes the session, unless it could not join, or closes meanwhile.
func (s *session) concludeJoin(err error) (welcomed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	deadline := s.special.opening.deadline
	s.membership = notJoined
	s.answeredLocked()
	switch {
	case err != nil:
		return false
	case s.isClosing():
		s.membership = hasLeft
		s.node.leaving.Go(func() { s.node.router.Leave(s.client, s) })
		return false
	}
	s.membership = joined
	s.endOpeningLocked()
	s.welcomeLocked()
	s.node.welcomed(deadline)
	s.flushLocked()
	s.rankLocked()
	return true
}

// welcomeLocked puts the welcome, and behind it what the client missed since it joins, before
// what was delivered meanwhile. They are few bytes, sent once, and have no bound.
func (s *session) welcomeLocked() {
	if s.out.missed > 0 {
		s.leadLocked(s.takeMissedLocked())
	}
	s.leadLocked(s.protocol.appendWelcome(nil, s))
}

func (s *session) leadLocked(payload []byte) {
	s.countLocked(s.out.lead(&s.node.pools, s.protocol.traits().sends, payload))
}

// refuse closes a session that is not welcomed.
func (s *session) refuse(r *refusal) {
	if s.isClosing() {
		return // it was counted for its end
	}
	s.node.counts.connects[r.result].Inc()
	if r.status == http.StatusServiceUnavailable || r.status == http.StatusTooManyRequests {
		s.close(closedUnavailable)
		return
	}
	s.close(closedDenied)
}

// heldLocked reports, with mu held, whether nothing is written to the session just now: what the
// router delivers before it has answered waits for the welcome.
func (s *session) heldLocked() bool { return s.membership == joining && !s.isClosing() }

// isMember reports whether the session has joined, and may send.
func (s *session) isMember() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.membership == joined
}
