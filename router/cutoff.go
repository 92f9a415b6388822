package router

import (
	"slices"

	"github.com/beeline-ws/beeline/registry"
)

// lost takes a lookup that Redis did not answer: this node's own sessions need not
// wait for it.
func (rt *route) lost(r *Router) {
	rt.cutOff = true
	rt.deliverCutOff(r)
	rt.failed(r, restFailed)
}

// deliverCutOff gives what waits on the route to the sessions here while Redis is
// away; it goes on waiting for other owners that there may be. What is in flight to
// others only must not be overtaken.
func (rt *route) deliverCutOff(r *Router) {
	here := r.opts.NodeID
	self := func(o registry.Owner) bool { return o.NodeID == here }
	if !r.holdings.holds(rt.address) || rt.out > 0 && (rt.mending || !slices.ContainsFunc(rt.owners, self)) {
		return
	}
	for _, list := range [...][]*pending{rt.back, rt.waiting} {
		first := len(list)
		for first > 0 && !list[first-1].was(here) {
			first--
		}
		for _, p := range list[first:] {
			switch r.once(&p.Message, func() fate { return r.holdings.deliver(&p.Message, lookedUp) }) {
			case fateDelivered:
				r.delivery[pathLocal].Observe(r.now().Sub(p.accepted).Seconds())
				p.arrived(r, here)
			case fateOverloaded:
				p.reached, p.full = append(p.reached, here), true
			default:
				return // it is about to leave or to join
			}
		}
	}
}
