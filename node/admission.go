package node

import "github.com/gobwas/ws"

// SlowConsumer says what becomes of messages for a client that does not read them
// as fast as they come.
type SlowConsumer string

// What may become of them; see admit.
const (
	Disconnect SlowConsumer = "disconnect"  // the session is closed
	DropOldest SlowConsumer = "drop_oldest" // messages that allow it make room for newer ones
)

// admit takes room for a frame of size bytes, or says why there is none. answer
// tells a frame of the node's own from a message.
//
// The slow-consumer rule: the queue of a session must not exceed MaxQueue. Under
// DropOldest, messages that wait and whose senders allow it are dropped to make
// room, oldest first; if all of them would not be enough, a message is refused,
// its sender is told overloaded, and the session stays. The client is told how
// many messages it missed, for whatever reason. An answer that finds no room
// closes the session with 1008, and so does, under Disconnect, a message, because
// what the client misses from now on it could not know.
//
// When the queues of all sessions together would exceed MaxQueueTotal, a session
// drops of its own what would make room. If that is not enough, a message is
// refused and the session stays, for it need not be the one that fills them; an
// answer is let through to a session whose queue is empty, and closes one whose
// queue is not.
func (s *session) admit(size int, answer bool) (drop string) {
	s.makeRoom(size)
	limits := &s.node.opts
	switch {
	case s.reason != stillOpen:
		return dropClosing
	case size > limits.MaxQueue:
		return dropTooBig
	}
	waiting := s.out.size()
	if waiting+size > limits.MaxQueue && !s.dropOldest(waiting+size-limits.MaxQueue) {
		if answer || limits.SlowConsumer == Disconnect {
			s.shut(closedSlow, nil)
		}
		return dropSlow
	}
	over := int(s.node.countQueued(size)) - limits.MaxQueueTotal
	switch {
	case over <= 0 || s.dropOldest(over):
		return ""
	case answer && waiting == 0:
		return ""
	}
	s.node.countQueued(-size)
	if answer {
		s.shut(closedSlow, nil)
		return dropSlow
	}
	return dropTotal
}

// countQueued changes the number of bytes in all queues and returns it.
func (n *Node) countQueued(size int) int64 {
	n.counts.QueuedBytes.Add(float64(size))
	return n.queued.Add(int64(size))
}

// makeRoom has the engine write what it has put off, if size bytes more would be
// too many. It frees nothing where the engine's writing may wait.
func (s *session) makeRoom(size int) {
	if s.out.size()+size > s.node.opts.MaxQueue && s.writable() {
		s.wire.flush(true)
	}
}

// dropOldest drops messages that wait and allow it, oldest first, until size bytes
// are free, or does nothing if that can't be. It frees an eighth of MaxQueue more
// if it can, so that not every message has to move the queue.
func (s *session) dropOldest(size int) bool {
	if s.out.droppable() < size {
		return false
	}
	var count uint32
	freed := s.out.drop(&s.node.pools, size+s.node.opts.MaxQueue/8, func(m *mark) {
		count++
		if m.confirm {
			s.node.losses.add(s.node, loss{s.client, m.id})
		}
	})
	s.node.countQueued(-freed)
	s.node.counts.drops[dropOldest].Add(float64(count))
	s.out.missed += count
	return true
}

// tellMissed puts before what waits how many messages were dropped.
func (s *session) tellMissed() {
	text := s.protocol.appendDropped(nil, s.out.missed)
	b := s.node.buffer()
	b.b = append(appendHeader(b.b, ws.OpText, len(text)), text...)
	s.node.countQueued(len(b.b))
	s.out.missed = 0
	s.out.precede(b)
}
