package router

import (
	"context"
	"slices"

	"github.com/beeline-ws/beeline/registry"
)

// Messages for this node's sessions that go by a route, since other nodes own the
// address too or may do so, are handed over by whoever releases mu next, without mu: a
// delivery may be to many, and each writes to a socket. Of one route one goroutine at a
// time hands over, in the order in which the messages were put in.

// handover is a message on its way to this node's sessions. Its message is a copy,
// since the pending one may meet its deadline meanwhile.
type handover struct {
	p             *pending
	message       Message
	owner         registry.Owner // this node
	assumedOwners ownerSet
	degraded      bool // Redis is away; see deliverCutOff
	result        ackResult
}

// maxHandoverRoom is how many handovers the room that is kept for them has.
const maxHandoverRoom = 1 << 8

// hand has p handed over. It is called with mu held, as all but handOver's loop here.
func (rt *route) hand(r *Router, x handover) {
	if rt.handovers == nil {
		rt.handovers, r.handoverRoom = r.handoverRoom[:0], nil
	}
	x.message = x.p.Message
	rt.handovers = append(rt.handovers, x)
	if !rt.handing {
		rt.handing = true
		r.handovers = append(r.handovers, rt)
	}
}

// handoverTurn is how many messages of a route are handed over by whoever releases mu. It
// may be the sweeper, or an event loop, and others may put in more without end: a
// goroutine of its own goes on then.
const handoverTurn = 1 << 9

// handOver hands over what is due. It lets go of mu meanwhile.
func (r *Router) handOver() {
	for len(r.handovers) > 0 {
		rt := r.handovers[0]
		r.handovers = slices.Delete(r.handovers, 0, 1)
		for rt.handOver(r) {
			if r.run(func(context.Context) { rt.handOverRest(r) }) {
				break
			}
		}
	}
	r.flushAndRelock()
}

// handOverRest hands over until nothing is due on the route. Between two turns it publishes
// and runs the callbacks of what they have answered.
func (rt *route) handOverRest(r *Router) {
	for more := true; more; {
		r.mu.Lock()
		more = rt.handOver(r)
		r.unlock()
	}
}

// handOver hands over up to handoverTurn messages of the route, and reports whether there
// are more: then the caller has to go on, since nobody else will.
func (rt *route) handOver(r *Router) (more bool) {
	for left := handoverTurn; len(rt.handovers) > 0; {
		if left == 0 {
			return true
		}
		list := rt.handovers
		rt.handovers = nil
		if len(list) > left {
			list, rt.handovers = list[:left:left], list[left:]
		}
		left -= len(list)
		r.mu.Unlock()
		for i := range list {
			list[i].deliver(r, rt)
		}
		r.mu.Lock()
		for i := range list {
			list[i].done(r, rt)
		}
		clear(list)
		if cap(list) <= maxHandoverRoom {
			r.handoverRoom = list[:0]
		}
	}
	rt.handing, rt.stopped = false, false
	rt.ask(r)
	return false
}

// deliver is called without mu, by the one goroutine that hands over for the route. Once
// a message is not taken, because the address is joining or leaving, those behind it are
// not handed over either: they would pass it.
func (x *handover) deliver(r *Router, rt *route) {
	switch {
	case rt.stopped:
		x.result = ackJoining
	case x.degraded:
		x.result = r.deliverOnce(&x.message, func() ackResult { return r.local.deliver(r.fan, &x.message, noneAssumed) })
	default:
		x.result = r.deliverHere(&x.message, x.assumedOwners, x.p.accepted, r.now())
	}
	rt.stopped = x.result != ackDelivered && x.result != ackOverloaded
}

func (x *handover) done(r *Router, rt *route) {
	p := x.p
	if !x.degraded {
		p.settle(r, x.owner, x.result)
		return
	}
	p.handingOver = false
	rt.handingOver--
	switch x.result {
	case ackDelivered:
		r.delivery[pathLocal].Observe(r.now().Sub(p.accepted).Seconds())
		p.arrived(r, r.opts.NodeID)
	case ackOverloaded:
		p.reached, p.full = append(p.reached, r.opts.NodeID), true
		r.overloaded(overloadQueue)
	}
}
