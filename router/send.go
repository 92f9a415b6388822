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
	r.mu.Lock()
	p := r.newPending(m, done)
	if r.answerRepeat(p) {
		r.release()
		return
	}
	switch {
	case CheckAddress(m.To) != nil || CheckClient(m.From) != nil:
		r.endAtOnce(p, Rejected, pathLocal)
		return
	case r.ctx.Err() != nil:
		r.endAtOnce(p, Timeout, pathLocal)
		return
	case r.sendAlone(p):
		return
	}
	if r.ctx.Err() != nil { // since mu was released
		r.endAtOnce(p, Timeout, pathLocal)
		return
	}
	why := r.pending.roomFor(&p.Message)
	if why == roomy && p.Crowded && r.stalls(p.To) {
		why = overloadStalled
	}
	if why != roomy {
		r.endAtOnce(p, r.overloaded(why), pathRemote)
		return
	}
	r.accept(p)
	r.release()
}

// Flush sends what Send has queued. Whoever calls Send calls it once after each
// batch of messages; it does not block.
func (r *Router) Flush() {
	r.mu.Lock()
	r.unlock()
}

// endAtOnce answers a message that was not accepted, and its repeats that came while it was
// delivered, and releases mu.
func (r *Router) endAtOnce(p *pending, o Outcome, way path) {
	if p.contentHash != 0 {
		r.dedup.end(p, o)
		r.answerRepeats(p, o, way)
	}
	id, done, took := p.ID, p.done, p.took
	r.reuse(p)
	r.release()
	r.countOutcome(o, way, took)
	if done != nil {
		done(id, o)
	}
}

// accept keeps a message and gives it to its route.
func (r *Router) accept(p *pending) {
	p.room = append(p.room[:0], p.Data...)
	p.Data = p.room
	r.keep(p)
	if p.Confirm {
		r.awaitReceipt(p)
	}
	if p.route == nil {
		p.route = r.routeTo(p.To)
	}
	p.route.on(r, routeEvent{kind: messageSent, p: p})
}

// keep bounds the time until p has its outcome.
func (r *Router) keep(p *pending) {
	p.deadline = p.accepted.Add(r.opts.MessageTimeout - min(earliness, r.opts.MessageTimeout/4))
	r.pending.add(p)
	r.setDeadlineBy(&r.pending.expiry, p.deadline)
}

func (r *Router) newID() MessageID { return MessageID{Origin: r.origin, Count: r.count.Add(1)} }

// gauge shows what is pending.
func (r *Router) gauge() {
	r.m.PendingMessages.Set(float64(r.pending.count))
	r.m.PendingBytes.Set(float64(r.pending.bytes))
}

// unlock publishes what is due, releases mu and then runs the callbacks that
// gathered under it.
func (r *Router) unlock() {
	r.flushAndRelock()
	r.gauge()
	r.release()
}

// release is unlock for those who leave the publishing to others. Messages for this
// node's sessions are handed over first, which publishes what follows from that.
func (r *Router) release() {
	if len(r.handovers) > 0 {
		r.handOverDue()
	}
	if len(r.calls) == 1 { // often, and then nothing need be allocated
		c := r.calls[0]
		r.calls = r.calls[:0]
		r.mu.Unlock()
		c.done(c.id, c.outcome)
		return
	}
	calls := r.calls
	r.calls = nil
	r.mu.Unlock()
	for _, c := range calls {
		c.done(c.id, c.outcome)
	}
}

// call is a sender's callback that is due.
type call struct {
	done    func(MessageID, Outcome)
	id      MessageID
	outcome Outcome
}
