package router

import (
	"slices"

	"github.com/beeline-ws/beeline/registry"
)

// lost takes a lookup that Redis did not answer: this node's own sessions need not
// wait for it.
func (rt *route) lost(r *Router) {
	rt.degraded = true
	rt.deliverLocally(r)
	rt.failed(r, retryFailed)
}

// deliverCutOff has what waits on the route handed over to the sessions here while Redis
// is away; it goes on waiting for other owners that there may be. What is in flight to
// others only must not be overtaken. Once a message is not taken, because the sessions
// are about to leave or to join, none behind it is handed over.
func (rt *route) deliverLocally(r *Router) {
	here := r.opts.NodeID
	self := func(o registry.Owner) bool { return o.NodeID == here }
	if !r.local.holds(rt.address) || rt.inflight > 0 && (rt.mending || !slices.ContainsFunc(rt.owners, self)) {
		return
	}
	for _, list := range [...][]*pending{rt.back, rt.waiting} {
		for _, p := range r.notHandedOver(list) {
			p.handingOver = true
			rt.handingOver++
			rt.hand(r, handover{p: p, degraded: true})
		}
	}
}

// notHandedOver returns those of what waits on a route that were not handed over to this
// node's sessions. They are the last ones, since none passes another.
func (r *Router) notHandedOver(waiting []*pending) []*pending {
	first := len(waiting)
	for first > 0 && !waiting[first-1].was(r.opts.NodeID) && !waiting[first-1].handingOver {
		first--
	}
	return waiting[first:]
}
