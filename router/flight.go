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

// dispatch sends messages to the route's owners.
func (rt *route) dispatch(r *Router, assumed ownerSet, messages ...*pending) {
	rt.inflight++ // held: a local answer to the first must not let the route go on before the last
	for _, p := range messages {
		p.send(r, rt.owners, assumed)
	}
	rt.inflight--
	if rt.inflight == 0 {
		rt.idle(r)
	}
}

// send puts p onto the links to those owners that have not got it yet. assumed is
// noneAssumed, or what the owners are to vouch for; that costs no hop.
func (p *pending) send(r *Router, owners []registry.Owner, assumed ownerSet) {
	if p.joining && p.assumedOwners == noneAssumed { // the owner was found: it only was not ready
		p.hops--
		p.unready = min(p.unready+1, maxDoublings)
	} else {
		p.unready = 0
	}
	p.again, p.joining, p.assumedOwners = false, false, assumed
	if p.hops == maxHops {
		p.end(r, Timeout)
		return
	}
	if assumed == noneAssumed {
		p.hops++
	}
	first := p.route.inflight == 1 // only held by dispatch
	p.route.inflight++
	p.inFlight = true
	p.unanswered++ // held until all are sent, or a local answer would end it early
	for _, o := range owners {
		if p.was(o.NodeID) {
			continue
		}
		p.unanswered++
		switch {
		case o.NodeID == r.opts.NodeID && p.route.mending:
			p.settle(r, o, ackJoining)
		case o.NodeID == r.opts.NodeID:
			p.route.hand(r, handover{p: p, owner: o, assumedOwners: assumed})
		default:
			if why := r.pushMessage(p, o, first); why != roomy {
				r.overloaded(why)
				p.settle(r, o, ackNoRoom)
			}
		}
	}
	p.unanswered--
	if p.unanswered == 0 {
		p.route.returned(r, p)
	}
}

// pushMessage puts p onto the link to an owner, or tells what has no room for it.
func (r *Router) pushMessage(p *pending, o registry.Owner, first bool) overload {
	if !r.roomForPeer(o.NodeID) {
		return overloadLinks
	}
	to := r.peer(o.NodeID)
	if why := to.roomFor(r, p); why != roomy {
		return why
	}
	r.push(to, link.Frame{Payload: p, Token: o.Token, First: first, Size: len(p.Data), Urgent: p.Receipt})
	return roomy
}

// returned takes a message that every owner has answered.
func (rt *route) returned(r *Router, p *pending) {
	if !p.inFlight { // given up before
		r.reuse(p)
		return
	}
	switch {
	case p.again && p.deadlineNode.in:
		p.inFlight = false
		i, _ := slices.BinarySearchFunc(rt.back, p, func(a, b *pending) int { return cmp.Compare(a.ID.Count, b.ID.Count) })
		rt.back = slices.Insert(rt.back, i, p)
	case p.full:
		p.end(r, Overloaded)
	default: // delivered was told already; else an owner died with it
		p.end(r, Timeout)
	}
	rt.landed(r)
}

// landed takes one off what is in flight.
func (rt *route) landed(r *Router) {
	rt.inflight--
	if rt.inflight == 0 {
		rt.idle(r)
	}
}

// idle lets the route go on when nothing is in flight any more.
func (rt *route) idle(r *Router) {
	rt.mending = false
	if len(rt.back) > 0 && rt.back[0].assumedOwners == noneAssumed && (rt.back[0].joining || rt.back[0].hops > 1) {
		rt.retryAfter(r, rt.back[0].retryDelay())
		return
	}
	rt.ask(r)
}

// lookAhead finds out whether the owners live that the route will go to when those before
// have answered, if one of these does not: that may last until the deadline, and what waits
// for dead owners can be answered before.
func (rt *route) lookAhead(r *Router, next []registry.Owner) {
	if rt.mending || !slices.ContainsFunc(rt.owners, r.stallsAt) {
		return
	}
	for _, o := range next {
		if o.NodeID == r.opts.NodeID || !r.roomForPeer(o.NodeID) {
			continue
		}
		if p := r.peer(o.NodeID); p.link.Len() == 0 {
			p.link.Ping(r.now())
			r.linkChanged(p)
		}
	}
	rt.retryAfter(r, retryUnsettled)
}

// requestAcks asks the owners to acknowledge what nobody has waited for up to now, because
// something does: what is on its way must be answered before the route goes on.
func (rt *route) requestAcks(r *Router) {
	for _, o := range rt.owners {
		if p := r.peers[o.NodeID]; p != nil {
			p.link.RequestAck(r.now())
			r.linkChanged(p)
		}
	}
}
