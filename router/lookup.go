package router

import (
	"slices"
	"time"

	"github.com/beeline-ws/beeline/registry"
)

// What becomes of a route when its lookup starts and when the answer is there.

// lookup is one lookup of a route's owners, from when it is queued until its answer.
type lookup struct {
	shard  *shard
	route  *route
	number uint64
}

// take gives the route the result, if it counts still. It is called without a lock.
func (l lookup) take(e routeEvent) {
	l.shard.lock()
	defer l.shard.unlockAndNotify()
	if l.counts(routeLookingUp) {
		l.route.on(l.shard, e)
	}
}

// counts reports whether the lookup is still the route's: it is not if an owner has refused
// a message meanwhile, since its answer may be older than that.
func (l lookup) counts(s routeState) bool { return l.route.lookup == l.number && l.route.state == s }

// lookupStarted is called as the lookup goes out: it answers for what waits by now.
func (rt *route) lookupStarted(s *shard) {
	rt.state = routeLookingUp
	rt.covered = len(rt.waiting)
	rt.asOfLookup = s.r.local.known(rt.address)
	rt.asOfLookup.settled = s.r.reg.AllSettled()
	s.r.m.Lookups.Inc()
}

// found takes the owners that the lookup named and sends what it covers. Those of
// them that are dead are not among owners any more, and complete says that there were
// none.
func (rt *route) found(s *shard, owners []registry.Owner, complete bool) {
	if rt.handovers.fallbacks > 0 { // they must get nothing twice
		rt.delayed(s, routeDelayed, retryMoving)
		return
	}
	if complete {
		rt.noteCoOwners(s, owners)
	}
	rt.degraded = false
	if rt.inflight > 0 && !slices.Equal(owners, rt.owners) {
		rt.requestAcks(s)
		rt.lookAhead(s, owners)
		rt.delayed(s, routeDraining, retryUnsettled)
		return
	}
	rt.owners, rt.state = owners, routeUnknown
	if complete && s.idleRoutes.limit > 0 && s.now().After(rt.noCacheBefore) {
		rt.state, rt.cachedOwners, rt.generation = routeCached, noneAssumed.with(owners), rt.asOfLookup.generation
	}
	rt.sendToOwners(s, noneAssumed, rt.takeCovered()...) // which proceeds with what came later
}

// noteCoOwners notes what a lookup says about an address that this node owns.
func (rt *route) noteCoOwners(s *shard, owners []registry.Owner) {
	if !rt.asOfLookup.settled || !s.r.reg.AllSettled() {
		return
	}
	for _, o := range owners {
		if o.NodeID == s.r.opts.NodeID {
			s.r.local.noteOwners(rt.address, o.Token, noneAssumed.with(owners), rt.asOfLookup)
		}
	}
}

// nobody takes the proof that no node owned the address.
func (rt *route) nobody(s *shard) {
	if rt.handovers.fallbacks > 0 {
		rt.delayed(s, routeDelayed, retryMoving)
		return
	}
	rt.degraded, rt.state = false, routeUnknown
	patient := s.now().Add(-s.r.opts.Grace)
	taken := rt.takeCovered()
	for i, p := range taken {
		if p.accepted.After(patient) { // so are those behind it
			rt.awaitReturn(s, taken[i:])
			break
		}
		p.end(s, p.undelivered)
	}
	rt.proceed(s)
}

// awaitReturn has messages wait for their receiver to come back, before those that came
// later.
func (rt *route) awaitReturn(s *shard, early []*pending) {
	rt.waiting = slices.Concat(early, rt.waiting)
	waited := s.now().Sub(early[0].accepted)
	d := min(max(waited, retryAbsent), maxRetryAbsent)
	rt.delayed(s, routeDelayed, min(d, s.r.opts.Grace-waited))
}

// failed takes a lookup that had no answer that counts. If Redis did not answer at all, this
// node's own sessions need not wait for it.
func (rt *route) failed(s *shard, retryDelay time.Duration, degraded bool) {
	if degraded {
		rt.degraded = true
		rt.deliverLocally(s)
	}
	rt.delayed(s, routeDelayed, retryDelay)
}

// takeCovered removes what the lookup covers, in the order sent.
func (rt *route) takeCovered() []*pending {
	all := slices.Concat(rt.back, rt.waiting[:rt.covered])
	rt.waiting = slices.Delete(rt.waiting, 0, rt.covered)
	rt.back, rt.covered = nil, 0
	return all
}
