package node

// SlowConsumer says what becomes of messages for a client that does not read them
// as fast as they come.
type SlowConsumer string

// What may become of them; see admitLocked.
const (
	Disconnect SlowConsumer = "disconnect"  // the session is closed
	DropOldest SlowConsumer = "drop_oldest" // messages that allow it make room for newer ones
)

// admitLocked reserves room for a frame of size bytes, or returns why there is none.
// isReply: the frame is the node's own, and not a message.
//
// The slow-consumer rule: the queue of a session must not exceed MaxQueue. Under
// DropOldest, messages that wait and whose senders allow it are dropped to make
// room, oldest first; if all of them would not be enough, a message is refused,
// its sender gets the outcome overloaded, and the session stays. A reply that finds no room
// closes the session with 1008, and so does, under Disconnect, a message, because
// what the client misses from now on it could not know. One that is longer than MaxQueue
// is refused under either rule, and the session stays. A client whose session stays is
// told how many messages it missed, for whatever reason.
//
// When the queues of all sessions together would exceed MaxQueueTotal, the largest
// makes room: see relieveLocked.
func (s *session) admitLocked(size int, isReply bool) (drop string) {
	s.makeRoomLocked(size)
	limits := &s.node.opts
	switch {
	case s.isClosing():
		return dropClosing
	case size > limits.MaxQueue:
		return dropTooBig
	}
	waiting := s.out.size()
	if over := waiting + size - limits.MaxQueue; over > 0 && (limits.SlowConsumer == Disconnect || !s.dropOldestLocked(over)) {
		if isReply || limits.SlowConsumer == Disconnect {
			s.shutLocked(closedSlow, nil)
		}
		return dropSlow
	}
	s.node.countQueued(size)
	if s.node.overfull() > 0 && !s.relieveLocked(waiting) {
		s.node.countQueued(-size)
		return dropTotal
	}
	return ""
}

// countQueued changes the number of bytes in all queues.
func (n *Node) countQueued(size int) {
	n.counts.QueuedBytes.Add(float64(size))
	n.queued.Add(int64(size))
}

// countLocked changes, with mu held, the number of bytes in the session's queue.
func (s *session) countLocked(size int) {
	s.node.countQueued(size)
	if s.isClosing() {
		s.node.ending.Add(int64(size))
	}
}

// overfull is by how many bytes all queues exceed MaxQueueTotal. What sessions still hold
// that are closing is on its way out, and for nobody else to make room for.
func (n *Node) overfull() int {
	return int(n.queued.Load()-n.ending.Load()) - n.opts.MaxQueueTotal
}

// maxRelieving is how many sessions one message has make room for it.
const maxRelieving = 16

// relieveLocked has others make room, on a node whose queues are overfull, for what was just
// counted to s, in whose queue waiting bytes are besides. The largest queue
// drops messages that allow it, oldest first; a largest queue that has
// none is closed with its session (1008), and so on with the next one. If that of s is
// the largest itself, it drops too, or is closed and gets nothing.
//
// So a client that reads gets its messages, however many others do not. What finds an empty
// queue is never refused. Where sessions that should make room are busy just now, the
// total may be exceeded by an eighth until they are not.
func (s *session) relieveLocked(waiting int) bool {
	n := s.node
	for range maxRelieving {
		over := n.overfull()
		if over <= 0 {
			return true
		}
		largest, rank := n.backlogs.largest()
		if rank <= rankOf(waiting) {
			return s.relieveItselfLocked(over, waiting)
		}
		if largest.mu.TryLock() { // with its own lock held, s waits for none
			largest.makeWayLocked(over)
			largest.mu.Unlock()
		}
	}
	return waiting == 0 || n.overfull() <= n.opts.MaxQueueTotal/8
}

// relieveItselfLocked is relieveLocked for the largest queue.
func (s *session) relieveItselfLocked(over, waiting int) bool {
	if waiting == 0 || s.dropOldestLocked(over) {
		return true
	}
	s.shutLocked(closedNodeQueue, nil)
	return false
}

// makeWayLocked frees, with mu held, size bytes of a largest queue, or as many as are of
// messages that may be dropped; if there are none of these, it closes the session.
func (s *session) makeWayLocked(size int) {
	if !s.isClosing() && s.dropLocked(size) == 0 {
		s.shutLocked(closedNodeQueue, nil)
	}
	s.rankLocked()
}

// makeRoomLocked has the engine write what it has put off, if size bytes more would be
// too many. It frees nothing where the engine's writing may wait.
func (s *session) makeRoomLocked(size int) {
	if s.out.size()+size > s.node.opts.MaxQueue && s.writableLocked() {
		s.wire.flush(true)
	}
}

// dropOldestLocked drops messages that wait and allow it, oldest first, until size bytes
// are free, or does nothing if that can't be.
func (s *session) dropOldestLocked(size int) bool {
	return s.out.droppable() >= size && s.dropLocked(size) >= size
}

// dropLocked drops messages that wait and allow it, oldest first, until size bytes are free
// or there are none. It frees an eighth of MaxQueue more if it can, so that not every
// message has to move the queue.
func (s *session) dropLocked(size int) (freed int) {
	if s.out.droppable() == 0 {
		return 0
	}
	var count uint32
	freed = s.out.drop(&s.node.pools, size+s.node.opts.MaxQueue/8, func(m *mark) {
		count++
		if m.confirm {
			s.node.losses.add(s.node, loss{s.client, m.id})
		}
	})
	s.countLocked(-freed)
	s.node.counts.drops[dropOldest].Add(float64(count))
	s.out.missed += count
	return freed
}

// reportMissedLocked puts before what waits how many messages were dropped.
func (s *session) reportMissedLocked() {
	text := s.takeMissedLocked()
	b := s.node.buffer()
	b.b = append(appendHeader(b.b, s.protocol.traits().sends, len(text)), text...)
	s.countLocked(len(b.b))
	s.out.precede(b)
}

// takeMissedLocked returns what tells the client how many messages it missed, once.
func (s *session) takeMissedLocked() (text []byte) {
	text = s.protocol.appendDropped(nil, s.out.missed)
	s.node.reporter.slow(s.client, false, s.out.missed)
	s.out.missed = 0
	return text
}
