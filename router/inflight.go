package router

import (
	"cmp"
	"slices"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
)

// What is in flight: from a route's owners being known to their answers.

// maxHops bounds how often a message is sent to owners that may be stale.
const maxHops = 4

// sendToOwners sends messages to the route's owners. assumed is noneAssumed, or whom a message
// that is not looked up takes for all owners, which these are to vouch for.
func (rt *route) sendToOwners(s *shard, assumed ownerSet, messages ...*pending) {
	rt.hold()
	for _, p := range messages {
		p.send(s, rt.owners, assumed)
	}
	rt.release(s)
}

// hold has the route wait for one answer more than there are messages in flight, so that an
// answer that comes at once does not let it go on before the last message is sent. release
// is that answer.
func (rt *route) hold()            { rt.inflight++ }
func (rt *route) release(s *shard) { rt.on(s, routeEvent{kind: messageAnswered}) }

// send puts p onto the links to those owners that have not got it yet. A lookup costs a
// hop, unless it found an owner again that only was not ready.
func (p *pending) send(s *shard, owners []registry.Owner, assumed ownerSet) {
	if p.again == againNotReady && p.assumedOwners == noneAssumed {
		p.hops--
		p.unready = min(p.unready+1, maxDoublings)
	} else {
		p.unready = 0
	}
	p.again, p.assumedOwners = againNot, assumed
	if p.hops == maxHops {
		p.end(s, Timeout)
		return
	}
	if assumed == noneAssumed {
		p.hops++
	}
	first := p.route.inflight == 1 // by sendToOwners, which holds it: no other message is in flight
	p.route.inflight++
	p.state = pendingInflight
	p.hold()
	for _, o := range owners {
		if !p.reachedNode(o.NodeID) {
			p.sendTo(s, o, first)
		}
	}
	p.release(s)
}

// hold has p wait for one answer more, and release is an answer, the last of which ends what
// p is in flight for. While p is sent it is held, or an answer that comes at once would
// end it before the next owner gets it.
func (p *pending) hold() { p.unanswered++ }

func (p *pending) release(s *shard) {
	p.unanswered--
	if p.unanswered == 0 {
		p.allAnswered(s)
	}
}

// sendTo hands p over to the sessions here, or puts it onto the link to another owner.
func (p *pending) sendTo(s *shard, o registry.Owner, first bool) {
	p.hold()
	if o.NodeID == s.r.opts.NodeID {
		p.route.handOver(s, handover{p: p, owner: o, assumedOwners: p.assumedOwners})
		return
	}
	if why := s.pushMessage(p, o, first); why != roomy {
		s.r.overloaded(why)
		p.acked(s, o, ackNoRoom)
	}
}

// pushMessage puts p onto the link to an owner, or returns what has no room for it.
func (s *shard) pushMessage(p *pending, o registry.Owner, first bool) overload {
	to := s.r.peers.lockOrAdd(o.NodeID)
	if to == nil {
		return overloadLinks
	}
	defer to.mu.Unlock()
	if why := to.roomForLocked(s.r, p); why != roomy {
		return why
	}
	to.pushLocked(s.r, s.now(), link.Frame{Payload: p, Token: o.Token, First: first, Size: len(p.Data), Urgent: p.Receipt})
	return roomy
}

// allAnswered is called when every owner that p was sent to has answered: p waits on its route
// again if one was not the owner, else it ends.
func (p *pending) allAnswered(s *shard) {
	if p.state == pendingConcluded { // at its deadline
		s.reuse(p)
		return
	}
	rt := p.route
	switch {
	case p.again != againNot && p.deadlineNode.in:
		p.state = pendingWaiting
		i, _ := slices.BinarySearchFunc(rt.back, p, func(a, b *pending) int { return cmp.Compare(a.ID.Count, b.ID.Count) })
		rt.back = slices.Insert(rt.back, i, p)
	case p.undelivered == Overloaded:
		p.end(s, Overloaded)
	default: // its sender was told delivered already; else an owner died with it
		p.end(s, Timeout)
	}
	rt.on(s, routeEvent{kind: messageAnswered})
}

// lookAhead pings the owners that the route will go to when its present owners have
// answered, if one of the present ones stalls. The answer of that one may take until the
// deadline; the pings show before then which of the next owners are dead, so that messages
// for these can be answered earlier.
func (rt *route) lookAhead(s *shard, next []registry.Owner) {
	if !slices.ContainsFunc(rt.owners, s.r.stallsAt) {
		return
	}
	for _, o := range next {
		if o.NodeID == s.r.opts.NodeID {
			continue
		}
		if p := s.r.peers.lockOrAdd(o.NodeID); p != nil {
			if p.link.Len() == 0 {
				p.link.Ping(s.now())
				p.changedLocked(s.r)
			}
			p.mu.Unlock()
		}
	}
}

// requestAcks asks the owners to acknowledge what nobody has waited for up to now, because
// something does: what is in flight must be answered before the route goes on.
func (rt *route) requestAcks(s *shard) {
	for _, o := range rt.owners {
		if p := s.r.peers.get(o.NodeID); p != nil {
			p.do(s.r, func(l *link.Link) { l.RequestAck(s.now()) })
		}
	}
}
