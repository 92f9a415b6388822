package router

import (
	"context"
	"time"
)

// sweepEvery is how often the sweeper looks while something waits.
const sweepEvery = 10 * time.Millisecond

// arm starts the sweeper, which stops by itself when nothing waits. It is called
// with mu held.
func (r *Router) arm() {
	if r.sweeping {
		return
	}
	r.sweeping = true
	select {
	case r.sweep <- struct{}{}:
	default:
	}
}

// runSweeper answers messages whose deadline has come, has links resend and
// acknowledge, and runs what was put off. It sleeps while nothing waits.
func (r *Router) runSweeper(ctx context.Context) {
	for {
		select {
		case <-r.sweep:
		case <-ctx.Done():
			return
		}
		for tick := time.NewTimer(sweepEvery); ; tick.Reset(sweepEvery) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				tick.Stop()
				return
			}
			if !r.sweepOnce() {
				break
			}
		}
	}
}

func (r *Router) sweepOnce() (again bool) {
	r.mu.Lock()
	defer r.unlock()
	now := r.now()
	for p := r.pending.oldest; p != nil && now.After(p.deadline.Add(-2*sweepEvery)); p = r.pending.oldest {
		r.expire(p)
	}
	if r.pub != nil {
		r.pub.watch(now)
	}
	r.overdue(now)
	again = r.runDue(now) || r.pending.oldest != nil
	for _, l := range r.links {
		again = l.watch(r, now) || again
	}
	r.sweeping = again
	return again
}

// expire answers a message whose deadline has come. What is on its way stays on
// its links, as void numbers; what waits on its route is forgotten there.
func (r *Router) expire(p *pending) {
	p.conclude(r, Timeout)
	if p.route != nil {
		p.route.forget(r, p)
	}
}

// later is something put off.
type later struct {
	at time.Time
	do func()
}

// after runs f, with mu held, after d at the earliest.
func (r *Router) after(d time.Duration, f func()) {
	r.later = append(r.later, later{r.now().Add(d), f})
	r.arm()
}

func (r *Router) runDue(now time.Time) (again bool) {
	due := r.later
	r.later = nil
	for _, l := range due {
		if now.Before(l.at) {
			r.later = append(r.later, l)
			continue
		}
		l.do()
	}
	return len(r.later) > 0
}
