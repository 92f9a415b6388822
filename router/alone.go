package router

// What is for this node's sessions alone does not touch Redis. It is delivered in the
// goroutine of its sender, without its shard's lock.

// sendAlone delivers p to this node's sessions if no other node is known to own its
// receiver. It is called with mu held. When it returns true, p has its outcome or waits for
// its receipt, and mu is released. When it returns false, mu is held: either p may not go
// alone, or all sessions were about to leave.
func (s *shard) sendAlone(p *pending) bool {
	if !s.mayBeAlone(p) {
		return false
	}
	a, sessions, ok := s.r.local.alone(p.To)
	switch {
	case !ok:
		return false
	case p.Confirm:
		return s.sendAloneConfirmed(p, a, sessions)
	}
	s.unlockAndNotify()
	result := s.r.deliverOnce(&p.Message, func() ackResult { return s.r.fan.deliver(a, sessions, &p.Message) })
	s.lock()
	if result == ackJoining {
		p.route = nil // it may be another by now
		return false
	}
	s.endAtOnce(p, s.delivered(p, result), pathLocal)
	return true
}

// sendAloneConfirmed is sendAlone for a message that its receiver is to confirm: it is
// kept until then, without its data, if there is room for that. The receiver may be faster
// than Deliver returns, so it is kept before, and its data lent to a message of its own.
func (s *shard) sendAloneConfirmed(p *pending, a *localAddress, sessions []Session) bool {
	if why := s.r.room.reserve(p, &s.receivers); why != roomy {
		s.endAtOnce(p, s.r.overloaded(why), pathLocal)
		return true
	}
	lent := s.unusedPending()
	lent.Message, lent.accepted = p.Message, p.accepted
	s.r.room.releaseData(p)
	p.path, p.state, p.Data, p.room, p.route = pathLocal, pendingConfirming, nil, nil, nil
	s.keep(p)
	s.awaitReceipt(p)
	s.unlockAndNotify()
	result := s.r.deliverOnce(&lent.Message, func() ackResult { return s.r.fan.deliver(a, sessions, &lent.Message) })
	s.lock()
	switch {
	case result == ackJoining && p.deadlineNode.in:
		p.path, p.state = pathRemote, pendingWaiting
		s.drop(p)
		p.Data = lent.Data
		delete(s.receipts, p.ID)
		s.reuse(lent)
		return false
	case !p.deadlineNode.in: // it has its outcome
	case result == ackDelivered:
		p.queued = 1
		s.delivered(p, result)
	default:
		p.conclude(s, s.delivered(p, result))
	}
	s.reuse(lent)
	s.unlockAndNotify()
	return true
}

// mayBeAlone reports whether p may go to this node's sessions alone, if the node knows
// of no other owner. The node relies on that while its lease lives, or when there is no room
// for p to wait for Redis. p must not overtake a message that was sent before.
func (s *shard) mayBeAlone(p *pending) bool {
	rt := s.routes[p.To]
	p.route = rt
	if s.r.leaseLivesAt(p.accepted) {
		return rt == nil || rt.idles() && (rt.state != routeCached || rt.ownedBy(s.r.opts.NodeID))
	}
	undisturbed := rt == nil || rt.inflight == 0 && len(rt.back) == 0 && rt.handovers.state == handoverIdle && len(s.notHandedOver(rt.waiting)) == 0
	return undisturbed && s.r.room.lacks(p, &s.receivers)
}

// delivered is the outcome of what was delivered here, or refused.
func (s *shard) delivered(p *pending, result ackResult) Outcome {
	if result == ackOverloaded {
		return s.r.overloaded(overloadQueue)
	}
	p.took = s.now().Sub(p.accepted)
	s.r.delivery[pathLocal].Observe(p.took.Seconds())
	return Delivered
}
