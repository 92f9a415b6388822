package router

// Local fallback: while Redis does not answer, the sessions here of a client that may have
// others elsewhere need not wait.

// deliverLocally has what waits on the route handed over to the sessions here; it goes on
// waiting for other owners that there may be. What is in flight to others only must not be
// overtaken. Once a message is not taken, because the sessions are about to leave or to
// join, none behind it is handed over.
func (rt *route) deliverLocally(s *shard) {
	if !s.r.local.holds(rt.address) || rt.inflight > 0 && (rt.state == routeRepairing || !rt.ownedBy(s.r.opts.NodeID)) {
		return
	}
	for _, list := range [...][]*pending{rt.back, rt.waiting} {
		for _, p := range s.notHandedOver(list) {
			p.state = pendingFallback
			rt.handovers.fallbacks++
			rt.handOver(s, handover{p: p, fallback: true})
		}
	}
}

// notHandedOver returns those of what waits on a route that were not handed over to this
// node's sessions. They are the last ones, since none passes another.
func (s *shard) notHandedOver(waiting []*pending) []*pending {
	first := len(waiting)
	for first > 0 && waiting[first-1].state != pendingFallback && !waiting[first-1].reachedNode(s.r.opts.NodeID) {
		first--
	}
	return waiting[first:]
}
