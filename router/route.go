package router

import (
	"slices"
	"time"

	"github.com/beeline-ws/beeline/registry"
)

const (
	// restUnsettled and restMoving are the waits before a route looks up again what
	// was not settled, or just moving. Where an owner is found again and again and is
	// not ready, as when its claim waits for Redis, restMoving doubles so many times.
	retryUnsettled = 50 * time.Millisecond
	retryMoving    = 5 * time.Millisecond
	maxDoublings   = 5
	// restStale is how long a route looks up every message after a cached answer
	// was refused: the owners may not know each other for sure.
	uncachedAfterStale = time.Second
	// restAbsent is the wait before a route looks again whether a receiver that
	// nobody owned has come back within the grace. It doubles up to restLongAbsent.
	retryAbsent    = 50 * time.Millisecond
	maxRetryAbsent = 500 * time.Millisecond
)

// route is the router's state for an address it sends to: its owners, what waits
// for them to be known, and what was sent to them. When nothing waits it lives on
// for as long as its owners are cached. Router.mu guards it.
type route struct {
	address  string
	asking   bool // a lookup is queued or under way
	retrying bool // a lookup will be queued after a retry delay
	learning bool // the lookup is for this node as an owner
	mending  bool // one of those in flight is to be sent again: later ones must not pass it
	remote   bool // owners are cached, and this node is none of them
	degraded bool // Redis did not answer the last lookup
	handing  bool // somebody hands over to this node's sessions
	stopped  bool // ... and one of those that are handed over was not taken

	waiting       []*pending       // in the order sent; the lookup under way covers the first `covered`
	covered       int              //
	back          []*pending       // sent, answered, to be sent again: in the order sent
	inflight      int              // messages that owners have not answered
	handingOver   int              // messages that are handed over cut off
	owners        []registry.Owner // whom the last messages went to
	cachedOwners  ownerSet         // owners, if messages may go there without a lookup; else 0
	generation    uint64           // in which they were looked up
	noCacheBefore time.Time        // nothing is cached before
	asOfLookup    ownersKnown      // what this node had heard when the lookup was sent

	handovers []handover // in order

	lruNode listNode[*route]
}

func (rt *route) node() *listNode[*route] { return &rt.lruNode }

// routeTo returns the route to an address.
func (r *Router) routeTo(address string) *route {
	rt := r.routes[address]
	if rt == nil {
		rt = &route{address: address}
		r.routes[address] = rt
	}
	return rt
}

// send sends p to the cached owners, or has it wait for a lookup.
func (rt *route) send(r *Router, p *pending) {
	r.idleRoutes.remove(rt)
	p.route = rt
	if rt.degraded || !r.leaseLivesAt(p.accepted) {
		rt.waiting = append(rt.waiting, p)
		rt.deliverLocally(r)
		rt.ask(r)
		return
	}
	if rt.knows(r) {
		r.m.OwnerCacheHits.Inc()
		rt.dispatch(r, rt.cachedOwners, p)
		return
	}
	rt.waiting = append(rt.waiting, p)
	rt.ask(r)
}

// knows tells whether a message may go to the cached owners now: nothing is to be
// sent before it, and all of them heard what was sent last. The clients of one that is
// dead or deaf, or does not answer, may be elsewhere by now.
func (rt *route) knows(r *Router) bool {
	if rt.cachedOwners == noneAssumed || rt.generation != r.generation || rt.mending || rt.asking || len(rt.waiting)+len(rt.back) > 0 {
		return false
	}
	return len(r.dead) == 0 && r.slowPeers == 0 || !slices.ContainsFunc(rt.owners, func(o registry.Owner) bool {
		_, dead := r.dead[o.NodeID]
		return dead || r.stallsAt(o)
	})
}

// idles tells whether nothing waits on the route and nothing is in flight.
func (rt *route) idles() bool {
	return rt.inflight == 0 && !rt.asking && !rt.retrying && !rt.handing && len(rt.waiting)+len(rt.back) == 0
}

// ask queues a lookup if something waits for one. While something is to be sent
// again, it waits until everything sent was answered, so that nothing overtakes. Who hands
// over asks when that is done.
func (rt *route) ask(r *Router) {
	switch {
	case rt.asking || rt.retrying || rt.handing:
	case len(rt.back) == 0 && len(rt.waiting) == 0 && !rt.learning:
		if rt.inflight == 0 {
			rt.settle(r)
		}
	case rt.mending && rt.inflight > 0:
		rt.requestAcks(r)
	default:
		rt.asking = true
		r.lookups.add(rt)
		r.signalLookups()
	}
}

// settle keeps a route that nothing waits for while its owners are cached.
func (rt *route) settle(r *Router) {
	switch {
	case rt.lruNode.in:
	case rt.cachedOwners == noneAssumed && r.now().After(rt.noCacheBefore):
		delete(r.routes, rt.address)
	default:
		if last := r.idleRoutes.add(rt); last != nil {
			delete(r.routes, last.address)
		}
	}
}

// retryAfter asks again after a while.
func (rt *route) retryAfter(r *Router, d time.Duration) {
	if rt.retrying {
		return
	}
	rt.retrying = true
	r.afterFunc(d, func() {
		rt.retrying = false
		rt.ask(r)
	})
}

// asked is called as the lookup goes out: it answers for what waits by now.
func (rt *route) asked(r *Router) {
	rt.covered = len(rt.waiting)
	rt.asOfLookup = r.local.known(rt.address)
	rt.asOfLookup.settled = r.reg.AllSettled()
	rt.asOfLookup.routesGeneration = r.generation
	r.m.Lookups.Inc()
}

// found takes the owners that the lookup named and sends what it covers. Those of
// them that are dead are not among owners any more, and all says that there were
// none.
func (rt *route) found(r *Router, owners []registry.Owner, all bool) {
	if rt.handingOver > 0 {
		rt.failed(r, retryMoving)
		return
	}
	if all {
		rt.learn(r, owners)
	}
	rt.asking, rt.learning, rt.degraded = false, false, false
	if rt.inflight > 0 && (rt.mending || !slices.Equal(owners, rt.owners)) {
		rt.covered = 0
		rt.cachedOwners = noneAssumed
		rt.requestAcks(r)
		rt.lookAhead(r, owners)
		return // the last answer will ask again
	}
	rt.owners, rt.cachedOwners = owners, noneAssumed
	if all && r.idleRoutes.limit > 0 && r.now().After(rt.noCacheBefore) {
		rt.cachedOwners, rt.generation = noneAssumed.with(owners), rt.asOfLookup.routesGeneration
	}
	rt.remote = rt.cachedOwners != noneAssumed && !r.local.holds(rt.address)
	rt.dispatch(r, noneAssumed, rt.take()...)
	rt.ask(r) // what came after the lookup was sent
}

// learn notes what a lookup says about an address that this node owns.
func (rt *route) learn(r *Router, owners []registry.Owner) {
	if !rt.asOfLookup.settled || !r.reg.AllSettled() {
		return
	}
	for _, o := range owners {
		if o.NodeID == r.opts.NodeID {
			r.local.noteOwners(rt.address, o.Token, noneAssumed.with(owners), rt.asOfLookup)
		}
	}
}

// nobody takes the proof that no node owned the address.
func (rt *route) nobody(r *Router) {
	if rt.handingOver > 0 {
		rt.failed(r, retryMoving)
		return
	}
	rt.asking, rt.learning, rt.degraded, rt.cachedOwners = false, false, false, noneAssumed
	patient := r.now().Add(-r.opts.Grace)
	taken := rt.take()
	for i, p := range taken {
		if p.accepted.After(patient) { // so are those behind it
			rt.hold(r, taken[i:])
			break
		}
		switch { // it may have been at an owner before
		case p.full:
			p.end(r, Overloaded)
		case p.unknown:
			p.end(r, Timeout)
		default:
			p.end(r, Offline)
		}
	}
	rt.ask(r)
}

// hold has messages wait for their receiver to come back, before those that came
// later.
func (rt *route) hold(r *Router, early []*pending) {
	rt.waiting = slices.Concat(early, rt.waiting)
	waited := r.now().Sub(early[0].accepted)
	rest := min(max(waited, retryAbsent), maxRetryAbsent)
	rt.retryAfter(r, min(rest, r.opts.Grace-waited))
}

// failed takes a lookup that Redis did not answer, or not for sure.
func (rt *route) failed(r *Router, d time.Duration) {
	rt.asking, rt.learning, rt.covered = false, false, 0
	rt.retryAfter(r, d)
}

// take removes what the lookup covers, in the order sent.
func (rt *route) take() []*pending {
	all := slices.Concat(rt.back, rt.waiting[:rt.covered])
	rt.waiting = slices.Delete(rt.waiting, 0, rt.covered)
	rt.back, rt.covered = nil, 0
	return all
}

// forget gives up on a message whose deadline has come: it must not hold up
// those behind it. Its owners' answers are still awaited by their links.
func (rt *route) forget(r *Router, p *pending) {
	if p.inFlight {
		p.inFlight, p.room = false, nil
		rt.landed(r)
		return
	}
	var i int
	if rt.waiting, i = without(rt.waiting, p); i >= 0 && i < rt.covered {
		rt.covered--
	}
	rt.back, _ = without(rt.back, p)
	if !p.handingOver {
		r.reuse(p)
	}
	rt.ask(r)
}

// without removes p, which is mostly the first: those behind it are not moved then.
func without(list []*pending, p *pending) ([]*pending, int) {
	i := slices.Index(list, p)
	switch {
	case i < 0:
	case i == 0:
		list[0] = nil
		list = list[1:]
	default:
		list = slices.Delete(list, i, i+1)
	}
	return list, i
}
