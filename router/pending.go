package router

import (
	"sync"
	"time"
)

// pendingState says where a message is that was accepted and has no outcome yet, or that
// still has owners to answer.
type pendingState uint8

const (
	// pendingWaiting: it waits on its route until its owners are known, for the first time or
	// again. Sending it makes it pendingInflight.
	pendingWaiting pendingState = iota
	// pendingFallback: it waits, and is also being handed over to the sessions here, because
	// Redis does not answer. Then it is pendingWaiting again.
	pendingFallback
	// pendingInflight: it counts as in flight on its route, until every owner has answered:
	// then it is pendingWaiting if one has refused it, or pendingConfirming, or concluded.
	pendingInflight
	// pendingConfirming: a session has it and is to confirm it. It has no route and no data.
	// The confirmation, the news that the session has dropped it, or its deadline concludes it.
	pendingConfirming
	// pendingConcluded: it has its outcome and counts nowhere. If its deadline came while it was
	// in flight, links still have its number, and it is reused after the last answer.
	pendingConcluded
)

// againReason says whether a message in flight is to be sent again, to owners that are looked
// up afresh, because one that it was sent to was not the owner.
type againReason uint8

const (
	againNot      againReason = iota
	againMoved                // the owner is dead, does not hold the address, or knows of others
	againNotReady             // the owner is just claiming the address, or its sessions are closing
)

// pending is a message that was accepted and has no outcome yet, or that still
// has owners to answer. Its shard's mu guards it, and is held by whoever calls its methods,
// but for those that say something else.
type pending struct {
	Message
	shard    *shard // its receiver's
	accepted time.Time
	deadline time.Time // when it is answered at the latest, a little before its time is over
	state    pendingState

	// Its sender.
	done     func(MessageID, Outcome)
	also     []func(MessageID, Outcome) // of those who sent it again
	took     time.Duration              // until it was delivered, if that was at once
	path     path
	answered bool // the sender has the outcome; other owners may still have to get the message

	// How it is sent.
	route         *route
	assumedOwners ownerSet // whom it was last sent to without a lookup; see ownerSet
	hops          byte     // lookups that it was sent by
	unready       byte     // how often its owner was found and not ready, up to maxDoublings

	// What its owners have answered.
	unanswered  int         // owners that have not
	again       againReason // by those it was sent to last
	undelivered Outcome     // its outcome if no owner delivers it: Offline; Timeout, if an owner died with it; Overloaded, if one had no room
	reached     []string    // nodes that need not get it again
	queued      int         // nodes that have put it into the queue of a session
	dropped     []string    // nodes that have dropped it from there

	// What it counts in.
	deadlineNode listNode[*pending] // in the list by deadlines, until it is concluded
	senders      *senderShares      // that its sender's share is one of
	sender       *share
	receiver     *share

	room []byte // that Data is in, for the next message, too

	// wire guards Data against links that publish it, which do not hold the shard's mu, and
	// what else they read that changes. While no owner is unanswered no link has it, and nobody
	// needs the lock.
	wire struct {
		sync.Mutex
		over      bool // it is concluded: nobody waits for it
		delivered bool // a session has it
	}
}

// maxUnused bounds the pendings that all shards keep for the next messages, and maxRoom
// what each may keep for its data, in bytes.
const (
	maxUnused = 1 << 12
	maxRoom   = 1 << 10
)

func (p *pending) node() *listNode[*pending] { return &p.deadlineNode }

// retryDelay is the wait before p is looked up again.
func (p *pending) retryDelay() time.Duration {
	d := retryMoving * time.Duration(p.hops)
	if p.again == againNotReady {
		d <<= p.unready
	}
	return d
}

// newPending returns m with its ID and the time. Its data is not copied yet.
func (s *shard) newPending(m Message, done func(MessageID, Outcome)) *pending {
	p := s.unusedPending()
	p.Message, p.done, p.accepted, p.shard = m, done, s.now(), s
	p.ID = s.r.newID()
	p.Receipt = m.Receipt || m.Confirm || m.Crowded
	p.Ref = nil
	p.path, p.undelivered = pathRemote, Offline
	return p
}

func (s *shard) unusedPending() (p *pending) {
	n := len(s.unused)
	if n == 0 {
		return new(pending)
	}
	s.r.unused.Add(-1)
	p, s.unused = s.unused[n-1], s.unused[:n-1]
	return p
}

// reuse takes back what nothing refers to any more.
func (s *shard) reuse(p *pending) {
	room, reached := p.room, p.reached
	clear(reached)
	if cap(room) > maxRoom {
		return
	}
	if s.r.unused.Add(1) > maxUnused {
		s.r.unused.Add(-1)
		return
	}
	*p = pending{room: room[:0], reached: reached[:0]}
	s.unused = append(s.unused, p)
}

// reachedNode reports whether a node need not get p again.
func (p *pending) reachedNode(node string) bool {
	for _, n := range p.reached {
		if n == node {
			return true
		}
	}
	return false
}

func (p *pending) delivered() bool { return p.queued > 0 }

// lost reports whether every node that had p has dropped it from its sessions' queues.
func (p *pending) lost() bool { return len(p.dropped) > 0 && len(p.dropped) >= p.queued }

// end ends what can be done for p. If it is delivered and its receiver is to confirm
// that, it waits until the deadline, without its data; else it is
// concluded with o.
func (p *pending) end(s *shard, o Outcome) {
	if p.delivered() && !p.answered && p.deadlineNode.in && !p.lost() {
		p.state, p.route = pendingConfirming, nil
		s.unload(p)
		p.room = nil
		return
	}
	if p.lost() {
		o = Overloaded
	}
	p.conclude(s, o)
	s.reuse(p)
}

// atLast is p's outcome if it has none at its deadline.
func (p *pending) atLast() Outcome {
	if p.delivered() && !p.lost() {
		return Delivered
	}
	return Timeout
}

// conclude ends p with o, unless it was answered already.
func (p *pending) conclude(s *shard, o Outcome) {
	s.answer(p, o)
	s.drop(p)
	p.state = pendingConcluded
	if p.route == nil || p.Confirm {
		delete(s.receipts, p.ID)
	}
}

// answer gives p's sender the outcome, once. The callback runs when mu is released.
func (s *shard) answer(p *pending, o Outcome) {
	if p.answered {
		return
	}
	p.answered = true
	s.r.countOutcome(o, p.path, s.now().Sub(p.accepted))
	if p.done != nil {
		s.calls = append(s.calls, call{p.done, p.ID, o})
	}
	if p.contentHash == 0 {
		return
	}
	s.r.dedup.end(p, o)
	s.answerRepeats(p, o, p.path)
}

// answerRepeats gives the outcome to those who sent p again while it was under way.
func (s *shard) answerRepeats(p *pending, o Outcome, way path) {
	for _, done := range p.also {
		s.r.outcomes[o][way].Inc()
		s.calls = append(s.calls, call{done, p.ID, o})
	}
	p.also = nil
}

// keep bounds the time until p has its outcome. It has its room already.
func (s *shard) keep(p *pending) {
	p.deadline = p.accepted.Add(s.r.opts.MessageTimeout - min(earliness, s.r.opts.MessageTimeout/4))
	p.wire.over = false       // no link has it
	older := s.pending.newest // but for those accepted while p was offered to the sessions here (sendAlone)
	for older != nil && older.deadline.After(p.deadline) {
		older = older.deadlineNode.older
	}
	s.pending.addBehind(p, older)
	s.setDeadlineBy(&s.expiry, p.deadline)
}

// drop removes p from what is pending, if it is.
func (s *shard) drop(p *pending) {
	if !s.pending.remove(p) {
		return
	}
	s.unload(p) // a link may hold on to p, as a void number
	p.changeWire(func() { p.wire.over = true })
	s.r.room.release(p, &s.receivers)
}

// unload lets go of the data of p, which is pending.
func (s *shard) unload(p *pending) {
	s.r.room.releaseData(p)
	p.changeWire(func() { p.Data = nil })
	if cap(p.room) > maxRoom {
		p.room = nil
	}
}
