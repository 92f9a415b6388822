package router

import (
	"time"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
)

// pending is a message that was accepted and has no outcome yet, or that still
// has owners to answer. Router.mu guards it.
type pending struct {
	Message
	done     func(MessageID, Outcome)
	also     []func(MessageID, Outcome) // those of its repeats
	accepted time.Time
	took     time.Duration // until it was delivered, if that was at once
	deadline time.Time     // when it is answered at the latest, a little before its time is over
	route    *route

	assumedOwners ownerSet // whom it was last sent to without a lookup; see ownerSet
	hops          byte
	unready       byte     // how often its owner was found and not ready, up to maxDoublings
	unanswered    int      // owners that have not answered
	reached       []string // nodes that need not get it again
	queued        int      // nodes that have put it into the queue of a session
	dropped       []string // nodes that have dropped it from there
	again         bool     // an owner was not the owner: look up afresh
	joining       bool     // ... because it was just claiming, or its sessions closing
	full          bool     // an owner was overloaded
	unknown       bool     // an owner died with it
	local         bool     // no other node was asked
	answered      bool     // the outcome was told
	inFlight      bool     // counts in its route's out
	handingOver   bool     // it is being handed over to this node's sessions, since Redis is away

	deadlineNode listNode[*pending] // in the list of deadlines: neither concluded nor expired
	sender       *share             // what it counts in while it is listed
	receiver     *share

	room []byte // that Data is in, for the next message, too
}

// maxUnused bounds the pendings that are kept for the next messages, and maxRoom
// what each may keep for its data, in bytes.
const (
	maxUnused = 1 << 12
	maxRoom   = 1 << 10
)

func (p *pending) node() *listNode[*pending] { return &p.deadlineNode }

// pause is the wait before p is looked up again.
func (p *pending) retryDelay() time.Duration {
	d := retryMoving * time.Duration(p.hops)
	if p.joining {
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

func (p *pending) was(node string) bool {
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
	switch {
	case !p.deadlineNode.in:
		return link.AppendBare(b, link.KindVoid), link.KindVoid
	case f.Withdrawn:
		return link.AppendWithdrawn(b, link.MessageID(p.ID)), link.KindWithdrawn
	}
	return p.encode(b, f.First), link.KindMessage
}

func (p *pending) encode(b []byte, first bool) []byte {
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
	if p.delivered() {
		flags |= link.FlagDelivered
	}
	return appendMessage(b, &p.Message, flags, p.hops, p.accepted.UnixMicro(), p.assumedOwners)
}

// arrived takes that a node has put p into the queue of a session.
func (p *pending) arrived(r *Router, node string) {
	p.reached, p.queued, p.since = append(p.reached, node), p.queued+1, p.accepted.UnixMicro()
	if !p.Confirm {
		r.answer(p, Delivered)
	}
}

// settle takes an owner's answer: 0 for delivered.
func (p *pending) settle(r *Router, owner registry.Owner, f ackResult) {
	p.unanswered--
	switch f {
	case ackDelivered:
		p.arrived(r, owner.NodeID)
	case ackOverloaded:
		p.reached = append(p.reached, owner.NodeID)
		p.full = true
		r.overloaded(overloadQueue)
	case link.AckTooLarge:
		p.reached = append(p.reached, owner.NodeID)
		p.full = true
		r.overloaded(overloadRedis)
	case ackNoRoom: // its reason is counted already
		p.reached = append(p.reached, owner.NodeID)
		p.full = true
	case ackUnknown:
		p.reached = append(p.reached, owner.NodeID)
		p.unknown = true
	case ackJoining:
		p.again, p.joining = true, true
		r.stale[staleJoining].Inc()
	case ackStale:
		p.again = true
		if p.inFlight {
			p.route.noCacheBefore = r.now().Add(uncachedAfterStale)
		}
		r.stale[staleCached].Inc()
	case ackNotHere:
		p.again = true
		if p.assumedOwners != noneAssumed { // the entry has most likely gone with the session
			r.stale[staleCached].Inc()
			break
		}
		r.stale[staleMoved].Inc()
		r.prune(p.To, owner)
	case ackDead:
		p.again = true
		r.stale[staleDead].Inc()
		r.pruneDead(p.To, owner)
	}
	if p.again && p.inFlight { // else it was given up, and the route has gone on
		p.route.mending, p.route.cachedOwners = true, noneAssumed
	}
	if p.unanswered == 0 {
		p.route.returned(r, p)
	}
}

// end ends what can be done for p. If it is delivered and its receiver is to confirm
// that, it waits until the deadline, without its data; else it is
// concluded with o.
func (p *pending) end(r *Router, o Outcome) {
	p.inFlight = false
	if p.delivered() && !p.answered && p.deadlineNode.in && !p.lost() {
		p.route = nil
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
	way := pathRemote
	if p.local {
		way = pathLocal
	}
	r.countOutcome(o, way, r.now().Sub(p.accepted))
	if p.done != nil {
		r.calls = append(r.calls, call{p.done, p.ID, o})
	}
	if p.contentHash == 0 {
		return
	}
	r.dedup.end(p, o)
	r.answerRepeats(p, o, way)
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
	bytes int

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
	p.Data = nil
	if cap(p.room) > maxRoom {
		p.room = nil
	}
}
