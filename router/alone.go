package router

// What is for this node's sessions alone does not touch Redis. It is delivered in the
// goroutine of its sender, without the router's lock.

// sendAlone delivers p to this node's sessions if no other node is known to own its
// receiver. It is called with mu held. It returns true when p is taken care of and mu
// released; if not, mu is held still, or again: then all sessions were about to leave.
func (r *Router) sendAlone(p *pending) bool {
	if !r.mayBeAlone(p) {
		return false
	}
	h, sessions, ok := r.local.alone(p.To)
	switch {
	case !ok:
		return false
	case p.Confirm:
		return r.sendAloneConfirmed(p, h, sessions)
	}
	r.release()
	f := r.deliverOnce(&p.Message, func() ackResult { return r.fan.deliver(h, sessions, &p.Message) })
	r.mu.Lock()
	if f == ackJoining {
		p.route = nil // it may be another by now
		return false
	}
	r.endAtOnce(p, r.delivered(p, f), pathLocal)
	return true
}

// sendAloneConfirmed is sendAlone for a message that its receiver is to confirm: it is
// kept until then, without its data, if there is room for that. The receiver may be faster
// than Deliver returns, so it is kept before, and its data lent to a message of its own.
func (r *Router) sendAloneConfirmed(p *pending, h *localAddress, sessions []Session) bool {
	if why := r.pending.roomFor(&p.Message); why != roomy {
		r.endAtOnce(p, r.overloaded(why), pathLocal)
		return true
	}
	lent := r.unusedPending()
	lent.Message, lent.accepted = p.Message, p.accepted
	p.path, p.state, p.Data, p.room, p.route = pathLocal, pendingConfirming, nil, nil, nil
	r.keep(p)
	r.awaitReceipt(p)
	r.release()
	f := r.deliverOnce(&lent.Message, func() ackResult { return r.fan.deliver(h, sessions, &lent.Message) })
	r.mu.Lock()
	switch {
	case f == ackJoining && p.deadlineNode.in:
		p.path, p.state = pathRemote, pendingWaiting
		r.pending.remove(p)
		p.Data = lent.Data
		delete(r.receipts, p.ID)
		r.reuse(lent)
		return false
	case !p.deadlineNode.in: // it has its outcome
	case f == ackDelivered:
		p.queued = 1
		r.delivered(p, f)
	default:
		p.conclude(r, r.delivered(p, f))
	}
	r.reuse(lent)
	r.release()
	return true
}

// mayBeAlone tells whether p may go to this node's sessions alone, if the node knows
// of no other owner: that counts while its lease lives, or when there is no room to
// wait for what Redis says. Nothing that was sent before may be overtaken.
func (r *Router) mayBeAlone(p *pending) bool {
	rt := r.routes[p.To]
	p.route = rt
	if r.leaseLivesAt(p.accepted) {
		return rt == nil || rt.idles() && (rt.state != routeCached || rt.ownedBy(r.opts.NodeID))
	}
	undisturbed := rt == nil || rt.inflight == 0 && len(rt.back) == 0 && rt.handovers.state == handoverIdle && len(r.notHandedOver(rt.waiting)) == 0
	return undisturbed && r.pending.roomFor(&p.Message) != roomy
}

// delivered is the outcome of what was delivered here, or refused.
func (r *Router) delivered(p *pending, f ackResult) Outcome {
	if f == ackOverloaded {
		return r.overloaded(overloadQueue)
	}
	p.took = r.now().Sub(p.accepted)
	r.delivery[pathLocal].Observe(p.took.Seconds())
	return Delivered
}
