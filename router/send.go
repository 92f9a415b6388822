package router

// Send takes m to the sessions of m.To. It does not block and keeps nothing of
// m. Messages that one goroutine sends to one address arrive in that order.
// done, if not nil, is called exactly once with the message's ID and outcome,
// from a goroutine of the router or before Send returns, and must not block. What
// Send queues leaves with the next Flush.
//
// With Ref, a message that a client sends again while the first is under way, or
// after it was delivered, is not delivered twice: done gets the first one's
// outcome.
//
// A message is Overloaded at once if the messages without outcome would have
// more than MaxPendingBytes, or be more than 262,144, or if its sender or its receiver
// has a share of them that leaves less to the others than it has itself (shares.go), or
// if its sender is Crowded and its receiver's node does not answer.
// A message that this node's sessions alone get needs no room, unless it is to be
// confirmed.
func (r *Router) Send(m Message, done func(MessageID, Outcome)) {
	r.m.MessageBytes.Observe(float64(len(m.Data)))
	m.contentHash = m.hashContent() // not under the lock: it takes as long as the data is large
	r.shards.of(m.To).send(m, done)
}

// send takes mu.
func (s *shard) send(m Message, done func(MessageID, Outcome)) {
	s.lock()
	p := s.newPending(m, done)
	if s.answerRepeat(p) {
		s.unlockAndNotify()
		return
	}
	switch {
	case CheckAddress(m.To) != nil || CheckClient(m.From) != nil:
		s.endAtOnce(p, Rejected, pathLocal)
		return
	case s.r.ctx.Err() != nil:
		s.endAtOnce(p, Timeout, pathLocal)
		return
	case s.sendAlone(p):
		return
	}
	if s.r.ctx.Err() != nil { // since mu was released
		s.endAtOnce(p, Timeout, pathLocal)
		return
	}
	why := s.r.room.reserve(p, &s.receivers)
	if why == roomy && p.Crowded && s.stalls(p.To) {
		s.r.room.giveBack(p, &s.receivers)
		why = overloadStalled
	}
	if why != roomy {
		s.endAtOnce(p, s.r.overloaded(why), pathRemote)
		return
	}
	s.accept(p)
	s.unlockAndNotify()
}

// Flush sends what Send has queued. Whoever calls Send calls it once after each
// batch of messages; it does not block.
func (r *Router) Flush() { r.flush() }

// endAtOnce answers a message that was not accepted, and its repeats that came while it was
// delivered, and releases mu.
func (s *shard) endAtOnce(p *pending, o Outcome, way path) {
	if p.contentHash != 0 {
		s.r.dedup.end(p, o)
		s.answerRepeats(p, o, way)
	}
	id, done, took := p.ID, p.done, p.took
	s.reuse(p)
	s.unlockAndNotify()
	s.r.countOutcome(o, way, took)
	if done != nil {
		done(id, o)
	}
}

// accept keeps a message, which has its room, and gives it to its route.
func (s *shard) accept(p *pending) {
	p.room = append(p.room[:0], p.Data...)
	p.Data = p.room
	s.keep(p)
	if p.Confirm {
		s.awaitReceipt(p)
	}
	if p.route == nil {
		p.route = s.routeTo(p.To)
	}
	p.route.on(s, routeEvent{kind: messageSent, p: p})
}

func (r *Router) newID() MessageID { return MessageID{Origin: r.origin, Count: r.count.Add(1)} }
