package node

import "github.com/gobwas/ws"

// queueLocked appends a frame, for which there is room.
func (s *session) queueLocked(op ws.OpCode, payload []byte) {
	b := s.out.frame(&s.node.pools, op, len(payload))
	b.b = append(b.b, payload...)
}

// flushLocked calls the engine if there is something to write and nobody does.
func (s *session) flushLocked() {
	if s.writableLocked() {
		s.wire.flush(false)
	}
}

// writableLocked reports whether the engine may be asked to write what waits.
func (s *session) writableLocked() bool {
	return !s.heldLocked() && s.wire != nil && s.conn != connReleased && !s.out.busy && s.out.waiting != nil
}

// outputLocked gives the writer, with mu held, what is to be written next: bytes that
// are its own until wroteLocked. Or nil, and what to do with the connection now.
func (s *session) outputLocked() ([]byte, after) {
	if s.heldLocked() && s.out.taken == nil {
		s.out.busy = false
		return nil, afterNothing
	}
	if s.out.missed > 0 && s.out.taken == nil {
		s.reportMissedLocked()
	}
	if b := s.out.next(); b != nil {
		return b.b[b.written:], afterNothing
	}
	s.out.busy = false
	switch {
	case !s.isClosing():
		return nil, afterNothing
	case s.peer == peerClosed:
		return nil, afterCut
	case s.peer == peerUnreadable:
		return nil, afterEndOutput
	}
	return nil, afterNothing
}

// wroteLocked notes, with mu held, that the first n bytes of the last output are
// written or given up. The others are its beginning the next time.
func (s *session) wroteLocked(n int) {
	s.node.counts.SentBytes.Add(float64(n))
	s.countLocked(-n)
	b := s.out.taken
	if b.written += n; b.size() == 0 {
		s.out.taken = nil
		s.node.release(b)
	}
	if s.out.rank > 0 {
		s.rankLocked()
	}
}

// giveUpLocked throws away, with mu held, what a writer that is gone has not written.
func (s *session) giveUpLocked() {
	if b := s.out.taken; b != nil {
		s.wroteLocked(b.size())
	}
}
