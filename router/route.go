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
	restUnsettled = 50 * time.Millisecond
	restMoving    = 5 * time.Millisecond
	maxDoublings  = 5
	// restStale is how long a route looks up every message after a cached answer
	// was refused: the owners may not know each other for sure.
	restStale = time.Second
	// restAbsent is the wait before a route looks again whether a receiver that
	// nobody owned has come back within the grace. It doubles up to restLongAbsent.
	restAbsent     = 50 * time.Millisecond
	restLongAbsent = 500 * time.Millisecond
)

// route is the router's state for an address it sends to: its owners, what waits
// for them to be known, and what was sent to them. When nothing waits it lives on
// for as long as its owners are cached. Router.mu guards it.
type route struct {
	address  string
	asking   bool // a lookup is queued or under way
	resting  bool // a lookup will be queued after a rest
	learning bool // the lookup is for this node as an owner
	mending  bool // one of those in flight is to be sent again: later ones must not pass it
	remote   bool // owners are cached, and this node is none of them
	cutOff   bool // Redis did not answer the last lookup
	handing  bool // somebody hands over to this node's sessions
	stopped  bool // ... and one of those that are handed over was not taken

	waiting []*pending       // in the order sent; the lookup under way covers the first `covered`
	covered int              //
	back    []*pending       // sent, answered, to be sent again: in the order sent
	out     int              // messages that owners have not answered
	lent    int              // messages that are handed over cut off
	owners  []registry.Owner // whom the last messages went to
	cached  ownerSet         // owners, if messages may go there without a lookup; else 0
	era     uint64           // in which they were looked up
	fresh   time.Time        // nothing is cached before
	before  seen             // what this node had heard when the lookup was sent

	handovers []handover // in order

	quiet place[*route]
}

func (rt *route) place() *place[*route] { return &rt.quiet }

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
	r.quiet.remove(rt)
	p.route = rt
	if rt.cutOff || !r.leaseLivesAt(p.accepted) {
		rt.waiting = append(rt.waiting, p)
		rt.deliverCutOff(r)
		rt.ask(r)
		return
	}
	if rt.knows(r) {
		r.m.OwnerCacheHits.Inc()
		rt.dispatch(r, rt.cached, p)
		return
	}
	rt.waiting = append(rt.waiting, p)
	rt.ask(r)
}

// knows tells whether a message may go to the cached owners now: nothing is to be
// sent before it, and all of them heard what was sent last. The clients of one that is
// dead or deaf, or does not answer, may be elsewhere by now.
func (rt *route) knows(r *Router) bool {
	if rt.cached == lookedUp || rt.era != r.era || rt.mending || rt.asking || len(rt.waiting)+len(rt.back) > 0 {
		return false
	}
	return len(r.dead) == 0 && r.judging+r.stalled == 0 || !slices.ContainsFunc(rt.owners, func(o registry.Owner) bool {
		_, dead := r.dead[o.NodeID]
		return dead || r.stallsAt(o)
	})
}

// idles tells whether nothing waits on the route and nothing is in flight.
func (rt *route) idles() bool {
	return rt.out == 0 && !rt.asking && !rt.resting && !rt.handing && len(rt.waiting)+len(rt.back) == 0
}

// ask queues a lookup if something waits for one. While something is to be sent
// again, it waits until everything sent was answered, so that nothing overtakes. Who hands
// over asks when that is done.
func (rt *route) ask(r *Router) {
	switch {
	case rt.asking || rt.resting || rt.handing:
	case len(rt.back) == 0 && len(rt.waiting) == 0 && !rt.learning:
		if rt.out == 0 {
			rt.settle(r)
		}
	case rt.mending && rt.out > 0:
		rt.nudge(r)
	default:
		rt.asking = true
		r.lookups.add(rt)
		r.kick()
	}
}

// settle keeps a route that nothing waits for while its owners are cached.
func (rt *route) settle(r *Router) {
	switch {
	case rt.quiet.in:
	case rt.cached == lookedUp && r.now().After(rt.fresh):
		delete(r.routes, rt.address)
	default:
		if last := r.quiet.add(rt); last != nil {
			delete(r.routes, last.address)
		}
	}
}

// rest asks again after a while.
func (rt *route) rest(r *Router, d time.Duration) {
	if rt.resting {
		return
	}
	rt.resting = true
	r.after(d, func() {
		rt.resting = false
		rt.ask(r)
	})
}

// asked is called as the lookup goes out: it answers for what waits by now.
func (rt *route) asked(r *Router) {
	rt.covered = len(rt.waiting)
	rt.before = r.holdings.seen(rt.address)
	rt.before.sure = r.reg.AllSettled()
	rt.before.era = r.era
	r.m.Lookups.Inc()
}

// found takes the owners that the lookup named and sends what it covers. Those of
// them that are dead are not among owners any more, and all says that there were
// none.
func (rt *route) found(r *Router, owners []registry.Owner, all bool) {
	if rt.lent > 0 {
		rt.failed(r, restMoving)
		return
	}
	if all {
		rt.learn(r, owners)
	}
	rt.asking, rt.learning, rt.cutOff = false, false, false
	if rt.out > 0 && (rt.mending || !slices.Equal(owners, rt.owners)) {
		rt.covered = 0
		rt.cached = lookedUp
		rt.nudge(r)
		rt.lookAhead(r, owners)
		return // the last answer will ask again
	}
	rt.owners, rt.cached = owners, lookedUp
	if all && r.quiet.limit > 0 && r.now().After(rt.fresh) {
		rt.cached, rt.era = lookedUp.with(owners), rt.before.era
	}
	rt.remote = rt.cached != lookedUp && !r.holdings.holds(rt.address)
	rt.dispatch(r, lookedUp, rt.take()...)
	rt.ask(r) // what came after the lookup was sent
}

// learn notes what a lookup says about an address that this node owns.
func (rt *route) learn(r *Router, owners []registry.Owner) {
	if !rt.before.sure || !r.reg.AllSettled() {
		return
	}
	for _, o := range owners {
		if o.NodeID == r.opts.NodeID {
			r.holdings.learn(rt.address, o.Token, lookedUp.with(owners), rt.before)
		}
	}
}

// nobody takes the proof that no node owned the address.
func (rt *route) nobody(r *Router) {
	if rt.lent > 0 {
		rt.failed(r, restMoving)
		return
	}
	rt.asking, rt.learning, rt.cutOff, rt.cached = false, false, false, lookedUp
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
	rest := min(max(waited, restAbsent), restLongAbsent)
	rt.rest(r, min(rest, r.opts.Grace-waited))
}

// failed takes a lookup that Redis did not answer, or not for sure.
func (rt *route) failed(r *Router, d time.Duration) {
	rt.asking, rt.learning, rt.covered = false, false, 0
	rt.rest(r, d)
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
	if !p.lent {
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
