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
// more than MaxPendingBytes, or be more than 262,144.
func (r *Router) Send(m Message, done func(MessageID, Outcome)) {
	r.m.MessageBytes.Observe(float64(len(m.Data)))
	m.content = m.sum() // not under the lock: it takes as long as the data is large
	r.mu.Lock()
	p := r.newPending(m, done)
	if r.repeated(p) {
		r.release()
		return
	}
	o, path, now := r.sendNow(p)
	switch {
	case !now:
		r.accept(p)
		r.release()
		return
	case p.Confirm && o == Delivered:
		p.local = true
		r.awaitConfirmation(p)
		r.release()
		return
	}
	if p.content != 0 {
		r.repeats.end(p, o)
	}
	id, took := p.ID, p.took
	r.reuse(p)
	r.release()
	r.countOutcome(o, path, took)
	if done != nil {
		done(id, o)
	}
}

// Flush sends what Send has queued. Whoever calls Send calls it once after each
// batch of messages; it does not block.
func (r *Router) Flush() {
	r.mu.Lock()
	r.unlock()
}

// sendNow ends a message that needs no Redis: refused, or for this node alone.
func (r *Router) sendNow(p *pending) (o Outcome, way path, now bool) {
	m := &p.Message
	full := r.pending.count >= maxPending || r.pending.bytes+len(m.Data) > r.opts.MaxPendingBytes
	switch {
	case CheckAddress(m.To) != nil || CheckClient(m.From) != nil:
		return Rejected, pathLocal, true
	case r.ctx.Err() != nil:
		return Timeout, pathLocal, true
	case r.opts.Delivery == Targeted && r.mayBeAlone(p, full):
		if f, ok := r.deliverAlone(m); ok {
			return r.delivered(p, f), pathLocal, true
		}
	}
	if full {
		return Overloaded, pathRemote, true
	}
	return 0, 0, false
}

// mayBeAlone tells whether p may go to this node's sessions alone, if the node knows
// of no other owner: that counts while its lease lives, or when there is no room to
// wait for what Redis says. Nothing that was sent before may be overtaken.
func (r *Router) mayBeAlone(p *pending, full bool) bool {
	rt := r.routes[p.To]
	p.route = rt
	if r.leaseLivesAt(p.accepted) {
		return rt == nil || !rt.remote && rt.idles()
	}
	return full && (rt == nil || rt.out == 0 && len(rt.back) == 0)
}

// deliverAlone delivers m if no other node is known to own its receiver.
func (r *Router) deliverAlone(m *Message) (f fate, ok bool) {
	f = r.once(m, func() (f fate) {
		f, ok = r.holdings.deliverAlone(m)
		return f
	})
	return f, ok
}

// delivered is the outcome of what was delivered here, or refused.
func (r *Router) delivered(p *pending, f fate) Outcome {
	if f == fateOverloaded {
		return Overloaded
	}
	p.took = r.now().Sub(p.accepted)
	r.delivery[pathLocal].Observe(p.took.Seconds())
	return Delivered
}

// accept keeps a message and gives it to the delivery.
func (r *Router) accept(p *pending) {
	p.room = append(p.room[:0], p.Data...)
	p.Data = p.room
	r.keep(p)
	if p.Confirm {
		r.awaitReceipt(p)
	}
	r.way.send(p)
}

// keep bounds the time until p has its outcome.
func (r *Router) keep(p *pending) {
	p.deadline = p.accepted.Add(r.opts.MessageTimeout - min(earliness, r.opts.MessageTimeout/4))
	r.pending.add(p)
	r.arm(p.deadline)
}

// awaitConfirmation keeps a message that was delivered here until its receiver
// confirms it.
func (r *Router) awaitConfirmation(p *pending) {
	p.Data, p.room, p.route, p.queued = nil, nil, nil, 1
	r.keep(p)
	r.awaitReceipt(p)
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
	if r.pub != nil {
		r.pub.flush()
	}
	r.gauge()
	r.release()
}

// release is unlock for those who leave the publishing to others.
func (r *Router) release() {
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
