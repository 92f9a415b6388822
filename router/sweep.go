package router

import (
	"context"
	"time"
)

// earliness is by how much a message may be answered before its deadline, so that
// it is not after it. A shorter deadline has less of it.
const earliness = 20 * time.Millisecond

// schedule has the sweeper look at that time at the latest. It is called with mu held.
func (r *Router) schedule(at time.Time) {
	if !r.sweepAt.IsZero() && !at.Before(r.sweepAt) {
		return
	}
	r.sweepAt = at
	r.sweepTimer.Reset(at.Sub(r.now()))
}

// runSweeper answers messages whose deadline has come, has links resend and
// acknowledge, and runs what was put off. It sleeps while nothing waits.
func (r *Router) runSweeper(ctx context.Context) {
	for r.sweep.Wait(ctx) == nil {
		r.sweepOnce()
	}
}

func (r *Router) sweepOnce() {
	r.mu.Lock()
	defer r.unlock()
	now := r.now()
	r.sweepAt = time.Time{}
	for p := r.pending.oldest; p != nil && !now.Before(p.deadline); p = r.pending.oldest {
		r.expire(p)
	}
	r.runDue(now)
	for _, p := range r.peers {
		r.tick(p, now)
	}
	if p := r.pending.oldest; p != nil {
		r.schedule(p.deadline)
	}
}

// expire answers a message whose deadline has come. What is on its way stays on
// its links, as void numbers; what waits on its route is forgotten there.
func (r *Router) expire(p *pending) {
	was := p.state
	p.conclude(r, p.atLast())
	if p.route != nil {
		p.route.on(r, routeEvent{kind: messageExpired, p: p, was: was})
	}
}

// afterFunc runs f, with mu held, after d at the earliest.
func (r *Router) afterFunc(d time.Duration, f func()) {
	r.setDeadline(&deadline{due: func(time.Time) { f() }}, r.now().Add(d))
}

// setDeadline has x due at a time.
func (r *Router) setDeadline(x *deadline, at time.Time) {
	r.deadlines.set(x, at)
	r.schedule(at)
}

// runDue does what is due.
func (r *Router) runDue(now time.Time) {
	for x := r.deadlines.takeDue(now); x != nil; x = r.deadlines.takeDue(now) {
		x.due(now)
	}
	if x := r.deadlines.first(); x != nil {
		r.schedule(x.at)
	}
}
