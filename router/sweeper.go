package router

import (
	"context"
	"time"
)

// earliness is by how much a message may be answered before its deadline, so that
// it is not after it. A shorter deadline has less of it.
const earliness = 20 * time.Millisecond

// setDeadline has x due at a time. It is called with mu held.
func (r *Router) setDeadline(x *deadline, at time.Time) {
	r.deadlines.set(x, at)
	r.wakeSweeperBy(at)
}

// setDeadlineBy has x due at a time at the latest. It is called with mu held.
func (r *Router) setDeadlineBy(x *deadline, at time.Time) {
	r.deadlines.setBy(x, at)
	r.wakeSweeperBy(x.at)
}

// afterFunc runs f, with mu held, after d at the earliest. It is called with mu held.
func (r *Router) afterFunc(d time.Duration, f func()) {
	r.setDeadline(&deadline{due: func(time.Time) { f() }}, r.now().Add(d))
}

// wakeSweeperBy has the sweeper look at a time at the latest.
func (r *Router) wakeSweeperBy(at time.Time) {
	if !r.sweepAt.IsZero() && !at.Before(r.sweepAt) {
		return
	}
	r.sweepAt = at
	r.sweepTimer.Reset(at.Sub(r.now()))
}

// runSweeper does what is due: it answers messages whose deadline has come, has links
// resend and acknowledge, and has routes look up again. It sleeps while nothing is due.
func (r *Router) runSweeper(ctx context.Context) {
	for r.sweep.Wait(ctx) == nil {
		r.sweepOnce()
	}
}

func (r *Router) sweepOnce() {
	r.mu.Lock()
	defer r.unlock()
	r.sweepAt = time.Time{}
	now := r.now()
	for x := r.deadlines.takeDue(now); x != nil; x = r.deadlines.takeDue(now) {
		x.due(now)
	}
	if x := r.deadlines.first(); x != nil {
		r.wakeSweeperBy(x.at)
	}
}

// expireDue answers the messages whose deadline has come: the oldest ones, since all live
// equally long.
func (r *Router) expireDue(now time.Time) {
	for p := r.pending.oldest; p != nil; p = r.pending.oldest {
		if now.Before(p.deadline) {
			r.setDeadline(&r.pending.expiry, p.deadline)
			return
		}
		r.expire(p)
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
