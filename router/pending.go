package router

import (
	"sync"
	"time"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
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
// has owners to answer. Router.mu guards it.
type pending struct {
	Message
	accepted time.Time
	deadline time.Time // when it is answered at the latest, a little before its time is over
	state    pendingState

	// Its sender.
	done     func(MessageID, Outcome)
	also     []func(MessageID, Outcome) // of those who sent it again
	took     time.Duration              // until it was delivered, if that was at once
	path     path
	answered bool // the outcome was told; other owners may still have to get it

	// How it is sent.
	route         *route
	assumedOwners ownerSet // whom it was last sent to without a lookup; see ownerSet
	hops          byte     // lookups that it was sent by
	unready       byte     // how often its owner was found and not ready, up to maxDoublings

	// What its owners have answered.
	unanswered  int         // owners that have not
	again       againReason // by those it was sent to last
	undelivered Outcome     // what it is called if nobody gets it: Offline; Timeout, if an owner died with it; Overloaded, if one had no room
	reached     []string    // nodes that need not get it again
	queued      int         // nodes that have put it into the queue of a session
	dropped     []string    // nodes that have dropped it from there

	// What it counts in.
	deadlineNode listNode[*pending] // in the list by deadlines, until it is concluded
	sender       *share
	receiver     *share

	room []byte // that Data is in, for the next message, too

	// wire guards Data against links that publish it, which do not hold Router.mu, and what
	// else they read that changes. While no owner is unanswered no link has it, and nobody
	// needs the lock.
	wire struct {
		sync.Mutex
		over      bool // it is concluded: nobody waits for it
		delivered bool // a session has it
	}
}

// maxUnused bounds the pendings that are kept for the next messages, and maxRoom
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
func (r *Router) newPending(m Message, done func(MessageID, Outcome)) *pending {
	p := r.unusedPending()
	p.Message, p.done, p.accepted = m, done, r.now()
	p.ID = r.newID()
	p.Receipt = m.Receipt || m.Confirm || m.Crowded
	p.Ref = nil
	p.path, p.undelivered = pathRemote, Offline
	return p
}

func (r *Router) unusedPending() (p *pending) {
	n := len(r.unused)
	if n == 0 {
		return new(pending)
	}
	p, r.unused = r.unused[n-1], r.unused[:n-1]
	return p
}

// reuse takes back what nothing refers to any more.
func (r *Router) reuse(p *pending) {
	room, reached := p.room, p.reached
	clear(reached)
	if len(r.unused) >= maxUnused || cap(room) > maxRoom {
		return
	}
	*p = pending{room: room[:0], reached: reached[:0]}
	r.unused = append(r.unused, p)
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

// lost tells whether every node that had p has dropped it from its sessions' queues.
func (p *pending) lost() bool { return len(p.dropped) > 0 && len(p.dropped) >= p.queued }

// Append appends the message's envelope: only its number if nobody waits for it any more,
// or if it is withdrawn.
func (p *pending) Append(b []byte, f *link.Frame) ([]byte, link.Kind) {
	p.wire.Lock()
	defer p.wire.Unlock()
	switch {
	case p.wire.over:
		return link.AppendBare(b, link.KindVoid), link.KindVoid
	case f.Withdrawn:
		return link.AppendWithdrawn(b, link.MessageID(p.ID)), link.KindWithdrawn
	}
	return p.encodeLocked(b, f.First), link.KindMessage
}

// changeWire changes what links read.
func (p *pending) changeWire(change func()) {
	if p.unanswered > 0 {
		p.wire.Lock()
		defer p.wire.Unlock()
	}
	change()
}

// isOver reports whether p is concluded.
func (p *pending) isOver() bool {
	p.wire.Lock()
	defer p.wire.Unlock()
	return p.wire.over
}

func (p *pending) encodeLocked(b []byte, first bool) []byte {
	var flags byte
	if first {
		flags |= link.FlagFirst
	}
	if p.Receipt {
		flags |= link.FlagReceipt
	}
	if p.Confirm {
		flags |= link.FlagConfirm
	}
	if p.Droppable {
		flags |= link.FlagDroppable
	}
	if p.wire.delivered {
		flags |= link.FlagDelivered
	}
	return appendMessage(b, &p.Message, flags, p.hops, p.accepted.UnixMicro(), p.assumedOwners)
}

// arrived takes that a node has put p into the queue of a session.
func (p *pending) arrived(r *Router, node string) {
	p.reached, p.queued, p.since = append(p.reached, node), p.queued+1, p.accepted.UnixMicro()
	p.changeWire(func() { p.wire.delivered = true })
	if !p.Confirm {
		r.answer(p, Delivered)
	}
}

// refused takes that a node had no room for p, or may have died with it: it does not get it
// again. o is what p is called for that, unless somebody gets it.
func (p *pending) refused(node string, o Outcome) {
	p.reached = append(p.reached, node)
	if p.undelivered != Overloaded {
		p.undelivered = o
	}
}

// settle takes an owner's answer.
func (p *pending) settle(r *Router, owner registry.Owner, f ackResult) {
	p.unanswered--
	switch f {
	case ackDelivered:
		p.arrived(r, owner.NodeID)
	case ackOverloaded:
		p.refused(owner.NodeID, r.overloaded(overloadQueue))
	case link.AckTooLarge:
		p.refused(owner.NodeID, r.overloaded(overloadRedis))
	case ackNoRoom: // its reason is counted already
		p.refused(owner.NodeID, Overloaded)
	case ackUnknown:
		p.refused(owner.NodeID, Timeout)
	case ackJoining:
		p.sendAgain(r, againNotReady, staleJoining)
	case ackStale:
		if p.state == pendingInflight {
			p.route.noCacheBefore = r.now().Add(uncachedAfterStale)
		}
		p.sendAgain(r, againMoved, staleCached)
	case ackNotHere:
		if p.assumedOwners != noneAssumed { // the entry has most likely gone with the session
			p.sendAgain(r, againMoved, staleCached)
			break
		}
		p.sendAgain(r, againMoved, staleMoved)
		r.prune(p.To, owner)
	case ackDead:
		p.sendAgain(r, againMoved, staleDead)
		r.pruneDead(p.To, owner)
	}
	if p.unanswered == 0 {
		p.landed(r)
	}
}

// sendAgain takes that an owner was not the owner: the route looks up afresh, and nothing
// passes p. That p was given up already is of no consequence for its route.
func (p *pending) sendAgain(r *Router, why againReason, counted staleReason) {
	p.again = max(p.again, why)
	r.stale[counted].Inc()
	if p.state == pendingInflight {
		p.route.on(r, routeEvent{kind: ownerRefused})
	}
}

// end ends what can be done for p. If it is delivered and its receiver is to confirm
// that, it waits until the deadline, without its data; else it is
// concluded with o.
func (p *pending) end(r *Router, o Outcome) {
	if p.delivered() && !p.answered && p.deadlineNode.in && !p.lost() {
		p.state, p.route = pendingConfirming, nil
		r.pending.unload(p)
		p.room = nil
		return
	}
	if p.lost() {
		o = Overloaded
	}
	p.conclude(r, o)
	r.reuse(p)
}

// atLast is p's outcome if it has none at its deadline.
func (p *pending) atLast() Outcome {
	if p.delivered() && !p.lost() {
		return Delivered
	}
	return Timeout
}

// conclude ends p with o, unless it was answered already.
func (p *pending) conclude(r *Router, o Outcome) {
	r.answer(p, o)
	r.pending.remove(p)
	p.state = pendingConcluded
	if p.route == nil || p.Confirm {
		delete(r.receipts, p.ID)
	}
}

// answer tells p's outcome once. The sender's callback runs when mu is released.
func (r *Router) answer(p *pending, o Outcome) {
	if p.answered {
		return
	}
	p.answered = true
	r.countOutcome(o, p.path, r.now().Sub(p.accepted))
	if p.done != nil {
		r.calls = append(r.calls, call{p.done, p.ID, o})
	}
	if p.contentHash == 0 {
		return
	}
	r.dedup.end(p, o)
	r.answerRepeats(p, o, p.path)
}

// answerRepeats tells the outcome to those who sent p again while it was under way.
func (r *Router) answerRepeats(p *pending, o Outcome, way path) {
	for _, done := range p.also {
		r.outcomes[o][way].Inc()
		r.calls = append(r.calls, call{done, p.ID, o})
	}
	p.also = nil
}

// deadlines is the list of pending messages, the oldest first. All messages of a
// router live equally long, so the order of acceptance is that of deadlines.
type pendingMessages struct {
	list[*pending]
	bytes  int
	expiry deadline // of the oldest one, or earlier

	limit, limitBytes  int
	senders, receivers shares
}

func newPendingMessages(limitBytes int) pendingMessages {
	return pendingMessages{limit: maxPending, limitBytes: limitBytes, senders: newShares(), receivers: newShares()}
}

func (d *pendingMessages) add(p *pending) {
	d.list.add(p)
	size := len(p.Data)
	d.bytes += size
	p.sender, p.receiver = d.senders.get(p.From), d.receivers.get(p.To)
	d.senders.add(p.sender, size)
	d.receivers.add(p.receiver, size)
}

func (d *pendingMessages) remove(p *pending) {
	if !d.list.remove(p) {
		return
	}
	d.unload(p) // a link may hold on to p, as a void number
	p.changeWire(func() { p.wire.over = true })
	d.senders.remove(p.sender)
	d.receivers.remove(p.receiver)
	p.sender, p.receiver = nil, nil
}

// unload lets go of the data of p, which is listed.
func (d *pendingMessages) unload(p *pending) {
	size := len(p.Data)
	d.bytes -= size
	p.sender.bytes -= size
	p.receiver.bytes -= size
	p.changeWire(func() { p.Data = nil })
	if cap(p.room) > maxRoom {
		p.room = nil
	}
}
