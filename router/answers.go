package router

import (
	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
)

// What owners answer to a message in flight.

// arrived notes that a node has put p into the queue of a session.
func (p *pending) arrived(s *shard, node string) {
	p.reached, p.queued, p.since = append(p.reached, node), p.queued+1, p.accepted.UnixMicro()
	p.changeWire(func() { p.wire.delivered = true })
	if !p.Confirm {
		s.answer(p, Delivered)
	}
}

// refused notes that a node had no room for p, or may have died with it: p is not sent to that
// node again. o is p's outcome unless another owner delivers it.
func (p *pending) refused(node string, o Outcome) {
	p.reached = append(p.reached, node)
	if p.undelivered != Overloaded {
		p.undelivered = o
	}
}

// settle takes an owner's answer that came by a link.
func (p *pending) settle(_ *Router, owner registry.Owner, result ackResult) {
	p.shard.lock()
	defer p.shard.unlockAndNotify()
	p.acked(p.shard, owner, result)
}

// acked takes an owner's answer.
func (p *pending) acked(s *shard, owner registry.Owner, result ackResult) {
	switch result {
	case ackDelivered:
		p.arrived(s, owner.NodeID)
	case ackOverloaded:
		p.refused(owner.NodeID, s.r.overloaded(overloadQueue))
	case link.AckTooLarge:
		p.refused(owner.NodeID, s.r.overloaded(overloadRedis))
	case ackNoRoom: // its reason is counted already
		p.refused(owner.NodeID, Overloaded)
	case ackUnknown:
		p.refused(owner.NodeID, Timeout)
	case ackJoining:
		p.sendAgain(s, againNotReady, staleJoining)
	case ackStale:
		if p.state == pendingInflight {
			p.route.noCacheBefore = s.now().Add(uncachedAfterStale)
		}
		p.sendAgain(s, againMoved, staleCached)
	case ackNotHere:
		if p.assumedOwners != noneAssumed { // the entry has most likely gone with the session
			p.sendAgain(s, againMoved, staleCached)
			break
		}
		p.sendAgain(s, againMoved, staleMoved)
		s.r.prune(p.To, owner)
	case ackDead:
		p.sendAgain(s, againMoved, staleDead)
		s.r.pruneDead(p.To, owner)
	}
	p.release(s)
}

// sendAgain notes that a node was not the owner: p's route looks up the owners afresh, and
// sends p before all later messages. If p has met its deadline, its route does nothing.
func (p *pending) sendAgain(s *shard, why againReason, counted staleReason) {
	p.again = max(p.again, why)
	s.r.stale[counted].Inc()
	if p.state == pendingInflight {
		p.route.on(s, routeEvent{kind: ownerRefused})
	}
}
