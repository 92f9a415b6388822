package node

import (
	"errors"
	"time"

	"github.com/gobwas/ws"
)

// closeGrace is how long a closing session may take to be sent what is queued
// and to answer with its own close frame, before the connection is cut.
const closeGrace = 2 * time.Second

// Evict ends a membership because the router says so, and closes the session if its
// protocol says that.
func (s *session) Evict(address string, reason error) {
	s.forgetPlace(address)
	if closes := s.protocol.evicted(s, address, reason); closes != stillOpen {
		s.close(closes)
	}
}

// close begins the closing handshake, unless the session is closing already. It
// does not wait.
func (s *session) close(reason closeReason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shutLocked(reason, nil)
}

// shutLocked closes with mu held. A slow consumer has the time of its grace to learn why it is
// closed, unless those that close hold a quarter of MaxQueueTotal already: then it is cut.
// One that closes before its welcome gets nothing of what the router has delivered to it.
// body is that of the close frame if it answers one; nil: the session closes first.
func (s *session) shutLocked(reason closeReason, body []byte) {
	if s.isClosing() {
		return
	}
	unwelcome := s.heldLocked()
	s.endLocked(reason)
	s.node.counts.closes[reason].Inc()
	if reason == closedSlow || reason == closedNodeQueue {
		s.node.reporter.slow(s.client, true, 0)
	}
	s.leaveLocked()
	c := &closings[reason]
	if c.drop || unwelcome {
		s.discardLocked()
	}
	if c.code != 0 {
		s.queueGoodbyeLocked(c, body)
		s.flushLocked()
	}
	if s.wire != nil {
		s.wire.resume()
		s.startGraceLocked()
	}
	if c.drop && s.node.ending.Load() > int64(s.node.opts.MaxQueueTotal/4) {
		s.cutLocked(true)
	}
}

// endLocked notes that the session closes, and why. What it holds is on its way out.
func (s *session) endLocked(reason closeReason) {
	s.node.ending.Add(int64(s.out.size()))
	s.reason.store(reason)
	s.endOpeningLocked()
	s.rankLocked()
}

// queueGoodbyeLocked queues the bye and the close frame. They are few bytes, sent once,
// and have no bound.
func (s *session) queueGoodbyeLocked(c *closing, body []byte) {
	before := s.out.size()
	if c.bye {
		s.queueLocked(s.protocol.traits().sends, s.protocol.appendBye(nil, c))
	}
	if body == nil {
		body = c.body()
	}
	s.queueLocked(ws.OpClose, body)
	s.countLocked(s.out.size() - before)
}

// hearClose takes the peer's close frame: it is answered with its own code, or
// is the answer to ours.
func (s *session) hearClose(body []byte) error {
	code, err := checkClose(body)
	if err != nil {
		return err
	}
	body = []byte{} // of the answer
	if code != ws.StatusNoStatusRcvd {
		body = ws.NewCloseFrameBody(code, "")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peer = peerClosed
	s.shutLocked(closedByClient, body)
	if s.out.size() == 0 && !s.out.busy {
		s.cutLocked(false)
	}
	return nil
}

// fail closes the session because its stream can't be read further. There will
// be no close frame to wait for: the end of the stream is awaited instead.
func (s *session) fail(err error) {
	reason, ok := errors.AsType[closeReason](err)
	if !ok {
		s.node.log.Error("session failed", "session", s.id, "error", err)
		reason = closedInternal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peer == peerSpeaks {
		s.peer = peerUnreadable
	}
	s.shutLocked(reason, nil)
}

// disconnected is called by the engine when the connection failed or ended.
func (s *session) disconnected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.breakOffLocked()
}

// breakOffLocked is disconnected with mu held.
func (s *session) breakOffLocked() {
	s.shutLocked(closedNetwork, nil)
	s.cutLocked(false)
}

// stalled is called by the engine when the peer takes nothing that is written.
func (s *session) stalled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shutLocked(closedSlow, nil)
	s.cutLocked(true)
}

// cutLocked closes the connection.
func (s *session) cutLocked(hard bool) {
	if s.wire != nil && s.conn != connReleased {
		s.wire.cut(hard)
	}
}

// startGraceLocked bounds the closing: see graceOver.
func (s *session) startGraceLocked() {
	if s.conn == connOpen {
		s.conn = connClosing
		s.node.graces.add(s.node.now(), s)
	}
}

// graceOver cuts a session that took too long to close. What the peer did not
// take until then is thrown away, also by the kernel.
func (s *session) graceOver() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutLocked(s.out.size() > 0)
}

// ended is the engine's last call.
func (s *session) ended() {
	s.keep(nil) // nobody reads any more
	s.mu.Lock()
	s.conn = connReleased
	s.discardLocked()
	reason := s.reason.load()
	s.mu.Unlock()
	s.node.counts.Sessions.Dec()
	s.node.table.remove(s)
	s.node.sessionLog.end(s, reason)
}

// abandon undoes a session that never got its connection.
func (s *session) abandon() {
	s.mu.Lock()
	if !s.isClosing() {
		s.endLocked(closedNetwork)
	}
	s.leaveLocked()
	s.discardLocked()
	s.mu.Unlock()
	s.node.table.remove(s)
}

// discardLocked throws away what no writer has taken.
func (s *session) discardLocked() { s.countLocked(-s.out.discard(&s.node.pools)) }

// setJoined notes that the router knows the session. If it was evicted before,
// it leaves at once.
func (s *session) setJoined() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.membership = joined
	if s.isClosing() {
		s.leaveLocked()
	}
}

// leaveLate takes a session out of the router that was abandoned before it joined, at
// once: the next session of the client must not find it there. The router must not hold a
// lock.
func (s *session) leaveLate() {
	s.mu.Lock()
	s.membership = hasLeft
	s.mu.Unlock()
	s.node.router.Leave(s.client, s)
}

// leaveLocked takes the session out of the router, once: out of all that it has joined. The
// router may be calling this session right now and hold a lock, so that happens elsewhere.
func (s *session) leaveLocked() {
	s.leavePlacesLocked()
	switch s.membership {
	case joined:
		s.membership = hasLeft
		s.node.leaving.Go(func() { s.node.router.Leave(s.client, s) })
	case joining: // the answer makes it hasLeft
		s.node.leaving.Go(func() { s.node.router.Withdraw(s.client, s) })
	}
}
